//! Reprocess, run now, cancel, move: events-and-jobs §14, cases 52 to 56; reading and paging.

use campanile_engine::events::service::{self, EventFilter, PUBLISHER};
use campanile_engine::records::service::{Deletion, delete_as};
use campanile_engine::{Channel, EngineError, Session};
use campanile_model::{EventState, SysId};
use campanile_store::{ReprocessOptions, StoreError};

use crate::events_bed::{Bed, RECORDER, call_after};
use crate::fixture::Fixture;

fn reprocess(bed: &Bed, event: SysId, only_failed: bool) -> Result<(), EngineError> {
    let options = ReprocessOptions { only_failed };
    bed.act(event, |engine, session, act| service::reprocess(engine, session, act, options))
        .map(|_| ())
}

fn conflict(result: Result<(), EngineError>) -> (EventState, String) {
    match result {
        Err(EngineError::Store(StoreError::StateConflict { state, detail, .. })) => (state, detail),
        other => panic!("expected a conflict, got {other:?}"),
    }
}

fn with_role(role: &str) -> Session {
    let mut session = Fixture::session("beth", Channel::Http);
    let mut user = (*session.user).clone();
    user.roles = vec![role.into()];
    session.user = user.into();
    session
}

#[test]
fn ev_052_reprocessing_needs_the_role_and_is_on_record() {
    let bed = Bed::quiet();
    let action = bed.action("fails", "t.ping", "throw new Error('x')", &[]);
    let event = bed.fire("t.ping", "again");
    bed.drain();
    assert_eq!(bed.state(&event), EventState::Error);
    let act = || service::Act { sys_id: event, reason: "mended".to_owned(), version: None };
    let options = ReprocessOptions::default();
    for session in [with_role("itil"), with_role(PUBLISHER)] {
        let refused = service::reprocess(bed.engine(), &session, act(), options);
        assert!(matches!(refused, Err(EngineError::NotAllowed { .. })));
    }
    let values = [("script", RECORDER)];
    bed.fixture.update("admin", "sysevent_script_action", &action, &values).unwrap();
    service::reprocess(bed.engine(), &with_role("events_admin"), act(), options).unwrap();
    let returned = bed.event(&event);
    assert_eq!((returned.epoch, returned.state, returned.attempts), (1, EventState::Ready, 0));
    assert!(returned.error_code.is_empty());
    bed.drain();
    assert_eq!(bed.state(&event), EventState::Processed);
    assert_eq!(bed.recorded(), ["again"]);
    let logged = bed.engine().store().actions(&event).unwrap();
    assert_eq!(logged.len(), 1);
    assert_eq!((logged[0].action.as_str(), logged[0].user.as_str()), ("reprocess", "beth"));
    assert_eq!((logged[0].at, logged[0].reason.as_str()), (bed.engine().clock().now(), "mended"));
    assert_eq!(&*bed.event(&event).fired.user_name, "admin", "the event keeps its user");
}

#[test]
fn ev_053_reprocessing_runs_all_handlers_or_only_the_failed_one() {
    let bed = Bed::new();
    let second = bed.action("second", "t.ping", RECORDER, &[("order", "200")]);
    let event = bed.fire("t.ping", "x");
    bed.drain();
    reprocess(&bed, event, false).unwrap();
    bed.drain();
    assert_eq!(bed.recorded().len(), 4);
    let values = [("script", "throw new Error('no')")];
    bed.fixture.update("admin", "sysevent_script_action", &second, &values).unwrap();
    let event = bed.fire("t.ping", "y");
    bed.drain();
    assert_eq!(bed.state(&event), EventState::Error);
    bed.fixture
        .update("admin", "sysevent_script_action", &second, &[("script", RECORDER)])
        .unwrap();
    reprocess(&bed, event, true).unwrap();
    bed.drain();
    assert_eq!(
        bed.outcomes(&event),
        ["recorder succeeded", "second failed/script_error", "second succeeded"]
    );
    assert_eq!(bed.state(&event), EventState::Processed);
}

#[test]
fn ev_054_a_waiting_event_is_not_reprocessed_but_may_run_now() {
    let bed = Bed::new();
    let ready = bed.fire("t.ping", "ready");
    let (state, detail) = conflict(reprocess(&bed, ready, false));
    assert_eq!(state, EventState::Ready);
    assert!(detail.contains("still waiting"), "{detail}");
    let later = bed.try_fire(call_after(3_600, "t.ping", "later")).unwrap().sys_id;
    bed.drain();
    assert_eq!(bed.recorded(), ["ready"]);
    bed.act(later, service::run_now).unwrap();
    bed.drain();
    assert_eq!(bed.recorded(), ["ready", "later"]);
    let again = bed.act(later, service::run_now).map(|_| ());
    assert_eq!(conflict(again).0, EventState::Processed);
}

