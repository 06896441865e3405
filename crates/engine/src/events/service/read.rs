//! Reading events: one, a page of many, the end of one (rest-api §§17.2, 17.4, 17.6).

use std::sync::Arc;

use campanile_model::query::{
    BindMode, BindOptions, BoundOrder, BoundPath, BoundQuery, BoundTerm, Comparison, ParseLimits,
    Test, bind, parse,
};
use campanile_model::{Event, EventState, HandlerRun, Instant, Outcome, SysId, TableDef};
use campanile_store::{Select, StoreError};
use parking_lot::Mutex;

use super::fire::opened_by_registration;
use super::told::{Told, administers, is_own};
use super::{EVENTS_ADMIN, PUBLISHER};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::events::row::EVENT_TABLE;
use crate::events::waiters::Waiting;
use crate::records::{gate, lookup};
use crate::session::Session;

/// Rows of a page when the caller does not say.
pub const PAGE_DEFAULT: u64 = 100;
/// Most rows of a page.
pub const PAGE_MAX: u64 = 1_000;
/// Largest offset (rest-api §17.6): beyond it a cursor is the way.
pub const OFFSET_MAX: u64 = 10_000;

/// One event with what its handlers did in this epoch.
#[derive(Debug, Clone)]
pub struct EventView {
    /// The event. What the session may not be told is empty: the display value and the snapshot of a record that it may
    /// not read, parameters that it may not see.
    pub event: Event,
    /// Outcomes.
    pub handlers: HandlerCounts,
    /// Whether the session may see the parameters.
    pub shows_values: bool,
}

/// Handlers of the present epoch by their last outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HandlerCounts {
    /// Succeeded.
    pub succeeded: u64,
    /// Failed.
    pub failed: u64,
    /// Skipped.
    pub skipped: u64,
}

impl HandlerCounts {
    /// Counts each handler of `epoch` once, by its last run. `runs` are oldest first.
    #[must_use]
    pub fn of(runs: &[HandlerRun], epoch: i64) -> Self {
        let mut counts = Self::default();
        for (at, run) in runs.iter().enumerate().filter(|(_, run)| run.epoch == epoch) {
            let again = runs[at + 1..].iter().any(|later| {
                later.epoch == epoch && later.handler == run.handler && later.kind == run.kind
            });
            match run.outcome {
                _ if again => {}
                Outcome::Succeeded => counts.succeeded += 1,
                Outcome::Failed => counts.failed += 1,
                Outcome::Skipped => counts.skipped += 1,
            }
        }
        counts
    }
}

/// Which events.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// Encoded query; unlike the Table API nothing in it is ignored.
    pub query: String,
    /// Fired at or after.
    pub from: Option<Instant>,
    /// Fired before.
    pub to: Option<Instant>,
    /// Most rows; `None` takes 100, more than 1,000 is taken as 1,000.
    pub limit: Option<u64>,
    /// Rows to leave out first, at most 10,000.
    pub offset: u64,
    /// Where the page before ended.
    pub cursor: Option<String>,
    /// Count all events that satisfy the filter.
    pub count: bool,
}

/// A page of events.
#[derive(Debug, Clone)]
pub struct EventPage {
    /// The events.
    pub events: Vec<EventView>,
    /// Rows of a page.
    pub limit: u64,
    /// Cursor of the next page; `None` at the end.
    pub next: Option<String>,
    /// `created desc`, or `query` when the query has an order of its own.
    pub order: &'static str,
    /// How many there are, when they were counted.
    pub total: Option<u64>,
}

/// One event. Whoever may only fire sees the events that were fired under the own login; for them others do not exist.
///
/// # Errors
/// [`EngineError::NotAllowed`]; [`StoreError::EventUnknown`].
pub fn get(engine: &Engine, session: &Session, sys_id: &SysId) -> Result<EventView, EngineError> {
    let event = visible(engine, session, sys_id)?;
    view(engine, session, event)
}

/// The runs of an event, oldest first, without what the session may not be told; under the conditions of [`get`].
///
/// # Errors
/// As [`get`].
pub fn runs_of(
    engine: &Engine,
    session: &Session,
    sys_id: &SysId,
) -> Result<Vec<HandlerRun>, EngineError> {
    let event = visible(engine, session, sys_id)?;
    let told = Told::of(engine, session, &event)?;
    let runs = engine.store().runs(sys_id, None)?;
    Ok(runs.into_iter().map(|run| told.run(run)).collect())
}

