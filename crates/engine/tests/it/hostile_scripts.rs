//! Scripts that want to stay, as business rules and as script actions: each ends by a limit that the error names (or,
//! where the engine refuses at once, by an exception), others go on working meanwhile, and the next script runs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use campanile_engine::EngineError;
use campanile_model::limits::SCRIPT_OUTPUT_BYTES_MAX;
use campanile_script::LimitKind;

use crate::fixture::{A, B, Fixture};
use crate::script_bench::{action, background, event_row, handle_all, logged, runs};

/// What ends a hostile script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Time,
    /// Time or memory, whichever comes first on this machine.
    Limit,
    /// An exception of this class: nothing was done yet.
    Exception(&'static str),
}

const HOSTILE: &[(&str, End)] = &[
    ("for(;;){}", End::Time),
    ("for(;;) new Promise(function(){for(;;){}})", End::Time),
    ("[].reverse.call({length: 2**53-1})", End::Exception("RangeError")),
    ("for(;;) { try { [].reverse.call({length: 2**53-1}) } catch (e) {} }", End::Time),
    (
        "var a = []; function f() { try { for(;;) a.push({n: a.length}) } catch (e) { f() } finally { f() } } f()",
        End::Limit,
    ),
    ("try { for(;;){} } finally { for(;;){} }", End::Time),
    ("[3,2,1].sort(function(){ for(;;){} })", End::Time),
    ("for(;;) { try { 'x'.repeat(2**29) } catch (e) {} }", End::Limit),
    ("for(;;) { try { current.update() } catch (e) {} finally { for(;;){} } }", End::Time),
    (
        "current.toString = function(){ for(;;){} }; for(;;) { try { '' + current.number; gs.info } catch (e) {} }",
        End::Time,
    ),
];

const MAX_MS: u64 = 700;
/// Far above the limit, for a machine that is busy with other things; far below for ever.
const GIVE_UP: Duration = Duration::from_secs(20);

fn limited() -> Fixture {
    let fixture = Fixture::new();
    for kind in ["business_rule", "script_action"] {
        fixture.property(&format!("campanile.script.{kind}.max_ms"), &MAX_MS.to_string());
    }
    fixture.property("campanile.script.memory_mb", "24");
    fixture
}

/// Does `work` while another thread writes records; how many it wrote meanwhile.
fn beside_others<T>(fixture: &Fixture, work: impl FnOnce() -> T) -> (T, usize) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let others = scope.spawn(|| {
            let mut written = 0;
            while !done.load(Ordering::Acquire) {
                fixture.insert("beth", "u_plain", &[("u_name", "meanwhile")]).unwrap();
                written += 1;
            }
            written
        });
        let result = work();
        done.store(true, Ordering::Release);
        (result, others.join().unwrap())
    })
}

#[test]
fn a_hostile_business_rule_fails_its_operation_with_the_name_of_a_limit() {
    let fixture = limited();
    for (text, end) in HOSTILE {
        let rule = fixture.before("hostile", &format!("gs.eventQueue('t.lost', current); {text}"));
        let started = Instant::now();
        let (result, others) =
            beside_others(&fixture, || fixture.update("abel", "incident", A, &[("state", "2")]));
        assert!(started.elapsed() < GIVE_UP, "{text} took {:?}", started.elapsed());
        match (end, result) {
            (End::Exception(class), Ok(_)) => {
                assert_eq!(fixture.a("state"), "2", "{text}");
                assert_eq!(logged(&fixture, "2", class).len(), 1, "{text}");
                fixture.house.change("incident", A, &[("state", "1")]);
            }
            (End::Time | End::Limit, Err(EngineError::LimitReached(reached))) => {
                let message = &reached.detail;
                let name = message.split(':').next().unwrap_or_default().to_owned();
                let names: &[&str] = match end {
                    End::Time => &["ScriptTimeout"],
                    _ => &["ScriptTimeout", "ScriptMemoryExceeded"],
                };
                assert!(names.contains(&name.as_str()), "{text}: {message}");
                assert!(message.contains("campanile.script."), "{message}");
                assert_eq!(fixture.a("state"), "1", "{text}: rolled back");
                assert!(*end != End::Time || others > 0, "{text}: nobody else got on");
            }
            (_, result) => panic!("{text}: {result:?}"),
        }
        fixture.house.remove("sys_script", &rule);
        assert_eq!(fixture.script("[1, 2].map(function(x){ return x + 1 }).join()").text, "2,3");
    }
    let lost = fixture.house.rows("sysevent", &[("name", "t.lost")]);
    assert_eq!(lost.len(), 1, "only the operation that went on has fired");
}

