//! Tests of the store through its public promises, on real files.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod conformance;
mod copies;
mod copies_of_orders;
mod distributed;
mod distributed_claims;
mod distributed_fences;
mod distributed_order;
mod distributed_strays;
mod event_actions;
mod event_claims;
mod event_clock;
mod event_crashes;
mod event_log;
mod event_move_kind;
mod event_order;
mod event_search;
mod event_states;
mod event_summary;
mod event_take_back;
mod event_transactions;
mod events_at_hand;
mod postgres_at_hand;
mod postgres_births;
mod postgres_commits;
mod postgres_doubts;
mod postgres_fences;
mod postgres_floors;
mod postgres_hosts;
mod postgres_integrity;
mod postgres_nodes;
mod postgres_order;
mod postgres_own_row;
mod postgres_pools;
mod postgres_snapshots;
mod postgres_strangers;
mod postgres_upgrades;
mod snapshots;
mod sqlite_files;
