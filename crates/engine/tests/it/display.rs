//! Values as people see them.

use std::cell::Cell;
use std::sync::Arc;

use campanile_engine::User;
use campanile_engine::records::display::{Display, Formats, fields_of};
use campanile_engine::records::{journal, lookup};
use campanile_model::query::BoundQuery;
use campanile_model::{Record, TableDef};
use campanile_store::{ReadTx, Select, StoreError};

use crate::house::House;

const TABLES: &str = "
- name: u_case
  extendable: true
  fields:
    - {name: number, display: true}
    - {name: u_caller, type: reference, reference: sys_user}
    - {name: u_watchers, type: glide_list, reference: sys_user}
    - {name: u_done, type: boolean}
    - {name: u_due, type: datetime}
    - {name: u_day, type: date}
    - {name: u_time, type: time}
    - {name: u_spent, type: duration}
    - {name: u_secret, type: password}
    - {name: u_state, type: integer, choices: [{value: 1, label: Open}]}
    - {name: u_notes, type: journal, label: Work notes}
    - {name: u_table, type: table_name}
- {name: u_bug, label: Bug, extends: u_case, fields: []}
- {name: u_link, fields: [{name: u_case, type: reference, reference: u_case, display: true}]}
";

/// Counts what is read.
struct Counting<'a> {
    inner: &'a dyn ReadTx,
    reads: Cell<usize>,
}

impl ReadTx for Counting<'_> {
    fn get(&self, table: &Arc<TableDef>, sys_id: &str) -> Result<Option<Record>, StoreError> {
        self.reads.set(self.reads.get() + 1);
        self.inner.get(table, sys_id)
    }

    fn select(&self, select: &Select) -> Result<Vec<Record>, StoreError> {
        self.reads.set(self.reads.get() + 1);
        self.inner.select(select)
    }

    fn count(&self, query: &BoundQuery) -> Result<u64, StoreError> {
        self.inner.count(query)
    }

    fn kept_answer(
        &self,
        key: &str,
        content_hash: u64,
        forgotten: campanile_model::Instant,
    ) -> Result<Option<String>, StoreError> {
        self.inner.kept_answer(key, content_hash, forgotten)
    }
}

fn shown(house: &House, formats: &Formats, row: &Record, field: &str) -> String {
    let dictionary = house.engine.dictionary().unwrap();
    let read = Arc::clone(house.engine.store()).read().unwrap();
    let display = Display::new(&*read, &dictionary, formats.clone());
    display.field(row, row.table().index(field).unwrap()).unwrap()
}

fn berlin(house: &House) -> Formats {
    Formats::of(&house.engine, &User { time_zone: Arc::from("Europe/Berlin"), ..User::system() })
}

#[test]
fn each_type_shows_what_people_read() {
    let house = House::new();
    house.define(TABLES);
    let joe = house.add("sys_user", &[("user_name", "joe"), ("name", "Joe Employee")]);
    let beth = house.add("sys_user", &[("user_name", "beth"), ("name", "Beth Anglin")]);
    let watchers = format!("{joe},{beth},someone@example.com,{}", "f".repeat(32));
    house.add(
        "u_bug",
        &[
            ("number", "B1"),
            ("u_caller", &joe),
            ("u_watchers", &watchers),
            ("u_done", "1"),
            ("u_due", "2026-07-01 22:30:00"),
            ("u_day", "2026-07-01"),
            ("u_time", "1970-01-01 22:30:00"),
            ("u_spent", "1970-01-01 00:02:17"),
            ("u_secret", "hash"),
            ("u_state", "1"),
            ("u_table", "u_bug"),
        ],
    );
    let row = house.rows("u_bug", &[]).remove(0);
    let formats = berlin(&house);
    for (field, expected) in [
        ("u_caller", "Joe Employee"),
        ("u_watchers", "Joe Employee, Beth Anglin, someone@example.com"),
        ("u_done", "true"),
        ("u_due", "2026-07-02 00:30:00"),
        ("u_day", "2026-07-01"),
        ("u_time", "22:30:00"),
        ("u_spent", "2 Minutes 17 Seconds"),
        ("u_secret", "********"),
        ("u_state", "Open"),
        ("u_table", "Bug"),
        ("sys_class_name", "Bug"),
        ("u_notes", ""),
    ] {
        assert_eq!(shown(&house, &formats, &row, field), expected, "{field}");
    }
}

