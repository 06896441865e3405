//! Flags of the commands that take a whole database somewhere: backup, restore, copy.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// Data folder [default: ./campanile-data].
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// File to write.
    #[arg(long, value_name = "FILE")]
    pub(crate) to: PathBuf,
    /// Replaces a file that is there already.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// File that `campanile backup` has made.
    #[arg(long, value_name = "FILE")]
    pub(crate) from: PathBuf,
    /// Data folder: empty, or one that does not exist yet [default: ./campanile-data].
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct CopyArgs {
    /// Where everything is: sqlite:DIR, postgres://USER:PASSWORD@HOST:PORT/NAME, or postgres for the URL in
    /// CAMPANILE_DATABASE (others on this machine see what stands on a command line).
    #[arg(long, value_name = "PLACE")]
    pub(crate) from: String,
    /// Where it goes: an empty data folder or database, in the same words.
    #[arg(long, value_name = "PLACE")]
    pub(crate) to: String,
}
