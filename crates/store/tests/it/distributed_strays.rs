//! Events of sequential queues in distributed mode that stand outside the partition of their queue: how they come there, and
//! what becomes of those that cannot.

use campanile_model::partition::partition;
use campanile_model::{NewEvent, Outcome, QueueOrder, SysId};
use campanile_store::testing::TestDatabase;
use campanile_store::{Claim, ClaimRequest, EventAction, EventStore, NextState, Store};

use crate::distributed_order::{SEQUENTIAL, about, drain, home, in_queue, node, partitions, set};
use crate::events_at_hand::{
    HASH_PARTITIONS, MODE, NOW, completion, distributed, event, event_at, finish, names, record,
    request, run_of, wait_until,
};

#[test]
fn what_waited_in_other_partitions_when_a_queue_became_sequential_comes_home_and_in_its_order() {
    for is_partitioned in [false, true] {
        let database = distributed();
        if is_partitioned {
            database.run(HASH_PARTITIONS);
        }
        let store = node(&database, "n");
        // More than one transaction brings home.
        let before: Vec<NewEvent> = (0..1_200).map(|n| about(n, &n.to_string())).collect();
        store.append_blocking(before, MODE).unwrap();
        let mut expected = database.texts("SELECT name FROM sysevent_live ORDER BY sequence");
        expected.push("last".to_owned());
        let later = NewEvent { scheduled: true, ..event_at("later", 100.0, 60_000) };
        store
            .append_blocking(vec![NewEvent { instance: about(7, "").instance, ..later }], MODE)
            .unwrap();
        set(&store, "", SEQUENTIAL);
        store.append_blocking(vec![about(3, "last")], MODE).unwrap();
        let mut got = Vec::new();
        let mut looks = 0;
        while got.len() < 1_201 {
            looks += 1;
            assert!(looks < 100, "{} after {looks} looks", got.len());
            let claim = store.claim(&request(100)).unwrap();
            got.extend(names(&claim.events));
            assert!(
                !claim.events.is_empty() || claim.next_due.is_some_and(|due| due <= NOW),
                "the rest may be had at once"
            );
            for event in &claim.events {
                store.complete(completion(event, NextState::Processed));
            }
            store.flush().unwrap();
        }
        assert!(got == expected, "in the order of their numbers");
        assert_ne!(partitions(&database, ""), [home("")], "what is for later is fetched then");
        let then = ClaimRequest { now: NOW.plus_millis(60_000), ..request(1) };
        assert_eq!(names(&store.claim(&then).unwrap().events), ["later"]);
        assert_eq!(partitions(&database, ""), [home("")]);
    }
}

#[test]
fn what_a_program_appends_that_does_not_know_yet_is_brought_home() {
    let database = distributed();
    let (store, unaware) = (node(&database, "n"), node(&database, "unaware"));
    unaware.append_blocking(vec![in_queue("other", event("it has looked"))], MODE).unwrap();
    set(&store, "mail", SEQUENTIAL);
    let events = (0..8).map(|n| in_queue("mail", about(n, &n.to_string()))).collect();
    unaware.append_blocking(events, MODE).unwrap();
    assert!(partitions(&database, "mail").iter().any(|at| *at != home("mail")));
    let expected =
        database.texts("SELECT name FROM sysevent_live WHERE queue = 'mail' ORDER BY sequence");
    let first = store.claim(&ClaimRequest { queue: "mail", ..request(1) }).unwrap().events;
    assert_eq!(names(&first), expected[..1]);
    assert_eq!(partitions(&database, "mail"), vec![home("mail"); 8]);
    // It is told when it claims, and takes no part in no turn of before.
    let by_other = ClaimRequest { queue: "mail", claimed_by: "other", ..request(9) };
    assert_eq!(unaware.claim(&by_other).unwrap().events, []);
    finish(&store, &first[0], NextState::Processed);
    let mut rest = Claim::default();
    wait_until("it hears of the end", || {
        rest = unaware.claim(&by_other).unwrap();
        !rest.events.is_empty()
    });
    assert_eq!((names(&rest.events), rest.order), (expected[1..].to_vec(), QueueOrder::Sequential));
}

