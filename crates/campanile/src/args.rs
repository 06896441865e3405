//! The command line as clap sees it: commands, flags, examples.

use std::path::PathBuf;

use campanile_store::DatabaseUrl;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::moving_args::{BackupArgs, CopyArgs, RestoreArgs};

/// A self-hosted system-events engine: registers events, queues them durably, hands them to handlers, and keeps a
/// log that explains every outcome.
#[derive(Debug, Parser)]
#[command(name = "campanile", version, max_term_width = 100, propagate_version = true)]
#[command(
    after_help = "Examples:\n  campanile serve --demo\n  campanile fire incident.commented --table incident \
                        --instance 9d38… --parm1 hello\n  campanile events list --query state=error\n  campanile \
                        events explain 0192…\n\nExit codes: 0 done, 1 failed or refused, 2 wrong usage, 3 the server \
                        cannot be reached, 4 refused credentials."
)]
pub(crate) struct Cli {
    /// Answers as JSON, for scripts.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Settings file (see campanile.default.toml).
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) settings: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Makes a database, in a data folder or on PostgreSQL: the tables, the first administrator, packs.
    #[command(
        after_help = "Example:\n  CAMPANILE_ADMIN_PASSWORD=… campanile init --data /var/lib/campanile --pack itsm"
    )]
    Init(InitArgs),
    /// Runs the server; on an empty folder or database it first does what `init --pack itsm` does.
    #[command(
        after_help = "Example:\n  campanile serve --data ./campanile-data --listen 127.0.0.1:8080 --demo"
    )]
    Serve(ServeArgs),
    /// Applies a pack (a file, or the name of one inside the binary) to a running server.
    #[command(
        after_help = "Examples:\n  campanile apply packs/mine.yaml\n  campanile apply itsm --demo"
    )]
    Apply(ApplyArgs),
    /// Shows what applying a pack would change.
    #[command(after_help = "Example:\n  campanile diff packs/mine.yaml")]
    Diff(DiffArgs),
    /// Fires one event.
    #[command(
        after_help = "Example:\n  campanile fire disk.full --parm1 /var --parm2 '{\"percent\": 97}' --wait 5"
    )]
    Fire(FireArgs),
    /// Looks at events and acts on them.
    #[command(subcommand)]
    Events(EventsCommand),
    /// Shows how queues stand, and lets one go on that an error has halted.
    #[command(subcommand)]
    Queues(QueuesCommand),
    /// Runs a script on the server; nothing it does remains unless --commit is given.
    #[command(
        after_help = "Examples:\n  campanile eval -e \"new GlideRecord('incident').isValid()\"\n  campanile eval \
                            fix.js --commit"
    )]
    Eval(EvalArgs),
    /// Sends a CSV of record changes through the server, as if people had typed them.
    #[command(after_help = "Examples:\n  campanile replay incident_event_log.csv --map \
                      packs/itsm/incident_event_log.map.yaml\n  campanile replay log.csv --map my.map.yaml --speed 20")]
    Replay(ReplayArgs),
    /// Checks a data folder or database and says what is wrong and how to mend it.
    #[command(after_help = "Example:\n  campanile doctor --data ./campanile-data")]
    Doctor(FolderArgs),
    /// Copies the database of a data folder into a file, also while a server uses it.
    #[command(
        after_help = "Examples:\n  campanile backup --data /var/lib/campanile --to /backups/monday.db\n  campanile \
                            backup --to /backups/latest.db --force --json\n\nThe file holds everything: password \
                            hashes and secret properties too."
    )]
    Backup(BackupArgs),
    /// Makes a data folder of such a file.
    #[command(
        after_help = "Example:\n  campanile restore --from /backups/monday.db --data /var/lib/campanile-monday"
    )]
    Restore(RestoreArgs),
    /// Copies everything of one database into another: a data folder to PostgreSQL, or back.
    #[command(
        after_help = "Examples:\n  CAMPANILE_DATABASE=postgres://… campanile copy --from sqlite:/var/lib/campanile --to \
                            postgres\n  campanile copy --from postgres://me@localhost/campanile --to sqlite:./moved\n\n\
                            No server may run on either. A copy that was broken off goes on when the same command \
                            is given again; until it has ended, nothing can be started on its target."
    )]
    Copy(CopyArgs),
    /// Users of a data folder (the server must not be running on it) or database.
    #[command(subcommand)]
    User(UserCommand),
    /// Measures this machine: a table of rates and times with their targets and ratios.
    #[command(
        after_help = "Examples:\n  campanile bench --out bench.md\n  campanile bench --only fire --rounds 5"
    )]
    Bench(BenchArgs),
}

/// The database a command works on.
#[derive(Debug, Clone, Args)]
pub(crate) struct FolderArgs {
    /// Data folder [default: ./campanile-data].
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// A PostgreSQL database instead of a data folder: postgres://USER:PASSWORD@HOST:PORT/NAME. Others on this machine
    /// see what stands on a command line: a URL with a password is better given as CAMPANILE_DATABASE.
    #[arg(long, value_name = "URL", conflicts_with = "data")]
    pub(crate) database: Option<DatabaseUrl>,
}

