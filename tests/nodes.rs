//! Nothing lost, nothing stuck on PostgreSQL: nodes that are killed, stopped and cut off, and a server that crashes.

use std::sync::{Arc, Mutex};

use campanile_store::testing::{Cut, Proxy, TestDatabase, TestServer};
use serde_json::json;

use crate::harness::{Client, Server, itsm_database, wait_until};
use crate::nothing_lost::{Load, add_handler, install_handlers};
use crate::people::text;

/// Nodes on one database.
pub(crate) struct Nodes {
    url: String,
    running: Vec<Server>,
    pub(crate) clients: Arc<Mutex<Vec<Client>>>,
    started: usize,
}

impl Nodes {
    pub(crate) fn start(url: &str, count: usize) -> Self {
        let mut nodes =
            Self { url: url.to_owned(), running: Vec::new(), clients: Arc::default(), started: 0 };
        for at in 0..count {
            nodes.start_one(at);
        }
        install_handlers(&nodes.running[0].admin());
        nodes
    }

    fn start_one(&mut self, at: usize) {
        self.started += 1;
        let node = Server::start_node(&self.url, &format!("node-{}", self.started));
        let mut clients = self.clients.lock().unwrap();
        if at < clients.len() {
            clients[at] = node.admin();
        } else {
            clients.push(node.admin());
        }
        self.running.insert(at, node);
    }

    /// The administrator at the first node.
    pub(crate) fn admin(&self) -> Client {
        self.running[0].admin()
    }

    /// Whom to ask; the list follows the nodes.
    pub(crate) fn clients(&self) -> Arc<Mutex<Vec<Client>>> {
        Arc::clone(&self.clients)
    }

    /// Kills one and starts another in its place.
    pub(crate) fn replace(&mut self, at: usize) {
        self.running.remove(at).kill();
        self.start_one(at);
    }

    /// Everything is handled, nothing lost, nothing doubled; then all stop in order.
    pub(crate) fn end(self, load: &Load) {
        let admin = self.running[0].admin();
        admin.wait_until_drained();
        load.check(&admin);
        for node in self.running {
            assert!(node.stop(), "the node stops in order");
        }
    }
}

/// Claims whose lease was over more than five seconds ago: a dead node's events must be others' by then.
pub(crate) const STUCK: &str = "SELECT sys_id FROM sysevent_live JOIN campanile_node ON token = claim_token \
     WHERE beat_at + (lease_ms + 5000) * interval '1 millisecond' < clock_timestamp()";

pub(crate) fn none(database: &TestDatabase, sql: &str) -> bool {
    database.texts(sql).is_empty()
}

#[test]
fn twenty_kills_of_one_of_three_nodes_lose_nothing_and_leave_nothing_stuck() {
    let database = itsm_database();
    let mut nodes = Nodes::start(database.url(), 3);
    let load = Load::default();
    let clients = Arc::clone(&nodes.clients);
    load.during(4, &clients, || {
        for round in 0..20_usize {
            // A third lapse would rightly end an event; this test is about those that have fewer.
            wait_until("no event is one lapse from its end", || {
                none(&database, "SELECT sys_id FROM sysevent_live WHERE lapses >= 2")
            });
            load.wait_for(10 + round * 7 % 23);
            nodes.replace(round % 3);
            assert_eq!(database.texts(STUCK), [""; 0], "a dead node's claims stand for too long");
        }
    });
    let lapsed = nodes.running[0].admin().count("sysevent", "lapses>0");
    assert!(lapsed > 0, "no kill met an event that was being handled: the test shows nothing");
    nodes.end(&load);
}

/// A handler that works until the property `t.patience` is no longer `long`, then fires and saves a record.
const WORKS_LONG: &str = "while (gs.getProperty('t.patience') == 'long') gs.sleep(20); \
     gs.eventQueue('t.after', null, event.sys_id); \
     var late = new GlideRecord('cmn_location'); late.name = 'late ' + event.sys_id; late.insert();";

