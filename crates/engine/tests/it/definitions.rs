//! Snapshots of definition rows.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use campanile_engine::records::definitions::Load;
use campanile_engine::{Engine, EngineError};

use crate::house::House;

static LOADS: AtomicUsize = AtomicUsize::new(0);

/// The number of its own load. During the first, somebody commits a change.
#[derive(Debug)]
struct Probe(usize);

impl Load for Probe {
    const TABLES: &'static [&'static str] = &["sys_ui_message"];

    fn load(engine: &Engine) -> Result<Self, EngineError> {
        let number = LOADS.fetch_add(1, Ordering::SeqCst);
        if number == 0 {
            engine.tables_changed(["sys_ui_message"]);
        }
        Ok(Self(number))
    }
}

/// Is made of the probe.
#[derive(Debug)]
struct Above(usize);

impl Load for Above {
    const TABLES: &'static [&'static str] = &["sys_ui_message"];

    fn load(engine: &Engine) -> Result<Self, EngineError> {
        Ok(Self(engine.definitions::<Probe>()?.0))
    }
}

#[test]
fn a_snapshot_is_kept_until_one_of_its_tables_changes() {
    let house = House::new();
    let number = || house.engine.definitions::<Probe>().unwrap().0;
    assert_eq!(number(), 0);
    assert_eq!(number(), 1, "a load that began before a change is not kept");
    assert_eq!(number(), 1);
    house.engine.tables_changed(["sys_user", "sys_properties"]);
    assert_eq!(number(), 1, "other tables do not matter");
    let held = house.engine.definitions::<Probe>().unwrap();
    house.engine.tables_changed(["sys_ui_message"]);
    assert_eq!(
        house.engine.definitions::<Above>().unwrap().0,
        2,
        "what stands on it is made anew too"
    );
    assert_eq!(held.0, 1, "whoever holds a snapshot keeps it");
    assert!(Arc::ptr_eq(
        &house.engine.definitions::<Above>().unwrap(),
        &house.engine.definitions::<Above>().unwrap()
    ));
}