/// The server a command talks to.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServerArgs {
    /// Address of the server: http://HOST:PORT; on this machine HOST:PORT will do.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub(crate) url: String,
    /// Login; the password comes from CAMPANILE_PASSWORD, else from a prompt.
    #[arg(long, value_name = "NAME", default_value = "admin")]
    pub(crate) user: String,
}

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    #[command(flatten)]
    pub(crate) folder: FolderArgs,
    /// Packs to apply: files, or names of packs inside the binary.
    #[arg(long = "pack", value_name = "PACK")]
    pub(crate) packs: Vec<String>,
    /// Applies the packs' demo data too.
    #[arg(long)]
    pub(crate) demo: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) folder: FolderArgs,
    /// Address and port to listen on [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<String>,
    /// On an empty folder: applies the ITSM pack's demo data too.
    #[arg(long)]
    pub(crate) demo: bool,
    /// For tests: the machine's clock seems to be so many milliseconds ahead.
    #[arg(long, hide = true, default_value_t = 0, allow_negative_numbers = true)]
    pub(crate) test_clock_ahead_ms: i64,
}

#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    /// A file, or the name of a pack inside the binary.
    pub(crate) pack: String,
    /// Applies the pack's demo data too.
    #[arg(long)]
    pub(crate) demo: bool,
    /// Overwrites definitions that were edited since the pack was applied last.
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// A file, or the name of a pack inside the binary.
    pub(crate) pack: String,
    /// Includes the pack's demo data.
    #[arg(long)]
    pub(crate) demo: bool,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct FireArgs {
    /// Event name.
    pub(crate) name: String,
    /// Table of the record it is about.
    #[arg(long)]
    pub(crate) table: Option<String>,
    /// sys_id of that record.
    #[arg(long)]
    pub(crate) instance: Option<String>,
    /// First value.
    #[arg(long)]
    pub(crate) parm1: Option<String>,
    /// Second value.
    #[arg(long)]
    pub(crate) parm2: Option<String>,
    /// Queue; overrides the registration's.
    #[arg(long)]
    pub(crate) queue: Option<String>,
    /// Not before: a time (RFC 3339) or a duration from now (PT15M).
    #[arg(long, value_name = "WHEN")]
    pub(crate) process_on: Option<String>,
    /// Idempotency key: a second fire with the same key and content stores nothing.
    #[arg(long)]
    pub(crate) key: Option<String>,
    /// Waits up to this many seconds (at most 60) until the event is handled, and shows what its handlers did. Exit code 1
    /// when it ends in error, or is not handled in that time.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) wait: Option<u64>,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

/// Commands on events.
#[derive(Debug, Subcommand)]
pub(crate) enum EventsCommand {
    /// Lists events, newest first.
    #[command(
        after_help = "Example:\n  campanile events list --query 'state=error^nameSTARTSWITHincident.'"
    )]
    List(EventsListArgs),
    /// Shows one event with its handler runs.
    Show(EventArgs),
    /// Says why each handler ran or did not run.
    Explain(EventArgs),
    /// Has an event handled again.
    Reprocess(ReprocessArgs),
    /// Moves a waiting event, or a kind of event, to another queue.
    #[command(
        after_help = "Examples:\n  campanile events move 0192… --queue urgent\n  campanile events move --kind \
                            incident.updated --queue adaptive"
    )]
    Move(MoveArgs),
    /// Follows the log: prints each event that is fired from now on once, oldest first.
    #[command(
        after_help = "Example:\n  campanile events tail --query name=incident.assigned --last 5"
    )]
    Tail(TailArgs),
}

