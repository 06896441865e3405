//! How long a record update takes with a before rule and an after rule that fires: one thread, then several.
//!
//! `cargo run --release -p campanile-engine --example record_rates`

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use campanile_engine::records::execution::Execution;
use campanile_engine::records::service::{self, InputValue, WriteRequest};
use campanile_engine::worker::{SCRIPT_STACK_BYTES, Worker, spawn_named};
use campanile_engine::{Engine, EngineConfig, EngineError, InitOptions, Session};
use campanile_model::SystemClock;

const UPDATES: usize = 5_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let config = EngineConfig {
        data_dir: folder.path().to_path_buf(),
        database: None,
        connections: campanile_store::Connections::default(),
        partitions: None,
        lease: campanile_store::Lease::default(),
        clock: Arc::new(SystemClock),
        node: "bench".to_owned(),
        script_workers: 1,
        start_processors: false,
    };
    let options =
        InitOptions { admin_password: Some("not used".to_owned()), ..InitOptions::default() };
    let engine = Engine::init(config, options)?.engine;
    let keys = on_script_thread(&engine, prepare)???;

    for threads in [1, 4, 16] {
        let took = update(&engine, &keys, threads)?;
        let each = took / u32::try_from(UPDATES)?;
        println!("{threads:>2} threads: {each:?} an update, {:.0}/s", 1.0 / each.as_secs_f64());
    }
    engine.stop()?;
    Ok(())
}

/// A table of 25 columns with two rules, and its rows.
fn prepare(execution: &Rc<Execution>) -> Result<Vec<String>, EngineError> {
    insert(execution, "sys_db_object", &[("name", "u_ticket"), ("label", "Ticket")])?;
    for number in 0..20 {
        let name = format!("u_text_{number}");
        insert(
            execution,
            "sys_dictionary",
            &[("name", "u_ticket"), ("element", &name), ("internal_type", "string")],
        )?;
    }
    for name in ["u_state", "u_count"] {
        insert(
            execution,
            "sys_dictionary",
            &[("name", "u_ticket"), ("element", name), ("internal_type", "integer")],
        )?;
    }
    let rule = [
        ("collection", "u_ticket"),
        ("action_update", "true"),
        ("advanced", "true"),
        ("active", "true"),
    ];
    let before = "(function executeRule(current, previous) { if (current.u_state.changes()) current.u_count = parseInt(current.u_count || 0, 10) + 1; })(current, previous);";
    let after = "(function executeRule(current, previous) { gs.eventQueue('ticket.updated', current, gs.getUserID(), gs.getUserName()); })(current, previous);";
    for (name, when, script) in [("count", "before", before), ("fire", "after", after)] {
        let values = [&rule[..], &[("name", name), ("when", when), ("script", script)]].concat();
        insert(execution, "sys_script", &values)?;
    }
    (0..64)
        .map(|number| {
            let text = format!("row {number}");
            insert(
                execution,
                "u_ticket",
                &[("u_text_0", &text), ("u_text_7", "more text"), ("u_state", "1")],
            )
        })
        .collect()
}

fn insert(
    execution: &Rc<Execution>,
    table: &str,
    values: &[(&str, &str)],
) -> Result<String, EngineError> {
    let written = service::insert(execution, &request(table, None, values))?;
    Ok(written.record.text("sys_id").to_owned())
}

fn request(table: &str, sys_id: Option<&str>, values: &[(&str, &str)]) -> WriteRequest {
    WriteRequest {
        table: table.to_owned(),
        sys_id: sys_id.map(str::to_owned),
        values: values
            .iter()
            .map(|(name, value)| ((*name).to_owned(), InputValue::from(*value)))
            .collect(),
        ..WriteRequest::default()
    }
}

fn update(
    engine: &Arc<Engine>,
    keys: &[String],
    threads: usize,
) -> Result<Duration, Box<dyn std::error::Error>> {
    let started = Instant::now();
    let mut running = Vec::new();
    for thread in 0..threads {
        let engine = Arc::clone(engine);
        // Each thread has rows of its own: they wait for the writer, not for each other's rows.
        let keys: Vec<String> = keys.iter().skip(thread).step_by(threads).cloned().collect();
        running.push(spawn_named(
            "updates",
            Some(SCRIPT_STACK_BYTES),
            move || -> Result<(), EngineError> {
                let worker = Worker::new(engine)?;
                for round in 0..UPDATES / threads {
                    let execution = worker.execution(Session::system());
                    let state = (round / keys.len() % 1000).to_string();
                    let key = &keys[round % keys.len()];
                    service::update(
                        &execution,
                        &request("u_ticket", Some(key), &[("u_state", &state)]),
                    )?;
                }
                Ok(())
            },
        )?);
    }
    for thread in running {
        thread.join().map_err(|_panic| "a thread panicked")??;
    }
    Ok(started.elapsed())
}

fn on_script_thread<T: Send + 'static>(
    engine: &Arc<Engine>,
    work: impl FnOnce(&Rc<Execution>) -> T + Send + 'static,
) -> Result<Result<T, EngineError>, Box<dyn std::error::Error>> {
    let engine = Arc::clone(engine);
    let thread = spawn_named("prepare", Some(SCRIPT_STACK_BYTES), move || {
        Ok(work(&Worker::new(engine)?.execution(Session::system())))
    })?;
    Ok(thread.join().map_err(|_panic| "the thread panicked")?)
}
