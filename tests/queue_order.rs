//! Queues that keep an order, and where processors run, on three real nodes: events-and-jobs §14, cases 25, 26, 30, 31, 49
//! and 50, and what tries to break them; on one database, and in distributed mode.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use campanile_store::testing::TestDatabase;
use serde_json::{Value, json};

use crate::distributed::distributed;
use crate::harness::{Client, Server, itsm_database, wait_until, wait_until_within};
use crate::nothing_lost::add_handler;
use crate::people::text;

/// Notes when it is not alone in its queue: every run leaves a mark while it lasts. A run that was killed leaves its own,
/// which its next attempt takes away.
const ALONE: &str = "var mark = 'held ' + event.parm1; var others = new GlideRecord('cmn_location'); \
     others.addQuery('name', 'STARTSWITH', 'held '); others.addQuery('name', '!=', mark); others.query(); \
     if (others.next()) { var seen = new GlideRecord('cmn_location'); seen.name = 'overlap ' + event.parm1; seen.insert(); } \
     var own = new GlideRecord('cmn_location'); own.name = mark; own.insert(); gs.sleep(4); \
     var gone = new GlideRecord('cmn_location'); gone.addQuery('name', mark); gone.deleteMultiple();";

/// Nodes on one database; each lease is 3 s.
struct Cluster {
    database: TestDatabase,
    nodes: Vec<Server>,
    started: usize,
}

/// Makes two tests of each function: so many nodes on one database, and as many on one in distributed mode.
macro_rules! on_one_database_and_in_partitions {
    ($($nodes:literal: $($test:ident),+;)+) => {
        mod one_database {
            $($(#[test]
            fn $test() {
                super::$test(super::Cluster::start(super::itsm_database(), $nodes));
            })+)+
        }
        mod partitions {
            $($(#[test]
            fn $test() {
                super::$test(super::Cluster::start(super::distributed(), $nodes));
            })+)+
        }
    };
}

on_one_database_and_in_partitions! {
    3:
        ev_025_three_nodes_handle_a_sequential_queue_one_by_one_in_the_order_of_arrival,
        ev_026_an_error_halts_a_sequential_queue_on_all_nodes_until_it_is_resumed_on_any,
        ev_030_processors_for_each_node_follow_the_nodes_that_come_and_go,
        ev_031_a_constant_number_of_processors_is_spread_and_moves_when_a_node_dies,
        five_kills_of_the_node_that_holds_a_sequential_queue_break_neither_order_nor_turn,
        many_callers_on_all_nodes_are_handled_in_the_order_of_their_commits_while_one_is_killed,
        ev_049_another_node_finishes_what_a_killed_one_had_begun_and_repeats_nothing,
        ev_050_a_handler_that_takes_three_nodes_with_it_ends_and_a_sequential_queue_goes_on;
    2:
        a_node_that_stood_still_past_its_lease_begins_nothing_that_is_anothers,
        record_operations_on_two_nodes_are_handled_in_the_order_of_their_commits_for_each_record;
}

impl Cluster {
    fn start(database: TestDatabase, count: usize) -> Self {
        let mut cluster = Self { database, nodes: Vec::new(), started: 0 };
        for _ in 0..count {
            cluster.add();
        }
        cluster
    }

    fn add(&mut self) {
        self.started += 1;
        let node = Server::start_node(self.database.url(), &format!("node-{}", self.started));
        self.nodes.push(node);
    }

    fn admin(&self, at: usize) -> Client {
        self.nodes[at % self.nodes.len()].admin()
    }

    fn queue(&self, values: &Value) -> String {
        text(&self.admin(0).post("/api/now/table/sysevent_queue", values).result(), "sys_id")
    }

    /// Every node has heard of the queue.
    fn wait_until_known(&self, queue: &str) {
        let knows = |node: &Server| {
            let queues = node.admin().get("/api/queues").result();
            queues.as_array().unwrap().iter().any(|known| known["queue"] == queue)
        };
        wait_until("every node knows the queue", || self.nodes.iter().all(knows));
    }