/// Calls back when the event has ended (processed, error, cancelled), at once when it has already. Dropping the answer
/// ends the waiting.
///
/// # Errors
/// As [`get`].
pub fn await_end(
    engine: &Engine,
    session: &Session,
    sys_id: &SysId,
    callback: impl FnOnce() + Send + 'static,
) -> Result<Option<Waiting>, EngineError> {
    visible(engine, session, sys_id)?;
    // Whoever comes first calls: the end, or the look below.
    let once = Arc::new(Mutex::new(Some(callback)));
    let inside = Arc::clone(&once);
    let waiting = engine.waiters.add(*sys_id, Box::new(move || call_once(&inside)));
    // An end that was handed in before the line above told nobody; after the flush it can be read.
    engine.store().flush()?;
    match engine.store().event(sys_id)? {
        Some(event) if event.state.is_live() => Ok(Some(waiting)),
        _ => {
            drop(waiting);
            call_once(&once);
            Ok(None)
        }
    }
}

fn call_once(slot: &Mutex<Option<impl FnOnce()>>) {
    let callback = slot.lock().take();
    if let Some(callback) = callback {
        callback();
    }
}

/// A page of events, newest first unless the query has an order of its own.
///
/// # Errors
/// [`EngineError::NotAllowed`]; [`EngineError::BadParameter`] for a query with an invalid part, a broken cursor, or an
/// offset that is too large.
pub fn list(
    engine: &Engine,
    session: &Session,
    filter: &EventFilter,
) -> Result<EventPage, EngineError> {
    gate::require_role(session, &[EVENTS_ADMIN], "read the event log")?;
    if filter.offset > OFFSET_MAX {
        let detail = format!("at most {OFFSET_MAX}, got {}: use `cursor`", filter.offset);
        return Err(bad("offset", detail));
    }
    let dictionary = engine.dictionary()?;
    let table = lookup::table(&dictionary, EVENT_TABLE)?;
    let mut query = bound_query(engine, session, filter, table)?;
    let own_order = !query.order.is_empty();
    let limit = filter.limit.unwrap_or(PAGE_DEFAULT).min(PAGE_MAX);
    let read = Arc::clone(engine.store()).read()?;
    let total = if filter.count { Some(read.count(&query)?) } else { None };
    let mut offset = filter.offset;
    match filter.cursor.as_deref().map(Cursor::read).transpose()? {
        Some(Cursor::After(sequence)) if !own_order => {
            let before = Test::Compare(Comparison::Less, Arc::from(sequence.to_string()));
            require(&mut query, term(table, "sequence", before));
        }
        Some(Cursor::Offset(rows)) if own_order => offset = rows,
        Some(_) => {
            return Err(bad("cursor", "it belongs to a query with another order".to_owned()));
        }
        None => {}
    }
    if !own_order {
        query.order = vec![BoundOrder { path: path(table, "sequence"), descending: true }];
    }
    let mut select = Select::new(query).limit(limit.saturating_add(1));
    select.offset = offset;
    select.fields =
        Some(["sys_id", "sequence"].iter().filter_map(|name| table.index(name)).collect());
    let mut rows = read.select(&select)?;
    drop(read);
    let has_more = u64::try_from(rows.len()).unwrap_or(u64::MAX) > limit;
    rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let next = rows.last().filter(|_| has_more).map(|last| {
        let cursor = match last.get("sequence").as_i64() {
            Some(sequence) if !own_order => Cursor::After(sequence),
            _ => Cursor::Offset(offset.saturating_add(limit)),
        };
        cursor.text()
    });
    let mut events = Vec::with_capacity(rows.len());
    for id in rows.iter().filter_map(campanile_model::Record::sys_id) {
        if let Some(event) = engine.store().event(&id)? {
            events.push(view(engine, session, event)?);
        }
    }
    let order = if own_order { "query" } else { "created desc" };
    Ok(EventPage { events, limit, next, order, total })
}

