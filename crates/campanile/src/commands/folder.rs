//! Opening the engine on a data folder or a PostgreSQL database, for commands that work without a server.

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;

use campanile_engine::{Engine, EngineConfig, EngineError};
use campanile_model::SystemClock;
use campanile_store::{DatabaseUrl, StoreError};

use crate::args::FolderArgs;
use crate::output::Failure;
use crate::settings::Settings;

/// How to open the engine on what `folder` names, else on what the settings name.
///
/// # Errors
/// Where a database was meant and a data folder would be taken.
pub(crate) fn config(
    settings: &Settings,
    folder: &FolderArgs,
    serves: bool,
) -> Result<EngineConfig, Failure> {
    if folder.database.as_ref().is_some_and(DatabaseUrl::is_empty) {
        return Err(Failure::usage("--database is empty: name a database, or leave it out"));
    }
    if folder.database.is_none() && folder.data.is_none() {
        expect_database_is_meant(settings)?;
    }
    let database = match (&folder.database, &folder.data) {
        (Some(url), _) => Some(url.clone()),
        // A flag wins over a setting.
        (None, Some(_)) => None,
        (None, None) => Some(settings.database.clone()),
    };
    let database = database.filter(|url| !url.is_empty());
    let data_dir = folder.data.clone().unwrap_or_else(|| settings.data.clone());
    if database.is_none() {
        expect_folder(&data_dir)?;
    }
    Ok(EngineConfig {
        data_dir,
        database,
        connections: settings.database_connections.clone(),
        // A folder that is named for once is opened as it is.
        partitions: settings
            .partitions
            .filter(|_| folder.data.is_none() || folder.database.is_some()),
        lease: settings.lease,
        clock: Arc::new(SystemClock),
        node: settings.node.clone(),
        script_workers: if serves { settings.script_workers } else { 1 },
        start_processors: serves,
    })
}

/// Where nothing but the settings says what is meant: a variable for a database that is empty means none of what there is.
///
/// # Errors
/// That it is.
pub(crate) fn expect_database_is_meant(settings: &Settings) -> Result<(), Failure> {
    if settings.database_is_blank {
        return Err(Failure::usage(
            "CAMPANILE_DATABASE is set and empty: name a database, unset it, or name a data folder with --data",
        ));
    }
    Ok(())
}

/// That this can be a data folder: a URL, which may have a password in it, is none.
///
/// # Errors
/// That it cannot.
pub(crate) fn expect_folder(data: &Path) -> Result<(), Failure> {
    if data.as_os_str().is_empty() {
        return Err(Failure::usage("the data folder is empty: name one with --data"));
    }
    if data.to_string_lossy().contains("://") {
        return Err(Failure::usage(
            "the data folder is a URL: a database is named by CAMPANILE_DATABASE, or by --database",
        ));
    }
    Ok(())
}

/// What is opened, in words.
pub(crate) fn place(config: &EngineConfig) -> String {
    match config.database {
        // The URL has a password.
        Some(_) => "the database".to_owned(),
        None => config.data_dir.display().to_string(),
    }
}

/// Opens by `open`. A server that cannot be used as it was named is wrong usage.
pub(crate) fn opening<T>(
    config: EngineConfig,
    open: impl FnOnce(EngineConfig) -> Result<T, EngineError>,
) -> Result<T, Failure> {
    let is_served = config.database.is_some();
    if config.partitions.is_some() && !is_served {
        return Err(Failure::usage(
            "'postgres.partitions' is for a PostgreSQL database: name one with 'database' or --database, or take the setting out",
        ));
    }
    open(config).map_err(|error| match error {
        EngineError::Store(StoreError::UnfinishedCopy { .. }) => Failure::usage(error),
        EngineError::Store(
            StoreError::Unavailable { .. }
            | StoreError::NewerSchema { .. }
            | StoreError::OlderAtWork { .. }
            | StoreError::HeldUp { .. }
            | StoreError::Statement { .. },
        ) if is_served => Failure::usage(error),
        EngineError::Store(error @ StoreError::Full { .. }) => Failure::failed(format!(
            "{error}: free space on it, or give another folder with --data"
        )),
        error => error.into(),
    })
}

/// Opens an existing database for a command, without processors.
pub(crate) fn open(settings: &Settings, folder: &FolderArgs) -> Result<Arc<Engine>, Failure> {
    opening(config(settings, folder, false)?, Engine::open)
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
