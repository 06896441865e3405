//! Record objects over real rows (scripting §20.1, §20.3, §20.4): the cases that need a database.

use campanile_script::LogLevel;

use crate::fixture::{A, ABEL, B, BETH, C, Fixture, JOE, update_a};

/// Positions `gA`, `gB` and `gC`.
const GIVEN: &str = "function on(n) { var g = new GlideRecord('incident'); g.get('number', n); return g }\
     var gA = on('INC0000001'), gB = on('INC0000002'), gC = on('INC0000003');";

fn value(fixture: &Fixture, script: &str) -> String {
    fixture.script(&format!("{GIVEN}{script}")).text
}

#[test]
fn sa_08_an_element_is_counted_up_and_stored() {
    let fixture = Fixture::new();
    let text = value(
        &fixture,
        "var old = gC.reassignment_count++; gC.update(); old + ' ' + gC.reassignment_count",
    );
    assert_eq!(text, "9 10");
    assert_eq!(fixture.row("incident", C).unwrap().text("reassignment_count"), "10");
}

#[test]
fn sa_11_a_walk_through_nothing_is_nil_at_any_depth() {
    let fixture = Fixture::new();
    assert_eq!(value(&fixture, "gB.assigned_to.manager.department.name + '#'"), "#");
}

#[test]
fn sa_12_a_walk_follows_a_reference_that_was_just_assigned() {
    let fixture = Fixture::new();
    let script =
        format!("gA.assigned_to.name + ' '; gA.assigned_to = '{BETH}'; gA.assigned_to.name + ''");
    assert_eq!(value(&fixture, &script), "Beth Anglin");
}

#[test]
fn sa_18_the_word_null_empties_a_field_in_upper_case_only() {
    let fixture = Fixture::new();
    value(
        &fixture,
        "gA.short_description = 'NULL'; gB.short_description = 'null'; gA.update(); gB.update()",
    );
    assert_eq!(fixture.a("short_description"), "");
    assert_eq!(fixture.row("incident", B).unwrap().text("short_description"), "null");
}

#[test]
fn sa_19_set_value_ignores_null_and_an_assignment_clears() {
    let fixture = Fixture::new();
    let script = "gA.setValue('category', null); var first = gA.category + ''; gA.category = null; first + '|' + gA.category";
    assert_eq!(value(&fixture, script), "network|");
}

#[test]
fn sa_42_an_array_means_in() {
    let fixture = Fixture::new();
    let script = "var g = new GlideRecord('incident'); g.addQuery('number', ['INC0000001','INC0000003']); g.query(); g.getRowCount()";
    assert_eq!(value(&fixture, script), "2");
}

#[test]
fn sa_43_or_conditions_extend_their_own_group() {
    let fixture = Fixture::new();
    let script = "var g = new GlideRecord('incident'); var q1 = g.addQuery('priority', 1); q1.addOrCondition('priority', 3);\
         var q2 = g.addQuery('state', 1); q2.addOrCondition('state', 2); var text = g.getEncodedQuery(); g.orderBy('number'); g.query(); var n = [];\
         while (g.next()) n.push(g.number + ''); n + ' ' + text + ' ' + g.getEncodedQuery()";
    let text = value(&fixture, script);
    assert_eq!(
        text,
        "INC0000001,INC0000002 priority=1^ORpriority=3^state=1^ORstate=2 priority=1^ORpriority=3^state=1^ORstate=2^ORDERBYnumber"
    );
}

#[test]
fn sa_45_get_takes_a_key_a_display_value_or_a_field() {
    let fixture = Fixture::new();
    let script = "var g = new GlideRecord('incident'); var out = [g.get('INC0000002'), g.number + '', g.get(undefined)];\
         out.push(g.get('priority', 1)); out.push(g.next()); out.push(g.next()); out + ''";
    assert_eq!(value(&fixture, script), "true,INC0000002,false,true,true,false");
}

#[test]
fn sa_46_a_misspelt_condition_is_left_out_with_a_warning_or_finds_nothing() {
    let fixture = Fixture::new();
    let script = "var g = new GlideRecord('incident'); g.addQuery('actve', true); g.query(); g.getRowCount()";
    let ran = fixture.script(script);
    assert_eq!(ran.text, "3");
    let warnings = ran.lines(LogLevel::Warn);
    assert!(warnings.len() == 1 && warnings[0].contains("actve"), "{warnings:?}");
    fixture.property("glide.invalid_query.returns_no_rows", "true");
    assert_eq!(fixture.script(script).text, "0");
}

