//! Events: registry, firing, reading, move, reprocess, explain.
