//! *Explain* (rest-api §21.1): why an event went where it went, and what every handler did, did not do, or nearly did.

mod answer;
mod assemble;
mod timeline;

pub use answer::{
    Explanation, FiredReference, HandlerAnswer, NearMissAnswer, RecordThenAndNow, Resolution,
    Source, TimelineItem, WrittenReference,
};
pub use assemble::explain;
