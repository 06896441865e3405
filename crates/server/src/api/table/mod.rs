//! The Table API (rest-api §7): rows of any table of the dictionary.

mod if_match;
mod kept;
mod links;
mod list;
mod one;
mod shape;
mod write;

pub(crate) use list::list;
pub(crate) use one::{delete, get};
pub(crate) use write::{create, update};
