//! Distributed mode: the rows of events are spread by their partition, so that a distributed PostgreSQL (Citus, YugabyteDB) can
//! keep them on many machines, or one server in native hash partitions.
//!
//! How many partitions there are, and which one an event belongs to, is fixed for a database (`spread`, `setup`). Every
//! statement on rows of events stands in `statements`: those of the hot path name one partition, so that one machine answers
//! them, and are of no form that Citus cannot send there. What they are for is told by the twins in the folder above: appends
//! (`append`), claims (`claims`; which partition next: `turns`; under which rule: `rule`; what waits there: `looks`), completions and runs (`completions`), dead programs
//! (`lapses`), actions by hand (`actions`). A row that leaves its table goes through this program (`rows`), because no routed
//! statement moves it.
//!
//! In queues that keep an order events arrive one commit after the other (`arrivals`) and are claimed in turn (`claims_in_turn`):
//! by record from each partition by itself (`by_record`, `window`), one after the other from the one partition that such a queue lives in
//! (`sequential`), to which others bring what stands elsewhere (`strays`). How an order is set: `order`.
//!
//! What is small stays in ordinary tables: idempotency keys, programs and their leases, the log of actions.

pub(super) mod actions;
pub(super) mod append;
pub(super) mod arrivals;
mod by_record;
pub(super) mod claims;
pub(super) mod claims_in_turn;
pub(super) mod completions;
pub(super) mod copying;
#[cfg(all(test, feature = "testing"))]
mod forms;
pub(super) mod lapses;
mod looks;
pub(super) mod order;
#[cfg(all(test, feature = "testing"))]
mod plan_tests;
mod rows;
mod rule;
mod sequential;
pub(super) mod setup;
mod spread;
pub(super) mod statements;
mod strays;
mod turns;
mod window;

pub(super) use spread::Spread;