    /// Processors of the queue on each node, busy and idle.
    fn processors(&self, queue: &str) -> Vec<usize> {
        self.nodes.iter().map(|node| processors(node, queue)).collect()
    }

    /// The node that holds an event of the queue, if any does.
    fn holder(&self, queue: &str) -> Option<usize> {
        let by = self.database.texts(&format!(
            "SELECT split_part(claimed_by, '/', 1) FROM sysevent_live WHERE queue = '{queue}' AND state = 'queued' LIMIT 1"
        ));
        let names: Vec<String> = self.nodes.iter().map(name_of).collect();
        names.iter().position(|name| by.first() == Some(name))
    }

    /// First values of what was handled, in the order in which it ended.
    fn ended(&self, event: &str) -> Vec<String> {
        self.database.texts(&format!(
            "SELECT log.parm1 FROM sysevent_run AS run JOIN sysevent_log AS log ON log.sys_id = run.event \
             WHERE log.name = '{event}' AND run.outcome = 'succeeded' ORDER BY run.run"
        ))
    }

    fn wait_until_ended(&self, event: &str, count: usize) {
        let sql = format!(
            "SELECT count(*)::text FROM sysevent_log WHERE name = '{event}' AND state <> 'cancelled'"
        );
        wait_until("everything is handled", || self.database.texts(&sql) == [count.to_string()]);
    }

    fn overlaps(&self) -> Vec<String> {
        self.database.texts("SELECT name FROM cmn_location WHERE name LIKE 'overlap %'")
    }

    fn stop(self) {
        for node in self.nodes {
            assert!(node.stop(), "the node stops in order");
        }
    }
}

fn name_of(node: &Server) -> String {
    text(&node.admin().get("/api/version").result(), "node")
}

fn processors(node: &Server, queue: &str) -> usize {
    let metrics = node.anonymous().get("/metrics").text;
    let of_queue = format!("queue=\"{queue}\"");
    let lines = metrics
        .lines()
        .filter(|line| line.starts_with("campanile_processors{") && line.contains(&of_queue));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()).sum()
}

fn fire(client: &Client, body: &Value) -> String {
    text(&client.post("/api/events", body).result(), "sys_id")
}

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|n| n.to_string()).collect()
}

fn ev_025_three_nodes_handle_a_sequential_queue_one_by_one_in_the_order_of_arrival(
    cluster: Cluster,
) {
    add_handler(&cluster.admin(0), "t.turn", "alone", 100, ALONE);
    cluster.queue(&json!({"queue": "in_turn", "processing_order": "sequential"}));
    cluster.wait_until_known("in_turn");
    for n in 0..100 {
        let body = json!({"name": "t.turn", "queue": "in_turn", "parm1": n.to_string()});
        fire(&cluster.admin(n), &body);
    }
    cluster.wait_until_ended("t.turn", 100);
    assert_eq!(cluster.ended("t.turn"), numbers(100));
    assert_eq!(cluster.overlaps(), [""; 0]);
    assert_eq!(cluster.processors("in_turn").iter().sum::<usize>(), 1);
    cluster.stop();
}

