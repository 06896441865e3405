//! The engine: the store, the caches that stand before it, and the threads.

/// How to open an engine.
#[derive(Debug)]
pub struct EngineConfig {}

/// The whole product below HTTP. Shared as `Arc<Engine>`.
#[derive(Debug)]
pub struct Engine {}
