//! Queues: registry, processors, claims, retries.
