//! The check that tests of crashes end in: every acknowledged event is once in the log, each handler succeeded at most
//! once in an epoch, no follow-up is doubled. And the handlers and the load that it is about.

use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::harness::{Client, wait_until};
use crate::people::text;

/// One handler that fires by itself, one that saves a record whose rule fires, and one on what they fire.
pub(crate) fn install_handlers(admin: &Client) {
    let after_insert = json!({
        "name": "crash rule", "collection": "cmn_location", "when": "after", "active": "true",
        "action_insert": "true", "advanced": "true", "filter_condition": "nameSTARTSWITHcrash",
        "script": "gs.eventQueue('t.inner', current, current.name, current.name.substring(6));",
    });
    admin.post("/api/now/table/sys_script", &after_insert).result();
    // Begun again after a crash it finds its record: the record and its event are there together or not at all.
    let saves = "var place = new GlideRecord('cmn_location'); var id = event.sys_id + ''; \
                 if (!place.get(id)) { place.initialize(); place.setNewGuidValue(id); place.name = 'crash ' + id; \
                 place.insert(); }";
    let fires = "gs.eventQueue('t.follow', null, event.parm1, event.sys_id);";
    add_handler(admin, "t.crash", "fires", 100, fires);
    add_handler(admin, "t.crash", "saves", 200, saves);
    add_handler(admin, "t.follow", "follows", 100, "var seen = event.parm1 + '';");
}

/// Saves an active script action.
pub(crate) fn add_handler(admin: &Client, event: &str, name: &str, order: u32, script: &str) {
    let row = json!({
        "name": name, "event_name": event, "active": "true", "order": order.to_string(), "script": script,
    });
    admin.post("/api/now/table/sysevent_script_action", &row).result();
}

/// More events than that do not wait before the load goes on: what is fired faster than a slow machine handles it would only
/// make the end of the test long.
const WAITING_MAX: u64 = 300;

/// Fires between two looks at how many wait.
const LOOK_EVERY: usize = 10;

/// What was acknowledged: the key of the event and its first value.
#[derive(Default)]
pub(crate) struct Load {
    acknowledged: Mutex<Vec<(String, String)>>,
    refused: AtomicU64,
    number: AtomicU64,
}

impl Load {
    /// How many events were acknowledged.
    pub(crate) fn acknowledged(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }

    /// How many were refused with a 503.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Waits until `more` events are acknowledged.
    pub(crate) fn wait_for(&self, more: usize) {
        let target = self.acknowledged() + more;
        wait_until("more events are acknowledged", || self.acknowledged() >= target);
    }

    /// Fires one event by `client`. What breaks off was never acknowledged, and what is answered with 503 neither.
    fn fire(&self, client: &Client) {
        let parm1 = self.number.fetch_add(1, Ordering::Relaxed).to_string();
        let body = json!({"name": "t.crash", "parm1": parm1}).to_string();
        let Ok(answer) = client.try_send("POST", "/api/events", &[], Some(&body)) else { return };
        if answer.status == 503 {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return;
        }
        assert_eq!(answer.status, 202, "{}", answer.text);
        let sys_id = text(&answer.json()["result"], "sys_id");
        self.acknowledged.lock().unwrap().push((sys_id, parm1));
    }

    /// Fires on so many connections, each turning to one of `clients` after the other, until `work` is done.
    pub(crate) fn during(
        &self,
        connections: usize,
        clients: &Mutex<Vec<Client>>,
        work: impl FnOnce(),
    ) {
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for number in 0..connections {
                let stop = &stop;
                scope.spawn(move || {
                    for turn in number.. {
                        if stop.load(Ordering::Relaxed) {
                            return;
                        }
                        let client = {
                            let clients = clients.lock().unwrap();
                            clients[turn % clients.len()].clone()
                        };
                        self.fire(&client);
                        let is_over = || stop.load(Ordering::Relaxed);
                        while turn % LOOK_EVERY == 0 && !is_over() && too_many_wait(&client) {
                            std::thread::park_timeout(Duration::from_millis(20));
                        }
                    }
                });
            }
            let stopping = StopAtEnd(&stop);
            work();
            drop(stopping);
        });
    }

    /// The check.
    pub(crate) fn check(&self, admin: &Client) {
        nothing_is_lost_and_nothing_doubled(admin, &self.acknowledged.lock().unwrap());
    }
}

/// A server that cannot tell holds up nobody.
fn too_many_wait(client: &Client) -> bool {
    let path = "/api/now/table/sysevent?sysparm_limit=1&sysparm_fields=sys_id&sysparm_query=stateINready,queued";
    let Ok(answer) = client.try_send("GET", path, &[], None) else { return false };
    let count = answer.header("x-total-count").and_then(|count| count.parse::<u64>().ok());
    count.is_some_and(|count| count > WAITING_MAX)
}

/// Also when the work has failed: else the threads would go on for ever.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The check, when everything is handled.
pub(crate) fn nothing_is_lost_and_nothing_doubled(
    admin: &Client,
    acknowledged: &[(String, String)],
) {
    every_acknowledged_event_is_processed_once(admin, acknowledged);
    no_success_is_repeated(admin);
    each_event_has_one_follow_up(admin, "t.follow", acknowledged);
    each_event_has_one_follow_up(admin, "t.inner", acknowledged);
}

fn every_acknowledged_event_is_processed_once(admin: &Client, acknowledged: &[(String, String)]) {
    let mut states: HashMap<String, String> = HashMap::new();
    for row in admin.rows("sysevent", "name=t.crash", "sys_id,state,parm1") {
        let state = text(&row, "state");
        assert!(
            states.insert(text(&row, "sys_id"), state).is_none(),
            "an event stands in the log twice: {row}"
        );
    }
    for (sys_id, parm1) in acknowledged {
        let state = states
            .get(sys_id)
            .unwrap_or_else(|| panic!("event {sys_id} ({parm1}) was acknowledged and is gone"));
        assert_eq!(state, "processed", "event {sys_id} ({parm1})");
    }
}

fn no_success_is_repeated(admin: &Client) {
    let mut succeeded = BTreeSet::new();
    for run in admin.rows("sysevent_handler_run", "outcome=succeeded", "event,epoch,handler") {
        let key = format!("{} {} {}", run["event"], run["epoch"], run["handler"]);
        assert!(succeeded.insert(key.clone()), "a success was repeated: {key}");
    }
}

/// What a handler fired, itself or by the rule of a record that it saved, is there once, however often a crash made
/// the handler begin again.
fn each_event_has_one_follow_up(admin: &Client, name: &str, acknowledged: &[(String, String)]) {
    let mut followed = BTreeSet::new();
    for row in admin.rows("sysevent", &format!("name={name}"), "sys_id,parm2") {
        let cause = text(&row, "parm2");
        assert!(followed.insert(cause.clone()), "event {cause} fired its {name} twice");
    }
    for (sys_id, _) in acknowledged {
        assert!(followed.contains(sys_id), "the {name} of {sys_id} is missing");
    }
}
