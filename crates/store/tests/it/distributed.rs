//! What distributed mode alone promises: that it is switched on before the first event and stays; order within a partition;
//! partitions in turn; dead programs; copies from and to it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use campanile_model::{EventState, NewEvent, Outcome, SysId};
use campanile_store::testing::TestDatabase;
use campanile_store::{
    ClaimRequest, Connections, EventStore, Lease, NextState, PostgresOptions, PostgresStore,
    StatementNames, Store, StoreError,
};

use crate::events_at_hand::{
    BY, HASH_PARTITIONS, MODE, NOW, completion, distributed, event, event_at, names, request,
    run_of,
};

fn options(database: &TestDatabase, name: &str) -> PostgresOptions {
    PostgresOptions {
        node: name.to_owned(),
        // Only a test lets it lapse.
        lease: Lease { lasts: Duration::from_secs(3_600), beat: Duration::from_secs(900) },
        ..PostgresOptions::new(database.url())
    }
}

fn node(database: &TestDatabase, name: &str) -> Arc<PostgresStore> {
    PostgresStore::open(&options(database, name)).unwrap()
}

fn refused(database: &TestDatabase, partitions: u16) -> String {
    let options =
        PostgresOptions { partitions: Some(partitions), ..PostgresOptions::new(database.url()) };
    match PostgresStore::open(&options).unwrap_err() {
        StoreError::Unavailable { place, reason } => {
            assert!(place.contains("campanile_test"), "{place}");
            reason
        }
        other => panic!("expected a refusal, got {other}"),
    }
}

/// Events about different records.
fn about(records: usize, rounds: usize) -> Vec<NewEvent> {
    (0..rounds)
        .flat_map(|round| (0..records).map(move |record| (round, record)))
        .map(|(round, record)| NewEvent {
            instance: Arc::from(format!("record{record:026}")),
            ..event(&format!("{record} {round}"))
        })
        .collect()
}

#[test]
fn the_mode_is_switched_on_before_the_first_event_and_stays() {
    let database = TestDatabase::create();
    for wrong in [0, 1, 3, 512] {
        assert!(refused(&database, wrong).contains("expected a power of two from 2 to 256"));
    }
    let without = node(&database, "without");
    assert!(refused(&database, 16).contains("'without' works on it without partitions"));
    without.append_blocking(vec![event("a")], MODE).unwrap();
    without.close().unwrap();
    let told = refused(&database, 16);
    assert!(told.contains("has events already") && told.contains("campanile copy"), "{told}");

    let database = distributed();
    let told = refused(&database, 8);
    assert!(told.contains("made with 16 partitions, and 8 are wanted"), "{told}");
    // Whoever opens it works by what it has.
    node(&database, "unasked").append_blocking(about(40, 1), MODE).unwrap();
    let found: BTreeSet<String> =
        database.texts("SELECT \"partition\"::text FROM sysevent_live").into_iter().collect();
    assert!(found.len() > 8 && found.iter().all(|number| number.parse::<u8>().unwrap() < 16));
}

#[test]
fn twenty_that_start_at_once_switch_it_on_once() {
    let database = TestDatabase::create_empty();
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                let options = PostgresOptions { partitions: Some(4), ..options(&database, "n") };
                PostgresStore::open(&options).unwrap().close().unwrap();
            });
        }
    });
    assert_eq!(database.texts("SELECT partitions::text FROM campanile_distribution"), ["4"]);
    assert_eq!(
        database
            .texts("SELECT name FROM campanile_migration WHERE stops_older ORDER BY number DESC"),
        ["distributed", "log_instance", "kept_answers", "events", "base"],
        "older programs do not know the mode"
    );
}