#[test]
fn what_was_tried_elsewhere_comes_home_with_its_runs_and_holds_the_queue() {
    let database = distributed();
    let store = node(&database, "n");
    let elsewhere = |name: &str| about(if home("") == "0" { 1 } else { 2 }, name);
    store.append_blocking(vec![elsewhere("tried")], MODE).unwrap();
    let tried = store.claim(&request(1)).unwrap().events.remove(0);
    let mut end = completion(&tried, NextState::RetryAt(NOW.plus_millis(5_000)));
    end.runs = vec![run_of(&tried, Outcome::Succeeded), run_of(&tried, Outcome::Failed)];
    let runs = end.runs.clone();
    store.complete(end);
    store.flush().unwrap();
    set(&store, "", SEQUENTIAL);
    store.append_blocking(vec![elsewhere("next")], MODE).unwrap();
    assert_eq!(partitions(&database, ""), vec![home(""); 2]);
    assert_eq!(store.claim(&request(9)).unwrap().events, [], "its next attempt is first");
    let then = ClaimRequest { now: NOW.plus_millis(5_000), ..request(9) };
    let again = store.claim(&then).unwrap().events;
    assert_eq!((names(&again), again[0].attempts), (vec!["tried".to_owned()], 1));
    assert_eq!(store.runs(&tried.fired.sys_id, Some(0)).unwrap(), runs, "no handler runs again");
    let apart = "SELECT count(*)::text FROM sysevent_run JOIN sysevent_live USING (\"partition\")";
    assert_eq!(database.texts(apart), ["4"], "they stand where it stands");
}

#[test]
fn what_was_begun_where_a_sequential_queue_does_not_look_is_told() {
    let database = distributed();
    let store = node(&database, "n");
    set(&store, "mail", SEQUENTIAL);
    store.append_blocking(vec![in_queue("mail", event("a"))], MODE).unwrap();
    assert_eq!(store.integrity_problems().unwrap(), [""; 0]);
    // As nobody of ours does it.
    database.run("UPDATE sysevent_live SET \"partition\" = (\"partition\" + 1) % 16, attempts = 1");
    let told = store.integrity_problems().unwrap();
    assert!(told.len() == 1 && told[0].contains("'mail'"), "{told:?}");
}

/// A program that knows of no orders, and will not hear of any: what it appends goes by record.
fn unaware(database: &TestDatabase) -> std::sync::Arc<campanile_store::PostgresStore> {
    let unaware = node(database, "unaware");
    unaware.append_blocking(vec![in_queue("other", event("it has looked"))], MODE).unwrap();
    unaware
}

/// Of the queue 'mail' and about a record that does not stand where that does. What has another `place` stands elsewhere too.
fn elsewhere(place: usize, name: &str) -> NewEvent {
    let at = |record: usize| partition(&format!("{record:032}"), 16);
    let home = partition("mail", 16);
    let mut records: Vec<usize> = (0..16).filter_map(|at_| (1..).find(|r| at(*r) == at_)).collect();
    records.retain(|record| at(*record) != home);
    in_queue("mail", about(records[place], name))
}

fn of_mail(limit: usize) -> ClaimRequest<'static> {
    ClaimRequest { queue: "mail", ..request(limit) }
}

/// The order of the queues was set long ago.
fn is_old(database: &TestDatabase) {
    database.run("UPDATE sysevent_queue_order SET set_at = set_at - interval '2 minutes'");
}

#[test]
fn an_event_that_cannot_come_home_is_left_and_told_and_the_queue_goes_on_without_it() {
    let database = distributed();
    let (store, unaware) = (node(&database, "n"), unaware(&database));
    set(&store, "mail", SEQUENTIAL);
    let same = SysId::generate(NOW);
    store.append_blocking(vec![NewEvent { sys_id: same, ..elsewhere(0, "first") }], MODE).unwrap();
    let later =
        NewEvent { scheduled: true, process_on: NOW.plus_millis(60_000), ..elsewhere(1, "later") };
    let strays = vec![
        elsewhere(1, "a"),
        NewEvent { sys_id: same, ..elsewhere(1, "left") },
        elsewhere(1, "b"),
        elsewhere(2, "c"),
        NewEvent { priority: 200.0, ..elsewhere(1, "last") },
        later,
    ];
    unaware.append_blocking(strays, MODE).unwrap();
    let first = store.claim(&of_mail(1)).unwrap().events.remove(0);
    assert_eq!(&*first.fired.name, "first");
    let told = |is_told: bool| {
        let concerns = store.concerns().unwrap();
        let of_it = concerns.iter().filter(|concern| {
            let is_named =
                [&*same.to_string(), "'mail'", &format!("the queue's, {},", home("mail"))];
            concern.is_serious && is_named.iter().all(|part| concern.what.contains(part))
        });
        assert_eq!(of_it.count(), usize::from(is_told), "{concerns:?}");
    };
    told(true);
    finish(&store, &first, NextState::Processed);
    // In the order of their numbers, which partitions have got one after the other.
    let expected = database.texts(
        "SELECT name FROM sysevent_live WHERE queue = 'mail' AND NOT scheduled AND name <> 'left' \
         ORDER BY derived_priority, sequence",
    );
    assert_eq!(drain(&store, "mail"), expected);
    let claim = store.claim(&of_mail(9)).unwrap();
    let rests = claim.events.is_empty() && !claim.more;
    assert!(rests && claim.next_due == Some(NOW.plus_millis(60_000)), "{claim:?}");
    told(true);
    // What comes there later is found.
    unaware.append_blocking(vec![elsewhere(1, "d")], MODE).unwrap();
    wait_until("it is told of", || drain(&store, "mail") == ["d"]);
    let then = ClaimRequest { now: NOW.plus_millis(60_000), ..of_mail(9) };
    assert_eq!(names(&store.claim(&then).unwrap().events), ["later"]);
    assert_eq!(
        database.texts("SELECT name || ' ' || state FROM sysevent_live ORDER BY name"),
        ["it has looked ready", "later queued", "left ready"]
    );
    // As it is advised.
    let queue = "post".into();
    store.act(EventAction::Move { sys_id: same, queue, record: record("move", &[same]) }).unwrap();
    told(false);
    assert_eq!(drain(&store, "post"), ["left"]);
}