#[test]
fn sa_47_bulk_operations_do_nothing_on_a_misspelt_query() {
    let fixture = Fixture::new();
    let ran = fixture.script(
        "var g = new GlideRecord('incident'); g.addQuery('actve', true); g.deleteMultiple(); g.setValue('category', 'x'); g.updateMultiple()",
    );
    assert_eq!(fixture.house.rows("incident", &[]).len(), 3);
    assert_eq!(fixture.a("category"), "network");
    assert_eq!(ran.lines(LogLevel::Error).len(), 2);
}

#[test]
fn sa_48_and_49_limits_and_windows_override_each_other() {
    let fixture = Fixture::new();
    for number in 0..10 {
        fixture.house.add("u_plain", &[("u_name", &format!("n{number}"))]);
    }
    let rows = |setup: &str| {
        fixture
            .script(&format!(
                "var g = new GlideRecord('u_plain'); g.orderBy('u_name'); {setup}; g.query(); var c = g.getRowCount(); var n = [];\
                 while (g.next()) n.push(g.u_name + ''); c + ':' + n"
            ))
            .text
    };
    assert_eq!(rows("g.chooseWindow(2, 4)"), "10:n2,n3");
    assert_eq!(rows("g.chooseWindow(2, 4); g.setLimit(5)"), "5:n0,n1,n2,n3,n4");
    assert_eq!(rows("g.setLimit(5); g.chooseWindow(2, 4)"), "10:n2,n3");
    assert_eq!(rows("g.setLimit(4)"), "4:n0,n1,n2,n3");
}

#[test]
fn a_query_ends_at_the_ceiling_with_a_warning() {
    let fixture = Fixture::new();
    fixture.property("glide.db.max_view_records", "2");
    let ran = fixture.script(
        "var g = new GlideRecord('incident'); g.query(); var n = 0; while (g.next()) n++; n",
    );
    assert_eq!(ran.text, "2");
    assert!(ran.lines(LogLevel::Warn)[0].contains("glide.db.max_view_records"));
}

#[test]
fn sa_50_an_inserted_object_holds_the_row_but_must_be_read_to_be_deleted() {
    let fixture = Fixture::new();
    let script = "var g = new GlideRecord('incident'); g.short_description = 'x'; var id = g.insert();\
         var out = [/^[0-9a-f]{32}$/.test(id), g.state + '', /^INC\\d{7}$/.test(g.number), g.deleteRecord()];\
         g.get(id); out.push(g.deleteRecord()); out + ''";
    assert_eq!(value(&fixture, script), "true,1,true,false,true");
}

#[test]
fn sa_54_and_55_bulk_operations_ignore_limits() {
    let fixture = Fixture::new();
    fixture.script(
        "var g = new GlideRecord('incident'); g.addQuery('active', 'IN', 'true,false'); g.setLimit(1); g.setValue('category', 'NULL'); g.updateMultiple()",
    );
    assert!(fixture.house.rows("incident", &[]).iter().all(|row| row.text("category").is_empty()));
    fixture.script("var g = new GlideRecord('incident'); g.addNotNullQuery('number'); g.setLimit(1); g.query(); g.deleteMultiple()");
    assert!(fixture.house.rows("incident", &[]).is_empty());
}

#[test]
fn sa_56_rows_of_a_parent_know_their_class() {
    let fixture = Fixture::new();
    fixture.house.add("problem", &[("number", "PRB1"), ("sys_class_name", "problem")]);
    let script = "var g = new GlideRecord('task'); g.orderBy('number'); g.query(); var out = [];\
         while (g.next()) out.push(g.getTableName() + ':' + g.getRecordClassName()); out + ''";
    assert_eq!(value(&fixture, script), "task:incident,task:incident,task:incident,task:problem");
}

