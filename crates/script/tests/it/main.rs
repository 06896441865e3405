//! What scripts may rely on, and what they cannot break.

mod bare_host;
mod runs;
