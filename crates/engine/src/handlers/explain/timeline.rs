//! What happened to an event, in order, with the reason of every wait.

use campanile_model::{Event, EventState, HandlerRun, Instant};
use campanile_store::ActionRecord;

use super::answer::TimelineItem;

/// What a timeline is told from.
pub(super) struct Story<'a> {
    pub(super) event: &'a Event,
    /// All runs, oldest first.
    pub(super) runs: &'a [HandlerRun],
    /// What people did, oldest first.
    pub(super) actions: &'a [ActionRecord],
    /// Why it is not claimed; empty when nothing stands in its way.
    pub(super) holdup: &'a str,
}

/// The items, oldest first.
pub(super) fn of(story: &Story<'_>) -> Vec<TimelineItem> {
    let event = story.event;
    let mut items = vec![(event.fired.created, fired(event))];
    if event.fired.scheduled && event.fired.process_on > event.fired.created && event.epoch == 0 {
        let waited = event.fired.process_on.as_millis() - event.fired.created.as_millis();
        items.push((event.fired.process_on, waiting("due", waited, "process_on")));
    }
    items.extend(story.actions.iter().map(|action| (action.at, by_hand(action))));
    items.extend(attempts(story));
    items.extend(ending(story));
    // Equal times keep the order above: fired, due, by hand, handled, end.
    items.sort_by_key(|(at, _)| *at);
    let dated = |(at, item): (Instant, TimelineItem)| TimelineItem { at: at.to_rfc3339(), ..item };
    items.into_iter().map(dated).collect()
}

fn fired(event: &Event) -> TimelineItem {
    let fired = &event.fired;
    let by = match fired.cause_event {
        Some(cause) => format!("{} of event {cause}", fired.cause_handler),
        None => format!("{} as {}", fired.source.as_str(), fired.user_name),
    };
    TimelineItem { what: "fired".to_owned(), by, ..TimelineItem::default() }
}

/// The beginning of each attempt that left runs; of the last attempt also without any.
fn attempts(story: &Story<'_>) -> Vec<(Instant, TimelineItem)> {
    let event = story.event;
    let mut begun: Vec<(i64, i64, Instant)> = Vec::new();
    for run in story.runs {
        if !begun.iter().any(|(epoch, attempt, _)| (*epoch, *attempt) == (run.epoch, run.attempt)) {
            begun.push((run.epoch, run.attempt, run.started_at));
        }
    }
    if let Some(processed) = event.processed {
        let last = (event.epoch, event.attempts);
        if event.attempts > 0 && !begun.iter().any(|(e, a, _)| (*e, *a) == last) {
            begun.push((last.0, last.1, processed));
        }
    }
    let item = |(epoch, attempt, at): &(i64, i64, Instant)| {
        let mut item = TimelineItem { what: "handled".to_owned(), ..TimelineItem::default() };
        if *attempt > 1 {
            item.what = format!("handled again, attempt {attempt}");
            item.cause = "retry delay".to_owned();
        } else if *epoch == 0 {
            let due = event.fired.created.max(if event.attempts <= 1 {
                event.fired.process_on
            } else {
                event.fired.created
            });
            item.waited_ms = Some(at.as_millis().saturating_sub(due.as_millis()).max(0));
            item.cause = "backlog".to_owned();
        }
        (*at, item)
    };
    begun.iter().map(item).collect()
}

fn by_hand(action: &ActionRecord) -> TimelineItem {
    TimelineItem {
        what: action.action.clone(),
        by: action.user.clone(),
        cause: action.reason.clone(),
        ..TimelineItem::default()
    }
}

/// How it stands: its end, or why it waits.
fn ending(story: &Story<'_>) -> Option<(Instant, TimelineItem)> {
    let event = story.event;
    let what = |word: &str| TimelineItem { what: word.to_owned(), ..TimelineItem::default() };
    match event.state {
        EventState::Ready => {
            let cause = if !story.holdup.is_empty() {
                story.holdup
            } else if event.attempts > 0 {
                "retry delay"
            } else if event.fired.scheduled {
                "process_on"
            } else {
                "backlog"
            };
            let item = TimelineItem { cause: cause.to_owned(), ..what("waits until due") };
            Some((event.fired.process_on, item))
        }
        EventState::Queued => {
            let since = event.fired.process_on;
            Some((since, TimelineItem { by: event.claimed_by.to_string(), ..what("claimed") }))
        }
        EventState::Processed | EventState::Error => {
            let took = event.processing_duration_ms.unwrap_or(0);
            let at = event.processed?.plus_millis(took);
            let cause = event.error_message.to_string();
            Some((at, TimelineItem { cause, ..what(event.state.as_str()) }))
        }
        // The action that ended it is on the list already.
        EventState::Cancelled | EventState::Transferred => None,
    }
}

fn waiting(what: &str, waited_ms: i64, cause: &str) -> TimelineItem {
    TimelineItem {
        what: what.to_owned(),
        waited_ms: Some(waited_ms),
        cause: cause.to_owned(),
        ..TimelineItem::default()
    }
}
