//! `gs`, `GlideDateTime` and the other names of the library (scripting §9, §11.1).

use campanile_script::{LimitKind, LogLevel, ScriptKind};

use crate::mock::{Fired, Fixture, ids};

fn all(fixture: &Fixture, cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(fixture.eval(text), *expected, "{text}");
    }
}

#[test]
fn sa_67_placeholders_are_filled_from_arguments_or_an_array() {
    let fixture = Fixture::new();
    fixture.eval("gs.info('a {0} b {1}', 'x', 2); gs.info('{0}-{1}', ['p', 'q']); gs.info('{0}');");
    assert_eq!(fixture.host.logged(LogLevel::Info), ["a x b 2", "p-q", "{0}"]);
}

#[test]
fn any_value_can_be_logged_and_levels_go_their_ways() {
    let fixture = Fixture::new();
    fixture.eval(
        "gs.warn(gA.number); gs.warn(gA); gs.warn(); gs.warn(null); gs.warn({a: 1}); gs.warn([1, 2]);\
         gs.warn(Symbol('s')); gs.warn(1.5); gs.error('e {0}', gA.active); gs.debug('d');\
         gs.log('l', 'me'); gs.logError('le', 'me'); gs.logWarning('lw'); gs.print('p');\
         console.log('c', 1, gA.number); console.error('ce');",
    );
    assert_eq!(
        fixture.host.logged(LogLevel::Warn),
        [
            "INC0000001",
            "[object GlideRecord]",
            "undefined",
            "null",
            "[object Object]",
            "1,2",
            "Symbol(s)",
            "1.5",
            "lw"
        ]
    );
    assert_eq!(fixture.host.logged(LogLevel::Error), ["e true", "le", "ce"]);
    assert_eq!(fixture.host.logged(LogLevel::Debug), ["d"]);
    assert_eq!(fixture.host.logged(LogLevel::Print), ["p"]);
    assert_eq!(fixture.host.logged(LogLevel::Info), ["l", "c 1 INC0000001"]);
    let log = fixture.host.log.borrow();
    assert_eq!(log.iter().filter(|line| line.1 == "me").count(), 2);
}

#[test]
fn levels_that_do_not_exist_are_type_errors() {
    let fixture = Fixture::new();
    for name in ["trace", "warning"] {
        assert!(fixture.error(&format!("gs.{name}('x')")).starts_with("TypeError"), "{name}");
    }
}

#[test]
fn sa_64_an_event_carries_its_record_and_values() {
    let fixture = Fixture::new();
    let current = fixture.record("incident", ids::INCIDENT_A);
    let text = "if (current.comments.changes()) gs.eventQueue('incident.commented', current, gs.getUserID(), gs.getUserName())";
    fixture.eval_on(&current, text);
    assert!(fixture.host.fired.borrow().is_empty());
    fixture.eval_on(&current, &format!("current.comments = 'x'; {text}"));
    assert_eq!(
        *fixture.host.fired.borrow(),
        [Fired {
            name: "incident.commented".to_owned(),
            record: Some(format!("incident/{}", ids::INCIDENT_A)),
            parm1: format!("text:{}", ids::ABEL),
            parm2: "text:abel".to_owned(),
            ..Fired::default()
        }]
    );
}

#[test]
fn sa_74_event_values_cross_as_what_they_are() {
    let fixture = Fixture::new();
    fixture.eval(
        "gs.eventQueue('a', gA, gA.assigned_to, gB.assigned_to, 'my_queue');\
         gs.eventQueue('b', null, {x: 1}, [1, 'y']);\
         gs.eventQueue('c', gB);\
         gs.eventQueue('d', gA, new GlideDateTime('2024-03-20 00:00:00'), true);",
    );
    let fired = fixture.host.fired.borrow();
    let seen: Vec<_> = fired
        .iter()
        .map(|event| format!("{} {} {}", event.parm1, event.parm2, event.queue))
        .collect();
    assert_eq!(
        seen,
        [
            format!("element:{} element: my_queue", ids::ABEL),
            "object:[object Object]:{\"x\":1} [number:1 text:y] ".to_owned(),
            "undefined undefined ".to_owned(),
            "date:2024-03-20 00:00:00 bool:true ".to_owned(),
        ]
    );
    assert_eq!(fired[1].record, None);
}

