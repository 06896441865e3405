//! Bounds of scripts (scripting §16) as properties set them, for each kind and each handler; and what becomes of sleep,
//! messages and the writer's time.

use std::time::{Duration, Instant};

use campanile_engine::EngineError;
use campanile_script::{LimitKind, LogLevel, MessageKind};

use crate::fixture::{A, Fixture, update_a};
use crate::script_bench::{action, background, event_row, handle_all, logged, runs};

/// Far above the limits of these tests, far below the shipped ones.
const SOON: Duration = Duration::from_secs(8);

#[test]
fn a_changed_limit_holds_for_the_next_run_and_not_only_after_a_while() {
    let fixture = Fixture::new();
    fixture.before("endless", "for(;;){}");
    for max_ms in ["300", "200", "100"] {
        fixture.property("campanile.script.business_rule.max_ms", max_ms);
        let started = Instant::now();
        let error = fixture.update("abel", "incident", A, &[("state", "2")]).unwrap_err();
        assert!(matches!(error, EngineError::LimitReached(_)), "{error:?}");
        assert!(started.elapsed() < SOON, "{max_ms}: {:?}", started.elapsed());
    }
}

#[test]
fn the_limit_of_a_kind_wins_over_the_general_one() {
    let fixture = Fixture::new();
    fixture.property("campanile.script.max_ms", "100");
    let (result, _) = background(&fixture, "for(;;){}");
    assert_eq!(result, Err(LimitKind::Time));
    fixture.property("campanile.script.background.max_ms", "60000");
    let slow = "var end = new Date().getTime(); for (var i = 0; i < 20; i++) gs.sleep(10); 'done'";
    assert_eq!(background(&fixture, slow).0, Ok("done".to_owned()));
    fixture.before("slow", "for(;;){}");
    assert_eq!(
        fixture.script(&update_a("gA.state = 2")).text,
        "null",
        "a rule keeps the general one"
    );
}

#[test]
fn conditions_of_rules_have_a_limit_of_their_own() {
    let fixture = Fixture::new();
    fixture.property("campanile.script.business_rule_condition.max_ms", "100");
    fixture.rule("endless condition", &[("condition", "for(;;){}"), ("script", "gs.print('ran')")]);
    let error = fixture.update("abel", "incident", A, &[("state", "2")]).unwrap_err();
    assert!(error.to_string().contains("ScriptTimeout"), "{error}");
    assert_eq!(fixture.a("state"), "1");
    assert_eq!(logged(&fixture, "2", "endless condition").len(), 1);
}

#[test]
fn the_memory_of_one_kind_can_be_bounded() {
    let fixture = Fixture::new();
    fixture.property("campanile.script.business_rule.memory_mb", "4");
    let text = "var a = []; for (var i = 0; i < 40; i++) a.push('x'.repeat(262144) + i); a.length";
    assert_eq!(fixture.script(text).text, "40");
    fixture.before("large", text);
    let error = fixture.update("abel", "incident", A, &[("state", "2")]).unwrap_err();
    assert!(error.to_string().contains("ScriptMemoryExceeded"), "{error}");
    assert!(error.to_string().contains("campanile.script.memory_mb"), "{error}");
}

#[test]
fn the_timeout_of_a_script_action_wins_over_that_of_its_queue() {
    let fixture = Fixture::new();
    action(&fixture, "endless", "t.endless", "\nfor(;;){}", &[("timeout", "1970-01-01 00:00:01")]);
    fixture.script("gs.eventQueue('t.endless', null)");
    let started = Instant::now();
    handle_all(&fixture);
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    let run = runs(&fixture, "t.endless").remove(0);
    assert_eq!((run.reason.as_str(), run.outcome.as_str()), ("timeout", "failed"));
    assert!(run.error_message.contains("1000 ms"), "{}", run.error_message);
    assert!(run.error_message.contains("(timeout of the script action)"), "{}", run.error_message);
    assert_eq!(event_row(&fixture, "t.endless").text("error_code"), "handler_timeout");
}

#[test]
fn the_property_of_script_actions_bounds_them_below_the_timeout() {
    let fixture = Fixture::new();
    fixture.property("campanile.script.script_action.max_ms", "200");
    action(&fixture, "endless", "t.endless", "for(;;){}", &[]);
    action(
        &fixture,
        "endless condition",
        "t.unsure",
        "gs.print('ran')",
        &[("condition_script", "for(;;){}")],
    );
    fixture.script("gs.eventQueue('t.endless', null); gs.eventQueue('t.unsure', null)");
    let started = Instant::now();
    fixture.property("campanile.script.script_action_condition.max_ms", "200");
    handle_all(&fixture);
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    for event in ["t.endless", "t.unsure"] {
        let run = runs(&fixture, event).remove(0);
        assert_eq!((run.reason.as_str(), run.outcome.as_str()), ("timeout", "failed"), "{event}");
        assert!(run.error_message.contains("200 ms"), "{}", run.error_message);
    }
}

