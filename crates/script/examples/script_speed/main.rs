//! What a script costs: one run, one field read, one field write, over a host that costs next to nothing.
//!
//! `cargo run --release -p campanile-script --example script_speed`

mod flat_host;

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use campanile_script::{
    Bindings, ElementKind, Host, Limits, RecordRef, Sandbox, ScriptKind, ScriptSource,
};
use flat_host::{FlatHost, FlatRecord};

/// Rounds of each measurement; the best one counts.
const ROUNDS: usize = 7;

/// Processor time of this thread, so that other work on the machine does not count (Linux; elsewhere wall time).
fn spent(started: Instant) -> Duration {
    let on_cpu = std::fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|text| text.split(' ').next()?.parse().ok());
    on_cpu.map_or_else(|| started.elapsed(), Duration::from_nanos)
}

struct Bench {
    sandbox: Sandbox,
    host: Rc<dyn Host>,
    started: Instant,
}

impl Bench {
    /// Best time of one run of `text`, with fresh record objects for each run as the engine binds them.
    fn time(&self, runs: u32, text: &str) -> Duration {
        let source = ScriptSource {
            kind: ScriptKind::ScriptAction,
            table: "sysevent_script_action".into(),
            sys_id: "".into(),
            name: "speed".into(),
            text: Arc::from(text),
        };
        let round = || {
            let start = spent(self.started);
            for _ in 0..runs {
                let bindings = Bindings {
                    current: Some(current() as RecordRef),
                    event: Some(event() as RecordRef),
                    ..Bindings::default()
                };
                let outcome = self.sandbox.run(&source, &bindings, Limits::default(), &self.host);
                if let Err(error) = outcome.result {
                    panic!("{error}");
                }
            }
            (spent(self.started) - start) / runs
        };
        (0..ROUNDS).map(|_| round()).min().unwrap_or_default()
    }

    /// Cost of one execution of `statement`, from a loop of 100,000 less the empty loop.
    fn time_statement(&self, statement: &str) -> Duration {
        let text =
            |body: &str| format!("var t = ''; for (var i = 0; i < 100000; i++) {{ {body} }}");
        let empty = self.time(1, &text("t = i;"));
        self.time(1, &text(statement)).saturating_sub(empty) / 100_000
    }
}

fn current() -> Rc<FlatRecord> {
    use ElementKind::{Boolean, Number, Reference, Text};
    FlatRecord::new(
        &[
            ("number", Text),
            ("short_description", Text),
            ("priority", Number),
            ("active", Boolean),
            ("assigned_to", Reference),
        ],
        &["INC0000001", "Email down", "1", "true", "a0000000000000000000000000000001"],
    )
}

fn event() -> Rc<FlatRecord> {
    use ElementKind::Text;
    FlatRecord::new(
        &[("name", Text), ("parm1", Text), ("parm2", Text)],
        &["incident.commented", "abel", ""],
    )
}

fn main() {
    let sandbox = match Sandbox::new() {
        Ok(sandbox) => sandbox,
        Err(error) => panic!("{error}"),
    };
    let bench = Bench { sandbox, host: Rc::new(FlatHost), started: Instant::now() };
    for (name, text) in [
        ("empty script", ""),
        (
            "script action: event.parm1, event.name, three fields of current",
            "var t = event.parm1 + event.name + current.number + current.priority + current.active;",
        ),
        (
            "the same with a comparison, an if and a write",
            "if (current.active && current.priority == 1 && event.name == 'incident.commented')\
               current.short_description = event.parm1 + ' ' + current.number;",
        ),
    ] {
        println!("{:>10.2?}  {name}", bench.time(20_000, text));
    }
    for (name, statement) in [
        ("field access", "t = current.number;"),
        ("field read as text", "t = current.number + '';"),
        ("getValue", "t = current.getValue('number');"),
        ("truth", "t = current.active ? 1 : 2;"),
        ("== with a number", "t = current.priority == 1;"),
        ("== with a text", "t = current.number == 'INC0000001';"),
        ("field write, text", "current.short_description = 'x';"),
        ("field write, number", "current.priority = 3;"),
        ("setValue", "current.setValue('number', 'x');"),
        ("new GlideRecord", "t = new GlideRecord('incident');"),
        ("new GlideRecord and a field", "t = new GlideRecord('incident').number + '';"),
        ("plain object property, for scale", "t = globalThis.Math;"),
    ] {
        println!("{:>10.2?}  {name}", bench.time_statement(statement));
    }
}
