//! `campanile init`: makes a data folder.

use std::sync::Arc;

use campanile_engine::packs::apply::ApplyOptions;
use campanile_engine::{Engine, EngineConfig, InitOptions, Initialised, packs};
use serde_json::json;

use super::folder;
use crate::args::InitArgs;
use crate::output::{self, Failure};
use crate::settings::Settings;

/// Makes the folder, the first administrator and the packs.
pub(crate) fn run(settings: &Settings, args: InitArgs, json: bool) -> Result<(), Failure> {
    let data_dir = folder::data_dir(settings, &args.folder);
    let place = data_dir.display().to_string();
    let config = folder::config(settings, data_dir, false);
    let made = make(config, &args.packs, args.demo)?;
    made.engine.stop()?;
    let answer =
        json!({"data": place, "user": "admin", "password": made.password, "packs": made.packs});
    output::print(json, &answer, |_| {
        let mut lines = vec![format!("made {place}")];
        lines.extend(made.packs.iter().map(|pack| format!("applied {pack}")));
        lines.push(login_line(made.password.as_deref()));
        lines.join("\n")
    });
    Ok(())
}

/// A folder that was made just now.
struct Made {
    /// The engine, open; its processors are not running.
    engine: Arc<Engine>,
    /// The administrator's password when it was made up.
    password: Option<String>,
    /// What was applied: `itsm 1.0.0: 312 changes`.
    packs: Vec<String>,
}

/// Makes the folder of `config`, which has to be empty, and applies `packs`.
fn make(config: EngineConfig, names: &[String], demo: bool) -> Result<Made, Failure> {
    let Initialised { engine, admin_password, .. } = Engine::init(config, options())?;
    let packs = apply(&engine, names, demo)?;
    Ok(Made { engine, password: admin_password, packs })
}

/// What a new database begins with.
pub(crate) fn options() -> InitOptions {
    #[expect(
        clippy::disallowed_methods,
        reason = "a password is no setting and is read where it is used"
    )]
    let admin_password = std::env::var("CAMPANILE_ADMIN_PASSWORD").ok();
    InitOptions { admin_password }
}

/// Applies packs to an open engine; tells what was applied: `itsm 1.0.0: 312 changes`.
pub(crate) fn apply(
    engine: &Arc<Engine>,
    names: &[String],
    demo: bool,
) -> Result<Vec<String>, Failure> {
    let options = ApplyOptions { demo, ..ApplyOptions::default() };
    names
        .iter()
        .map(|name| {
            let source = packs::source::find(name)?;
            Ok(packs::apply::apply_blocking(engine, &source, options)?.to_string())
        })
        .collect()
}

/// How to log in, in words.
pub(crate) fn login_line(password: Option<&str>) -> String {
    match password {
        Some(password) => format!(
            "login: admin, password: {password}   (shown this once; change it with `campanile user set-password admin`)"
        ),
        None => "login: admin, with the password from CAMPANILE_ADMIN_PASSWORD".to_owned(),
    }
}
