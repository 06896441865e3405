//! The command line: each command's happy path and its refusals, with exit codes that scripts can use.

use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::harness::{ADMIN_PASSWORD, CliRun, Server, binary, campanile, root, wait_until};

impl CliRun {
    /// Standard output of a command that has to have this exit code.
    fn ended(&self, code: i32) -> &str {
        assert_eq!(self.code, code, "out: {}\nerr: {}", self.stdout, self.stderr);
        &self.stdout
    }

    fn refused(&self, code: i32, words: &[&str]) {
        self.ended(code);
        for word in words {
            assert!(self.stderr.contains(word), "'{word}' is missing in: {}", self.stderr);
        }
    }
}

/// Runs a command against the server.
fn on(server: &Server, args: &[&str]) -> CliRun {
    let mut all = args.to_vec();
    all.extend(["--url", server.url()]);
    campanile(&all)
}

fn on_json(server: &Server, args: &[&str]) -> Value {
    let mut all = args.to_vec();
    all.push("--json");
    let run = on(server, &all);
    serde_json::from_str(run.ended(0)).unwrap_or_else(|error| panic!("{error}: {}", run.stdout))
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

const PACK: &str = "campanile: pack/v1
name: mine
version: 1.0.0
events:
  - {event_name: mine.done}
script_actions:
  - name: Mine
    event_name: mine.done
    active: true
    condition: event.parm1 != 'no'
    script: gs.log('x', 'mine');
";

#[test]
fn init_makes_a_folder_once() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let data = data.to_str().unwrap();
    let made = campanile(&["init", "--data", data, "--pack", "itsm", "--json"]);
    let made: Value = serde_json::from_str(made.ended(0)).unwrap();
    assert_eq!((&made["user"], &made["password"]), (&json!("admin"), &Value::Null));
    campanile(&["init", "--data", data]).refused(1, &[data, "has a database already"]);
    let unknown = campanile(&["init", "--data", &format!("{data}2"), "--pack", "itms"]);
    unknown.refused(1, &["itms", "did you mean 'itsm'"]);
    assert!(!Path::new(&format!("{data}2")).exists(), "nothing was made");
}

#[test]
fn apply_changes_once_and_a_broken_pack_changes_nothing() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let pack = write(folder.path(), "mine.yaml", PACK);
    assert!(on(&server, &["diff", &pack]).ended(0).contains("3 changes would be made"));
    assert!(on(&server, &["apply", &pack]).ended(0).contains("mine 1.0.0: 3 changes"));
    assert!(on(&server, &["apply", &pack]).ended(0).contains("mine 1.0.0: 0 changes"));
    assert_eq!(on_json(&server, &["diff", &pack])["changes"], json!([]));

    let broken = PACK
        .replace("event_name: mine.done}", "event_name: mine.other}")
        .replace("event_name: mine.done\n", "event_name: mine.gone\n");
    let broken = write(folder.path(), "broken.yaml", &broken);
    on(&server, &["apply", &broken]).refused(1, &["script_actions[0].event_name", "mine.gone"]);
    assert_eq!(server.admin().count("sysevent_register", "event_name=mine.other"), 0);
    on(&server, &["apply", "nowhere.yaml"]).refused(1, &["nowhere.yaml"]);
}

#[test]
fn the_first_steps_do_what_their_page_says() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start_on(&folder.path().join("data"), &["--demo"]);
    let page = std::fs::read_to_string(root().join("docs/guide/first-steps.md")).unwrap();
    let block = |kind: &str| {
        let (_, rest) = page.split_once(&format!("```{kind}\n")).unwrap();
        rest.split_once("```").unwrap().0
    };
    let pack = write(folder.path(), "handovers.yaml", block("yaml"));
    assert!(on(&server, &["apply", &pack]).ended(0).contains("handovers 1.0.0: 5 changes"));
    let script = write(folder.path(), "handover.js", block("js"));
    let handed_over = on(&server, &["eval", "--commit", &script]);
    let said = handed_over.ended(0);
    assert_eq!(said.matches("event incident.restless").count(), 1, "{said}");
    let incident = said.lines().last().unwrap().strip_prefix("= ").unwrap();
    let admin = server.admin();
    admin.wait_until_drained();
    let about =
        ["fire", "incident.restless", "--table", "incident", "--instance", incident, "--parm1"];
    let fired = on(&server, &[&about[..], &["7", "--wait", "30"]].concat());
    assert!(fired.ended(0).contains("\"Note restless incidents\": succeeded"), "{}", fired.stdout);
    for times in [3, 7] {
        let noted = format!("element=work_notes^valueSTARTSWITHHanded over {times} times");
        assert_eq!(admin.count("sys_journal_field", &noted), 1, "{times}");
    }
}