#[test]
fn sa_75_a_scheduled_event_takes_a_record_and_a_time() {
    let fixture = Fixture::new();
    fixture.eval(
        "gs.eventQueueScheduled('any.name', gA, '', '', new GlideDateTime('2024-03-20 00:00:00'));\
         gs.eventQueueScheduled('any.name', gA.sys_id, 'p', null, gA.opened_at);",
    );
    let fired = fixture.host.fired.borrow();
    assert_eq!(fired[0].record, Some(format!("record:{}", ids::INCIDENT_A)));
    assert_eq!(fired[0].when.as_deref(), Some("date:2024-03-20 00:00:00"));
    assert_eq!(fired[1].record, Some(format!("element:{}", ids::INCIDENT_A)));
    assert_eq!(fired[1].when.as_deref(), Some("element:2024-03-01 10:00:00"));
}

#[test]
fn an_exception_of_the_host_is_caught_with_its_class_and_whole_message() {
    let fixture = Fixture::new();
    let text = "try { gs.eventQueue('n'.repeat(300), gA); 'none' } catch (e) {\
         (e instanceof RangeError) + ' ' + e.message }";
    let expected =
        format!("true event name '{}' is too long, expected at most 40", "n".repeat(300));
    assert_eq!(fixture.eval(text), expected);
}

#[test]
fn a_termination_by_the_host_cannot_be_caught() {
    let fixture = Fixture::new();
    fixture.host.events_left.set(3);
    let text = "var n = 0; for (;;) { try { gs.eventQueue('x', null); n++; } catch (e) { gs.error('caught'); }\
         finally { gs.error('finally'); } }";
    assert_eq!(fixture.limit(text), LimitKind::Events);
    assert_eq!(fixture.host.fired.borrow().len(), 3);
    assert_eq!(fixture.host.logged(LogLevel::Error), ["finally"; 3]);
    fixture.host.events_left.set(1);
    assert_eq!(fixture.eval("gs.eventQueue('y', null); 'ok'"), "ok", "the next run is clean");
}

#[test]
fn global_events_and_its_other_spelling_take_a_record() {
    let fixture = Fixture::new();
    fixture.eval("global_events(gA); global.events(gB);");
    let fired = fixture.host.fired.borrow();
    assert_eq!(fired.len(), 2);
    assert_eq!(fired[1].record.as_deref(), Some(ids::INCIDENT_B));
    drop(fired);
    assert!(fixture.error("global_events(null)").starts_with("TypeError"));
}

#[test]
fn sa_73_properties_are_texts_and_alternatives_are_given_back() {
    let fixture = Fixture::new();
    fixture.host.properties.borrow_mut().insert("x.flag".to_owned(), "true".to_owned());
    fixture.host.properties.borrow_mut().insert("x.empty".to_owned(), String::new());
    all(
        &fixture,
        &[
            ("gs.getProperty('x.flag') === 'true'", "true"),
            ("gs.getProperty('x.none')", "null"),
            ("gs.getProperty('x.none', 'd')", "d"),
            ("gs.getProperty('x.none', 5) === 5", "true"),
            ("gs.getProperty('x.empty', 'd') === ''", "true"),
            ("gs.setProperty('x.new', gA.number); gs.getProperty('x.new')", "INC0000001"),
        ],
    );
}

