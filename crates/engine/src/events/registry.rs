//! The event registry: what `sysevent_register` says about a name, looked up exactly.

use std::collections::HashMap;
use std::sync::Arc;

use campanile_model::fold::fold;
use campanile_model::limits::EVENT_NAME_CHARS_PORTABLE;
use campanile_model::{Record, Registration};
use parking_lot::Mutex;

use crate::engine::Engine;
use crate::error::EngineError;
use crate::records::definitions::Load;
use crate::records::lookup;

/// Table of registrations.
pub const REGISTER_TABLE: &str = "sysevent_register";

/// Priority of an event whose registration says nothing (§1.3).
pub const PRIORITY_DEFAULT: i64 = 100;

/// Names that are reported in one day, at most; further ones wait for the next day.
const REPORTED_NAMES_MAX: usize = 10_000;

/// A snapshot of the registry.
#[derive(Debug, Default)]
pub struct EventRegistry {
    by_name: HashMap<Arc<str>, Arc<Registration>>,
    by_likeness: HashMap<String, Arc<str>>,
}

impl EventRegistry {
    /// A registry of these registrations. Of two with one name the first counts.
    #[must_use]
    pub fn new(registrations: impl IntoIterator<Item = Registration>) -> Self {
        let mut registry = Self::default();
        for registration in registrations {
            let name = Arc::clone(&registration.event_name);
            registry.by_likeness.entry(likeness(&name)).or_insert_with(|| Arc::clone(&name));
            registry.by_name.entry(name).or_insert_with(|| Arc::new(registration));
        }
        registry
    }

    /// The registration of exactly this name, active or not.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Arc<Registration>> {
        self.by_name.get(name)
    }

    /// A registered name that differs from `name` only in case, in blanks, or by a cut at 40 characters.
    #[must_use]
    pub fn nearest(&self, name: &str) -> Option<&Arc<str>> {
        self.by_likeness.get(&likeness(name)).filter(|found| &***found != name)
    }

    /// The names of all registrations that count, in no order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(|name| &**name)
    }

    /// The names of active registrations whose queue is `queue`.
    #[must_use]
    pub fn names_in_queue(&self, queue: &str) -> Vec<Arc<str>> {
        let mut names: Vec<_> = self
            .by_name
            .values()
            .filter(|r| &*r.queue == queue)
            .map(|r| Arc::clone(&r.event_name))
            .collect();
        names.sort_unstable();
        names
    }
}

impl Load for EventRegistry {
    const TABLES: &'static [&'static str] = &[REGISTER_TABLE];

    fn load(engine: &Engine) -> Result<Self, EngineError> {
        let dictionary = engine.dictionary()?;
        let table = lookup::table(&dictionary, REGISTER_TABLE)?;
        let every = lookup::ordered(lookup::equal(table, &[]), &["sys_created_on"]);
        let rows = Arc::clone(engine.store()).read()?.select(&every)?;
        Ok(Self::new(rows.iter().filter_map(registration)))
    }
}

/// What a row of `sysevent_register` means; `None` without a key or name.
#[must_use]
pub fn registration(row: &Record) -> Option<Registration> {
    let event_name = row.get("event_name").as_option()?;
    // `default` in the field means the default queue, as on events.
    let queue = campanile_model::queue_def::normalise_queue_name(row.text("queue"));
    Some(Registration {
        sys_id: row.sys_id()?,
        event_name: Arc::from(event_name),
        table: Arc::from(row.text("table")),
        queue: Arc::from(queue.unwrap_or_default()),
        priority: row.get("priority").as_i64().unwrap_or(PRIORITY_DEFAULT),
        active: row.get("active").is_nil() || row.get("active").is_true(),
        capture_snapshot: row.get("capture_snapshot").is_true(),
        max_attempts: row.get("max_attempts").as_i64().unwrap_or(0),
        coalesce_seconds: row.get("coalesce_seconds").as_i64().unwrap_or(0),
        publish_roles: row
            .text("publish_roles")
            .split(',')
            .map(str::trim)
            .filter(|role| !role.is_empty())
            .map(Arc::from)
            .collect(),
    })
}

/// Two names are alike when they differ only in case, in blanks, or by a cut at 40 characters (§3.2).
#[must_use]
pub fn likeness(name: &str) -> String {
    let whole: String = fold(name).chars().filter(|c| !c.is_whitespace()).collect();
    whole.chars().take(EVENT_NAME_CHARS_PORTABLE).collect()
}

/// Remembers which names (of events that nobody registered, of queues that were not made) were reported today, so that
/// each is reported once per day.
#[derive(Debug, Default)]
pub struct ReportedNames {
    reported: Mutex<(i64, HashMap<Arc<str>, ()>)>,
}

impl ReportedNames {
    /// Whether `name` has to be reported on the day that `now` falls in (UTC); true once per name and day.
    pub fn is_news(&self, name: &str, now: campanile_model::Instant) -> bool {
        let today = now.as_millis().div_euclid(86_400_000);
        let mut reported = self.reported.lock();
        if reported.0 != today {
            *reported = (today, HashMap::new());
        }
        if reported.1.contains_key(name) || reported.1.len() >= REPORTED_NAMES_MAX {
            return false;
        }
        reported.1.insert(Arc::from(name), ());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use campanile_model::Instant;

    fn named(name: &str) -> Registration {
        Registration {
            sys_id: "0123456789abcdef0123456789abcdef".parse().unwrap(),
            event_name: Arc::from(name),
            table: Arc::from(""),
            queue: Arc::from(""),
            priority: 100,
            active: true,
            capture_snapshot: false,
            max_attempts: 0,
            coalesce_seconds: 0,
            publish_roles: Vec::new(),
        }
    }

    #[test]
    fn names_match_exactly_and_the_nearest_is_found_beside_case_blanks_and_a_cut() {
        let long = "a_very_long_event_name_that_somebody_registered_whole";
        let registry = EventRegistry::new([named("t.Ping"), named(long)]);
        assert!(registry.find("t.Ping").is_some());
        assert!(registry.find("t.ping").is_none());
        assert_eq!(registry.nearest("T.PING ").map(|n| &**n), Some("t.Ping"));
        assert_eq!(registry.nearest(&long[..40]).map(|n| &**n), Some(long));
        assert_eq!(registry.nearest("t.pong"), None);
        assert_eq!(registry.nearest("t.Ping"), None, "a name is not near to itself");
    }

    #[test]
    fn a_name_is_news_once_a_day() {
        let names = ReportedNames::default();
        let morning = Instant::parse_glide_text("2026-03-01 08:00:00").unwrap();
        assert!(names.is_news("x", morning));
        assert!(!names.is_news("x", morning.plus_millis(3_600_000)));
        assert!(names.is_news("y", morning));
        assert!(names.is_news("x", morning.plus_millis(86_400_000)));
    }
}
