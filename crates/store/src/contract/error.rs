//! What can go wrong in a store.

use campanile_model::EventState;

/// A failure of the store. Each tells thing, place and, where there is one, the fix.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum StoreError {
    /// A unique column already has the value.
    #[error("'{value}' is already taken in {table}.{field}")]
    Duplicate {
        /// Table as addressed.
        table: String,
        /// Column; `sys_id` for a taken key.
        field: String,
        /// The value.
        value: String,
    },
    /// The row that was to change has moved since it was read: the operation starts once more.
    #[error("row {sys_id} of {table} has moved since it was read")]
    RowMoved {
        /// Table.
        table: String,
        /// Key.
        sys_id: String,
    },
    /// There is no such event.
    #[error("there is no event {0}")]
    EventUnknown(String),
    /// The event's state does not allow the action.
    #[error("event {sys_id} is {state}: {detail}")]
    StateConflict {
        /// The event.
        sys_id: String,
        /// Its present state.
        state: EventState,
        /// In words, e.g. `is being handled by node-a/default/3`.
        detail: String,
    },
    /// The idempotency key was used for other content.
    #[error("idempotency key '{key}' was used for other content")]
    KeyReused {
        /// The key as the caller gave it.
        key: String,
    },
    /// The disk is full, or the database may not grow.
    #[error("the disk that holds {place} is full")]
    Full {
        /// File or folder.
        place: String,
    },
    /// The writer's turn did not come in time, or no connection became free.
    #[error("the database is busy: waited {waited_ms} ms for the writer, or for a free connection")]
    Busy {
        /// How long it waited.
        waited_ms: u64,
    },
    /// Somebody else's lock, or a limit of the database, has ended the work; nothing of it was kept, and it may be tried again.
    #[error("the database at {place} did not let it through: {reason}")]
    HeldUp {
        /// Address.
        place: String,
        /// The engine's words, and the fix.
        reason: String,
    },
    /// The database cannot be reached, or refused for a reason outside our data.
    #[error("the database at {place} is unavailable: {reason}")]
    Unavailable {
        /// File or address.
        place: String,
        /// The engine's words.
        reason: String,
    },
    /// The commit was asked for, and its answer was lost: it may have been kept or not.
    #[error(
        "the database at {place} did not answer a commit, and could not be asked in time what became of it: look \
         whether it was kept before you try again, or try again with the same idempotency key"
    )]
    OutcomeUnknown {
        /// Address.
        place: String,
    },
    /// Another process holds the data folder.
    #[error(
        "{place} is in use by another campanile (process {holder}); stop it, or choose another folder"
    )]
    Locked {
        /// The folder.
        place: String,
        /// Process id as far as known.
        holder: String,
    },
    /// A newer version has changed in the database what this one uses.
    #[error(
        "{place} has schema {found}, this campanile knows up to {known}: use the newer version"
    )]
    NewerSchema {
        /// File.
        place: String,
        /// Its schema version.
        found: i64,
        /// The newest that this version knows.
        known: i64,
    },
    /// A migration of this version changes what older programs use, and they are at work.
    #[error(
        "migration {number} of {place} is not for the older versions that work there ('{names}'): stop them first"
    )]
    OlderAtWork {
        /// Address.
        place: String,
        /// The migration.
        number: i64,
        /// The programs.
        names: String,
    },
    /// Events of a queue that is to become sequential are being handled where it cannot be told that others wait for them.
    #[error(
        "queue '{queue}' cannot become sequential while events of it are being handled in several partitions: pause it, wait \
         until none is, make it sequential, and let it go on"
    )]
    QueueAtWork {
        /// The queue.
        queue: String,
    },
    /// Events of a queue that is to keep the order of each record wait where they came one after another.
    #[error(
        "queue '{queue}' cannot keep the order of each record while events wait in it that came while it was sequential: let it \
         handle them, or move them to another queue, then set the order"
    )]
    QueueHasOneTurn {
        /// The queue.
        queue: String,
    },
    /// Another database is being copied into this one, or that was broken off.
    #[error(
        "{place} holds an unfinished copy of {source_place}: end it with the same 'campanile copy' once more, or empty it"
    )]
    UnfinishedCopy {
        /// File or address.
        place: String,
        /// What is or was copied.
        source_place: String,
    },
    /// A statement that we built was refused: a defect of ours.
    #[error("a statement failed: {reason}")]
    Statement {
        /// The engine's words.
        reason: String,
    },
}
