//! Tests of the store through its public promises, on real files.

mod conformance;
mod event_actions;
mod event_claims;
mod event_crashes;
mod event_log;
mod event_states;
mod events_at_hand;
