//! Starting and stopping: what `serve` refuses, what it says, and what is there afterwards.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::harness::{ADMIN_PASSWORD, CliRun, Client, Server, binary, campanile, skip, wait_until};

/// User and group id of `nobody` on Debian.
const NOBODY: u32 = 65_534;

fn serve_until_it_ends(data: &Path, more: &[&str]) -> CliRun {
    let data = data.to_str().unwrap();
    let mut args = vec!["serve", "--data", data];
    if !more.contains(&"--listen") {
        args.extend(["--listen", "127.0.0.1:0"]);
    }
    args.extend(more);
    campanile(&args)
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    String::from_utf8_lossy(&id.stdout).trim() == "0"
}

#[test]
fn a_port_in_use_is_named_and_no_folder_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let run = serve_until_it_ends(&folder.path().join("data"), &["--listen", &address]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(run.stderr.contains(&address) && run.stderr.contains("--listen"), "{}", run.stderr);
    assert!(!folder.path().join("data").exists(), "nothing was made");
}

#[test]
fn a_second_server_on_the_same_folder_is_told_who_has_it() {
    let server = Server::start();
    let run = serve_until_it_ends(server.data(), &[]);
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("in use by another campanile (process "), "{}", run.stderr);
    assert!(run.stderr.contains(server.data().to_str().unwrap()), "{}", run.stderr);
    assert_eq!(server.anonymous().get("/healthz").status, 200, "the first one goes on");
}

#[test]
fn a_newer_database_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    assert!(Server::start_on(&data, &[]).stop());
    let sql = |text: &str| {
        let output =
            Command::new("sqlite3").arg(data.join("campanile.db")).arg(text).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    sql("INSERT INTO campanile_migration (number, name) VALUES (9999, 'from the future')");
    let before = std::fs::read(data.join("campanile.db")).unwrap();
    let run = serve_until_it_ends(&data, &[]);
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("schema 9999"), "{}", run.stderr);
    assert!(run.stderr.contains("use the newer version"), "{}", run.stderr);
    assert_eq!(std::fs::read(data.join("campanile.db")).unwrap(), before);
}

#[test]
fn a_folder_without_permission_is_named_with_the_fix() {
    if !is_root() {
        skip("a_folder_without_permission_is_named_with_the_fix", "needs root to become nobody");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let closed = folder.path().join("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, PermissionsExt::from_mode(0o700)).unwrap();
    // Where the other user can run it, wherever the build is.
    let program = folder.path().join("campanile");
    std::fs::copy(binary(), &program).unwrap();
    for data in [closed.clone(), closed.join("below"), folder.path().join("new")] {
        let output = Command::new(&program)
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(&data)
            .current_dir(folder.path())
            .env_remove("CAMPANILE_ADMIN_PASSWORD")
            .stdin(Stdio::null())
            .uid(NOBODY)
            .gid(NOBODY)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(data.to_str().unwrap()), "names the folder: {said}");
        assert!(said.contains("chown") && said.contains("--data"), "names the fix: {said}");
    }
    assert_eq!(std::fs::read_dir(&closed).unwrap().count(), 0);
}

#[test]
fn a_folder_with_foreign_files_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("thesis.tex"), "x").unwrap();
    let run = serve_until_it_ends(folder.path(), &[]);
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("thesis.tex"), "{}", run.stderr);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn an_unknown_setting_is_refused_with_the_nearest_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("campanile.toml");
    std::fs::write(&file, "[server]\nlisten_at = \"127.0.0.1:0\"\n").unwrap();
    let data = folder.path().join("data");
    let run = serve_until_it_ends(&data, &["--settings", file.to_str().unwrap()]);
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("there is no setting 'server.listen_at'"), "{}", run.stderr);
    assert!(run.stderr.contains("did you mean 'server.listen'"), "{}", run.stderr);
    assert!(!data.exists());
}

#[test]
fn a_stop_in_order_leaves_nothing_claimed_and_a_restart_has_everything() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::start_on(&data, &[]);
    let admin = server.admin();
    let handler = json!({
        "name": "slow", "event_name": "t.slow", "active": "true", "script": "gs.sleep(50);",
    });
    admin.post("/api/now/table/sysevent_script_action", &handler).result();
    let incident =
        admin.post("/api/now/table/incident", &json!({"short_description": "kept"})).result();
    for _ in 0..20 {
        admin.post("/api/events", &json!({"name": "t.slow"})).result();
    }
    wait_until("some are handled", || admin.count("sysevent", "name=t.slow^state=processed") > 0);
    assert!(server.stop(), "SIGTERM ends in order");
    let handling = std::fs::read(data.join("handling")).unwrap();
    assert!(handling.iter().all(|byte| *byte == 0), "nothing is being handled");

    let server = Server::start_on(&data, &[]);
    let admin = server.admin();
    admin.wait_until_drained();
    assert_eq!(admin.count("sysevent", "name=t.slow^state=processed"), 20);
    assert_eq!(admin.count("sysevent", "name=t.slow^lapses>0"), 0, "no stop counts as a crash");
    assert_eq!(admin.count("sysevent_handler_run", "handler_name=slow"), 20, "none ran twice");
    let path = format!(
        "/api/now/table/incident/{}?sysparm_fields=short_description",
        incident["sys_id"].as_str().unwrap()
    );
    assert_eq!(admin.get(&path).result()["short_description"], "kept");
}

