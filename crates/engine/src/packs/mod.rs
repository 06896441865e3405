//! Configuration as code: apply, diff; and replay of change logs.
