//! `campanile user …`: users of a data folder.

use campanile_engine::records::users;
use serde_json::json;

use super::folder;
use crate::args::{FolderArgs, UserCommand};
use crate::client::password;
use crate::output::{self, Failure};
use crate::settings::Settings;

/// Runs one of the commands on the folder.
pub(crate) fn run(settings: &Settings, command: UserCommand, json: bool) -> Result<(), Failure> {
    match command {
        UserCommand::List(folder) => list(settings, &folder, json),
        UserCommand::Add(args) => {
            let password = password(&format!("Password of {}: ", args.user_name))?;
            let name = args.name.clone().unwrap_or_else(|| args.user_name.clone());
            change(settings, &args.folder, json, &format!("added {}", args.user_name), |engine| {
                users::add(engine, &args.user_name, &name, &args.roles)?;
                users::set_password(engine, &args.user_name, &password)
            })
        }
        UserCommand::SetPassword(args) => {
            let password = password(&format!("New password of {}: ", args.user_name))?;
            let done = format!("the password of {} is set", args.user_name);
            change(settings, &args.folder, json, &done, |engine| {
                users::set_password(engine, &args.user_name, &password)
            })
        }
        UserCommand::Grant(args) => {
            let done = format!("{} has the role {}", args.user_name, args.role);
            change(settings, &args.folder, json, &done, |engine| {
                users::grant(engine, &args.user_name, &args.role)
            })
        }
        UserCommand::Revoke(args) => {
            let done = format!("{} has the role {} no more", args.user_name, args.role);
            change(settings, &args.folder, json, &done, |engine| {
                users::revoke(engine, &args.user_name, &args.role)
            })
        }
    }
}

fn list(settings: &Settings, folder_args: &FolderArgs, json: bool) -> Result<(), Failure> {
    let engine = folder::open(settings, folder_args)?;
    let listed = users::list(&engine);
    engine.stop()?;
    let users = listed?;
    let answer: Vec<_> = users
        .iter()
        .map(|user| json!({"user_name": user.user_name, "name": user.display_name, "roles": user.roles}))
        .collect();
    output::print(json, &json!(answer), |_| {
        let rows: Vec<Vec<String>> = users
            .iter()
            .map(|user| {
                let roles: Vec<&str> = user.roles.iter().map(|role| &**role).collect();
                vec![user.user_name.to_string(), user.display_name.to_string(), roles.join(", ")]
            })
            .collect();
        output::table(&["user_name", "name", "roles"], &rows)
    });
    Ok(())
}

fn change(
    settings: &Settings,
    folder_args: &FolderArgs,
    json: bool,
    done: &str,
    work: impl FnOnce(
        &std::sync::Arc<campanile_engine::Engine>,
    ) -> Result<(), campanile_engine::EngineError>,
) -> Result<(), Failure> {
    let engine = folder::open(settings, folder_args)?;
    let worked = work(&engine);
    let stopped = engine.stop();
    worked?;
    stopped?;
    output::print(json, &json!({"done": done}), |_| done.to_owned());
    Ok(())
}
