//! How a store on PostgreSQL is opened.

use std::sync::Arc;
use std::time::Duration;

use campanile_model::CorrectedClock;

use super::url::DatabaseUrl;

/// Events of a dead program wait for its lease and at most five seconds more.
const WATCH_MAX: Duration = Duration::from_secs(4);

/// How a program proves to the others that it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// After so long without a beat it counts as dead, and others take its events over.
    pub lasts: Duration,
    /// How often it beats: several times in a lease, so that one lost beat costs nothing.
    pub beat: Duration,
}

impl Default for Lease {
    /// A minute, and four beats in it.
    fn default() -> Self {
        Self { lasts: Duration::from_secs(60), beat: Duration::from_secs(15) }
    }
}

/// Whether statements go to the server under names, which saves planning them each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StatementNames {
    /// Unless a pool stands between that does not know them: that is found out at the opening.
    #[default]
    WherePossible,
    /// In any case.
    Always,
    /// In no case.
    Never,
}

/// The way to the database, and how many connections are taken on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connections {
    /// Connections that read, at most.
    pub readers_max: usize,
    /// Connections of record operations and claims, at most.
    pub writers_max: usize,
    /// How statements go.
    pub statement_names: StatementNames,
    /// A way past a pool, for what a pool cannot do: migrating, and hearing of what others did.
    pub direct_url: Option<DatabaseUrl>,
}

impl Connections {
    /// Connections of one program besides: its writer, its completer, its beat, the one that hears of others, and two for rows
    /// that are read by their keys.
    pub const OWN: usize = 6;

    /// Connections that a program takes at most.
    #[must_use]
    pub fn all(&self) -> usize {
        self.readers_max + self.writers_max + Self::OWN
    }
}

impl Default for Connections {
    /// 16 and 16, and no second way.
    fn default() -> Self {
        Self {
            readers_max: 16,
            writers_max: 16,
            statement_names: StatementNames::default(),
            direct_url: None,
        }
    }
}

/// How to open.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// Where the database is.
    pub url: DatabaseUrl,
    /// This program's name among those on the database.
    pub node: String,
    /// How long an operation waits for a connection or a lock.
    pub patience: Duration,
    /// The connections to it.
    pub connections: Connections,
    /// Its standing among the others.
    pub lease: Lease,
    /// How often it looks for others whose lease has lapsed, and at the database's clock.
    pub watch: Duration,
    /// Distributed mode with so many partitions, for a database that has no events yet ([`crate::PARTITIONS`], a power of
    /// two). One that has the mode keeps what it has, also when this is `None`.
    pub partitions: Option<u16>,
    /// Put right by the database's clock, from the opening on.
    pub clock: Option<Arc<CorrectedClock>>,
}

impl PostgresOptions {
    /// The usual settings for the database at `url`.
    #[must_use]
    pub fn new(url: impl Into<DatabaseUrl>) -> Self {
        Self {
            url: url.into(),
            node: "campanile".to_owned(),
            // Longer than any operation may write (`campanile.script.max_writer_ms` is 5,000).
            patience: Duration::from_secs(10),
            connections: Connections::default(),
            lease: Lease::default(),
            watch: WATCH_MAX,
            partitions: None,
            clock: None,
        }
    }
}
