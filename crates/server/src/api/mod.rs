//! One file an endpoint group.

mod call_key;
pub(crate) mod evaluate;
pub(crate) mod events;
pub(crate) mod health;
pub(crate) mod packs;
pub(crate) mod queues;
pub(crate) mod replay;
pub(crate) mod table;