fn ev_026_an_error_halts_a_sequential_queue_on_all_nodes_until_it_is_resumed_on_any(
    cluster: Cluster,
) {
    let fails = "if (event.parm1 == '1') throw new Error('no');";
    add_handler(&cluster.admin(0), "t.turn", "fails", 100, fails);
    cluster.queue(&json!({
        "queue": "in_turn", "processing_order": "sequential", "on_error": "halt", "max_attempts": "2",
        "retry_backoff": "1970-01-01 00:00:01",
    }));
    cluster.wait_until_known("in_turn");
    let events: Vec<String> = (0..3)
        .map(|n| {
            fire(
                &cluster.admin(n),
                &json!({"name": "t.turn", "queue": "in_turn", "parm1": n.to_string()}),
            )
        })
        .collect();
    let status = |at: usize| {
        let queues = cluster.admin(at).get("/api/queues").result();
        let found = queues.as_array().unwrap().iter().find(|queue| queue["queue"] == "in_turn");
        found.unwrap().clone()
    };
    wait_until("the queue is halted", || status(0)["status"] == "Halted");
    for at in 0..3 {
        assert_eq!(status(at)["halted_by"], events[1].as_str());
    }
    let row = |at: usize| cluster.admin(0).get(&format!("/api/events/{}", events[at])).result();
    assert_eq!((text(&row(1), "state"), &row(1)["attempts"]), ("error".to_owned(), &json!(2)));
    assert_eq!(text(&row(2), "state"), "ready");
    let resumed = cluster.admin(2).post("/api/queues/in_turn/resume", &json!({"reason": "mended"}));
    assert_eq!(resumed.result()["status"], "Active");
    cluster.wait_until_ended("t.turn", 3);
    assert_eq!(cluster.ended("t.turn"), ["0", "2"]);
    cluster.stop();
}

fn ev_030_processors_for_each_node_follow_the_nodes_that_come_and_go(mut cluster: Cluster) {
    cluster
        .queue(&json!({"queue": "scaled", "job_config": "jobs_per_node", "job_config_value": "2"}));
    let sum = |cluster: &Cluster| cluster.processors("scaled").iter().sum::<usize>();
    wait_until("six processors run", || sum(&cluster) == 6);
    assert!(cluster.nodes.remove(1).stop());
    let wanted = |cluster: &Cluster| {
        let queues = cluster.admin(0).get("/api/queues").result();
        let found = queues.as_array().unwrap().iter().find(|queue| queue["queue"] == "scaled");
        found.unwrap()["number_of_jobs"].as_u64().unwrap()
    };
    wait_until_within("four are wanted", Duration::from_secs(13), || wanted(&cluster) == 4);
    assert_eq!(sum(&cluster), 4);
    cluster.add();
    wait_until_within("six are wanted again", Duration::from_secs(10), || {
        wanted(&cluster) == 6 && sum(&cluster) == 6
    });
    cluster.stop();
}

fn ev_031_a_constant_number_of_processors_is_spread_and_moves_when_a_node_dies(
    mut cluster: Cluster,
) {
    let constant = json!({"queue": "constant", "job_config": "job_count", "job_config_value": "4"});
    // The ceiling counts the nodes that this one knows of.
    wait_until("the first node knows of the others", || {
        cluster.admin(0).post("/api/now/table/sysevent_queue", &constant).status == 201
    });
    let spread = |cluster: &Cluster| {
        let mut spread = cluster.processors("constant");
        spread.sort_unstable();
        spread
    };
    wait_until("they are spread", || spread(&cluster) == [1, 1, 2]);
    cluster.nodes.remove(0).kill();
    wait_until_within("the others have its share", Duration::from_secs(3 + 10), || {
        spread(&cluster) == [2, 2]
    });
    cluster.add();
    wait_until_within("a new one has its own", Duration::from_secs(10), || {
        spread(&cluster) == [1, 1, 2]
    });
    cluster.stop();
}

