//! The JavaScript sandbox and the Glide API (`gs`, `GlideRecord`, `GlideElement`, `GlideDateTime` …).
//!
//! The sandbox (rewriting, compiling, realms, limits) knows nothing of records; the Glide classes in `glide/`
//! stand on it and reach everything outside through the [`host::Host`] and [`host::HostRecord`] traits, which
//! the engine implements.

pub mod host;
pub mod run;

mod budget;
mod cache;
mod compile;
mod error;
mod glide;
mod level;
mod memory;
mod native;
mod realm;
mod rejections;
mod rewrite;
mod sandbox;
mod syntax;
mod watchdog;

pub use compile::check;
pub use glide::{HiddenMethod, method_hidden_by};
pub use host::{
    ConditionId, ElementKind, EventCall, ExternalValue, FieldMeta, Host, HostError, HostRecord,
    LogLevel, MessageKind, PathId, RecordRef, ScheduledEventCall, UserInfo,
};
pub use level::SandboxError;
pub use run::{
    Bindings, Completion, LimitKind, Limits, RunOutcome, ScriptError, ScriptErrorKind, ScriptKind,
    ScriptSource, SyntaxError, Usage,
};
pub use sandbox::Sandbox;