#[test]
fn a_node_that_was_stopped_past_its_lease_does_nothing_twice_and_goes_on_by_itself() {
    let database = itsm_database();
    let mut nodes = Nodes::start(database.url(), 1);
    let admin = nodes.running[0].admin();
    add_handler(&admin, "t.slow", "slow", 100, WORKS_LONG);
    let patience = json!({"name": "t.patience", "value": "long"});
    let property = text(&admin.post("/api/now/table/sys_properties", &patience).result(), "sys_id");
    let event = text(&admin.post("/api/events", &json!({"name": "t.slow"})).result(), "sys_id");
    wait_until("the first node handles it", || {
        !none(&database, "SELECT token::text FROM campanile_node_writer WHERE handling <> '{}'")
    });
    nodes.start_one(1);
    let load = Load::default();
    let clients = Arc::clone(&nodes.clients);
    load.during(4, &clients, || {
        load.wait_for(20);
        nodes.running[0].signal("STOP");
        let path = format!("/api/now/table/sys_properties/{property}");
        let other = nodes.running[1].admin();
        other.patch(&path, &json!({"value": "short"})).result();
        wait_until("the other node has done it", || {
            other.count("sysevent", &format!("sys_id={event}^state=processed")) == 1
        });
        nodes.running[0].signal("CONT");
        load.wait_for(20);
    });
    wait_until("the stopped node has a new lease", || {
        let living = "SELECT name FROM campanile_node WHERE gone_at IS NULL ORDER BY name";
        database.texts(living) == ["node-1", "node-2"]
    });
    let first = nodes.running[0].admin();
    assert_eq!(first.get("/readyz").status, 200);
    let ran = format!("event={event}^handler_name=slow^outcome=succeeded");
    assert_eq!(first.count("sysevent_handler_run", &ran), 1, "its late success is refused");
    first.wait_until_drained();
    let after = format!("name=t.after^parm1={event}");
    assert_eq!(first.count("sysevent", &after), 1, "and what it fired late");
    let saved = format!("name=late {event}");
    assert_eq!(first.count("cmn_location", &saved), 1, "and what it saved late");
    nodes.end(&load);
}

/// Whether every node says so.
fn all_say(nodes: &Nodes, status: u16) -> bool {
    nodes.running.iter().all(|node| node.anonymous().get("/readyz").status == status)
}

#[test]
fn a_server_that_crashes_under_load_and_one_that_is_gone_for_long_lose_nothing() {
    let server = TestServer::start();
    server.run("postgres", "CREATE DATABASE c");
    let mut nodes = Nodes::start(&server.url("postgres", "c"), 2);
    let load = Load::default();
    let clients = Arc::clone(&nodes.clients);
    load.during(4, &clients, || {
        for _ in 0..5 {
            load.wait_for(20);
            server.crash();
            server.start_again();
        }
        load.wait_for(20);
        server.crash();
        wait_until("every node says that it cannot work", || all_say(&nodes, 503));
        // A group of appends looks for the server ten seconds long: much longer than the lease.
        let refused = load.refused();
        wait_until("appends are refused", || load.refused() > refused);
        server.start_again();
        wait_until("every node goes on by itself", || all_say(&nodes, 200));
        load.wait_for(20);
    });
    nodes.running.iter_mut().for_each(|node| assert!(node.runs(), "a node has ended"));
    nodes.end(&load);
}

#[test]
fn a_hundred_connections_cut_at_commits_and_between_them_lose_nothing_and_double_nothing() {
    let database = itsm_database();
    let proxy = Proxy::to(database.url());
    let nodes = Nodes::start(proxy.url(), 1);
    let load = Load::default();
    let clients = Arc::clone(&nodes.clients);
    load.during(4, &clients, || {
        for round in 0..100 {
            if round % 3 == 2 {
                proxy.cut_all();
            } else {
                let cuts = proxy.cuts();
                // An append commits with its statement, everything else by a word.
                let commit = if round % 2 == 0 { "t.crash" } else { "COMMIT" };
                let cut = if round % 3 == 0 { Cut::Before } else { Cut::After };
                proxy.cut_next_with(commit, cut);
                wait_until("a commit is cut off", || proxy.cuts() > cuts);
            }
            load.wait_for(3);
        }
    });
    nodes.end(&load);
}
