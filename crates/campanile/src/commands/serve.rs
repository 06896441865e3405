//! `campanile serve`: the server.

use campanile_engine::Engine;
use campanile_server::Listener;

use super::{folder, init};
use crate::args::ServeArgs;
use crate::output::{Failure, print_line};
use crate::settings::Settings;

/// The pack that an empty folder gets.
const FIRST_PACK: &str = "itsm";

/// Serves until it is told to stop (Ctrl-C, SIGTERM): the current work is finished, the rest released.
pub(crate) fn run(settings: Settings, args: ServeArgs) -> Result<(), Failure> {
    folder::start_logging(&settings);
    let data_dir = folder::data_dir(&settings, &args.folder);
    let listener = Listener::bind(args.listen.as_ref().unwrap_or(&settings.listen))
        .map_err(Failure::failed)?;
    let place = data_dir.display().to_string();
    let config = folder::config(&settings, data_dir, true);
    let opened = Engine::open_or_init(config, init::options(&[FIRST_PACK.to_owned()], args.demo)?)?;
    let engine = opened.engine;
    let mut login = None;
    if opened.is_new {
        print_line(&format!("made {place}"));
        for pack in &opened.packs {
            print_line(&format!("applied {pack}"));
        }
        login = Some(init::login_line(opened.admin_password.as_deref()));
    }
    engine.start()?;
    let served = serve_until_told(&engine, listener, login);
    let stopped = engine.stop();
    served?;
    stopped?;
    Ok(())
}

fn serve_until_told(
    engine: &std::sync::Arc<Engine>,
    listener: Listener,
    login: Option<String>,
) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name("http")
        .enable_all()
        .build()
        .map_err(|error| {
            Failure::failed(format!("the network threads could not be started: {error}"))
        })?;
    let ready = move |address: std::net::SocketAddr| {
        print_line(&format!("campanile listens on http://{address}"));
        if let Some(login) = login {
            print_line(&login);
        }
    };
    runtime
        .block_on(campanile_server::serve(
            std::sync::Arc::clone(engine),
            listener,
            ready,
            told_to_stop(),
        ))
        .map_err(Failure::failed)
}

/// Completes at Ctrl-C or SIGTERM.
async fn told_to_stop() {
    let interrupt = async {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::error!(%error, "Ctrl-C cannot be heard; stop the process with SIGTERM");
            std::future::pending::<()>().await;
        }
    };
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(error) => {
                tracing::error!(%error, "SIGTERM cannot be heard; stop the process with Ctrl-C");
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        () = interrupt => tracing::info!("stopping: Ctrl-C"),
        () = terminate => tracing::info!("stopping: SIGTERM"),
    }
}
