//! `campanile init`: makes a database.

use campanile_engine::{Engine, InitOptions, packs};
use serde_json::json;

use super::folder;
use crate::args::InitArgs;
use crate::output::{self, Failure};
use crate::settings::Settings;

/// Makes the database, the first administrator and the packs.
pub(crate) fn run(settings: &Settings, args: InitArgs, json: bool) -> Result<(), Failure> {
    let config = folder::config(settings, &args.folder, false)?;
    let place = folder::place(&config);
    let options = options(&args.packs, args.demo)?;
    let made = folder::opening(config, |config| Engine::init(config, options))?;
    made.engine.stop()?;
    let packs: Vec<String> = made.packs.iter().map(ToString::to_string).collect();
    let answer =
        json!({"data": place, "user": "admin", "password": made.admin_password, "packs": packs});
    output::print(json, &answer, |_| {
        let mut lines = vec![format!("made {place}")];
        lines.extend(packs.iter().map(|pack| format!("applied {pack}")));
        lines.push(login_line(made.admin_password.as_deref()));
        lines.join("\n")
    });
    Ok(())
}

/// What a new database begins with: the packs of these names, and the password of the environment.
pub(crate) fn options(packs: &[String], demo: bool) -> Result<InitOptions, Failure> {
    #[expect(
        clippy::disallowed_methods,
        reason = "a password is no setting and is read where it is used"
    )]
    let admin_password = std::env::var("CAMPANILE_ADMIN_PASSWORD").ok();
    let packs = packs.iter().map(|name| packs::source::find(name)).collect::<Result<_, _>>()?;
    Ok(InitOptions { admin_password, packs, demo })
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