#[test]
fn statements_rows_and_events_of_one_kind_can_be_bounded() {
    let fixture = Fixture::new();
    for (name, text, limit) in [
        (
            "max_db_statements",
            "for(;;) { var g = new GlideRecord('incident'); g.query(); g.next() }",
            LimitKind::Statements,
        ),
        ("max_rows_written", "for(;;) new GlideRecord('u_plain').insert()", LimitKind::RowsWritten),
        ("max_events", "for(;;) gs.eventQueue('t.flood', null)", LimitKind::Events),
    ] {
        fixture.property(&format!("campanile.script.background.{name}"), "20");
        let (result, _) = background(&fixture, text);
        assert_eq!(result, Err(limit), "{name}");
        fixture.property(&format!("campanile.script.background.{name}"), "1000000");
    }
    assert_eq!(fixture.events().len(), 20);
}

#[test]
fn sleep_counts_and_ends_with_its_run() {
    let fixture = Fixture::new();
    fixture.property("campanile.script.background.max_ms", "300");
    let started = Instant::now();
    let (result, report) = background(&fixture, "gs.sleep(5000); gs.print('awake')");
    assert_eq!(result, Err(LimitKind::Time));
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    assert!(report.log.is_empty(), "{:?}", report.log);
    let text =
        "try { gs.sleep(5000) } catch (e) { gs.print('caught') } finally { gs.print('finally') }";
    let (result, report) = background(&fixture, text);
    assert_eq!((result, report.log.len()), (Err(LimitKind::Time), 0));
}

#[test]
fn one_sleep_lasts_five_seconds_at_most() {
    let fixture = Fixture::new();
    let started = Instant::now();
    assert_eq!(fixture.script("gs.sleep(3600000); 'awake'").text, "awake");
    let slept = started.elapsed();
    assert!((Duration::from_secs(5)..Duration::from_secs(60)).contains(&slept), "{slept:?}");
}

#[test]
fn an_after_rule_that_keeps_the_writer_is_ended_before_its_own_limit() {
    let fixture = Fixture::new();
    fixture.property("campanile.script.max_writer_ms", "300");
    for script in
        ["for(;;){}", "for(;;) { try { gs.sleep(50) } catch (e) {} }", "gs.sleep(5000); for(;;){}"]
    {
        let rule = fixture.after("keeps it", script);
        let started = Instant::now();
        let error = fixture.update("abel", "incident", A, &[("state", "2")]).unwrap_err();
        assert!(started.elapsed() < SOON, "{script}: {:?}", started.elapsed());
        let text = error.to_string();
        assert!(matches!(error, EngineError::LimitReached(_)), "{script}: {error:?}");
        assert!(
            text.contains("ScriptCancelled") && text.contains("campanile.script.max_writer_ms"),
            "{script}: {text}"
        );
        assert_eq!(fixture.a("state"), "1", "{script}");
        fixture.house.remove("sys_script", &rule);
    }
    assert_eq!(logged(&fixture, "2", "ScriptCancelled").len(), 3);
}

#[test]
fn a_before_rule_that_takes_the_writer_by_a_nested_write_is_ended_too() {
    let fixture = Fixture::new();
    fixture.property("campanile.script.max_writer_ms", "300");
    fixture.before("takes it", "new GlideRecord('u_plain').insert(); for(;;){}");
    let started = Instant::now();
    let error = fixture.update("abel", "incident", A, &[("state", "2")]).unwrap_err();
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    assert!(error.to_string().contains("campanile.script.max_writer_ms"), "{error}");
    assert!(fixture.house.rows("u_plain", &[]).is_empty(), "rolled back");
}

#[test]
fn the_script_round_an_operation_that_was_given_up_goes_on() {
    let fixture = Fixture::new();
    fixture.property("campanile.script.max_writer_ms", "300");
    fixture.after("keeps it", "for(;;){}");
    let script = format!(
        "{} === null; for (var i = 0; i < 60; i++) gs.sleep(10); 'went on'",
        update_a("gA.state = 2")
    );
    assert_eq!(fixture.script(&script).text, "went on");
    assert_eq!(fixture.a("state"), "1");
}