#[test]
fn every_event_is_claimed_once_in_the_order_of_its_record_by_programs_that_share_all_partitions() {
    for is_partitioned in [false, true] {
        let database = distributed();
        let before = node(&database, "before");
        before.append_blocking(about(60, 5), MODE).unwrap();
        before.close().unwrap();
        if is_partitioned {
            // What is there already comes along.
            database.run(HASH_PARTITIONS);
        }
        let nodes = [node(&database, "one"), node(&database, "two")];
        let mut seen: Vec<String> = Vec::new();
        let mut turn = 0;
        let mut empty = 0;
        while empty < 2 {
            let store = &nodes[turn % 2];
            turn += 1;
            let claimed = store.claim(&request(7)).unwrap().events;
            empty = if claimed.is_empty() { empty + 1 } else { 0 };
            for event in &claimed {
                let mut end = completion(event, NextState::Processed);
                end.runs.push(run_of(event, Outcome::Succeeded));
                store.complete(end);
            }
            seen.extend(names(&claimed));
        }
        nodes.iter().for_each(|store| {
            store.flush().unwrap();
        });
        assert_eq!(seen.len(), 300);
        for record in 0..60 {
            let prefix = format!("{record} ");
            let rounds: Vec<&str> =
                seen.iter().filter_map(|name| name.strip_prefix(&prefix)).collect();
            assert_eq!(rounds, ["0", "1", "2", "3", "4"], "record {record}");
        }
        assert_eq!(database.texts("SELECT count(*)::text FROM sysevent_log"), ["300"]);
        assert_eq!(
            database.texts(
                "SELECT count(*)::text FROM sysevent_run AS run JOIN sysevent_log AS log \
                 ON log.sys_id = run.event AND log.\"partition\" = run.\"partition\""
            ),
            ["300"],
            "each run stands where its event stands"
        );
        assert_eq!(nodes[1].integrity_problems().unwrap(), Vec::<String>::new());
    }
}

#[test]
fn a_partition_with_much_waiting_does_not_keep_another_one_waiting() {
    let database = distributed();
    let store = node(&database, "only");
    let much: Vec<NewEvent> = (0..200).map(|n| event(&format!("much {n}"))).collect();
    store.append_blocking(much, MODE).unwrap();
    store.append_blocking(about(20, 1), MODE).unwrap();
    // Those that stand in the same partition do wait.
    let apart = "SELECT count(*)::text FROM sysevent_live WHERE \"partition\" <> (SELECT DISTINCT \"partition\" \
         FROM sysevent_live WHERE name LIKE 'much%')";
    let apart: usize = database.texts(apart)[0].parse().unwrap();
    assert!(apart > 10);
    let mut others = 0;
    for _ in 0..32 {
        let claimed = store.claim(&request(5)).unwrap().events;
        others += claimed.iter().filter(|event| !event.fired.name.starts_with("much")).count();
    }
    assert_eq!(others, apart);
}

#[test]
fn a_queue_without_work_is_not_asked_for_again_until_something_comes_from_here_or_elsewhere() {
    let database = distributed();
    let (one, other) = (node(&database, "one"), node(&database, "other"));
    let (tell, told) = std::sync::mpsc::channel();
    other.set_wake_listener(Arc::new(move |queue, _| tell.send(queue.to_owned()).unwrap()));
    assert!(other.claim(&request(5)).unwrap().events.is_empty());
    one.append_blocking(vec![event_at("later", 1.0, 5_000), event("now")], MODE).unwrap();
    assert_eq!(told.recv_timeout(Duration::from_secs(30)).unwrap(), "", "it is told");
    let claim = other.claim(&request(5)).unwrap();
    assert_eq!(names(&claim.events), ["now"]);
    assert_eq!(claim.next_due, Some(NOW.plus_millis(5_000)));
    let due = ClaimRequest { now: NOW.plus_millis(5_000), ..request(5) };
    assert_eq!(names(&other.claim(&due).unwrap().events), ["later"]);
}

