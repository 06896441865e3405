//! Who acts, on whose behalf.

use std::sync::Arc;

use campanile_model::{EventSource, HandlerKind, SysId};

/// A user as work runs with it: fixed when the session begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Key of the `sys_user` row; empty only while the database is being made.
    pub sys_id: Arc<str>,
    /// Login.
    pub user_name: Arc<str>,
    /// Name for people.
    pub display_name: Arc<str>,
    /// First name.
    pub first_name: Arc<str>,
    /// Last name.
    pub last_name: Arc<str>,
    /// Mail address.
    pub email: Arc<str>,
    /// IANA zone; empty takes `glide.sys.default.tz`.
    pub time_zone: Arc<str>,
    /// All effective roles: direct, by group, contained.
    pub roles: Vec<Arc<str>>,
}

impl User {
    /// The user of background work: passes every check.
    #[must_use]
    pub fn system() -> Self {
        let name: Arc<str> = Arc::from("system");
        Self {
            sys_id: Arc::from(""),
            user_name: Arc::clone(&name),
            display_name: Arc::from("System"),
            first_name: Arc::from("System"),
            last_name: Arc::from(""),
            email: Arc::from(""),
            time_zone: Arc::from(""),
            roles: vec![Arc::from("admin")],
        }
    }

    /// Whether the user has exactly this role.
    #[must_use]
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|r| &**r == role)
    }

    /// `admin` passes every role check.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.has_role("admin")
    }
}

/// Through which door the work came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// An HTTP request: rights are checked by the gate, lengths are refused instead of cut.
    Http,
    /// A handler of an event, a background script: scripts read and write without rights of their own.
    Script,
    /// The product itself: packs, seed, replay.
    System,
}

/// The event and handler on whose behalf work is done; what it fires carries this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// The event that is being handled.
    pub event: SysId,
    /// Its epoch.
    pub epoch: i64,
    /// Its depth; what is fired gets this + 1.
    pub depth: i64,
    /// Its name; the chain that led to it is read from the log when somebody asks.
    pub event_name: Arc<str>,
    /// Kind of the handler.
    pub handler_kind: HandlerKind,
    /// The handler's definition.
    pub handler: SysId,
}

/// Who acts, through which door, on whose behalf. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Session {
    /// The acting user.
    pub user: Arc<User>,
    /// Through which door.
    pub channel: Channel,
    /// What events that it fires name as their source when no rule fires them.
    pub source: EventSource,
    /// Request path and query, secrets masked; empty outside HTTP.
    pub uri: Arc<str>,
    /// Event and handler, when a handler acts.
    pub cause: Option<Arc<Cause>>,
}

impl Session {
    /// The product itself.
    #[must_use]
    pub fn system() -> Self {
        Self {
            user: Arc::new(User::system()),
            channel: Channel::System,
            source: EventSource::Script,
            uri: Arc::from(""),
            cause: None,
        }
    }
}