#[test]
fn an_event_is_fired_listed_shown_explained_reprocessed_and_moved() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    on(&server, &["apply", &write(folder.path(), "mine.yaml", PACK)]).ended(0);

    let waited = on(&server, &["fire", "mine.done", "--parm1", "yes", "--wait", "30"]);
    assert!(waited.ended(0).contains("\"Mine\": succeeded"), "{}", waited.stdout);
    let long = "n".repeat(101);
    on(&server, &["fire", &long]).refused(1, &["100"]);

    let fired = on_json(&server, &["fire", "mine.done", "--parm1", "no", "--wait", "30"]);
    let event = fired["sys_id"].as_str().unwrap().to_owned();
    let listed = on_json(&server, &["events", "list", "--query", "name=mine.done", "--count"]);
    assert_eq!(listed["page"]["total"], 2);
    assert!(on(&server, &["events", "list"]).ended(0).contains(&event));
    assert!(on(&server, &["events", "show", &event]).ended(0).contains("condition_false"));
    let explained = on(&server, &["events", "explain", &event]);
    assert!(explained.ended(0).contains("event.parm1 is 'no'"), "{}", explained.stdout);
    on(&server, &["events", "reprocess", &event]).ended(0);
    wait_until("it is handled again", || {
        on_json(&server, &["events", "show", &event])["epoch"] == 1
            && on_json(&server, &["events", "show", &event])["state"] == "processed"
    });
    on(&server, &["events", "show", "0192"]).refused(1, &["0192"]);

    on(&server, &["events", "move", &event, "--queue", "adaptive"]).refused(1, &["processed"]);
    let later = on_json(&server, &["fire", "mine.done", "--process-on", "PT1H"]);
    let later = later["sys_id"].as_str().unwrap();
    on(&server, &["events", "move", later, "--queue", "adaptive"]).ended(0);
    assert_eq!(on_json(&server, &["events", "show", later])["queue"], "adaptive");
    let moved = on(&server, &["events", "move", "--kind", "mine.done", "--queue", "adaptive"]);
    assert!(moved.ended(0).contains("queue is now 'adaptive'"), "{}", moved.stdout);
    on(&server, &["events", "move", "--queue", "adaptive"]).ended(2);
}

#[test]
fn fire_with_wait_fails_when_the_event_fails_or_is_not_handled_in_time() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let broken = PACK.replace("gs.log('x', 'mine')", "throw new Error('no such lift')");
    on(&server, &["apply", &write(folder.path(), "mine.yaml", &broken)]).ended(0);
    let waited = on(&server, &["fire", "mine.done", "--parm1", "yes", "--wait", "30"]);
    waited.refused(1, &["ended in error", "no such lift", "campanile events explain"]);
    assert!(waited.stdout.contains("\"Mine\": failed"), "{}", waited.stdout);
    let as_json = on(&server, &["fire", "mine.done", "--parm1", "yes", "--wait", "30", "--json"]);
    let fired: Value = serde_json::from_str(as_json.ended(1)).unwrap();
    assert_eq!(fired["state"], "error");
    let error: Value = serde_json::from_str(&as_json.stderr).unwrap();
    assert_eq!(error["error"]["exit_code"], 1);
    on(&server, &["fire", "mine.done", "--parm1", "yes"]).ended(0);

    let queue = json!({"queue": "asleep", "active": "false"});
    server.admin().post("/api/now/table/sysevent_queue", &queue).result();
    let late = on(&server, &["fire", "mine.late", "--queue", "asleep", "--wait", "0"]);
    late.refused(1, &["not handled within 0 s", "it is ready"]);
    let due = on(&server, &["fire", "mine.late", "--process-on", "PT1H", "--wait", "1"]);
    due.refused(1, &["not handled within 1 s", "it is due at 20"]);
}

/// A `campanile events tail` that has begun to follow.
struct Tail {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Tail {
    fn start(server: &Server, args: &[&str]) -> Self {
        let mut child = Command::new(binary())
            .args(["events", "tail", "--url", server.url()])
            .args(args)
            .env("CAMPANILE_PASSWORD", ADMIN_PASSWORD)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let said = BufReader::new(child.stderr.take().unwrap()).lines().next().unwrap().unwrap();
        assert!(said.starts_with("following the events of"), "{said}");
        Self { child, lines }
    }