pub(super) fn visible(
    engine: &Engine,
    session: &Session,
    sys_id: &SysId,
) -> Result<Event, EngineError> {
    let publishes = |event: &Event| {
        session.user.has_role(PUBLISHER)
            || opened_by_registration(engine, session, &event.fired.name)
    };
    let event = engine.store().event(sys_id)?;
    if let Some(event) = event
        && (administers(session) || (is_own(session, &event) && publishes(&event)))
    {
        return Ok(event);
    }
    gate::require_role(session, &[EVENTS_ADMIN, PUBLISHER], "read events")?;
    Err(StoreError::EventUnknown(sys_id.to_string()).into())
}

fn view(engine: &Engine, session: &Session, event: Event) -> Result<EventView, EngineError> {
    // Nothing has run for an event that never was claimed.
    let untouched = event.state == EventState::Ready && event.attempts == 0 && event.lapses == 0;
    let handlers = if untouched {
        HandlerCounts::default()
    } else {
        let runs = engine.store().runs(&event.fired.sys_id, Some(event.epoch))?;
        HandlerCounts::of(&runs, event.epoch)
    };
    let told = Told::of(engine, session, &event)?;
    Ok(EventView { shows_values: told.shows_values(&event), event: told.event(event), handlers })
}

fn bound_query(
    engine: &Engine,
    session: &Session,
    filter: &EventFilter,
    table: &Arc<TableDef>,
) -> Result<BoundQuery, EngineError> {
    let dictionary = engine.dictionary()?;
    let parsed =
        parse(&filter.query, ParseLimits::HTTP).map_err(|large| bad("query", large.to_string()))?;
    let options = BindOptions { mode: BindMode::Database, invalid_returns_no_rows: false };
    let mut query = bind(&parsed, table, &dictionary, options);
    gate::restrict(session, &mut query, false);
    if let Some(invalid) = query.dropped.first() {
        return Err(bad("query", format!("'{}': {}", invalid.text, invalid.reason)));
    }
    let created = |comparison, at: Instant| {
        term(table, "sys_created_on", Test::Compare(comparison, Arc::from(at.to_rfc3339())))
    };
    if let Some(from) = filter.from {
        require(&mut query, created(Comparison::GreaterOrEqual, from));
    }
    if let Some(to) = filter.to {
        require(&mut query, created(Comparison::Less, to));
    }
    Ok(query)
}

/// Adds a term that every alternative must satisfy.
fn require(query: &mut BoundQuery, term: BoundTerm) {
    if query.alternatives.is_empty() {
        query.alternatives.push(Vec::new());
    }
    for alternative in &mut query.alternatives {
        alternative.push(vec![term.clone()]);
    }
}

fn term(table: &Arc<TableDef>, field: &str, test: Test) -> BoundTerm {
    BoundTerm { path: path(table, field), test, text: Arc::from(field) }
}

fn path(table: &Arc<TableDef>, field: &str) -> BoundPath {
    // `sysevent` is the product's own table: these fields are there.
    let field = table.index(field).unwrap_or(table.display_field);
    BoundPath { steps: Vec::new(), table: Arc::clone(table), field }
}

fn bad(parameter: &str, detail: String) -> EngineError {
    EngineError::BadParameter { parameter: parameter.to_owned(), detail }
}

/// Where a page ended. Opaque to callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cursor {
    /// Older than this order of arrival.
    After(i64),
    /// This many rows on, when the query has an order of its own.
    Offset(u64),
}

impl Cursor {
    fn text(self) -> String {
        match self {
            Self::After(sequence) => format!("s{sequence:x}"),
            Self::Offset(rows) => format!("o{rows:x}"),
        }
    }

    fn read(text: &str) -> Result<Self, EngineError> {
        let number = text.get(1..).and_then(|digits| u64::from_str_radix(digits, 16).ok());
        match (text.get(..1), number) {
            (Some("s"), Some(n)) => i64::try_from(n).ok().map(Self::After),
            (Some("o"), Some(n)) => Some(Self::Offset(n)),
            _ => None,
        }
        .ok_or_else(|| bad("cursor", format!("'{text}' is no cursor: take it from `page.next`")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_round_trip_and_others_are_refused() {
        for cursor in [Cursor::After(0), Cursor::After(i64::MAX), Cursor::Offset(77)] {
            assert_eq!(Cursor::read(&cursor.text()), Ok(cursor));
        }
        for text in ["", "s", "x1", "s-1", "sffffffffffffffffff", "ä1"] {
            assert!(Cursor::read(text).is_err(), "{text}");
        }
    }
}