#[test]
fn nil_shows_nothing_but_a_password_shows_the_same_always() {
    let house = House::new();
    house.define(TABLES);
    house.add("u_case", &[("number", "C1")]);
    let row = house.rows("u_case", &[]).remove(0);
    for field in ["u_caller", "u_watchers", "u_done", "u_due", "u_spent", "u_state", "u_table"] {
        assert_eq!(shown(&house, &Formats::utc(), &row, field), "", "{field}");
    }
    assert_eq!(shown(&house, &Formats::utc(), &row, "u_secret"), "********");
}

#[test]
fn a_reference_to_a_row_that_is_gone_shows_nothing() {
    let house = House::new();
    house.define(TABLES);
    let joe = house.add("sys_user", &[("user_name", "joe"), ("name", "Joe Employee")]);
    house.add("u_case", &[("u_caller", &joe)]);
    house.remove("sys_user", &joe);
    let row = house.rows("u_case", &[]).remove(0);
    assert_eq!(shown(&house, &Formats::utc(), &row, "u_caller"), "");
}

#[test]
fn a_display_column_that_is_a_reference_is_followed() {
    let house = House::new();
    house.define(TABLES);
    let case = house.add("u_bug", &[("number", "B7")]);
    house.add("u_link", &[("u_case", &case)]);
    let row = house.rows("u_link", &[]).remove(0);
    let dictionary = house.engine.dictionary().unwrap();
    let read = Arc::clone(house.engine.store()).read().unwrap();
    let display = Display::new(&*read, &dictionary, Formats::utc());
    assert_eq!(display.record(&row).unwrap(), "B7");
    assert_eq!(display.reference("u_case", &case).unwrap(), "B7");
}

/// Tables whose display fields are of several kinds; in a defect, 1 is something else than in any stage.
const SHOWN: &str = "
- name: u_stage
  extendable: true
  fields:
    - {name: u_state, type: integer, display: true, choices: [{value: 1, label: Open}]}
    - {name: u_other, type: string}
- {name: u_defect, extends: u_stage, fields: []}
- {name: u_to_stage, fields: [{name: u_stage, type: reference, reference: u_stage, display: true}]}
- {name: u_diary, fields: [{name: u_notes, type: journal, label: Notes, display: true}]}
- {name: u_birthday, fields: [{name: u_day, type: date, display: true}]}
";

fn of_several_kinds(house: &House) -> String {
    house.define(SHOWN);
    let label = [("name", "u_defect"), ("element", "u_state"), ("value", "1"), ("label", "Broken")];
    house.add("sys_choice", &label);
    house.add("u_defect", &[("u_state", "1"), ("u_other", "x")])
}

#[test]
fn a_display_value_is_made_of_the_fields_that_are_named_for_it() {
    let house = House::new();
    let defect = of_several_kinds(&house);
    let link = house.add("u_to_stage", &[("u_stage", &defect)]);
    let birthday = house.add("u_birthday", &[("u_day", "2026-07-01")]);
    let diary = house.add("u_diary", &[]);
    let note = [("name", "u_diary"), ("element_id", &*diary), ("element", "u_notes")];
    house.add("sys_journal_field", &[&note[..], &[("value", "dear diary")]].concat());
    let dictionary = house.engine.dictionary().unwrap();
    let read = Arc::clone(house.engine.store()).read().unwrap();
    let display = Display::new(&*read, &dictionary, Formats::utc());
    for (table, sys_id, expected) in [
        ("u_stage", &defect, "Broken"),
        ("u_to_stage", &link, "Broken"),
        ("u_birthday", &birthday, "2026-07-01"),
        ("u_diary", &diary, "2026-03-02 08:00:00 - System (Notes)\ndear diary\n\n"),
    ] {
        let table = lookup::table(&dictionary, table).unwrap();
        let whole = read.get(table, sys_id).unwrap().unwrap();
        let mut part = Record::empty(Arc::clone(table));
        for field in fields_of(table) {
            part.set_at(field, whole.at(field).clone());
        }
        assert_eq!(display.record(&part).unwrap(), expected);
        assert_eq!(display.record(&whole).unwrap(), expected);
    }
}

