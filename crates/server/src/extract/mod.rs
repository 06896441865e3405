//! From a request to what the services take.

pub(crate) mod base;
pub(crate) mod caller;
pub(crate) mod json_body;
pub(crate) mod params;
pub(crate) mod payload;
pub(crate) mod segments;
pub(crate) mod strict_json;
