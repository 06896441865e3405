//! Threads that run scripts: one sandbox each, large stacks, names.