#[test]
fn a_row_of_a_class_shows_the_same_in_a_list_as_alone() {
    let house = House::new();
    let defect = of_several_kinds(&house);
    house.add("u_to_stage", &[("u_stage", &defect)]);
    let rows = house.rows("u_to_stage", &[]);
    let field = rows[0].table().index("u_stage").unwrap();
    assert_eq!(shown(&house, &Formats::utc(), &rows[0], "u_stage"), "Broken");
    let dictionary = house.engine.dictionary().unwrap();
    let read = Arc::clone(house.engine.store()).read().unwrap();
    let display = Display::new(&*read, &dictionary, Formats::utc());
    display.prefetch(&rows, &[field]).unwrap();
    assert_eq!(display.field(&rows[0], field).unwrap(), "Broken");
}

#[test]
fn a_list_of_rows_reads_the_rows_that_it_refers_to_together() {
    let house = House::new();
    house.define(TABLES);
    for i in 0..50 {
        let (login, name) = (format!("u{i}"), format!("User {i}"));
        let user = house.add("sys_user", &[("user_name", &login), ("name", &name)]);
        house.add("u_case", &[("number", &login), ("u_caller", &user), ("u_watchers", &user)]);
    }
    let gone = "e".repeat(32);
    house.add("u_case", &[("number", "gone"), ("u_caller", &gone)]);
    let rows = house.rows("u_case", &[]);
    let dictionary = house.engine.dictionary().unwrap();
    let read = Arc::clone(house.engine.store()).read().unwrap();
    let counting = Counting { inner: &*read, reads: Cell::new(0) };
    let display = Display::new(&counting, &dictionary, Formats::utc());
    let table = lookup::table(&dictionary, "u_case").unwrap();
    let fields = ["u_caller", "u_watchers"].map(|name| table.index(name).unwrap());
    display.prefetch(&rows, &fields).unwrap();
    for row in &rows {
        let expected = match row.text("number") {
            "gone" => String::new(),
            login => login.replace('u', "User "),
        };
        assert_eq!(display.field(row, fields[0]).unwrap(), expected);
        assert_eq!(display.field(row, fields[1]).unwrap(), expected);
    }
    assert_eq!(counting.reads.get(), 1);
}

#[test]
fn the_zone_is_the_users_else_the_systems_else_utc() {
    let house = House::new();
    let nobody = User::system();
    let stored = "2026-01-01 12:00:00";
    let shown = |house: &House, user: &User| Formats::of(&house.engine, user).date_time(stored);
    assert_eq!(shown(&house, &nobody), stored);
    let row = house.rows("sys_properties", &[("name", "glide.sys.default.tz")]).remove(0);
    house.change("sys_properties", row.text("sys_id"), &[("value", "Asia/Tokyo")]);
    assert_eq!(shown(&house, &nobody), "2026-01-01 21:00:00");
    let lost = User { time_zone: Arc::from("Atlantis/Centre"), ..User::system() };
    assert_eq!(shown(&house, &lost), "2026-01-01 21:00:00", "an unknown zone is passed over");
    let berliner = User { time_zone: Arc::from("Europe/Berlin"), ..User::system() };
    assert_eq!(shown(&house, &berliner), "2026-01-01 13:00:00");
}

#[test]
fn journal_entries_read_newest_first() {
    let house = House::new();
    house.define(TABLES);
    house.add("sys_user", &[("user_name", "abel"), ("name", "Abel Tuter")]);
    let case = house.add("u_case", &[("number", "C1")]);
    for (author, text) in [("abel", "first"), ("stranger", "second\nline")] {
        let key = house.add(
            "sys_journal_field",
            &[("name", "u_case"), ("element_id", &case), ("element", "u_notes"), ("value", text)],
        );
        house.change("sys_journal_field", &key, &[("sys_created_by", author)]);
        house.clock.advance_millis(60_000);
    }
    let row = house.rows("u_case", &[]).remove(0);
    assert_eq!(
        shown(&house, &berlin(&house), &row, "u_notes"),
        "2026-03-02 09:01:00 - stranger (Work notes)\nsecond\nline\n\n\
         2026-03-02 09:00:00 - Abel Tuter (Work notes)\nfirst\n\n"
    );
    let dictionary = house.engine.dictionary().unwrap();
    let read = Arc::clone(house.engine.store()).read().unwrap();
    let newest = journal::entries(&*read, &dictionary, &case, "u_notes", 1).unwrap();
    assert_eq!(newest.iter().map(|e| &*e.text).collect::<Vec<_>>(), ["second\nline"]);
    assert!(journal::entries(&*read, &dictionary, &case, "u_notes", 0).unwrap().is_empty());
    assert!(journal::entries(&*read, &dictionary, "", "u_notes", journal::ALL).unwrap().is_empty());
}