fn five_kills_of_the_node_that_holds_a_sequential_queue_break_neither_order_nor_turn(
    mut cluster: Cluster,
) {
    add_handler(&cluster.admin(0), "t.turn", "alone", 100, ALONE);
    cluster.queue(&json!({"queue": "in_turn", "processing_order": "sequential"}));
    cluster.wait_until_known("in_turn");
    let mut fired = 0;
    for _ in 0..5 {
        for _ in 0..40 {
            let body = json!({"name": "t.turn", "queue": "in_turn", "parm1": fired.to_string()});
            fire(&cluster.admin(fired), &body);
            fired += 1;
        }
        // A third lapse would rightly end an event; this test is about those that have fewer.
        wait_until("what the last kill met has ended", || {
            let lapsed = "SELECT sys_id FROM sysevent_live WHERE lapses > 0";
            cluster.database.texts(lapsed).is_empty()
        });
        let mut holder = None;
        wait_until("a node holds the queue", || {
            holder = cluster.holder("in_turn");
            holder.is_some()
        });
        cluster.nodes.remove(holder.unwrap()).kill();
        cluster.add();
    }
    cluster.wait_until_ended("t.turn", fired);
    let lapsed = cluster.database.texts("SELECT sys_id FROM sysevent_log WHERE lapses > 0");
    assert!(
        !lapsed.is_empty(),
        "no kill met an event that was being handled: the test shows nothing"
    );
    assert_eq!(cluster.ended("t.turn"), numbers(fired));
    assert_eq!(cluster.overlaps(), [""; 0]);
    cluster.stop();
}

fn many_callers_on_all_nodes_are_handled_in_the_order_of_their_commits_while_one_is_killed(
    mut cluster: Cluster,
) {
    add_handler(&cluster.admin(0), "t.turn", "alone", 100, ALONE);
    cluster.queue(&json!({"queue": "in_turn", "processing_order": "sequential"}));
    cluster.wait_until_known("in_turn");
    let mut victim = None;
    std::thread::scope(|scope| {
        for caller in 0..4_usize {
            // Nobody asks the one that is killed.
            let admin = cluster.admin(caller % 2);
            scope.spawn(move || {
                for n in 0..30_usize {
                    let body = json!({"name": "t.turn", "queue": "in_turn", "parm1": format!("{caller} {n:02}")});
                    fire(&admin, &body);
                }
            });
        }
        wait_until("some are handled", || cluster.ended("t.turn").len() > 10);
        victim = cluster.holder("in_turn");
    });
    // Whoever holds the queue, else the one that nobody asked.
    cluster.nodes.remove(victim.unwrap_or(2)).kill();
    cluster.wait_until_ended("t.turn", 120);
    let ended = cluster.ended("t.turn");
    assert_eq!((ended.len(), cluster.overlaps()), (120, Vec::new()));
    let by_commit = cluster
        .database
        .texts("SELECT parm1 FROM sysevent_log WHERE name = 't.turn' ORDER BY sequence");
    assert_eq!(ended, by_commit, "in the order of arrival");
    for caller in 0..4 {
        let of_caller: Vec<&String> =
            ended.iter().filter(|name| name.starts_with(&format!("{caller} "))).collect();
        assert!(of_caller.is_sorted(), "each fired one after the other: {of_caller:?}");
    }
    cluster.stop();
}

fn a_node_that_stood_still_past_its_lease_begins_nothing_that_is_anothers(cluster: Cluster) {
    let slow = "gs.sleep(50);";
    add_handler(&cluster.admin(0), "t.turn", "slow", 100, slow);
    cluster.queue(&json!({"queue": "in_turn", "processing_order": "sequential"}));
    cluster.wait_until_known("in_turn");
    for n in 0..60_usize {
        fire(
            &cluster.admin(n),
            &json!({"name": "t.turn", "queue": "in_turn", "parm1": n.to_string()}),
        );
    }
    let mut holder = None;
    wait_until("a node holds the queue", || {
        holder = cluster.holder("in_turn");
        holder.is_some()
    });
    let holder = holder.unwrap();
    cluster.nodes[holder].signal("STOP");
    let other = name_of(&cluster.nodes[1 - holder]);
    wait_until("the other node goes on", || {
        let of_other =
            format!("SELECT sys_id FROM sysevent_live WHERE claimed_by LIKE '{other}/in_turn/%'");
        !cluster.database.texts(&of_other).is_empty()
    });
    cluster.nodes[holder].signal("CONT");
    cluster.wait_until_ended("t.turn", 60);
    assert_eq!(cluster.ended("t.turn"), numbers(60));
    cluster.stop();
}

