//! `campanile serve`: the server.

use std::future::Future;
use std::io::ErrorKind;
use std::sync::Arc;

use campanile_engine::Engine;
use campanile_model::CorrectedClock;
use campanile_server::{Door, Listener, ServeError};
use tokio::signal::unix::{SignalKind, signal};

use super::{folder, init};
use crate::args::ServeArgs;
use crate::output::{Failure, print_line};
use crate::settings::Settings;

/// The pack that an empty folder gets.
const FIRST_PACK: &str = "itsm";

/// Serves until it is told to stop (Ctrl-C, SIGTERM): the current work is finished, the rest released.
pub(crate) fn run(settings: Settings, args: ServeArgs) -> Result<(), Failure> {
    folder::start_logging(&settings);
    let mut config = folder::config(&settings, &args.folder, true)?;
    let listen = args.listen.as_ref().unwrap_or(&settings.listen);
    if listen.contains("://") {
        // Perhaps a database's, with a password in it.
        return Err(Failure::usage(
            "the address to listen on is a URL: expected an address and a port, 127.0.0.1:8080",
        ));
    }
    let listener = Listener::bind(listen).map_err(not_listening)?;
    let runtime = network()?;
    // From here on whoever asks is told that the server is starting.
    let door = {
        let _inside = runtime.enter();
        Door::open(listener, settings.connections).map_err(Failure::failed)?
    };
    if args.test_clock_ahead_ms != 0 {
        config.clock = Arc::new(CorrectedClock::new(config.clock, args.test_clock_ahead_ms));
    }
    let place = folder::place(&config);
    let options = init::options(&[FIRST_PACK.to_owned()], args.demo)?;
    let opened = folder::opening(config, |config| Engine::open_or_init(config, options))?;
    let engine = opened.engine;
    let mut login = None;
    if opened.is_new {
        print_line(&format!("made {place}"));
        for pack in &opened.packs {
            print_line(&format!("applied {pack}"));
        }
        login = Some(init::login_line(opened.admin_password.as_deref()));
    }
    tell_connections(&engine)?;
    engine.start()?;
    // Before anybody is told that it listens, and could ask it to stop.
    let stop = {
        let _inside = runtime.enter();
        told_to_stop()?
    };
    door.admit(Arc::clone(&engine));
    print_line(&format!("campanile listens on http://{}", door.address()));
    if let Some(login) = login {
        print_line(&login);
    }
    let served = runtime.block_on(door.serve_until(stop)).map_err(Failure::failed);
    let stopped = engine.stop();
    served?;
    stopped?;
    Ok(())
}

/// Says how the connections of all servers go together with what the database gives.
fn tell_connections(engine: &Engine) -> Result<(), Failure> {
    let Some(budget) = engine.connection_budget()? else { return Ok(()) };
    let servers = budget.others + 1;
    if let Some((what, fix)) = budget.shortage(servers) {
        tracing::warn!(fix, "{what}");
    }
    if budget.is_pooled {
        let needed = budget.of_a_pool(servers);
        tracing::info!(
            servers,
            needed,
            "the pool before the database has to give so many connections"
        );
    }
    Ok(())
}

/// A text that is no address is wrong usage; one that cannot be had is not.
fn not_listening(error: ServeError) -> Failure {
    match &error {
        ServeError::Listen { source, .. } if source.kind() == ErrorKind::InvalidInput => {
            Failure::usage(error)
        }
        _ => Failure::failed(error),
    }
}

/// The threads of the network.
fn network() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread().thread_name("http").enable_all().build().map_err(
        |error| Failure::failed(format!("the network threads could not be started: {error}")),
    )
}

/// Listens for Ctrl-C and SIGTERM from now on: without it they end the process where it stands. What comes back completes
/// at the first of them.
fn told_to_stop() -> Result<impl Future<Output = ()> + Send + 'static, Failure> {
    let listen = |kind: SignalKind| {
        signal(kind).map_err(|error| {
            Failure::failed(format!("the signals that stop the server cannot be heard: {error}"))
        })
    };
    let (mut interrupt, mut terminate) =
        (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => tracing::info!("stopping: Ctrl-C"),
            _ = terminate.recv() => tracing::info!("stopping: SIGTERM"),
        }
    })
}
