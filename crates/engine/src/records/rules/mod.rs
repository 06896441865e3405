//! Business rules: which ones a row has, when they run, what they do (business-rules §§1–6).

mod actions;
mod cache;
mod run;

pub(crate) use cache::{ClassRules, Moment};
pub(crate) use run::{RuleRun, limits_of, limits_of_kind, run_phase};
