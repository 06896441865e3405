//! Opening the engine on a data folder, for commands that work without a server.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;

use campanile_engine::{Engine, EngineConfig};
use campanile_model::SystemClock;

use crate::args::FolderArgs;
use crate::output::Failure;
use crate::settings::Settings;

/// The data folder: the flag, else the setting.
pub(crate) fn data_dir(settings: &Settings, folder: &FolderArgs) -> PathBuf {
    folder.data.clone().unwrap_or_else(|| settings.data.clone())
}

/// How to open the engine on `data_dir`.
pub(crate) fn config(settings: &Settings, data_dir: PathBuf, serves: bool) -> EngineConfig {
    EngineConfig {
        data_dir,
        database: None,
        clock: Arc::new(SystemClock),
        node: settings.node.clone(),
        script_workers: if serves { settings.script_workers } else { 1 },
        start_processors: serves,
    }
}

/// Opens an existing folder for a command, without processors.
pub(crate) fn open(settings: &Settings, folder: &FolderArgs) -> Result<Arc<Engine>, Failure> {
    Ok(Engine::open(config(settings, data_dir(settings, folder), false))?)
}

/// Writes log lines to standard error, as the setting says.
pub(crate) fn start_logging(settings: &Settings) {
    let filter = tracing_subscriber::EnvFilter::try_new(&settings.log_level)
        .unwrap_or_else(|_error| tracing_subscriber::EnvFilter::new("info"));
    let installed = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
    if let Err(error) = installed {
        eprintln!("campanile: logging could not be started: {error}");
    }
}