#[test]
fn a_cancelled_event_is_never_handled_until_it_is_reprocessed() {
    let bed = Bed::new();
    let event = bed.fire("t.ping", "x");
    let silent = service::Act { sys_id: event, reason: " ".to_owned(), version: None };
    let refused = service::cancel(bed.engine(), &Bed::admin(), silent);
    assert!(matches!(refused, Err(EngineError::BadParameter { .. })), "a reason is required");
    bed.act(event, service::cancel).unwrap();
    bed.drain();
    assert_eq!((bed.state(&event), bed.recorded().len()), (EventState::Cancelled, 0));
    assert_eq!(conflict(bed.act(event, service::cancel).map(|_| ())).0, EventState::Cancelled);
    reprocess(&bed, event, false).unwrap();
    bed.drain();
    assert_eq!(bed.recorded(), ["x"]);
}

#[test]
fn a_move_needs_a_queue_that_exists_and_keeps_everything_else() {
    let bed = Bed::new();
    bed.queue("q2", &[]);
    let event = bed.fire("t.ping", "x");
    let before = bed.event(&event);
    let to = |queue: &'static str| {
        bed.act(event, move |engine, session, act| service::move_event(engine, session, act, queue))
    };
    assert!(matches!(to("nowhere"), Err(EngineError::FireRefused { code: "queue_invalid", .. })));
    to("q2").unwrap();
    let after = bed.event(&event);
    assert_eq!(&*after.fired.queue, "q2");
    assert_eq!((after.sequence, after.epoch, after.state), (before.sequence, 0, EventState::Ready));
    bed.drain();
    assert_eq!(bed.recorded(), ["x"]);
}

#[test]
fn a_reprocessed_event_whose_queue_is_gone_goes_to_the_default_queue() {
    let bed = Bed::new();
    let queue = bed.queue("short_lived", &[]);
    let event =
        bed.try_fire(crate::events_bed::call_to("short_lived", "t.ping", "x")).unwrap().sys_id;
    bed.drain();
    bed.fixture.house.remove("sysevent_queue", &queue);
    reprocess(&bed, event, false).unwrap();
    assert_eq!(&*bed.event(&event).fired.queue, "");
    bed.drain();
    assert_eq!(bed.recorded(), ["x", "x"]);
    let logged = bed.engine().store().actions(&event).unwrap();
    assert!(logged[0].reason.contains("no longer exists"), "{}", logged[0].reason);
}

#[test]
fn pages_are_newest_first_and_repeat_nothing_while_events_arrive() {
    let bed = Bed::quiet();
    for n in 0..7 {
        bed.fire("t.ping", &n.to_string());
    }
    let page = |cursor: Option<String>| {
        let filter = EventFilter {
            query: "name=t.ping".to_owned(),
            limit: Some(3),
            cursor,
            count: true,
            ..EventFilter::default()
        };
        let page = service::list(bed.engine(), &Bed::admin(), &filter).unwrap();
        let parms: Vec<_> = page.events.iter().map(|v| v.event.fired.parm1.to_string()).collect();
        (parms, page.next, page.total)
    };
    let (first, next, total) = page(None);
    assert_eq!((first, total), (vec!["6".to_owned(), "5".to_owned(), "4".to_owned()], Some(7)));
    bed.fire("t.ping", "new");
    let (second, next, _) = page(next);
    assert_eq!(second, ["3", "2", "1"]);
    let (third, next, _) = page(next);
    assert_eq!((third, next), (vec!["0".to_owned()], None));
    let broken = EventFilter { query: "nope=1".to_owned(), ..EventFilter::default() };
    let refused = service::list(bed.engine(), &Bed::admin(), &broken);
    assert!(matches!(refused, Err(EngineError::BadParameter { .. })), "nothing is ignored here");
}

#[test]
fn the_events_of_a_record_are_listed_wherever_they_stand() {
    let bed = Bed::new();
    let about = crate::fixture::A;
    let finished = bed.fire_about("t.ping", about);
    bed.fire_about("t.ping", crate::fixture::B);
    bed.drain();
    let waiting = bed.fire_about("t.ping", about);
    let found = |query: &str| -> Vec<SysId> {
        bed.events(query).iter().map(|event| event.fired.sys_id).collect()
    };
    assert_eq!(found(&format!("instance={about}")), [finished, waiting]);
    assert_eq!(found(&format!("instance={about}^state=processed")), [finished]);
    let rows = bed.fixture.house.rows("sysevent", &[("instance", about)]);
    assert_eq!(rows.len(), 2, "the table finds what the list finds");
}

