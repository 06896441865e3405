//! What a queue promises of the order of its events (§4.2): told to the store with the queue's row, kept by its processors.

use campanile_model::queue_def::normalise_queue_name;
use campanile_model::{Event, QueueOrder, Record};
use campanile_store::{QueueRule, WriteTx};

use crate::error::EngineError;
use crate::events::queue_registry::{halts_on_error, queue_order};
use crate::records::operation::save_checks::Written;

/// Tells the store what the queue in this row promises, in the transaction that wrote the row.
///
/// # Errors
/// What the store answers.
pub fn after_write(
    tx: &mut dyn WriteTx,
    record: &Record,
    written: Written,
) -> Result<(), EngineError> {
    let Ok(name) = normalise_queue_name(record.text("queue")) else { return Ok(()) };
    let rule = (written == Written::Stored)
        .then(|| QueueRule { order: queue_order(record), halts: halts_on_error(record) });
    tx.set_queue_order(name, rule)?;
    Ok(())
}

/// Whether `later` must wait for the end of `event` in a queue with this order.
pub(super) fn waits_for(order: QueueOrder, later: &Event, event: &Event) -> bool {
    match order {
        QueueOrder::Parallel => false,
        QueueOrder::Sequential => true,
        QueueOrder::ByRecord => {
            let (later, event) = (&later.fired, &event.fired);
            !event.instance.is_empty()
                && event.instance.eq_ignore_ascii_case(&later.instance)
                && event.table == later.table
        }
    }
}
