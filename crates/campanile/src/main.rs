//! `campanile`: the command line and the server in one binary.

mod args;
mod bench;
mod client;
mod commands;
mod moving_args;
mod output;
mod server_url;
mod settings;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = args::Cli::parse();
    match commands::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