    fn next(&mut self) -> String {
        self.lines.next().unwrap().unwrap()
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn tail_prints_each_event_from_now_on_once_and_in_order() {
    let server = Server::start();
    for parm1 in ["one", "two"] {
        on(&server, &["fire", "t.tailed", "--parm1", parm1]).ended(0);
    }
    let mut tail = Tail::start(&server, &["--query", "name=t.tailed"]);
    let mut with_last = Tail::start(&server, &["--query", "name=t.tailed", "--last", "1"]);
    assert!(with_last.next().contains("two"));
    // More than a page in one look.
    let parms: Vec<String> = (0..1_700).map(|number| format!("number {number}")).collect();
    let events: Vec<Value> =
        parms.iter().map(|parm1| json!({"name": "t.tailed", "parm1": parm1})).collect();
    server.admin().post("/api/events/batch", &json!({"events": events})).result();
    on(&server, &["fire", "t.tailed", "--parm1", "the end"]).ended(0);
    for tail in [&mut tail, &mut with_last] {
        for parm1 in parms.iter().map(String::as_str).chain(["the end"]) {
            let line = tail.next();
            assert!(line.contains("t.tailed") && line.contains(parm1), "{parm1}: {line}");
        }
    }
    let ordered = on(&server, &["events", "tail", "--query", "name=t.tailed^ORDERBYname"]);
    ordered.refused(2, &["ORDERBY"]);
}

#[test]
fn eval_leaves_nothing_unless_told_and_names_the_line_of_an_error() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let insert =
        "var p = new GlideRecord('cmn_location'); p.initialize(); p.name = 'Attic'; p.insert();";
    let tried = on(&server, &["eval", "-e", insert]);
    assert!(tried.ended(0).contains("insert cmn_location"), "{}", tried.stdout);
    assert_eq!(server.admin().count("cmn_location", "name=Attic"), 0);
    on(&server, &["eval", "-e", insert, "--commit"]).ended(0);
    assert_eq!(server.admin().count("cmn_location", "name=Attic"), 1);

    let script = write(folder.path(), "broken.js", "var a = 1;\n\nmissing(a);\n");
    on(&server, &["eval", &script]).refused(1, &[&format!("{script}:3"), "missing"]);
    on(&server, &["eval", "-e", "var x = ;", "--check"]).refused(1, &["expression:1"]);
    on(&server, &["eval"]).ended(2);
}

#[test]
fn doctor_names_rules_that_do_not_run_and_queues_that_nobody_serves() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::start_on(&data, &[]);
    let admin = server.admin();
    for (name, when) in [("Later", "async"), ("Plain", "after")] {
        let rule = json!({
            "name": name, "collection": "incident", "when": when, "active": "true",
            "action_update": "true", "advanced": (when == "async").to_string(), "script": "var a = 1;",
        });
        admin.post("/api/now/table/sys_script", &rule).result();
    }
    let queue = json!({"queue": "asleep", "active": "false"});
    admin.post("/api/now/table/sysevent_queue", &queue).result();
    on(&server, &["fire", "t.waits", "--queue", "asleep"]).ended(0);
    let data = data.to_str().unwrap();
    campanile(&["doctor", "--data", data]).refused(1, &["in use by another campanile"]);
    assert!(server.stop());

    let found = campanile(&["doctor", "--data", data]);
    let said = found.ended(1);
    for words in ["'Later'", "async rules", "'Plain'", "`advanced` is false", "queue 'asleep'"] {
        assert!(said.contains(words), "'{words}' is missing in: {said}");
    }
}

#[test]
fn users_are_added_given_roles_and_listed() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let place = data.to_str().unwrap().to_owned();
    let user = |args: &[&str]| {
        let mut all = vec!["user"];
        all.extend(args);
        all.extend(["--data", &place]);
        campanile(&all)
    };
    campanile(&["init", "--data", &place]).ended(0);
    user(&["add", "beth", "--name", "Beth Anglin", "--role", "itil"]).ended(0);
    user(&["add", "beth"]).refused(1, &["beth"]);
    user(&["grant", "beth", "events_admin"]).ended(0);
    user(&["grant", "beth", "no_such_role"]).refused(1, &["no_such_role"]);
    user(&["grant", "nobody.here", "itil"]).refused(1, &["nobody.here"]);
    user(&["revoke", "beth", "itil"]).ended(0);
    user(&["set-password", "beth"]).ended(0);
    let listed: Value = serde_json::from_str(user(&["list", "--json"]).ended(0)).unwrap();
    let beth = listed.as_array().unwrap().iter().find(|row| row["user_name"] == "beth").unwrap();
    assert_eq!(beth["roles"], json!(["events_admin"]));

