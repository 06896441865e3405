//! What scripts may rely on, and what they cannot break.

mod bare_host;
mod completion;
mod hostile;
mod isolation;
mod runs;
