//! One insert, update or delete with all that its rules do (business-rules §3).
//!
//! [`outermost`] frames it with a transaction, [`write`] and [`delete`] are the pipelines, the rest are their steps.

pub(crate) mod audit;
pub(crate) mod cascade;
pub(crate) mod change;
pub(crate) mod defaults;
mod definition_checks;
pub(crate) mod delete;
mod delete_checks;
pub(crate) mod hidden_methods;
pub(crate) mod integrity;
pub(crate) mod journal;
pub(crate) mod outermost;
pub(crate) mod rule_checks;
pub mod save_checks;
pub(crate) mod stamp;
pub(crate) mod transaction;
pub(crate) mod write;

pub(crate) use change::{Change, Door, Failure, JournalEntry, Kind, Options, Outcome};
pub(crate) use outermost::run;