    let server = Server::start_on(&data, &[]);
    let of_beth = ["events", "list", "--user", "beth"];
    on(&server, &of_beth).ended(0);
}

#[test]
fn exit_codes_tell_an_unreachable_server_from_refused_credentials() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let away = campanile(&["events", "list", "--url", &format!("http://{closed}")]);
    away.refused(3, &["cannot be reached", "campanile serve"]);
    let server = Server::start();
    on(&server, &["events", "list", "--user", "stranger"]).refused(4, &["--user"]);
    let as_json = on(&server, &["events", "list", "--user", "stranger", "--json"]);
    as_json.ended(4);
    let error: Value = serde_json::from_str(&as_json.stderr).unwrap();
    assert_eq!(error["error"]["exit_code"], 4);
    campanile(&["evnets"]).refused(2, &["events"]);
}

#[test]
fn an_address_without_its_scheme_is_taken_on_this_machine_and_refused_with_the_fix_elsewhere() {
    let server = Server::start();
    let here = server.url().strip_prefix("http://").unwrap();
    campanile(&["events", "list", "--url", here]).ended(0);
    campanile(&["fire", "t.x", "--url", &format!("{}/", server.url())]).ended(0);
    for (url, words) in [
        ("example.com:8080", "'http://example.com:8080'"),
        ("https://example.com", "do not speak https"),
        ("", "http://HOST:PORT"),
    ] {
        campanile(&["events", "list", "--url", url]).refused(2, &["--url", words]);
    }
    let data = tempfile::tempdir().unwrap();
    let data = data.path().to_str().unwrap();
    campanile(&["serve", "--data", data, "--listen", "nonsense"]).refused(2, &["--listen"]);
    let taken = server.url().strip_prefix("http://").unwrap();
    campanile(&["serve", "--data", data, "--listen", taken]).refused(1, &["in use", "--listen"]);
}

#[test]
fn files_that_cannot_be_what_they_should_be_are_named_with_the_line_and_nothing_is_sent() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let map = root().join("packs/itsm/incident_event_log.map.yaml");
    let map = map.to_str().unwrap();
    let empty = write(folder.path(), "empty.csv", "");
    let open =
        write(folder.path(), "open.csv", "number,incident_state\nINC1,New\nINC2,\"New\nINC3,New\n");
    let narrow = write(folder.path(), "narrow.csv", "number,incident_state\nINC1,New\n");
    let away = format!("{empty}.away");
    for (file, map, words) in [
        (&empty, map, &[empty.as_str(), "line 1", "the file is empty"][..]),
        (&open, map, &[&open, "line 3", "never closed"]),
        (&away, map, &[&away, "could not be read"]),
        (&narrow, &empty, &[&empty, "the file is empty", "map/v1"]),
        (&narrow, &away, &[&away, "could not be read"]),
    ] {
        on(&server, &["replay", file, "--map", map]).refused(2, words);
    }
    // One that is a CSV and does not fit its map is refused.
    on(&server, &["replay", &narrow, "--map", map]).refused(1, &[&narrow, "column 'active'"]);
    on(&server, &["eval", &away]).refused(2, &[&away, "could not be read"]);
    assert_eq!(server.admin().count("incident", ""), 0);
}

#[test]
fn every_command_has_help_with_an_example() {
    for command in [
        &["init"][..],
        &["serve"],
        &["apply"],
        &["diff"],
        &["fire"],
        &["eval"],
        &["doctor"],
        &["replay"],
        &["bench"],
        &["backup"],
        &["restore"],
        &["copy"],
        &["events", "list"],
        &["events", "move"],
        &["events", "tail"],
        &["user", "add"],
        &[],
    ] {
        let mut args = command.to_vec();
        args.push("--help");
        let help = campanile(&args);
        assert!(help.ended(0).contains("Example"), "{command:?}: {}", help.stdout);
    }
}