#[test]
fn a_publisher_sees_the_own_events_only() {
    let bed = Bed::quiet();
    let beth = with_role(PUBLISHER);
    let own =
        service::fire_blocking(bed.engine(), &beth, crate::events_bed::call("t.ping", "mine"));
    let own = own.unwrap().sys_id;
    let other = bed.fire("t.ping", "not mine");
    assert!(service::get(bed.engine(), &beth, &own).unwrap().shows_values);
    let hidden = service::get(bed.engine(), &beth, &other);
    assert!(matches!(hidden, Err(EngineError::Store(StoreError::EventUnknown(_)))));
    let listed = service::list(bed.engine(), &beth, &EventFilter::default());
    assert!(matches!(listed, Err(EngineError::NotAllowed { .. })));
}

#[test]
fn an_explanation_tells_the_story_in_order() {
    let bed = Bed::new();
    let event = bed.try_fire(call_after(60, "t.ping", "x")).unwrap().sys_id;
    bed.advance_seconds(90);
    bed.drain();
    let told = |explained: &campanile_engine::handlers::explain::Explanation| -> Vec<String> {
        explained.timeline.iter().map(|item| item.what.clone()).collect()
    };
    let explained = bed.explain(&event);
    assert_eq!(told(&explained), ["fired", "due", "handled", "processed"]);
    assert_eq!(explained.timeline[1].waited_ms, Some(60_000));
    assert_eq!(explained.timeline[2].waited_ms, Some(30_000));
    bed.advance_seconds(10);
    reprocess(&bed, event, false).unwrap();
    bed.drain();
    let explained = bed.explain(&event);
    assert_eq!(told(&explained), ["fired", "handled", "reprocess", "handled", "processed"]);
    assert_eq!(explained.verdict, "processed; 1 of 1 candidate ran");
    assert_eq!(explained.handlers.len(), 2);
    assert_eq!(explained.resolution.queue.from, "default");
    assert_eq!(explained.resolution.priority.from, "registration");
}

#[test]
fn definitions_that_events_need_are_not_deleted() {
    let bed = Bed::new();
    let delete = |table: &str, field: &str, value: &str| {
        let row = bed.fixture.house.rows(table, &[(field, value)]).remove(0);
        let (table, id) = (table.to_owned(), row.text("sys_id").to_owned());
        bed.fixture.run(Bed::admin(), move |execution| {
            campanile_engine::records::service::delete(execution, &table, &id)
        })
    };
    let refused = |result: Result<_, EngineError>| match result {
        Err(EngineError::Integrity { detail, .. }) => detail,
        other => panic!("{other:?}"),
    };
    assert!(refused(delete("sysevent_queue", "queue", "default")).contains("default queue"));
    assert!(refused(delete("sysevent_register", "event_name", "t.ping")).contains("recorder"));
    bed.queue("q1", &[]);
    bed.try_fire(crate::events_bed::call_to("q1", "t.ping", "")).unwrap();
    assert!(refused(delete("sysevent_queue", "queue", "q1")).contains("1 event waits in"));
    bed.drain();
    delete("sysevent_queue", "queue", "q1").unwrap();
}

#[test]
fn a_registration_that_is_listened_to_goes_when_the_caller_insists_and_its_listeners_stay() {
    let bed = Bed::new();
    let row = bed.fixture.house.rows("sysevent_register", &[("event_name", "t.ping")]).remove(0);
    let id = row.text("sys_id").to_owned();
    let warnings = bed.fixture.run(Bed::admin(), move |execution| {
        let deletion = Deletion { insists: true, ..Deletion::default() };
        delete_as(execution, "sysevent_register", &id, deletion).unwrap();
        execution.report().log.into_iter().map(|line| line.text).collect::<Vec<_>>()
    });
    assert!(bed.fixture.house.rows("sysevent_register", &[("event_name", "t.ping")]).is_empty());
    assert_eq!(
        warnings,
        [
            "registration 't.ping' was deleted by admin, who insisted: active script actions still listen to it: recorder"
        ]
    );
    let listeners = bed.fixture.house.rows("sysevent_script_action", &[("event_name", "t.ping")]);
    assert_eq!(listeners.len(), 1);
    assert!(listeners[0].get("active").is_true());
}
