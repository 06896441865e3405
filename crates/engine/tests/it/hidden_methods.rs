//! Columns that have the name of a method (scripting-api §3.1): the field goes before the method, and that is told.

use crate::fixture::Fixture;
use crate::packs_bed::applied;

const TABLE: &str = "
tables:
  - name: u_step
    fields:
      - {name: name, display: true}
      - {name: next}
      - {name: query}
      - {name: update}
      - {name: get}
      - {name: u_next}
";

const NEXT: &str = "column 'u_step.next' hides the method next() of GlideRecord in scripts: scripts on 'u_step' call \
                    _next() instead; or name the column 'u_next'";
const UPDATE: &str = "column 'u_step.update' hides the method update() of GlideRecord in scripts: scripts on 'u_step' \
                      call GlideRecord.prototype.update.call(…) instead; or name the column 'u_update'";

#[test]
fn a_pack_tells_of_columns_that_hide_methods_and_so_does_doctor() {
    let fixture = Fixture::new();
    assert_eq!(fixture.house.engine.examine().unwrap(), [], "what is shipped hides nothing");
    let warnings = applied(&fixture.house, TABLE).warnings;
    let told: Vec<&str> = warnings.iter().map(String::as_str).collect();
    assert_eq!(told.len(), 4, "{told:?}");
    assert!(told.contains(&NEXT) && told.contains(&UPDATE), "{told:?}");
    assert_eq!(applied(&fixture.house, TABLE).warnings, [""; 0], "told once");
    let found = fixture.house.engine.examine().unwrap();
    let mut lines: Vec<String> = found.iter().map(|f| format!("{}: {}", f.what, f.fix)).collect();
    assert!(found.iter().all(|finding| !finding.serious));
    let mut expected = warnings;
    lines.sort();
    expected.sort();
    assert_eq!(lines, expected);
}

#[test]
fn a_column_that_hides_a_method_is_saved_with_a_warning() {
    let fixture = Fixture::new();
    applied(&fixture.house, "tables: [{name: u_step, fields: [{name: u_next}]}]");
    let column = |name: &str| {
        let values = [("name", "u_step"), ("element", name), ("internal_type", "string")];
        fixture.insert("admin", "sys_dictionary", &values).unwrap().warnings
    };
    assert_eq!(column("next"), [NEXT]);
    assert_eq!(column("update"), [UPDATE]);
    let nil = column("nil");
    assert!(nil[0].contains("hides the method nil() of GlideElement in scripts"), "{nil:?}");
    assert!(column("next_step").is_empty());
}

#[test]
fn a_field_goes_before_the_method_of_its_name_and_the_method_is_reached_otherwise() {
    let fixture = Fixture::new();
    applied(&fixture.house, TABLE);
    let told = fixture.script_as(
        "admin",
        "var step = new GlideRecord('u_step'); step.initialize(); step.name = 'a'; step.next = 'b'; step.insert();
         var gr = new GlideRecord('u_step'); gr._query(); gr._next();
         var said = [gr.next + '', typeof gr.next, gr.getValue('next')];
         try { gr.next(); } catch (e) { said.push(e.name); }
         gr.next = 'c';
         try { gr.update(); } catch (e) { said.push(e.name); }
         GlideRecord.prototype.update.call(gr);
         var again = new GlideRecord('u_step'); GlideRecord.prototype.get.call(again, gr.getUniqueValue());
         said.push(again.next + '', gr._next());
         said.join()",
    );
    assert_eq!(told.text, "b,object,b,TypeError,TypeError,c,false");
    // A rule sees the same.
    fixture.rule(
        "moves on",
        &[
            ("collection", "u_step"),
            ("when", "before"),
            ("action_insert", "true"),
            ("script", "if (current.next.nil()) current.next = 'of ' + current.name;"),
        ],
    );
    let row = fixture.insert("admin", "u_step", &[("name", "first")]).unwrap();
    assert_eq!(row.record.text("next"), "of first");
}
