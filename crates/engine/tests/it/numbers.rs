//! Record numbers.

use std::collections::HashSet;
use std::sync::Arc;

use campanile_engine::records::lookup;
use campanile_engine::records::numbers::Numbers;

use crate::house::House;

const TABLES: &str = "
- {name: u_ticket, extendable: true, fields: [{name: number}]}
- {name: u_fault, extends: u_ticket, fields: []}
- {name: u_note, fields: [{name: u_text}]}
";

struct Sequence {
    house: House,
    numbers: Numbers,
}

impl Sequence {
    fn new(house: House) -> Self {
        Self { house, numbers: Numbers::default() }
    }

    fn next(&self, table: &str) -> Option<String> {
        let dictionary = self.house.engine.dictionary().unwrap();
        self.numbers.next(&self.house.engine, lookup::table(&dictionary, table).unwrap()).unwrap()
    }

    /// Takes a number inside a write transaction that is committed or not.
    fn next_inside(&self, table: &str, commit: bool) -> String {
        let dictionary = self.house.engine.dictionary().unwrap();
        let table = lookup::table(&dictionary, table).unwrap();
        let mut tx = Arc::clone(self.house.engine.store()).write().unwrap();
        let number = self.numbers.next_in(&self.house.engine, &mut *tx, table).unwrap().unwrap();
        if commit {
            tx.commit().unwrap();
        }
        number
    }
}

fn house(number: &str, digits: &str) -> (House, String) {
    let house = House::new();
    house.define(TABLES);
    let values =
        [("category", "u_ticket"), ("prefix", "T"), ("number", number), ("maximum_digits", digits)];
    let row = house.add("sys_number", &values);
    (house, row)
}

#[test]
fn br_58_numbers_are_padded_and_never_given_twice() {
    let (house, _) = house("99", "2");
    let sequence = Sequence::new(house);
    assert_eq!(sequence.next("u_ticket").as_deref(), Some("T99"));
    assert_eq!(sequence.next("u_ticket").as_deref(), Some("T100"));
    let given: Vec<String> = std::thread::scope(|scope| {
        let takers: Vec<_> = (0..20)
            .map(|i| {
                let sequence = &sequence;
                scope.spawn(move || match i % 2 {
                    0 => sequence.next("u_ticket").unwrap(),
                    _ => sequence.next_inside("u_ticket", i % 3 == 0),
                })
            })
            .collect();
        takers.into_iter().map(|taker| taker.join().unwrap()).collect()
    });
    assert_eq!(given.iter().collect::<HashSet<_>>().len(), 20, "{given:?}");
}

#[test]
fn many_threads_over_many_marks_never_meet() {
    let (house, _) = house("1", "4");
    let sequence = Sequence::new(house);
    let given: Vec<String> = std::thread::scope(|scope| {
        let taker = || (0..150).map(|_| sequence.next("u_ticket").unwrap()).collect::<Vec<_>>();
        let takers: Vec<_> = (0..4).map(|_| scope.spawn(taker)).collect();
        takers.into_iter().flat_map(|taker| taker.join().unwrap()).collect()
    });
    let distinct: HashSet<_> = given.iter().collect();
    assert_eq!(distinct.len(), 600);
    assert!(distinct.contains(&"T0001".to_owned()) && distinct.contains(&"T0600".to_owned()));
}

#[test]
fn a_number_from_a_transaction_that_is_undone_is_a_gap_and_nothing_worse() {
    let (house, _) = house("1", "2");
    let sequence = Sequence::new(house);
    assert_eq!(sequence.next_inside("u_ticket", false), "T01");
    assert_eq!(sequence.next_inside("u_ticket", false), "T02");
    assert_eq!(sequence.next("u_ticket").as_deref(), Some("T03"));
    // What a crash leaves: memory is gone, the marks are there.
    let after_crash = Sequence::new(sequence.house);
    let number: i64 = after_crash.next("u_ticket").unwrap()[1..].parse().unwrap();
    assert!(number > 3, "T{number} was given before the crash");
}

#[test]
fn a_crash_after_numbers_inside_transactions_repeats_none() {
    let (house, _) = house("1", "2");
    let sequence = Sequence::new(house);
    let last = (0..5).map(|_| sequence.next_inside("u_ticket", true)).last().unwrap();
    assert_eq!(last, "T05");
    let after_crash = Sequence::new(sequence.house);
    let number: i64 = after_crash.next("u_ticket").unwrap()[1..].parse().unwrap();
    assert!(number > 5);
}

#[test]
fn a_clean_restart_leaves_no_gap() {
    let (house, _) = house("7", "3");
    let sequence = Sequence::new(house);
    assert_eq!(sequence.next("u_ticket").as_deref(), Some("T007"));
    sequence.numbers.settle(&sequence.house.engine).unwrap();
    let restarted = Sequence::new(sequence.house.restart());
    assert_eq!(restarted.next("u_ticket").as_deref(), Some("T008"));
}

#[test]
fn raising_the_base_jumps_and_lowering_it_does_not_go_back() {
    let (house, row) = house("10", "4");
    let sequence = Sequence::new(house);
    assert_eq!(sequence.next("u_ticket").as_deref(), Some("T0010"));
    sequence.house.change("sys_number", &row, &[("number", "5000")]);
    assert_eq!(sequence.next("u_ticket").as_deref(), Some("T5000"));
    sequence.house.change("sys_number", &row, &[("number", "10")]);
    assert_eq!(sequence.next("u_ticket").as_deref(), Some("T5001"));
}

#[test]
fn a_class_without_numbers_of_its_own_takes_its_ancestors() {
    let (house, _) = house("1", "3");
    let sequence = Sequence::new(house);
    assert_eq!(sequence.next("u_fault").as_deref(), Some("T001"));
    assert_eq!(sequence.next("u_ticket").as_deref(), Some("T002"));
    assert_eq!(sequence.next("u_note"), None);
}
