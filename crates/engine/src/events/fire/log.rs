//! What firing tells the system log: nothing that was skipped or replaced is silent.

use campanile_model::NewEvent;

use super::provisional::PROVISIONAL_MAX;
use super::request::FireRequest;
use super::resolve::UNKNOWN_QUEUES;
use crate::engine::Engine;
use crate::records::syslog::{Level, LogEntry, write};
use crate::session::Session;

const SOURCE: &str = "events";

pub(super) fn registration_inactive(engine: &Engine, session: &Session, request: &FireRequest) {
    let FireRequest { name, table, instance, .. } = request;
    let message = format!(
        "event '{name}' was fired ({table} {instance}) but its registration is inactive: nothing was stored \
         (registration_inactive)"
    );
    line(engine, session, Level::Info, message);
}

pub(super) fn unregistered(engine: &Engine, session: &Session, name: &str, nearest: Option<&str>) {
    let hint = nearest.map_or_else(String::new, |near| format!("; did you mean '{near}'?"));
    let message = format!("event '{name}' is not registered: stored all the same{hint}");
    line(engine, session, Level::Warning, message);
}

pub(super) fn queue_replaced(engine: &Engine, session: &Session, name: &str, queue: &str) {
    if !engine.replaced_queues.is_news(queue, engine.clock().now()) {
        return;
    }
    let message = format!(
        "event '{name}' named queue '{queue}', which does not exist: the default queue takes it \
         ({UNKNOWN_QUEUES}=default)"
    );
    line(engine, session, Level::Warning, message);
}

/// Told with the first event that named the queue.
pub(super) fn queue_provisioned(engine: &Engine, event: &NewEvent) {
    let NewEvent { name, queue, .. } = event;
    let message = format!(
        "event '{name}' named queue '{queue}', which did not exist: it was made, provisional, with one processor"
    );
    line_of(engine, &event.user_name, Level::Warning, message);
}

/// Told with the first event that named the queue, once a day.
pub(super) fn queue_not_made(engine: &Engine, event: &NewEvent, limit: u64) {
    let NewEvent { name, queue, .. } = event;
    if !engine.replaced_queues.is_news(queue, engine.clock().now()) {
        return;
    }
    let message = format!(
        "event '{name}' named queue '{queue}', which does not exist: the default queue takes its events, because there \
         may be {limit} provisional queues ({PROVISIONAL_MAX}={limit}) and as many are there; register '{queue}' in \
         sysevent_queue, delete provisional queues that nobody needs, or raise {PROVISIONAL_MAX}"
    );
    line_of(engine, &event.user_name, Level::Warning, message);
}

fn line(engine: &Engine, session: &Session, level: Level, message: String) {
    line_of(engine, &session.user.user_name, level, message);
}

fn line_of(engine: &Engine, user_name: &str, level: Level, message: String) {
    let entry = LogEntry::of_product(level, SOURCE, message);
    write(engine, LogEntry { user_name: user_name.to_owned(), ..entry });
}
