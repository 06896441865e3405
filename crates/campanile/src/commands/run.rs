//! From the parsed command line to the command.

use std::ffi::OsString;

use super::{
    apply, backup, bench, copy, doctor, eval, events, fire, init, queues, replay, serve, user,
};
use crate::args::{Cli, Command};
use crate::output::Failure;
use crate::settings::{self, Settings};

/// Runs the command.
pub(crate) fn run(cli: Cli) -> Result<(), Failure> {
    let json = cli.json;
    dispatch(cli).map_err(|failure| failure.with_json(json))
}

fn dispatch(cli: Cli) -> Result<(), Failure> {
    let settings = settings(&cli)?;
    let json = cli.json;
    match cli.command {
        Command::Init(args) => init::run(&settings, args, json),
        Command::Serve(args) => serve::run(settings, args),
        Command::Apply(args) => apply::apply(&args, json),
        Command::Diff(args) => apply::diff(&args, json),
        Command::Fire(args) => fire::run(&args, json),
        Command::Events(command) => events::run(command, json),
        Command::Queues(command) => queues::run(command, json),
        Command::Eval(args) => eval::run(&args, json),
        Command::Replay(args) => replay::run(&args, json),
        Command::Doctor(args) => doctor::run(&settings, args, json),
        Command::Backup(args) => backup::back_up(&settings, args, json),
        Command::Restore(args) => backup::restore(&settings, args, json),
        Command::Copy(args) => copy::run(&settings, &args, json),
        Command::User(command) => user::run(&settings, command, json),
        Command::Bench(args) => bench::run(&settings, args, json),
    }
}

fn settings(cli: &Cli) -> Result<Settings, Failure> {
    // A variable of another program may be anything.
    let named = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value));
    let variables =
        std::env::vars_os().filter_map(named).filter(|(n, _)| n.starts_with("CAMPANILE_"));
    settings::load(cli.settings.as_deref(), variables).map_err(Failure::usage)
}