/// A rule that fires an event about another record, and is then slow by chance.
const FIRES_AND_WAITS: &str = "var place = new GlideRecord('cmn_location'); place.get(current.street + ''); \
     gs.eventQueue('t.placed', place, current.name + '', '', 'by_place'); gs.sleep(parseInt(current.zip + '', 10));";

fn record_operations_on_two_nodes_are_handled_in_the_order_of_their_commits_for_each_record(
    cluster: Cluster,
) {
    let admin = cluster.admin(0);
    add_handler(&admin, "t.placed", "notes", 100, "var seen = event.parm1 + '';");
    cluster.queue(&json!({"queue": "by_place", "ordering": "true", "job_config_value": "2"}));
    cluster.wait_until_known("by_place");
    let places: Vec<String> = (0..3)
        .map(|n| {
            let place = json!({"name": format!("place {n}")});
            text(&admin.post("/api/now/table/cmn_location", &place).result(), "sys_id")
        })
        .collect();
    let rule = json!({
        "name": "fires and waits", "collection": "cmn_location", "when": "after", "active": "true",
        "action_insert": "true", "advanced": "true", "filter_condition": "nameSTARTSWITHmoves",
        "script": FIRES_AND_WAITS,
    });
    admin.post("/api/now/table/sys_script", &rule).result();
    let heard = "name=fires and waits";
    wait_until("both nodes have the rule", || {
        (0..2).all(|at| cluster.admin(at).count("sys_script", heard) == 1)
    });
    std::thread::scope(|scope| {
        for caller in 0..6_usize {
            let (cluster, places) = (&cluster, &places);
            scope.spawn(move || {
                for n in 0..20_usize {
                    let wait = (caller * 7 + n * 13) % 23;
                    let row = json!({
                        "name": format!("moves {caller}-{n}"), "street": places[(caller + n) % 3],
                        "zip": wait.to_string(),
                    });
                    cluster.admin(caller).post("/api/now/table/cmn_location", &row).result();
                }
            });
        }
    });
    cluster.wait_until_ended("t.placed", 120);
    let rows = cluster.database.texts(
        "SELECT log.instance || ' ' || log.sequence FROM sysevent_run AS run \
         JOIN sysevent_log AS log ON log.sys_id = run.event WHERE log.name = 't.placed' ORDER BY run.run",
    );
    let mut of_place: HashMap<&str, Vec<u64>> = HashMap::new();
    for row in &rows {
        let (place, sequence) = row.split_once(' ').unwrap();
        of_place.entry(place).or_default().push(sequence.parse().unwrap());
    }
    assert_eq!((rows.len(), of_place.len()), (120, 3));
    for (place, sequences) in of_place {
        assert!(sequences.is_sorted(), "{place}: {sequences:?}");
    }
    cluster.stop();
}

/// A handler that works until the property `t.patience` is no longer `long`.
const WORKS_LONG: &str = "while (gs.getProperty('t.patience') == 'long') gs.sleep(20);";

fn be_patient(admin: &Client) -> String {
    let patience = json!({"name": "t.patience", "value": "long"});
    text(&admin.post("/api/now/table/sys_properties", &patience).result(), "sys_id")
}

