//! The engine through its public face, on a real database in a folder of its own.

#![expect(clippy::unwrap_used, reason = "a test that meets an error it does not expect has failed")]

mod administrators;
mod bootstrap;
mod br_queries;
mod definitions;
mod dictionary;
mod display;
mod dropped_tables;
mod events_actions;
mod events_bed;
mod events_firing;
mod events_handling;
mod events_queues;
mod fixture;
mod gate;
mod hostile_scripts;
mod house;
mod numbers;
mod packs_apply;
mod packs_bed;
mod packs_edited;
mod packs_refused;
mod provisional_queues;
mod record_service;
mod record_writes;
mod replay;
mod rule_effects;
mod rule_selection;
mod sa_elements;
mod sa_engine;
mod sa_records;
mod saved_definitions;
mod script_bench;
mod script_bounds;
mod script_records;
mod secret_properties;
mod secrets;
mod syslog;
mod units_of_work;
mod users;
mod wide_tables;
