//! What scripts may rely on, and what they cannot break.

mod bare_host;
mod completion;
mod element_expressions;
mod glide_elements;
mod glide_record;
mod glide_run;
mod gs;
mod hostile;
mod isolation;
mod meaning;
mod mock;
mod runs;
