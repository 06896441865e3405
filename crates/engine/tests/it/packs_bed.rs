//! What the tests of packs share: a pack as text, applied or refused.

use campanile_engine::EngineError;
use campanile_engine::packs::apply::{ApplyOptions, apply_blocking};
use campanile_engine::packs::report::{Change, PackReport};
use campanile_engine::packs::source::PackSource;

use crate::house::House;

/// The document `text` in a file `mine.yaml`.
pub(crate) fn source(text: &str) -> PackSource {
    PackSource { name_or_path: "mine.yaml".to_owned(), text: text.to_owned() }
}

/// A pack `mine` with these sections.
pub(crate) fn pack(text: &str) -> PackSource {
    source(&format!("campanile: pack/v1\nname: mine\nversion: 1.0.0\n{text}"))
}

/// Applies `pack` as the product does.
pub(crate) fn apply(house: &House, pack: &PackSource) -> Result<PackReport, EngineError> {
    apply_blocking(&house.engine, pack, ApplyOptions::default())
}

/// What applying the sections changed.
pub(crate) fn applied(house: &House, text: &str) -> PackReport {
    apply(house, &pack(text)).unwrap()
}

/// Why the sections are refused.
pub(crate) fn refusal(house: &House, text: &str) -> String {
    apply(house, &pack(text)).unwrap_err().to_string()
}

/// One line for each change.
pub(crate) fn actions(report: &PackReport) -> Vec<String> {
    let line = |c: &Change| {
        format!("{} {} {} {}", c.action, c.table, c.key, c.fields.join(",")).trim_end().to_owned()
    };
    report.changes.iter().map(line).collect()
}

/// Sections of nearly every kind, in no order.
pub(crate) const SHOP: &str = "
events:
  - {event_name: order.late, table: u_order, queue: shop, priority: 50}
queues:
  - {queue: shop, poll_interval: PT1S}
script_actions:
  - {name: Tell the shop, event_name: order.late, active: true, script: gs.info('late'), run_as: eve}
  - {name: Not yet, event_name: order.late, script: gs.info('never')}
business_rules:
  - {name: Order rule, table: u_order, when: after, insert: true, script: \"gs.eventQueue('order.late', current)\",
     role_conditions: [shop_keeper]}
users:
  - {user_name: eve, name: Eve Adams, manager: bob, roles: [itil, shop_keeper], groups: [Shop]}
  - {user_name: bob, name: Bob}
groups:
  - {name: Shop, manager: eve, roles: [shop_keeper]}
roles:
  - {name: shop_keeper, contains: [itil]}
numbers:
  - {table: u_order, prefix: ORD, digits: 5, base: 100}
properties: {shop.url: \"https://shop.example.com\"}
tables:
  - {name: u_big_order, extends: u_order, fields: [{name: u_rebate, type: integer}]}
  - name: u_order
    extendable: true
    fields:
      - {name: number, display: true, default: \"javascript:getNextObjNumberPadded()\"}
      - {name: u_customer, type: reference, reference: sys_user}
      - {name: u_parent, type: reference, reference: u_order}
      - {name: u_size, type: integer, default: 1, choices: [{value: 1, label: Small}, {value: 2, label: Large}]}
      - {name: work_notes, type: journal_input}
choices:
  - {table: u_big_order, element: u_size, values: [{value: 9, label: Huge}]}
overrides:
  - {table: u_big_order, base_table: u_order, element: u_size, default: 9}
records:
  - {table: u_order, values: {number: ORD00001, u_customer: eve, u_parent: second}}
  - {table: u_big_order, as: second, values: {u_customer: Bob, work_notes: by phone}}
demo:
  - {table: u_order, values: {number: ORD00009, u_parent: ORD00001}}
";
