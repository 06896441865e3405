//! Whole-program tests: they start the real binary and drive it by HTTP and by signals.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]

mod arrows;
mod backup;
mod backup_refusals;
mod boot;
mod certificates;
mod cli;
mod copy;
mod crash;
mod disk;
mod distributed;
mod error_pages;
mod harness;
mod nodes;
mod nothing_lost;
mod packs;
mod people;
mod pgbouncer;
mod postgres;
mod postgres_refused;
mod postgres_tls;
mod queue_order;
mod replay;
mod rest_addresses;
mod rest_bad_input;
mod rest_connections;
mod rest_evaluate;
mod rest_events;
mod rest_events_actions;
mod rest_idempotency;
mod rest_instance;
mod rest_rights;
mod rest_table;
mod rest_table_deletes;
mod rest_table_events;
mod rest_table_pages;
mod rest_table_writes;
mod rest_told;
mod rest_warnings;
mod rules_by_http;
mod small_disk;
mod strangers;
mod upgrade;
