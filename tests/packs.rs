//! Packs and change logs through the doors: HTTP and the command line.

use serde_json::{Value, json};

use crate::harness::{Answer, CliRun, Client, Server, campanile, root};

const PACK: &str =
    "campanile: pack/v1\nname: shop\nversion: 1.0.0\nevents: [{event_name: order.late}]\n";

fn yaml(client: &Client, query: &str, body: &str) -> Answer {
    let path = format!("/api/packs{query}");
    client.send("POST", &path, &[("content-type", "application/yaml")], Some(body))
}

#[test]
fn a_pack_is_tried_applied_and_applied_again() {
    let server = Server::start();
    let admin = server.admin();
    let tried = yaml(&admin, "?dry_run=true", PACK).result();
    assert_eq!(tried["changes"].as_array().unwrap().len(), 2);
    assert_eq!(admin.count("sysevent_register", "event_name=order.late"), 0);
    let applied = yaml(&admin, "", PACK).result();
    assert_eq!(applied, tried);
    assert_eq!(
        applied["changes"][1],
        json!({"action": "insert", "table": "sysevent_register", "key": "order.late", "fields": []})
    );
    assert_eq!(admin.count("sysevent_register", "event_name=order.late"), 1);
    let again = admin.post(
        "/api/packs",
        &json!({"campanile": "pack/v1", "name": "shop", "version": "1.0.0",
        "events": [{"event_name": "order.late"}]}),
    );
    assert_eq!(again.result()["changes"], json!([]), "the same pack as JSON");
}

#[test]
fn who_may_not_and_what_is_broken_changes_nothing() {
    let server = Server::start();
    let admin = server.admin();
    let user = json!({"user_name": "eve", "user_password": "a long password"});
    let user = admin.post("/api/now/table/sys_user", &user).result();
    let role = admin.rows("sys_user_role", "name=itil", "sys_id").remove(0);
    let grant = json!({"user": user["sys_id"], "role": role["sys_id"]});
    admin.post("/api/now/table/sys_user_has_role", &grant).result();
    let eve = server.client("eve", "a long password");
    assert_eq!(yaml(&eve, "", PACK).status, 403);
    assert_eq!(yaml(&server.anonymous(), "", PACK).status, 401);
    for path in ["/api/replay", "/api/packs"] {
        assert_eq!(admin.get(path).status, 405, "{path}");
    }
    let map =
        std::fs::read_to_string(root().join("packs/itsm/incident_event_log.map.yaml")).unwrap();
    let batch = json!({"map": map, "columns": [], "rows": []});
    assert_eq!(eve.post("/api/replay", &batch).status, 403);
    assert_eq!(eve.get("/api/replay/summary").status, 403);
    assert_eq!(admin.post("/api/replay", &batch).status, 422, "the columns of the map are missing");
    assert_eq!(admin.post("/api/replay", &json!({"maps": ""})).status, 400);
    let broken = yaml(&admin, "?source=my.yaml", &PACK.replace("event_name", "event_nam"));
    assert_eq!(broken.status, 422);
    let told = broken.json()["error"]["detail"].as_str().unwrap().to_owned();
    assert_eq!(told, "my.yaml: events[0].event_nam: unknown key; did you mean 'event_name'?");
    assert_eq!(admin.count("sys_package", "source=shop"), 0);
}

fn command(server: &Server, arguments: &[&str]) -> CliRun {
    let mut all = arguments.to_vec();
    all.extend(["--url", server.url()]);
    campanile(&all)
}

#[test]
fn the_command_line_tells_what_is_wrong_with_a_pack_or_a_file_and_writes_nothing() {
    let server = Server::start();
    let admin = server.admin();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let pack = write("shop.yaml", PACK);
    let differs = command(&server, &["diff", &pack]);
    assert_eq!(differs.code, 0, "{}", differs.stderr);
    assert!(differs.stdout.contains("shop 1.0.0: 2 changes would be made"), "{}", differs.stdout);
    let applied = command(&server, &["apply", &pack, "--json"]);
    assert_eq!(applied.code, 0, "{}", applied.stderr);
    let answer: Value = serde_json::from_str(&applied.stdout).unwrap();
    assert_eq!(answer["changes"].as_array().unwrap().len(), 2);

    let map = write(
        "log.map.yaml",
        "campanile: map/v1\ntable: incident\nkey: number\ncolumns:\n  number: {field: number}\n  \
         opened: {field: opened_at}\n",
    );
    let short = write("short.csv", "number\nA\n");
    let missing = command(&server, &["replay", &short, "--map", &map]);
    assert_eq!(missing.code, 1);
    let expected =
        format!("{short}: column 'opened': the map needs it and the file does not have it");
    assert!(missing.stderr.contains(&expected), "{}", missing.stderr);
    let dated = write("dated.csv", "number,opened\nA,2016-03-01 10:00:00\nB,yesterday\n");
    let undated = command(&server, &["replay", &dated, "--map", &map]);
    assert_eq!(undated.code, 1);
    let expected = format!("{dated}: line 3: column 'opened': 'yesterday' is no date");
    assert!(undated.stderr.contains("nothing was written"), "{}", undated.stderr);
    assert!(undated.stderr.contains(&expected), "{}", undated.stderr);
    assert_eq!(admin.count("incident", "numberINA,B"), 0);

    let marked = write("marked.yaml", &format!("\u{feff}{PACK}"));
    let differs = command(&server, &["diff", &marked]);
    assert!(differs.stdout.contains("shop 1.0.0: 0 changes would be made"), "{}", differs.stderr);
    let script = write("marked.js", "\u{feff}1 + ");
    let run = command(&server, &["eval", &script]);
    assert!(run.stderr.contains("marked.js:1:5"), "{}", run.stderr);
    let script = write("marked.js", "\u{feff}gs.print(6 * 7)");
    assert!(command(&server, &["eval", &script]).stdout.contains("42"));
    // The map and the file, as some programs write them.
    let map = write("log.map.yaml", &format!("\u{feff}{}", std::fs::read_to_string(&map).unwrap()));
    let good = write("good.csv", "\u{feff}number,opened\nA,2016-03-01 10:00:00\nB,\n");
    let done = command(&server, &["replay", &good, "--map", &map]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(
        done.stdout.contains("2 inserted, 0 updated, 0 unchanged, 0 refused"),
        "{}",
        done.stdout
    );
    assert!(done.stdout.contains("incident.inserted  processed 2"), "{}", done.stdout);
    assert_eq!(admin.count("incident", "numberINA,B"), 2);
}