#[test]
fn a_before_rule_without_writes_may_take_longer_than_the_writer_may_be_kept() {
    let fixture = Fixture::new();
    fixture.property("campanile.script.max_writer_ms", "100");
    fixture.before("thinks", "for (var i = 0; i < 30; i++) gs.sleep(10); gs.print('thought')");
    let ran = fixture.script(&update_a("gA.state = 2"));
    assert_eq!((ran.trace(), fixture.a("state")), (vec!["thought"], "2".to_owned()));
}

#[test]
fn an_operation_that_fails_in_a_script_action_leaves_what_was_committed_before() {
    let fixture = Fixture::new();
    fixture.property("campanile.script.business_rule.max_ms", "200");
    fixture.rule("endless", &[("filter_condition", "state=7"), ("script", "for(;;){}")]);
    let script = "current.state = 2; current.update(); current.state = 7; var r = current.update(); gs.print(r === null); gs.print('after');";
    action(&fixture, "writes twice", "t.write", script, &[]);
    fixture.script(&format!(
        "var g = new GlideRecord('incident'); g.get('{A}'); gs.eventQueue('t.write', g)"
    ));
    handle_all(&fixture);
    let run = runs(&fixture, "t.write").remove(0);
    assert!(run.log.ends_with("true\nafter\n"), "{}", run.log);
    assert_eq!(run.outcome.as_str(), "succeeded");
    assert_eq!(fixture.a("state"), "2");
}

#[test]
fn messages_are_the_session_s_and_those_of_a_handler_go_to_its_log() {
    let fixture = Fixture::new();
    fixture.before(
        "talks",
        "gs.addInfoMessage('one {0}'); gs.addErrorMessage('two'); gs.print(gs.getErrorMessages() + '|' + gs.getInfoMessages())",
    );
    let written = fixture.update("abel", "incident", A, &[("state", "2")]).unwrap();
    assert_eq!(
        written.messages,
        [(MessageKind::Info, "one {0}".to_owned()), (MessageKind::Error, "two".to_owned())]
    );
    let ran = fixture.script(&update_a("gA.state = 3; gs.addInfoMessage('own')"));
    assert_eq!(ran.trace(), ["[two]|[own, one {0}]"]);
    let flushed = fixture
        .script("gs.addInfoMessage('gone'); gs.flushMessages(); gs.addErrorMessage('stays')");
    assert_eq!(flushed.report.messages, [(MessageKind::Error, "stays".to_owned())]);
    action(
        &fixture,
        "talks",
        "t.talk",
        "gs.addErrorMessage('to whom?'); gs.print(gs.getErrorMessages().size())",
        &[],
    );
    fixture.script("gs.eventQueue('t.talk', null)");
    handle_all(&fixture);
    let run = runs(&fixture, "t.talk").remove(0);
    assert!(run.log.contains("to whom?") && run.log.ends_with("0\n"), "{}", run.log);
    assert_eq!(logged(&fixture, "0", "to whom?").len(), 1);
}

#[test]
fn a_long_line_is_cut_and_a_flood_of_lines_ends_in_one_that_says_so() {
    let fixture = Fixture::new();
    fixture.property("campanile.script.max_log_rows", "3");
    let ran = fixture
        .script("gs.info('y'.repeat(40000)); for (var i = 0; i < 9; i++) gs.warn('line ' + i)");
    let cut = ran.lines(LogLevel::Info)[0];
    assert!(cut.ends_with("(cut)") && cut.chars().count() < 32_800, "{}", cut.len());
    assert_eq!(
        logged(&fixture, "1", "line").len(),
        3,
        "two lines and the one that tells of the rest"
    );
}

#[test]
fn the_property_that_ended_a_rule_is_named_also_when_it_is_that_of_the_script_around_it() {
    let fixture = Fixture::new();
    fixture.before("endless", "for(;;){}");
    let said = || {
        let error = fixture.update("abel", "incident", A, &[("state", "2")]).unwrap_err();
        let EngineError::LimitReached(reached) = error else { panic!("{error:?}") };
        assert!(reached.detail.contains(&format!("({})", reached.set_by)), "{reached:?}");
        reached.set_by
    };
    fixture.property("campanile.script.max_ms", "100");
    assert_eq!(said(), "campanile.script.max_ms");
    fixture.property("campanile.script.business_rule.max_ms", "200");
    assert_eq!(said(), "campanile.script.business_rule.max_ms");
    fixture.property("campanile.script.business_rule.max_ms", "60000");
    fixture.property("campanile.script.background.max_ms", "300");
    assert_eq!(background(&fixture, &update_a("gA.state = 2")).0, Err(LimitKind::Time));
    let told = logged(&fixture, "2", "(campanile.script.background.max_ms)");
    assert!(told.iter().any(|row| row.text("message").contains("'endless'")), "{told:?}");
}