/// Kills the node that handles an event whose first handler has succeeded; the rest end it. Returns how long that took.
fn kill_between_two_handlers(nodes: &mut Vec<Server>, database: &TestDatabase) -> Duration {
    let admin = nodes[0].admin();
    let property = be_patient(&admin);
    add_handler(&admin, "t.two", "first", 100, "gs.eventQueue('t.next', null, event.sys_id);");
    add_handler(&admin, "t.two", "second", 200, WORKS_LONG);
    let event = fire(&admin, &json!({"name": "t.two"}));
    let holder = format!(
        "SELECT split_part(claimed_by, '/', 1) FROM sysevent_live WHERE sys_id = '{event}'"
    );
    let first = format!(
        "SELECT run::text FROM sysevent_run WHERE event = '{event}' AND outcome = 'succeeded'"
    );
    wait_until("the first handler's run is recorded", || !database.texts(&first).is_empty());
    let by = database.texts(&holder).remove(0);
    let at = nodes.iter().position(|node| name_of(node) == by).unwrap();
    let killed = Instant::now();
    nodes.remove(at).kill();
    let admin = nodes[0].admin();
    let path = format!("/api/now/table/sys_properties/{property}");
    admin.patch(&path, &json!({"value": "short"})).result();
    wait_until_within("another node finishes it", Duration::from_secs(70), || {
        admin.count("sysevent", &format!("sys_id={event}^state=processed")) == 1
    });
    let took = killed.elapsed();
    admin.wait_until_drained();
    for name in ["first", "second"] {
        let ran = format!("event={event}^handler_name={name}^outcome=succeeded");
        assert_eq!(admin.count("sysevent_handler_run", &ran), 1, "{name}");
    }
    assert_eq!(admin.count("sysevent", &format!("name=t.next^parm1={event}")), 1);
    took
}

fn ev_049_another_node_finishes_what_a_killed_one_had_begun_and_repeats_nothing(
    mut cluster: Cluster,
) {
    let took = kill_between_two_handlers(&mut cluster.nodes, &cluster.database);
    assert!(took <= Duration::from_secs(3 + 10), "{took:?}");
    cluster.stop();
}

#[test]
fn ev_049_the_shipped_lease_lets_another_node_finish_within_seventy_seconds() {
    let database = itsm_database();
    let mut nodes: Vec<Server> =
        (0..3).map(|n| Server::start_shipped_node(database.url(), &format!("node-{n}"))).collect();
    let took = kill_between_two_handlers(&mut nodes, &database);
    assert!(took <= Duration::from_secs(70), "{took:?}");
    assert!(took >= Duration::from_secs(30), "the lease is not the shipped one: {took:?}");
}

fn ev_050_a_handler_that_takes_three_nodes_with_it_ends_and_a_sequential_queue_goes_on(
    mut cluster: Cluster,
) {
    let admin = cluster.admin(0);
    be_patient(&admin);
    add_handler(&admin, "t.poison", "kills", 100, WORKS_LONG);
    add_handler(&admin, "t.turn", "works", 100, "gs.log('fine', 't');");
    cluster.queue(&json!({"queue": "in_turn", "processing_order": "sequential"}));
    cluster.wait_until_known("in_turn");
    let poison = fire(&admin, &json!({"name": "t.poison", "queue": "in_turn"}));
    fire(&admin, &json!({"name": "t.turn", "queue": "in_turn", "parm1": "0"}));
    for _ in 0..3 {
        let handled = "SELECT name FROM campanile_node JOIN campanile_node_writer USING (token) \
                       WHERE gone_at IS NULL AND handling <> '{}'";
        wait_until("a node handles it", || {
            !cluster.database.texts(handled).is_empty() && cluster.holder("in_turn").is_some()
        });
        assert_eq!(cluster.ended("t.turn"), [""; 0], "what stands behind it waits");
        let holder = cluster.holder("in_turn").unwrap();
        cluster.nodes.remove(holder).kill();
        cluster.add();
    }
    cluster.wait_until_ended("t.turn", 1);
    let event = cluster.admin(0).get(&format!("/api/events/{poison}")).result();
    assert_eq!((text(&event, "state"), &event["lapses"]), ("error".to_owned(), &json!(3)));
    let row = &cluster.admin(0).rows("sysevent", &format!("sys_id={poison}"), "error_code")[0];
    assert_eq!(text(row, "error_code"), "processor_lost");
    cluster.stop();
}