#[test]
fn a_hostile_script_action_ends_its_run_and_the_next_event_is_handled_by_the_same_worker() {
    let fixture = limited();
    for (number, (text, end)) in HOSTILE.iter().enumerate() {
        let (event, calm) = (format!("t.hostile{number}"), format!("t.calm{number}"));
        action(&fixture, &format!("hostile {number}"), &event, text, &[]);
        action(
            &fixture,
            &format!("beside {number}"),
            &event,
            "gs.print('beside')",
            &[("order", "200")],
        );
        action(&fixture, &format!("calm {number}"), &calm, "gs.print(event.parm1)", &[]);
        fixture.script(&format!(
            "var g = new GlideRecord('incident'); g.get('{B}'); gs.eventQueue('{event}', g); gs.eventQueue('{calm}', g, 'p')"
        ));
        let started = Instant::now();
        let (_, others) = beside_others(&fixture, || handle_all(&fixture));
        assert!(started.elapsed() < GIVE_UP, "{text} took {:?}", started.elapsed());
        let runs_of = runs(&fixture, &event);
        let run = &runs_of[0];
        let row = event_row(&fixture, &event);
        let told =
            format!("{text}: {} {} {}", run.reason, run.error_message, row.text("error_code"));
        assert_eq!((run.outcome.as_str(), row.text("state")), ("failed", "error"), "{told}");
        match end {
            End::Exception(class) => assert!(run.error_message.starts_with(class), "{told}"),
            End::Time => {
                assert_eq!(
                    (&*run.reason, row.text("error_code")),
                    ("timeout", "handler_timeout"),
                    "{told}"
                );
                assert!(run.error_message.starts_with("ScriptTimeout"), "{told}");
                assert!(others > 0, "{text}: nobody else got on");
            }
            End::Limit => assert!(
                ["ScriptTimeout", "ScriptMemoryExceeded"]
                    .iter()
                    .any(|name| run.error_message.starts_with(name)),
                "{told}"
            ),
        }
        assert_eq!(runs_of[1].log, "beside\n", "{text}: the other handler runs");
        assert_eq!(runs(&fixture, &calm)[0].log, "p\n", "{text}: the next event is handled");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_memory_of_bombs_is_given_back() {
    fn resident_mib() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() >> 10
    }
    let fixture = limited();
    fixture.property("campanile.script.memory_mb", "48");
    action(
        &fixture,
        "bomb",
        "t.bomb",
        "var a = []; for(;;) { try { a.push(new Array(1000).fill({})) } catch (e) {} }",
        &[],
    );
    let explode = || {
        fixture.script("for (var i = 0; i < 5; i++) gs.eventQueue('t.bomb', null, String(i))");
        assert_eq!(handle_all(&fixture).failed, 5);
    };
    explode();
    let after_five = resident_mib();
    explode();
    explode();
    let after_fifteen = resident_mib();
    assert!(
        after_fifteen < after_five + 96,
        "{after_five} MiB after five bombs of 48 MiB, {after_fifteen} MiB after fifteen"
    );
}

#[test]
fn what_a_run_says_is_bounded_however_it_says_it() {
    let fixture = Fixture::new();
    for says in ["gs.addErrorMessage", "gs.addInfoMessage", "gs.info", "gs.print", "gs.error"] {
        // Counted, not timed: a busy machine says less in the time.
        for (size, calls) in [("1e6", 1_200), ("100", 6_000)] {
            let script =
                format!("var x = 'x'.repeat({size}); for (var i = 0; i < {calls}; i++) {says}(x);");
            let (result, report) = background(&fixture, &script);
            assert!(result.is_ok(), "{says} {size}: {result:?}");
            let kept = report.messages.iter().map(|(_, text)| text.len()).sum::<usize>()
                + report.log.iter().map(|line| line.text.len()).sum::<usize>();
            assert!(kept > 0 && kept <= SCRIPT_OUTPUT_BYTES_MAX, "{says} {size}: {kept} bytes");
            assert!(report.messages.len() + report.log.len() <= 5_001, "{says} {size}");
            assert!(report.log_dropped > 0, "{says} {size}: what was dropped is counted");
        }
    }
    assert_eq!(fixture.script("6 * 7").text, "42");
}

#[test]
fn what_record_objects_hold_counts_against_the_memory_of_a_run() {
    let fixture = Fixture::new();
    fixture.property("campanile.script.background.memory_mb", "16");
    for (number, holds) in [
        "a.push(new GlideRecord('incident'))",
        "var g = new GlideRecord('sys_dictionary'); g.query(); a.push(g)",
        "g.addQuery('number', x)",
        "g.addQuery('nosuch', x)",
        "g.addEncodedQuery('number=' + x.substring(0, 1000))",
        "c.addOrCondition('number', x)",
        "g.orderBy(x)",
        "a.push(gA.caller_id.getRefRecord())",
        "var g = new GlideRecord('incident'); g.work_notes = x; a.push(g)",
        "var g = new GlideRecord('incident'); g.description = x; a.push(g)",
    ]
    .into_iter()
    .enumerate()
    {
        let script = format!(
            "var gA = new GlideRecord('incident'); gA.get('{A}'); var a = [], x = 'x'.repeat(100000), g = new GlideRecord('incident');\
             var c = g.addQuery('number', 'y'); for (;;) {{ {holds} }}"
        );
        let (result, report) = background(&fixture, &script);
        assert_eq!(result, Err(LimitKind::Memory), "{number} {holds}: {:?}", report.log);
        assert!(
            report.statements < 20_000,
            "{holds}: the limit of statements was not what ended it"
        );
    }
    // What is held no longer does not count.
    let gives_back = "var x = 'x'.repeat(4000); for (var i = 0; i < 20000; i++) {\
         var g = new GlideRecord('incident'); g.addQuery('number', x); g.description = x; g.description = 'y' + x; }\
         var one = new GlideRecord('incident'); for (var j = 0; j < 3000; j++) { one.initialize(); one.work_notes = x; one.get('no such'); } 'ended'";
    let (result, _) = background(&fixture, gives_back);
    assert_eq!(result, Ok("ended".to_owned()));
}

#[test]
fn events_that_wait_for_their_operation_count_against_the_memory_of_a_run() {
    let fixture = Fixture::new();
    fixture.property("campanile.script.background.memory_mb", "16");
    fixture.after("fires", "var x = 'x'.repeat(60000); for (var i = 0; i < 5000; i++) gs.eventQueue('t.much', current, x, x);");
    let update = crate::fixture::update_a("gA.state = 2");
    let (result, _) = background(
        &fixture,
        &format!("{update} + ' ' + new GlideRecord('u_plain').insert().length"),
    );
    assert_eq!(
        result,
        Ok("null 32".to_owned()),
        "the rule is ended, and the script that is above it goes on"
    );
    assert_eq!(logged(&fixture, "2", "ScriptMemoryExceeded").len(), 1);
    assert!(fixture.events().is_empty(), "what was fired went with the operation");
    assert_eq!(fixture.a("state"), "1");
}