#[test]
fn sa_57_and_58_an_empty_reference_gives_an_empty_record_and_the_last_row_stays() {
    let fixture = Fixture::new();
    let script = "var r = gB.assigned_to.getRefRecord(); var g = new GlideRecord('incident'); g.orderBy('number'); g.query();\
         while (g.next()) {} [r !== null, r.isValidRecord(), g.isValidRecord(), g.number] + ''";
    assert_eq!(value(&fixture, script), "true,false,false,INC0000003");
}

#[test]
fn sa_59_inserting_a_row_that_was_read_makes_a_copy() {
    let fixture = Fixture::new();
    let id = value(&fixture, "gA.insert()");
    assert_ne!(id, A);
    let copy = fixture.row("incident", &id).unwrap();
    assert_eq!(
        (copy.text("short_description"), copy.text("sys_created_by")),
        ("Email down", "abel")
    );
}

#[test]
fn sa_60_an_unknown_table_finds_and_writes_nothing() {
    let fixture = Fixture::new();
    let script = "var g = new GlideRecord('no_table'); g.query(); [g.isValid(), g.next(), g.insert() === null] + ''";
    assert_eq!(value(&fixture, script), "false,false,true");
}

#[test]
fn sa_63_journals_read_newest_first_in_the_session_s_zone() {
    let fixture = Fixture::new();
    fixture.script(&update_a("gA.work_notes = 'one'"));
    fixture.house.clock.advance_millis(1_000);
    fixture.script(&update_a("gA.work_notes = 'two'"));
    let script = "[gA.work_notes.getJournalEntry(1), gA.work_notes.getJournalEntry(-1).split('\\n\\n').filter(String).length, gA.work_notes + '#'].join('|')";
    assert_eq!(
        value(&fixture, script),
        "2024-03-13 11:30:01 - Abel Tuter (Work notes)\ntwo\n\n|2|#"
    );
}

#[test]
fn sa_64_a_comment_counts_as_a_change_of_its_field() {
    let fixture = Fixture::new();
    fixture.after(
        "comments",
        "if (current.comments.changes()) gs.eventQueue('incident.commented', current, gs.getUserID(), gs.getUserName());",
    );
    fixture.script(&update_a("gA.state = 2"));
    assert!(fixture.events().is_empty());
    fixture.script(&update_a("gA.comments = 'hello'"));
    let event = fixture.house.rows("sysevent", &[]).remove(0);
    assert_eq!((event.text("parm1"), event.text("parm2")), (ABEL, "abel"));
}

#[test]
fn sa_73_properties_are_texts_and_one_that_was_set_reads_back() {
    let fixture = Fixture::new();
    fixture.property("x.flag", "true");
    let script = "gs.setProperty('x.made', 'a'); gs.setProperty('x.made', 'b');\
         [gs.getProperty('x.flag') === 'true', gs.getProperty('x.none') === null, gs.getProperty('x.none', 'd'), gs.getProperty('x.made')] + ''";
    assert_eq!(fixture.script_as("admin", script).text, "true,true,d,b");
    assert_eq!(fixture.house.rows("sys_properties", &[("name", "x.made")]).len(), 1);
}

#[test]
fn a_property_that_a_rule_sets_reads_back_before_the_commit() {
    let fixture = Fixture::new();
    fixture.after("sets", "gs.setProperty('x.made', 'new'); gs.print(gs.getProperty('x.made'));");
    assert_eq!(fixture.script(&update_a("gA.state = 2")).trace(), ["new"]);
}

#[test]
fn sa_74_parameters_of_an_event_are_stored_texts() {
    let fixture = Fixture::new();
    fixture.after(
        "fires",
        "gs.eventQueue('any.name', previous, current.assigned_to, previous.active); gs.eventQueue('any.other', current, {a: 1}, new GlideDateTime(), 'q2');",
    );
    fixture.script(&update_a(&format!("gA.assigned_to = '{BETH}'")));
    let event = fixture.house.rows("sysevent", &[("name", "any.name")]).remove(0);
    assert_eq!((event.text("table"), event.text("instance")), ("incident", A));
    assert_eq!((event.text("parm1"), event.text("parm2")), (BETH, "1"));
    let other = fixture.house.rows("sysevent", &[("name", "any.other")]).remove(0);
    assert_eq!((other.text("parm1"), other.text("parm2")), ("{\"a\":1}", "2024-03-13 18:30:00"));
    assert_eq!(other.text("queue"), "q2");
}

