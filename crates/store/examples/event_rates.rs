//! How fast the event half is, bare: appends, claims with completions, memory. Not a benchmark to quote (`bench/` has
//! those), but what one runs before and after a change here: `cargo run --release -p campanile-store --example event_rates`.

use std::sync::Arc;
use std::time::Instant as Moment;

use campanile_model::{EventSource, HandlerKind, HandlerRun, Instant, NewEvent, Outcome, SysId};
use campanile_store::{
    AppendMode, ClaimRequest, Completion, EventStore, NextState, SqliteOptions, SqliteStore,
    StoreError,
};

const NOW: Instant = Instant::from_millis(1_700_000_000_000);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let count: usize = std::env::args().nth(1).map_or(Ok(200_000), |text| text.parse())?;
    let folder = tempfile::tempdir()?;
    let store = SqliteStore::open(&SqliteOptions::new(folder.path()))?;
    for round in 0..3 {
        rate(&format!("append, batches of 500, durable ({round})"), count, || {
            append(&store, count, 0)
        })?;
        rate(&format!("claim and complete with one run ({round})"), count, || drain(&store))?;
    }
    rate("append a million for later at the best priority", 1_000_000, || {
        append(&store, count, 3_600_000)
    })?;
    println!("resident: {} MB", resident_kb() / 1024);
    rate("append beside them", count, || append(&store, count, 0))?;
    rate("drain beside them", count, || drain(&store))?;
    let began = Moment::now();
    let backlog = store.backlog(NOW)?;
    println!("backlog: {:?} in {:.1} ms", backlog[0], began.elapsed().as_secs_f64() * 1e3);
    drop(store);
    let began = Moment::now();
    let store = SqliteStore::open(&SqliteOptions::new(folder.path()))?;
    println!("open: {:.1} ms", began.elapsed().as_secs_f64() * 1e3);
    drop(store);
    Ok(())
}

fn rate(
    what: &str,
    count: usize,
    work: impl FnOnce() -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let (began, used) = (Moment::now(), processor_ms());
    work()?;
    let seconds = began.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let (rate, each_us) =
        (count as f64 / seconds, (processor_ms() - used) as f64 * 1e3 / count as f64);
    println!("{what}: {rate:.0}/s, {each_us:.1} us of processor time each");
    Ok(())
}

fn append(store: &SqliteStore, count: usize, due_in_ms: i64) -> Result<(), StoreError> {
    let mut later = 0;
    for batch in 0..count / 500 {
        let events = (0..500).map(|n| event(batch * 500 + n, due_in_ms)).collect();
        let (outcomes, mark) =
            store.append_blocking(events, AppendMode { durable: true, atomic: false })?;
        later += outcomes.into_iter().filter(Result::is_err).count();
        assert!(mark.0 > 0 && later == 0, "every event is accepted");
    }
    Ok(())
}

/// Who claims.
const BY: &str = "node/default/0";

fn drain(store: &SqliteStore) -> Result<(), StoreError> {
    loop {
        let claim = store.claim(&ClaimRequest {
            queue: "",
            limit: 100,
            claimed_by: BY,
            by_priority: true,
            now: NOW,
        })?;
        if claim.events.is_empty() {
            break;
        }
        for event in claim.events {
            if !store.begin(&event.fired.sys_id, BY, 0) {
                continue;
            }
            let run = run(&event);
            store.complete(Completion {
                event: event.fired.sys_id,
                epoch: event.epoch,
                next: NextState::Processed,
                started: NOW,
                duration_ms: 1,
                runs: vec![run],
            });
        }
    }
    store.flush()?;
    Ok(())
}

fn event(n: usize, due_in_ms: i64) -> NewEvent {
    let text = |text: &str| Arc::<str>::from(text);
    NewEvent {
        sys_id: SysId::generate(NOW),
        name: text(["incident.updated", "incident.assigned", "incident.inserted"][n % 3]),
        parm1: text("6816f79cc0a8016401c5a33be04be441"),
        parm2: text("Fred Luddy"),
        table: text("incident"),
        instance: Arc::from(format!("{:032x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))),
        descriptive_name: text("INC0010001"),
        queue: text(""),
        queue_from_call: false,
        priority: if due_in_ms > 0 { 1.0 } else { 100.0 },
        process_on: NOW.plus_millis(due_in_ms),
        created: NOW,
        scheduled: due_in_ms > 0,
        registered: true,
        user_id: text("6816f79cc0a8016401c5a33be04be441"),
        user_name: text("fred.luddy"),
        uri: text("/api/now/table/incident"),
        snapshot: text(""),
        depth: 0,
        cause_event: None,
        cause_handler: text(""),
        dedupe_key: text(""),
        key_life_ms: campanile_model::limits::IDEMPOTENCY_KEY_MS,
        content_hash: 0,
        source: EventSource::Rule,
        coalesce_seconds: 0,
        max_attempts: 0,
    }
}

fn run(event: &campanile_model::Event) -> HandlerRun {
    HandlerRun {
        sys_id: SysId::generate(NOW),
        event: event.fired.sys_id,
        origin_id: event.origin_id,
        epoch: 0,
        attempt: 1,
        kind: HandlerKind::ScriptAction,
        handler: event.fired.sys_id,
        handler_name: "Tell the assignee".to_owned(),
        order: 1,
        outcome: Outcome::Succeeded,
        reason: String::new(),
        sentence: String::new(),
        started_at: NOW,
        duration_ms: 1,
        error_message: String::new(),
        error_line: 0,
        error_stack: String::new(),
        log: String::new(),
        fired_events: (0, Vec::new()),
        written_records: (0, Vec::new()),
        definition_version: 1,
    }
}

/// Processor time of this process, which a busy machine does not blur as it does the clock.
fn processor_ms() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.split_whitespace().collect();
    // User and system time, in hundredths of a second.
    [13, 14].iter().filter_map(|i| fields.get(*i)?.parse::<u64>().ok()).sum::<u64>() * 10
}

fn resident_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kb| kb.parse().ok()).unwrap_or(0)
}