/// Commands on queues.
#[derive(Debug, Subcommand)]
pub(crate) enum QueuesCommand {
    /// Lists all queues with their status and what waits in them.
    List(ServerArgs),
    /// Lets a halted queue go on, behind the event whose error stopped it.
    #[command(
        after_help = "Example:\n  campanile queues resume payments --reason 'the bank answers again'"
    )]
    Resume(ResumeArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    /// Name of the queue.
    pub(crate) queue: String,
    /// Why, for the action log.
    #[arg(long, default_value = "")]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct EventsListArgs {
    /// Encoded query.
    #[arg(long, default_value = "")]
    pub(crate) query: String,
    /// Fired at or after this time (RFC 3339).
    #[arg(long)]
    pub(crate) from: Option<String>,
    /// Fired before this time (RFC 3339).
    #[arg(long)]
    pub(crate) to: Option<String>,
    /// Most events.
    #[arg(long, default_value_t = 20)]
    pub(crate) limit: u64,
    /// Counts all events that match.
    #[arg(long)]
    pub(crate) count: bool,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct EventArgs {
    /// sys_id of the event.
    pub(crate) event: String,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ReprocessArgs {
    /// sys_id of the event.
    pub(crate) event: String,
    /// Runs only the handlers that failed.
    #[arg(long)]
    pub(crate) only_failed: bool,
    /// Why, for the action log.
    #[arg(long, default_value = "")]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct MoveArgs {
    /// sys_id of the event.
    #[arg(required_unless_present = "kind", conflicts_with = "kind")]
    pub(crate) event: Option<String>,
    /// Name of a registered event: moves its registration and what waits of it.
    #[arg(long, value_name = "EVENT_NAME")]
    pub(crate) kind: Option<String>,
    /// Queue to move to; `default` is the default queue.
    #[arg(long)]
    pub(crate) queue: String,
    /// Why, for the action log.
    #[arg(long, default_value = "")]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct TailArgs {
    /// Encoded query without an order of its own.
    #[arg(long, default_value = "")]
    pub(crate) query: String,
    /// Prints this many events first that were fired before.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u16).range(..=1000))]
    pub(crate) last: u16,
    /// Seconds between two looks.
    #[arg(long, default_value_t = 1)]
    pub(crate) every: u64,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

/// What kind of script `eval` runs.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum EvalKind {
    /// A background script.
    Background,
    /// A business rule.
    BusinessRule,
    /// A script action.
    ScriptAction,
    /// A condition.
    Condition,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// CSV file with a header row.
    pub(crate) file: PathBuf,
    /// Map from columns to fields.
    #[arg(long, value_name = "FILE")]
    pub(crate) map: PathBuf,
    /// `max`, or rows a second.
    #[arg(long, default_value = "max")]
    pub(crate) speed: String,
    /// Does not wait until the events are handled.
    #[arg(long)]
    pub(crate) no_wait: bool,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct EvalArgs {
    /// Script file; `-` reads standard input.
    #[arg(required_unless_present = "expression", conflicts_with = "expression")]
    pub(crate) file: Option<String>,
    /// Script text.
    #[arg(short, long)]
    pub(crate) expression: Option<String>,
    /// Kind of script.
    #[arg(long, value_enum, default_value_t = EvalKind::Background)]
    pub(crate) kind: EvalKind,
    /// Keeps what the script does.
    #[arg(long)]
    pub(crate) commit: bool,
    /// Compiles only.
    #[arg(long)]
    pub(crate) check: bool,
    /// Runs as this user.
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) run_as: Option<String>,
    /// `current` as TABLE:SYS_ID.
    #[arg(long, value_name = "TABLE:SYS_ID")]
    pub(crate) current: Option<String>,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

/// Commands on users.
#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Lists users with their roles.
    List(FolderArgs),
    /// Adds a user; the password comes from CAMPANILE_PASSWORD, else from a prompt.
    #[command(after_help = "Example:\n  campanile user add beth --name 'Beth Anglin' --role itil")]
    Add(UserAddArgs),
    /// Sets a user's password, from CAMPANILE_PASSWORD or a prompt.
    SetPassword(UserArgs),
    /// Gives a user a role.
    Grant(UserRoleArgs),
    /// Takes a role from a user.
    Revoke(UserRoleArgs),
}

#[derive(Debug, Args)]
pub(crate) struct UserArgs {
    /// Login.
    pub(crate) user_name: String,
    #[command(flatten)]
    pub(crate) folder: FolderArgs,
}

#[derive(Debug, Args)]
pub(crate) struct UserAddArgs {
    /// Login.
    pub(crate) user_name: String,
    /// Name for people.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Roles.
    #[arg(long = "role", value_name = "ROLE")]
    pub(crate) roles: Vec<String>,
    #[command(flatten)]
    pub(crate) folder: FolderArgs,
}

#[derive(Debug, Args)]
pub(crate) struct UserRoleArgs {
    /// Login.
    pub(crate) user_name: String,
    /// Role.
    pub(crate) role: String,
    #[command(flatten)]
    pub(crate) folder: FolderArgs,
}

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// Folder for the databases that are measured [default: the one for temporary files].
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// A PostgreSQL server to measure on too: postgres://USER:PASSWORD@HOST:PORT/NAME, without TLS. Its user must be allowed to
    /// make databases; those that are measured are called campanile_bench_… and dropped at the end.
    #[arg(long, value_name = "URL")]
    pub(crate) database: Option<DatabaseUrl>,
    /// Adds ten million rows in the log, and on PostgreSQL fifteen minutes at a steady pace: needs some fifty minutes and 30 GB.
    #[arg(long)]
    pub(crate) full: bool,
    /// Measures in small what only --full does, to see that it works.
    #[arg(long, hide = true)]
    pub(crate) test_small: bool,
    /// Runs only the measurements whose name contains this text.
    #[arg(long, value_name = "NAME")]
    pub(crate) only: Option<String>,
    /// How often each short measurement is repeated; the best counts.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(crate) rounds: usize,
    /// Writes the table to this file as well.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}
