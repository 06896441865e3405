//! The measurements, in the order of the table.

use super::context::Context;
use super::figure::Figure;
use super::{
    append, claims, drain, fire, latency, memory, postgres, scripts, slow_rule, start, updates,
};
use crate::output::Failure;

/// Measures something and says what came out.
pub(super) type Measure = fn(&Context<'_>) -> Result<Vec<Figure>, Failure>;

/// Every measurement with its name.
pub(super) const ALL: [(&str, Measure); 16] = [
    ("append", append::measure),
    ("fire", fire::measure),
    ("drain", drain::measure),
    ("latency", latency::measure),
    ("updates", updates::measure),
    ("slow-rule", slow_rule::measure),
    ("scripts", scripts::measure),
    ("memory", memory::measure),
    ("claims", claims::measure),
    ("start", start::measure),
    ("postgres-append", postgres::append),
    ("postgres-claims", postgres::claim),
    ("postgres-fire", postgres::fire),
    ("postgres-sustained", postgres::sustained),
    ("postgres-log", postgres::long_log),
    ("postgres-steady", postgres::steady),
];