#[test]
fn messages_are_filled_and_unquoted() {
    all(
        &Fixture::new(),
        &[
            ("gs.getMessage('greeting', ['Joe', 'Monday'])", "Hello Joe, it's Monday"),
            ("gs.getMessage('hi {0}', gA.number)", "hi INC0000001"),
            ("gs.getMessage('nothing here')", "nothing here"),
            (
                "gs.addInfoMessage('i'); gs.addErrorMessage(gA.number); gs.addErrorMessage('e2');\
                 gs.getErrorMessages() + ' ' + gs.getInfoMessages().size()",
                "[INC0000001, e2] 1",
            ),
            ("gs.flushMessages(); gs.getErrorMessages().isEmpty()", "true"),
        ],
    );
}

#[test]
fn the_user_and_the_session_are_those_that_act() {
    all(
        &Fixture::new(),
        &[
            ("gs.getUserID()", ids::ABEL),
            ("gs.userID()", ids::ABEL),
            ("gs.getUserName() + ' ' + gs.getUserDisplayName()", "abel Abel Tuter"),
            ("gs.hasRole('admin,itil') + ' ' + gs.hasRole('x')", "true false"),
            (
                "gs.getUser().getEmail() + gs.getUser().getID()",
                concat!("abel@example.com", "a0000000000000000000000000000001"),
            ),
            ("gs.getUser().getRoles() + ''", "itil,catalog"),
            ("gs.getUser().getRoles().size()", "2"),
            ("gs.getSession().isLoggedIn() + ' ' + gs.isInteractive()", "true false"),
            ("gs.getCurrentScopeName() + ' ' + gs.getCallerScopeName()", "global null"),
        ],
    );
}

#[test]
fn nil_knows_every_kind_of_nothing() {
    all(
        &Fixture::new(),
        &[
            (
                "[gs.nil(null), gs.nil(undefined), gs.nil(''), gs.nil(gB.assigned_to), gs.nil()] + ''",
                "true,true,true,true,true",
            ),
            (
                "[gs.nil(0), gs.nil(false), gs.nil(' '), gs.nil(gA.active), gs.nil({})] + ''",
                "false,false,false,false,false",
            ),
        ],
    );
}

#[test]
fn the_rest_of_gs_answers() {
    let fixture = Fixture::new();
    all(
        &fixture,
        &[
            ("/^[0-9a-f]{32}$/.test(gs.generateGUID())", "true"),
            ("gs.tableExists('incident') + ' ' + gs.tableExists('nope')", "true false"),
            ("gs.getDisplayColumn('sys_user')", "name"),
            ("gs.daysAgo(0)", "2024-03-13 18:30:00"),
            ("gs.daysAgo(1)", "2024-03-12 18:30:00"),
            ("gs.daysAgo(-1)", "2024-03-14 18:30:00"),
            ("gs.hoursAgo(18.5)", "2024-03-13 00:00:00"),
            ("gs.minutesAgo('30')", "2024-03-13 18:00:00"),
            ("gs.daysAgo('x')", "2024-03-13 18:30:00"),
            ("gs.nowDateTime() + ' ' + gs.nowNoTZ()", "2024-03-13 18:30:00 2024-03-13 18:30:00"),
            ("gs.sleep(250)", "undefined"),
            ("Object.prototype.toString.call(gs)", "[object GlideSystem]"),
        ],
    );
    assert_eq!(fixture.host.slept_millis.get(), 250);
}

#[test]
fn global_is_an_alias_of_the_library() {
    all(
        &Fixture::new(),
        &[
            ("new global.GlideRecord('incident') instanceof GlideRecord", "true"),
            ("global.gs === gs", "true"),
            ("typeof global.GlideDateTime", "function"),
        ],
    );
}

#[test]
fn a_default_value_script_gets_the_next_number_of_current() {
    let fixture = Fixture::new();
    let current = fixture.record("incident", ids::INCIDENT_A);
    assert_eq!(fixture.eval_on(&current, "getNextObjNumberPadded()"), "INC0000042");
    assert_eq!(fixture.run("getNextObjNumberPadded()").text, "", "there is no current here");
}