#[test]
fn sa_75_a_scheduled_event_takes_the_display_value_for_an_empty_parameter() {
    let fixture = Fixture::new();
    value(
        &fixture,
        "gs.eventQueueScheduled('any.name', gA, '', '', new GlideDateTime('2024-03-20 00:00:00'))",
    );
    let event = fixture.house.rows("sysevent", &[]).remove(0);
    assert_eq!(event.text("process_on"), "2024-03-20 00:00:00");
    assert_eq!((event.text("parm1"), event.text("parm2")), ("INC0000001", ""));
}

#[test]
fn an_event_fired_while_its_record_is_deleted_carries_a_snapshot() {
    let fixture = Fixture::new();
    fixture.rule(
        "farewell",
        &[
            ("when", "after"),
            ("action_update", "false"),
            ("action_delete", "true"),
            ("script", "gs.eventQueue('incident.gone', current, '', '')"),
        ],
    );
    value(&fixture, "gA.deleteRecord()");
    let event = fixture.house.rows("sysevent", &[]).remove(0);
    assert!(event.text("snapshot").contains("Email down"), "{}", event.text("snapshot"));
}

#[test]
fn global_events_fires_what_happened_in_its_order() {
    let fixture = Fixture::new();
    fixture.rule(
        "events",
        &[("when", "after"), ("action_insert", "true"), ("script", "global_events(current)")],
    );
    fixture.script(&update_a(&format!(
        "gA.comments = 'c'; gA.assigned_to = '{BETH}'; gA.active = false; gA.state = 7"
    )));
    assert_eq!(
        fixture.events(),
        ["incident.commented", "incident.updated", "incident.assigned", "incident.inactive"]
    );
    let assigned = fixture.house.rows("sysevent", &[("name", "incident.assigned")]).remove(0);
    assert_eq!((assigned.text("parm1"), assigned.text("parm2")), ("Beth Anglin", "Abel Tuter"));
    let registered = fixture.house.rows("sysevent_register", &[("event_name", "incident.updated")]);
    assert_eq!(registered.len(), 1, "a missing registration is made");
}

#[test]
fn display_values_can_be_assigned() {
    let fixture = Fixture::new();
    let script = "gA.caller_id.setDisplayValue('Beth Anglin'); gA.watch_list.setDisplayValue('Joe Employee, Nobody, Abel Tuter');\
         gA.opened_at.setDisplayValue('2024-03-13 11:30:00'); gA.state.setDisplayValue('closed'); gA.update()";
    value(&fixture, script);
    assert_eq!(fixture.a("caller_id"), BETH);
    assert_eq!(fixture.a("watch_list"), format!("{JOE},{ABEL}"));
    assert_eq!(
        (fixture.a("opened_at").as_str(), fixture.a("state").as_str()),
        ("2024-03-13 18:30:00", "3")
    );
}

#[test]
fn what_an_event_row_is_asked_for_by_a_script_is_done_by_the_event_service() {
    let fixture = Fixture::new();
    let script = "var e = new GlideRecord('sysevent'); e.name = 'by.row'; e.parm1 = 'p'; var id = e.insert();\
         var g = new GlideRecord('sysevent'); g.get(id); [g.name, g.parm1, g.state, g.deleteRecord()] + ''";
    assert_eq!(fixture.script_as("admin", script).text, "by.row,p,ready,false");
}

#[test]
fn log_lines_of_a_run_are_bounded() {
    let fixture = Fixture::new();
    fixture.property("campanile.script.max_log_rows", "10");
    let ran = fixture.script("for (var i = 0; i < 25; i++) gs.info('line ' + i); 'done'");
    assert_eq!((ran.report.log.len(), ran.report.log_dropped), (10, 15));
}

#[test]
fn too_many_events_end_the_run() {
    let fixture = Fixture::new();
    fixture.property("campanile.script.max_events", "3");
    let (result, report) = fixture
        .try_script("abel", "try { for (;;) gs.eventQueue('flood', null, '', '') } catch (e) {}");
    assert_eq!(result, Err(Some(campanile_script::LimitKind::Events)));
    assert_eq!(report.fired.len(), 3);
}