#[test]
fn of_two_that_come_from_different_partitions_with_one_sys_id_the_first_comes_home() {
    let database = distributed();
    let (store, unaware) = (node(&database, "n"), unaware(&database));
    set(&store, "mail", SEQUENTIAL);
    let same = SysId::generate(NOW);
    for place in 0..3 {
        let twin = NewEvent { sys_id: same, ..elsewhere(place, "twin") };
        unaware.append_blocking(vec![twin, elsewhere(place, "other")], MODE).unwrap();
    }
    let mut got = drain(&store, "mail");
    got.sort();
    assert_eq!(got, ["other", "other", "other", "twin"]);
    assert_eq!(store.concerns().unwrap().len(), 2);
    assert_eq!(store.integrity_problems().unwrap(), [] as [&str; 0], "nothing is damaged");
    let cancel = EventAction::Cancel { sys_id: same, now: NOW, record: record("cancel", &[same]) };
    store.act(cancel.clone()).unwrap();
    store.act(cancel).unwrap();
    assert_eq!(store.concerns().unwrap(), []);
}

#[test]
fn what_stands_behind_hundreds_that_cannot_come_home_comes() {
    let database = distributed();
    let (store, unaware) = (node(&database, "n"), unaware(&database));
    set(&store, "mail", SEQUENTIAL);
    let ids: Vec<SysId> = (0..600).map(|_| SysId::generate(NOW)).collect();
    let with_id = |id: &SysId, event: NewEvent| NewEvent { sys_id: *id, ..event };
    let twins = ids.iter().map(|id| with_id(id, elsewhere(0, "twin"))).collect();
    unaware.append_blocking(twins, MODE).unwrap();
    unaware.append_blocking(vec![elsewhere(0, "good")], MODE).unwrap();
    // In another queue that stands in the same place.
    let name = (0..).map(|n| format!("mail {n}")).find(|name| home(name) == home("mail")).unwrap();
    set(&store, &name, SEQUENTIAL);
    let others = ids.iter().map(|id| with_id(id, in_queue(&name, event("other")))).collect();
    store.append_blocking(others, MODE).unwrap();
    assert_eq!(drain(&store, "mail"), ["good"]);
}

#[test]
fn what_a_claim_has_seen_that_was_undone_is_looked_at_again() {
    let database = distributed();
    let (store, unaware) = (node(&database, "n"), unaware(&database));
    set(&store, "mail", SEQUENTIAL);
    is_old(&database);
    let strays = (0..4).map(|place| elsewhere(place, &place.to_string())).collect();
    unaware.append_blocking(strays, MODE).unwrap();
    let expected =
        database.texts("SELECT name FROM sysevent_live WHERE queue = 'mail' ORDER BY sequence");
    database.run(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN RAISE EXCEPTION USING ERRCODE = '55P03'; END $$; \
         CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON sysevent_live DEFERRABLE INITIALLY DEFERRED \
         FOR EACH ROW EXECUTE FUNCTION refuse()",
    );
    store.claim(&of_mail(9)).unwrap_err();
    database.run("DROP TRIGGER refuse ON sysevent_live");
    assert_eq!(names(&store.claim(&of_mail(9)).unwrap().events), expected);
}
