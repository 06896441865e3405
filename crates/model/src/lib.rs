//! Plain types that all crates of Campanile share.
//!
//! Nothing here does I/O, starts a thread or knows SQL, HTTP or JavaScript. What a record, a table, an
//! encoded query or an event *is* stands here; what is done with it stands in the crates above.

pub mod clock;
pub mod content_hash;
pub mod counted;
pub mod dictionary;
pub mod event;
pub mod event_state;
pub mod fold;
pub mod handler_run;
pub mod limits;
pub mod nearest;
pub mod partition;
pub mod placement;
pub mod query;
pub mod queue_def;
pub mod record;
pub mod registration;
pub mod sys_id;
pub mod table_def;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod time;
pub mod value;

pub use clock::{Clock, CorrectedClock, ManualClock, SystemClock};
pub use counted::counted;
pub use dictionary::{Choice, Dictionary};
pub use event::{Event, EventSource, NewEvent};
pub use event_state::EventState;
pub use handler_run::{HandlerKind, HandlerRun, Outcome};
pub use placement::{Nodes, Placement};
pub use queue_def::{QueueDef, QueueOrder};
pub use record::Record;
pub use registration::Registration;
pub use sys_id::{InvalidSysId, SysId};
pub use table_def::{ColumnStorage, FieldDef, FieldIndex, FieldNames, FieldType, TableDef};
pub use time::Instant;
pub use value::Value;