#[test]
fn a_made_up_password_is_printed_once_and_a_given_one_never() {
    let folder = tempfile::tempdir().unwrap();
    let made_up = folder.path().join("made-up");
    let init = |data: &Path, given: Option<&str>| {
        let mut command = Command::new(binary());
        command.args(["init", "--data"]).arg(data).env_remove("CAMPANILE_ADMIN_PASSWORD");
        if let Some(password) = given {
            command.env("CAMPANILE_ADMIN_PASSWORD", password);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr)
    };
    let said = init(&made_up, None);
    let password = said.split("password: ").nth(1).unwrap().split_whitespace().next().unwrap();
    let server = Server::start_on(&made_up, &[]);
    assert_eq!(server.client("admin", password).count("sys_user", "user_name=admin"), 1);
    let with_other = server.client("admin", ADMIN_PASSWORD).get("/api/now/table/sys_user");
    assert_eq!(with_other.status, 401, "the variable changes no existing password");

    let said = init(&folder.path().join("given"), Some("s3cret-and-long"));
    assert!(!said.contains("s3cret-and-long"), "{said}");
    assert!(said.contains("CAMPANILE_ADMIN_PASSWORD"), "{said}");
}

#[test]
fn an_empty_folder_gets_the_itsm_pack_and_demo_data_only_on_demand() {
    let folder = tempfile::tempdir().unwrap();
    for (name, flags, incidents) in [("plain", &[][..], 0), ("demo", &["--demo"][..], 4)] {
        let server = Server::start_on(&folder.path().join(name), flags);
        let admin = server.admin();
        assert_eq!(admin.count("incident", ""), incidents, "{name}");
        assert_eq!(admin.count("sysevent_register", "event_name=incident.assigned"), 1, "{name}");
    }
}

/// A small file system of its own; unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(megabytes: u32) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "tmpfs"])
            .arg(folder.path())
            .stderr(Stdio::null())
            .status();
        mounted.is_ok_and(|status| status.success()).then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(self.0.path()).status());
    }
}

fn fire_large(admin: &Client) -> u16 {
    admin.post("/api/events", &json!({"name": "t.large", "parm2": "x".repeat(3_000)})).status
}

#[test]
fn a_full_disk_answers_503_damages_nothing_and_goes_on_when_there_is_space() {
    let Some(disk) = SmallDisk::mount(64) else {
        skip(
            "a_full_disk_answers_503_damages_nothing_and_goes_on_when_there_is_space",
            "needs the right to mount a tmpfs",
        );
        return;
    };
    let data = disk.0.path().join("data");
    let server = Server::start_on(&data, &[]);
    let admin = server.admin();
    let ballast = disk.0.path().join("ballast");
    let fill = Command::new("dd")
        .args(["if=/dev/zero", "bs=64k", &format!("of={}", ballast.display())])
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(!fill.success(), "dd goes on until the disk is full");
    let mut accepted = 0_u64;
    wait_until("an event is refused", || match fire_large(&admin) {
        202 => {
            accepted += 1;
            false
        }
        status => {
            assert_eq!(status, 503);
            true
        }
    });
    let refused =
        admin.post("/api/events", &json!({"name": "t.large", "parm2": "x".repeat(3_000)}));
    assert_eq!(refused.status, 503, "{}", refused.text);
    assert!(refused.text.contains("full"), "{}", refused.text);
    assert!(admin.count("sysevent", "name=t.large") >= accepted, "reading goes on");

    std::fs::remove_file(&ballast).unwrap();
    wait_until("it goes on by itself", || match fire_large(&admin) {
        202 => {
            accepted += 1;
            true
        }
        _ => false,
    });
    admin.wait_until_drained();
    assert_eq!(admin.count("sysevent", "name=t.large^state=processed"), accepted);
    assert!(server.stop());
    let doctor = campanile(&["doctor", "--data", data.to_str().unwrap()]);
    assert_eq!(doctor.code, 0, "{} {}", doctor.stdout, doctor.stderr);
}

#[test]
fn a_server_that_starts_is_alive_and_not_ready_and_says_so_to_everybody() {
    let folder = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    // Making the database of an empty folder takes a while; the door is open before.
    let mut child = Command::new(binary())
        .args(["serve", "--listen", &address, "--data"])
        .arg(folder.path().join("data"))
        .env("CAMPANILE_ADMIN_PASSWORD", ADMIN_PASSWORD)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let ask = |path: &str| {
        let mut stream = std::net::TcpStream::connect(&address).ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
        std::io::Write::write_all(&mut stream, request.as_bytes()).ok()?;
        std::io::read_to_string(stream).ok().filter(|answer| !answer.is_empty())
    };
    let mut first = None;
    wait_until("the door is open", || {
        first = ask("/readyz");
        first.is_some()
    });
    let first = first.unwrap();
    assert!(first.starts_with("HTTP/1.1 503"), "{first}");
    assert!(first.ends_with(r#"{"status":"starting"}"#), "{first}");
    let alive = ask("/healthz").unwrap();
    assert!(alive.starts_with("HTTP/1.1 200"), "{alive}");
    let other = ask("/api/now/table/incident").unwrap();
    assert!(other.starts_with("HTTP/1.1 503"), "{other}");
    assert!(other.contains("retry-after: 1") && other.contains(r#""code":"starting""#), "{other}");
    wait_until("it is ready", || {
        ask("/readyz").is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
    });
    let closed = ask("/api/now/table/incident").unwrap();
    assert!(closed.starts_with("HTTP/1.1 401"), "{closed}");
    child.kill().unwrap();
    child.wait().unwrap();
}
