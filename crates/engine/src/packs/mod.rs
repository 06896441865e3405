//! Configuration as code: apply, diff; and replay of change logs.

pub mod apply;
pub mod document;
mod marks;
mod names;
mod nesting;
mod people;
pub mod report;
mod rows;
mod sections;
pub mod source;
mod tables;
mod values;
mod values_count;
pub mod yaml;

pub mod replay;
