//! Events of sequential queues that cannot come to the partition of their queue, in distributed mode: for administrators.
//!
//! What is done about them while events are claimed is in `distributed/strays`. This is not of the hot path, and asks all
//! partitions.

use super::connection::Connection;
use super::distributed::Spread;
use super::events::{sys_id, text};
use crate::contract::{Concern, StoreError};

/// Most that are told of one queue; more have one cause.
const TOLD_MAX: i64 = 10;

/// Those of a queue that stand elsewhere, where another event has the same key at home, waiting or done.
const LEFT: &str = "SELECT sys_id, \"partition\" FROM sysevent_live AS stray WHERE queue = $1 AND \"partition\" <> $2 \
     AND state = 'ready' AND (EXISTS (SELECT FROM sysevent_live AS other WHERE other.\"partition\" = $2 \
     AND lower(other.sys_id) = lower(stray.sys_id)) OR EXISTS (SELECT FROM sysevent_log AS other \
     WHERE other.\"partition\" = $2 AND lower(other.sys_id) = lower(stray.sys_id))) ORDER BY sequence LIMIT $3";

/// What cannot come to the partition of its queue, and is not handled.
///
/// # Errors
/// What PostgreSQL said.
pub(super) fn concerns(
    connection: &Connection,
    spread: &Spread,
) -> Result<Vec<Concern>, StoreError> {
    let sequential = "SELECT queue FROM sysevent_queue_order WHERE kind = 'sequential'";
    let mut concerns = Vec::new();
    for row in connection.query(sequential, &[])? {
        let (stored, queue): (&str, _) = (row.try_get(0)?, text(&row, 0)?);
        let home = spread.home_of(&queue);
        for stray in connection.query(LEFT, &[&stored, &home, &TOLD_MAX])? {
            let (event, partition): (_, i64) = (sys_id(&stray, 0)?, stray.try_get(1)?);
            concerns.push(Concern {
                is_serious: true,
                what: format!(
                    "event '{event}' of the sequential queue '{queue}' is not handled: it stands in partition {partition}, and \
                     in the queue's, {home}, another event has the same sys_id"
                ),
                fix: "once the other event has ended, cancel this one, or move it to a queue that keeps no order: there it is \
                      handled"
                    .to_owned(),
            });
        }
    }
    Ok(concerns)
}
