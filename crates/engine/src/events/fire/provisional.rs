//! How many queues are made because events named them. Whoever may fire can name a queue, and each has a thread of its
//! own for as long as it is there; so there is a limit, and beyond it the default queue takes the events.

use std::collections::HashSet;
use std::sync::Arc;

use campanile_model::limits::PROVISIONAL_QUEUES_MAX;
use campanile_model::{NewEvent, TableDef};
use campanile_store::{Select, WriteTx};

use super::log;
use super::provision::{self, Provision};
use super::resolve::empty;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::events::queue_registry::{QUEUE_TABLE, QueueRegistry};
use crate::records::lookup;

/// Property: provisional queues, at most (§3.3).
pub const PROVISIONAL_MAX: &str = "campanile.queues.provisional_max";

/// The mark that is held while queues are counted and made, where several transactions write at once.
const MARK: &str = "provisional_queues";
/// Names that are looked up in one statement.
const NAMES_AT_ONCE: usize = 500;

/// The limit on provisional queues.
#[must_use]
pub fn limit(engine: &Engine) -> u64 {
    u64::try_from(engine.int_property(PROVISIONAL_MAX, PROVISIONAL_QUEUES_MAX)).unwrap_or(0)
}

/// Whether no further provisional queue may be made, as far as the registry shows.
///
/// # Errors
/// What the store answers while the registry is read.
pub fn is_full(engine: &Engine) -> Result<bool, EngineError> {
    let limit = usize::try_from(limit(engine)).unwrap_or(usize::MAX);
    Ok(engine.definitions::<QueueRegistry>()?.provisional() >= limit)
}

/// When the limit is reached, gives the events to the default queue at once, so that they need no transaction of their
/// own, and takes their queues off `provisions`. Not for a transaction that may have written queues itself.
///
/// # Errors
/// As [`is_full`].
pub fn divert_when_full(
    engine: &Engine,
    provisions: &mut Vec<Provision>,
    events: &mut [NewEvent],
) -> Result<(), EngineError> {
    if queues(provisions).next().is_none() || !is_full(engine)? {
        return Ok(());
    }
    divert(engine, &queues(provisions).collect(), events);
    provisions.retain(|provision| !matches!(provision, Provision::Queue { .. }));
    Ok(())
}

/// Makes the queues among `provisions` that are missing, as far as the limit allows, and gives the events of the others
/// to the default queue. The limit is exact, however many write at once. Whether any was made.
///
/// # Errors
/// What the store answers.
pub(super) fn make(
    engine: &Engine,
    tx: &mut dyn WriteTx,
    provisions: &[Provision],
    events: &mut [NewEvent],
) -> Result<bool, EngineError> {
    let dictionary = engine.dictionary()?;
    let table = lookup::table(&dictionary, QUEUE_TABLE)?;
    let missing = missing(tx, table, provisions)?;
    if missing.is_empty() {
        return Ok(false);
    }
    let mut room = room(engine, tx, table)?;
    let (mut made, mut refused) = (HashSet::new(), HashSet::new());
    for name in missing {
        if room == 0 {
            refused.insert(name);
        } else if provision::insert(engine, tx, &Provision::Queue { name: Arc::clone(name) })? {
            room -= 1;
            made.insert(name);
        }
    }
    let any_made = !made.is_empty();
    for event in &*events {
        if made.remove(&event.queue) {
            log::queue_provisioned(engine, event);
        }
    }
    divert(engine, &refused, events);
    Ok(any_made)
}

/// The names of the queues that are to be made.
fn queues(provisions: &[Provision]) -> impl Iterator<Item = &Arc<str>> {
    provisions.iter().filter_map(|provision| match provision {
        Provision::Queue { name } => Some(name),
        Provision::Registration { .. } => None,
    })
}

/// The names that have no row yet, each once, in the order in which they were named.
fn missing<'a>(
    tx: &dyn WriteTx,
    table: &Arc<TableDef>,
    provisions: &'a [Provision],
) -> Result<Vec<&'a Arc<str>>, EngineError> {
    let mut seen = HashSet::new();
    let named: Vec<&Arc<str>> = queues(provisions).filter(|name| seen.insert(*name)).collect();
    let mut known: HashSet<String> = HashSet::new();
    for names in named.chunks(NAMES_AT_ONCE) {
        let names = names.iter().map(|name| Arc::clone(name)).collect();
        let mut rows: Select = lookup::one_of(table, &[("queue", names)]);
        rows.fields = table.index("queue").map(|field| vec![field]);
        known.extend(tx.select(&rows)?.iter().map(|row| row.text("queue").to_owned()));
    }
    Ok(named.into_iter().filter(|name| !known.contains(&***name)).collect())
}

/// How many provisional queues may still be made. Where there are any, nobody else counts or makes some before this
/// transaction ends.
fn room(engine: &Engine, tx: &mut dyn WriteTx, table: &Arc<TableDef>) -> Result<u64, EngineError> {
    let limit = limit(engine);
    let provisional = lookup::equal(table, &[("provisional", "1")]).query;
    if tx.count(&provisional)? >= limit {
        return Ok(0);
    }
    tx.meta_get(MARK)?;
    Ok(limit.saturating_sub(tx.count(&provisional)?))
}

/// Gives the events of the `refused` queues to the default queue, and tells it.
fn divert(engine: &Engine, refused: &HashSet<&Arc<str>>, events: &mut [NewEvent]) {
    if refused.is_empty() {
        return;
    }
    let limit = limit(engine);
    for event in events.iter_mut().filter(|event| refused.contains(&event.queue)) {
        log::queue_not_made(engine, event, limit);
        event.queue = empty();
    }
}