#[test]
fn what_a_dead_program_held_in_any_partition_is_taken_over_with_what_it_had_begun_counted() {
    let database = distributed();
    let dead = node(&database, "dead");
    dead.append_blocking(about(30, 1), MODE).unwrap();
    let mut claimed = Vec::new();
    loop {
        let found = dead.claim(&request(9)).unwrap().events;
        if found.is_empty() {
            break;
        }
        claimed.extend(found);
    }
    assert_eq!(claimed.len(), 30);
    for event in &claimed[..3] {
        assert!(dead.begin(&event.fired.sys_id, BY, 1));
        dead.record_runs(vec![run_of(event, Outcome::Succeeded)]);
    }
    dead.flush().unwrap();
    dead.abandon();
    database.lapse_all();
    let heir = node(&database, "heir");
    let lapsed = |id: &SysId| heir.event(id).unwrap().unwrap().lapses;
    let lapses: Vec<i64> = claimed.iter().map(|event| lapsed(&event.fired.sys_id)).collect();
    assert_eq!(lapses.iter().sum::<i64>(), 3);
    assert_eq!(lapses[..3], [1, 1, 1]);
    let mut again = BTreeSet::new();
    loop {
        let found = heir.claim(&request(9)).unwrap().events;
        if found.is_empty() {
            break;
        }
        again.extend(found.iter().map(|event| event.fired.sys_id));
    }
    assert_eq!(again.len(), 30);
}

#[test]
fn the_third_lapse_makes_it_an_error_where_it_stands() {
    let database = distributed();
    let mut store = node(&database, "n0");
    store.append_blocking(vec![event("poison"), event("next")], MODE).unwrap();
    let mut poison = None;
    for lapse in 1..=3 {
        let claimed = store.claim(&request(1)).unwrap().events.remove(0);
        assert_eq!(&*claimed.fired.name, "poison", "lapse {lapse}");
        assert!(store.begin(&claimed.fired.sys_id, BY, 0));
        poison = Some(claimed.fired.sys_id);
        store.flush().unwrap();
        store.abandon();
        database.lapse_all();
        store = node(&database, &format!("n{lapse}"));
    }
    let lost = store.event(&poison.unwrap()).unwrap().unwrap();
    assert_eq!((lost.state, &*lost.error_code), (EventState::Error, "processor_lost"));
    assert_eq!(names(&store.claim(&request(9)).unwrap().events), ["next"]);
}

#[test]
fn a_completion_that_comes_after_the_lease_is_refused_and_its_runs_with_it() {
    let database = distributed();
    let slow = node(&database, "slow");
    slow.append_blocking(vec![event("a")], MODE).unwrap();
    let late = slow.claim(&request(1)).unwrap().events.remove(0);
    assert!(slow.begin(&late.fired.sys_id, BY, 0));
    database.lapse_all();
    let heir = node(&database, "heir");
    let fires = |store: &PostgresStore, name: &str| {
        let key = format!("h:{}:0:script_action:x:0:abc", late.fired.sys_id);
        let follow_up = NewEvent { dedupe_key: Arc::from(key), ..event(name) };
        store.append_blocking(vec![follow_up], MODE).unwrap().0.remove(0)
    };
    assert!(fires(&slow, "of the dead").is_err(), "what it fires counts for nothing");
    let taken = heir.claim(&request(1)).unwrap().events.remove(0);
    assert_eq!(taken.fired.sys_id, late.fired.sys_id);
    let mut end = completion(&late, NextState::Processed);
    end.runs = vec![run_of(&late, Outcome::Succeeded)];
    slow.complete(end);
    slow.flush().unwrap();
    assert_eq!(heir.event(&late.fired.sys_id).unwrap().unwrap().state, EventState::Queued);
    assert_eq!(heir.runs(&late.fired.sys_id, None).unwrap(), []);
    assert!(fires(&heir, "of the heir").is_ok());
}

#[test]
fn the_mode_needs_no_names_of_statements() {
    let database = distributed();
    let nameless = Connections { statement_names: StatementNames::Never, ..Connections::default() };
    let store = PostgresStore::open(&PostgresOptions {
        connections: nameless,
        ..options(&database, "nameless")
    })
    .unwrap();
    let mut seen = 0;
    store.append_blocking(about(20, 2), MODE).unwrap();
    while seen < 40 {
        let claimed = store.claim(&request(9)).unwrap().events;
        assert!(!claimed.is_empty(), "{seen} of 40");
        for event in &claimed {
            store.complete(completion(event, NextState::Processed));
        }
        seen += claimed.len();
    }
    store.flush().unwrap();
    assert_eq!(database.texts("SELECT count(*)::text FROM sysevent_log"), ["40"]);
}
