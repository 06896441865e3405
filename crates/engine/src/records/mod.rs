//! Tables and records: the one way to read and write a row.

pub mod choices;
pub mod definitions;
pub mod dictionary;
pub mod display;
pub mod gate;
pub mod journal;
pub(crate) mod key_life;
pub mod lookup;
pub mod numbers;
pub mod projection;
pub mod properties;
pub mod seed;
pub mod syslog;
pub mod users;

mod budget;
pub(crate) mod conversion;
mod display_input;
pub mod evaluate;
pub mod execution;
mod execution_fire;
mod execution_log;
pub mod execution_report;
pub mod if_match;
mod input;
mod name_values;
pub mod once;
pub mod operation;
pub(crate) mod rules;
mod script_host;
mod script_metrics;
pub mod script_record;
pub mod service;
mod session_display;
pub mod special_tables;
pub mod unit_of_work;
pub mod withheld;
