//! Several operations in one transaction: all are kept, or none.

use std::rc::Rc;
use std::sync::Arc;

use campanile_engine::events::fire::FireRequest;
use campanile_engine::records::execution::Execution;
use campanile_engine::records::service::{self, WriteRequest};
use campanile_engine::records::unit_of_work::Finish;
use campanile_engine::worker::{SCRIPT_STACK_BYTES, Worker, spawn_named};
use campanile_engine::{EngineError, Session};

use crate::house::House;

/// Does `work` on a script thread, by the product itself.
fn on_execution<T: Send + 'static>(
    house: &House,
    work: impl FnOnce(&Rc<Execution>) -> T + Send + 'static,
) -> T {
    let engine = Arc::clone(&house.engine);
    let job = move || work(&Worker::new(engine).unwrap().execution(Session::system()));
    spawn_named("unit-test", Some(SCRIPT_STACK_BYTES), job).unwrap().join().unwrap()
}

fn company(execution: &Rc<Execution>, name: &str) -> Result<(), EngineError> {
    insert(execution, "core_company", &[("name", name)])
}

fn insert(
    execution: &Rc<Execution>,
    table: &str,
    values: &[(&str, &str)],
) -> Result<(), EngineError> {
    let values = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
    let request = WriteRequest { table: table.to_owned(), values, ..WriteRequest::default() };
    service::insert(execution, &request).map(|_written| ())
}

fn ping() -> FireRequest {
    FireRequest { name: "t.ping".to_owned(), ..FireRequest::default() }
}

fn names(house: &House) -> Vec<String> {
    let mut names: Vec<_> =
        house.rows("core_company", &[]).iter().map(|row| row.text("name").to_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_unit_sees_its_own_rows_and_others_see_them_after_the_commit() {
    let house = House::new();
    let inside = Arc::clone(&house.engine);
    on_execution(&house, move |execution| {
        let table = Arc::clone(inside.dictionary().unwrap().table("core_company").unwrap());
        let all = campanile_engine::records::lookup::equal(&table, &[]);
        execution
            .unit_of_work(Finish::Commit, || {
                company(execution, "One")?;
                company(execution, "Two")?;
                assert_eq!(execution.with_read(|tx| tx.count(&all.query))?, 2);
                let others = Arc::clone(inside.store()).read()?;
                assert_eq!(others.count(&all.query)?, 0);
                Ok(())
            })
            .unwrap();
        assert!(execution.commit_mark() > campanile_store::CommitMark::default());
    });
    assert_eq!(names(&house), ["One", "Two"]);
}

#[test]
fn a_unit_that_rolls_back_keeps_no_row_and_no_event_and_tells_what_there_was() {
    let house = House::new();
    let report = on_execution(&house, |execution| {
        execution
            .unit_of_work(Finish::RollBack, || {
                company(execution, "One")?;
                execution.fire(ping())?;
                Ok(())
            })
            .unwrap();
        execution.report()
    });
    assert_eq!((report.written.len(), report.fired.len()), (1, 1));
    assert_eq!(names(&house), Vec::<String>::new());
    assert_eq!(house.rows("sysevent", &[]).len(), 0);
}

#[test]
fn work_that_fails_keeps_nothing_and_the_execution_goes_on() {
    let house = House::new();
    on_execution(&house, |execution| {
        let failed = execution.unit_of_work(Finish::Commit, || {
            company(execution, "One")?;
            execution.fire(ping())?;
            Err::<(), _>(EngineError::Unavailable("it broke".to_owned()))
        });
        assert_eq!(failed, Err(EngineError::Unavailable("it broke".to_owned())));
        assert!(!execution.in_unit());
        company(execution, "Later").unwrap();
    });
    assert_eq!(names(&house), ["Later"]);
    assert_eq!(house.rows("sysevent", &[]).len(), 0);
}

#[test]
fn a_refused_operation_leaves_the_others_of_its_unit() {
    let house = House::new();
    on_execution(&house, |execution| {
        execution
            .unit_of_work(Finish::Commit, || {
                company(execution, "One")?;
                let twice = [("user_name", "admin"), ("name", "Another")];
                let refused = insert(execution, "sys_user", &twice);
                assert!(
                    matches!(refused, Err(EngineError::Integrity { code: "duplicate", .. })),
                    "{refused:?}"
                );
                execution.fire(ping())?;
                company(execution, "Two")
            })
            .unwrap();
    });
    assert_eq!(names(&house), ["One", "Two"]);
    assert_eq!(house.rows("sysevent", &[("name", "t.ping")]).len(), 1);
}

#[test]
fn a_unit_inside_a_unit_belongs_to_the_outer_one() {
    let house = House::new();
    on_execution(&house, |execution| {
        execution
            .unit_of_work(Finish::RollBack, || {
                execution.unit_of_work(Finish::Commit, || company(execution, "One"))?;
                assert!(execution.in_unit());
                company(execution, "Two")
            })
            .unwrap();
    });
    assert_eq!(names(&house), Vec::<String>::new());
}

#[test]
fn a_unit_uses_the_column_that_it_has_just_made() {
    let house = House::new();
    on_execution(&house, |execution| {
        let column =
            [("name", "core_company"), ("element", "u_motto"), ("internal_type", "string")];
        execution
            .unit_of_work(Finish::Commit, || {
                insert(execution, "sys_dictionary", &column)?;
                insert(execution, "core_company", &[("name", "One"), ("u_motto", "Onward")])
            })
            .unwrap();
    });
    assert_eq!(house.rows("core_company", &[])[0].text("u_motto"), "Onward");
}

#[test]
fn a_unit_that_only_reads_takes_no_writer() {
    let house = House::new();
    let engine = Arc::clone(&house.engine);
    on_execution(&house, move |execution| {
        let table = Arc::clone(engine.dictionary().unwrap().table("core_company").unwrap());
        let all = campanile_engine::records::lookup::equal(&table, &[]);
        execution
            .unit_of_work(Finish::Commit, || {
                assert_eq!(execution.with_read(|tx| tx.count(&all.query))?, 0);
                // The writer is free: this would wait for itself otherwise.
                drop(Arc::clone(engine.store()).write()?);
                Ok(())
            })
            .unwrap();
    });
}