#[test]
fn glide_date_time_reads_shows_and_compares() {
    all(
        &Fixture::new(),
        &[
            ("new GlideDateTime().getValue()", "2024-03-13 18:30:00"),
            ("new GlideDateTime('2024-03-20 01:02:03') + ''", "2024-03-20 01:02:03"),
            ("new GlideDateTime('2024-03-20 01:02:03').getNumericValue()", "1710896523000"),
            ("new GlideDateTime('13.03.2024').toString()", "2024-03-13 00:00:00"),
            ("new GlideDateTime(gA.opened_at).getValue()", "2024-03-01 10:00:00"),
            (
                "var a = new GlideDateTime(); var b = new GlideDateTime(a); a.setNumericValue(0); b + ''",
                "2024-03-13 18:30:00",
            ),
            ("new GlideDateTime('2024-03-13T18:30:00Z').isValid()", "false"),
            ("new GlideDateTime('nope').getErrorMsg()", "Could not parse DateTime: nope"),
            ("new GlideDateTime('nope').getNumericValue()", "0"),
            ("new GlideDateTime(gB.opened_at).hasDate()", "false"),
            ("new GlideDateTime('') + '#'", "#"),
            (
                "var d = new GlideDateTime('nope'); d.setValue('2024-01-01'); d.isValid() + ' ' + d",
                "true 2024-01-01 00:00:00",
            ),
            ("new GlideDateTime('2024-01-02') > new GlideDateTime('2024-01-01')", "true"),
            ("new GlideDateTime('2024-01-02') - new GlideDateTime('2024-01-01')", "86400000"),
            ("new GlideDateTime('2024-01-02') == new GlideDateTime('2024-01-02')", "true"),
            ("new GlideDateTime('2024-01-02') != new GlideDateTime('2024-01-03')", "true"),
            ("new GlideDateTime('2024-01-02') ? 1 : 2", "1"),
            ("new GlideDateTime('2024-01-02') == null", "false"),
            ("new GlideDateTime('2024-01-02') == '2024-01-02 00:00:00'", "true"),
            (
                "JSON.stringify({d: new GlideDateTime('2024-01-02')})",
                r#"{"d":"2024-01-02 00:00:00"}"#,
            ),
            (
                "var a = new GlideDateTime('2024-01-02'), b = new GlideDateTime('2024-01-03');\
                 [a.compareTo(b), b.compareTo(a), a.compareTo(a), a.before(b), a.after(b), a.onOrBefore(a),\
                  a.onOrAfter(b), a.equals('2024-01-02 00:00:00')] + ''",
                "-1,1,0,true,false,true,false,true",
            ),
            ("typeof new GlideDateTime().addMinutes", "undefined"),
            ("Object.prototype.toString.call(new GlideDateTime())", "[object GlideDateTime]"),
        ],
    );
}

#[test]
fn classes_out_of_scope_fail_only_where_they_are_used() {
    let fixture = Fixture::new();
    assert_eq!(fixture.eval("if (false) { new CmdbApi(); } 'ok'"), "ok");
    assert!(fixture.error("new CmdbApi()").starts_with("ReferenceError"));
    assert_eq!(fixture.eval("typeof parm1 + typeof event"), "undefinedundefined");
}

#[test]
fn event_fields_are_elements() {
    let fixture = Fixture::new();
    fixture.row(
        "sysevent",
        &[("sys_id", "e1"), ("name", "incident.commented"), ("parm1", "p"), ("parm2", "1")],
    );
    let bindings = campanile_script::Bindings {
        event: Some(fixture.record("sysevent", "e1")),
        ..campanile_script::Bindings::default()
    };
    let text = "[event.parm1 + '', event.parm1.toString(), event.parm1 == 'p', event.parm2 == 1,\
         gs.getMessage('{0}', event.parm1), current === null] + ''";
    let outcome = fixture.run_with(ScriptKind::ScriptActionCondition, text, &bindings);
    assert_eq!(outcome.result.unwrap().text, "p,p,true,true,p,true");
}
