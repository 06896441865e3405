//! The named limits of the product, each with its reason. A bound that is not here is not a bound.

/// Longest event name (events-and-jobs §1.1).
pub const EVENT_NAME_CHARS_MAX: usize = 100;
/// An event name longer than this is stored whole, with a portability warning: the reference product cuts here.
pub const EVENT_NAME_CHARS_PORTABLE: usize = 40;
/// Longest `parm1` or `parm2` in characters (§1.1); longer is refused, never cut.
pub const EVENT_PARM_CHARS_MAX: usize = 65_536;
/// Longest queue name (§1.4).
pub const QUEUE_NAME_CHARS_MAX: usize = 100;
/// Largest snapshot of a record kept with an event (§1.1).
pub const EVENT_SNAPSHOT_BYTES_MAX: usize = 256 * 1024;
/// Longest idempotency key (§1.1, rest-api §23).
pub const DEDUPE_KEY_CHARS_MAX: usize = 100;
/// How long an idempotency key is remembered when `campanile.http.idempotency_hours` is not set (events-and-jobs §3.7,
/// rest-api §23): a caller that tries again does so within a day.
pub const IDEMPOTENCY_KEY_MS: i64 = 24 * 60 * 60 * 1000;
/// Passwords that are being checked; the next caller whose credentials were never right waits in line for five seconds, and
/// is told to come again then. A second of hashing on two cores.
pub const PASSWORD_CHECKS_WAITING_MAX: usize = 32;
/// Bytes of request bodies that have arrived and are not handled yet, all callers together.
pub const BODIES_BYTES_MAX: usize = 512 << 20;
/// Scripts that `POST /api/scripts/evaluate` runs at once: more would only share the same processors.
pub const EVALUATIONS_RUNNING_MAX: usize = 4;
/// Calls of `POST /api/scripts/evaluate` that wait for their turn; the next one is told to come again.
pub const EVALUATIONS_WAITING_MAX: usize = 32;
/// How long such a call waits before it is told to come again.
pub const EVALUATION_WAIT_MS: u64 = 10_000;
/// Largest `log` of one handler run (§1.2); a "cut" mark follows.
pub const RUN_LOG_BYTES_MAX: usize = 64 * 1024;
/// References kept in a run's `fired_events`, `written_records`, `sent_messages` (§1.2).
pub const RUN_REFERENCES_MAX: usize = 50;
/// Highest registration priority (§1.3).
pub const EVENT_PRIORITY_MAX: i64 = 1_000_000;
/// Events in one batch over HTTP (rest-api §17.5).
pub const EVENT_BATCH_MAX: usize = 10_000;
/// Bytes of a batch body (rest-api §17.5).
pub const EVENT_BATCH_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Third lapse in an epoch makes an event `error/processor_lost` (§2.2, T8).
pub const EVENT_LAPSES_MAX: i64 = 3;
/// Columns of a table with all its classes, those that every table has included. SQLite takes 2,000 and PostgreSQL 1,600, deleted
/// ones still counted: the rest is room for those.
pub const TABLE_COLUMNS_MAX: usize = 1_000;
/// Steps of a dot-walk (scripting §3.1, rest-api §5.3).
pub const DOT_WALK_STEPS_MAX: usize = 8;
/// Text of a stored encoded query (business-rules §11.1).
pub const QUERY_BYTES_MAX: usize = 64 * 1024;
/// Terms of a stored encoded query.
pub const QUERY_TERMS_MAX: usize = 1_000;
/// `^NQ` alternatives of an encoded query.
pub const QUERY_ALTERNATIVES_MAX: usize = 32;
/// Text of an encoded query that arrives over HTTP (rest-api §2.3).
pub const HTTP_QUERY_BYTES_MAX: usize = 256 * 1024;
/// Terms of an encoded query that arrives over HTTP; terms that name no field are dropped before counting.
pub const HTTP_QUERY_TERMS_MAX: usize = 10_000;
/// Terms of a query that the Table API left out and names in its answer; further ones are counted. Proxies allow the
/// headers of an answer 4 to 8 KB.
pub const QUERY_WARNINGS_MAX: usize = 10;
/// Longest text of one `Warning` header, as it is sent; what is longer is cut off.
pub const WARNING_BYTES_MAX: usize = 240;
/// Rows of one Table API page (rest-api §6).
pub const TABLE_PAGE_ROWS_MAX: u64 = 100_000;
/// Rows of a script query when `glide.db.max_view_records` is not set.
pub const SCRIPT_QUERY_ROWS_MAX: u64 = 10_000;
/// Writes inside writes (business-rules §6).
pub const NESTED_OPERATIONS_MAX: usize = 32;
/// Times one rule may stand on the stack for one record (business-rules §6).
pub const RULE_RECURSION_MAX: usize = 3;
/// Length of a chain of events when `campanile.events.max_depth` is not set (events-and-jobs §3.8).
pub const EVENT_DEPTH_MAX: i64 = 50;
/// Processors on one node, of all queues. Each is a thread, with some of the 65,530 memory maps that Linux lets a process
/// have, and a slot of the file that says after a crash what was being handled.
pub const PROCESSORS_MAX: usize = 4_096;
/// Provisional queues when `campanile.queues.provisional_max` is not set. Whoever may fire can name a queue, and each
/// has a thread of its own for as long as it is there.
pub const PROVISIONAL_QUEUES_MAX: i64 = 100;
/// Highest value of that property.
pub const PROVISIONAL_QUEUES_CEILING: i64 = 1_000;
/// Bytes of log lines and session messages that one run of scripts may leave; further ones are dropped, and that is told
/// once. They are held outside the memory that the sandbox meters, and an answer carries them.
pub const SCRIPT_OUTPUT_BYTES_MAX: usize = 4 << 20;
/// Levels of lists and maps in a pack or a map of columns: real ones have fewer than ten, and the parser's time grows with
/// the square of them.
pub const PACK_DEPTH_MAX: usize = 128;
/// Bytes of a pack or a map of columns: the largest body that a server may be set to take, which is how packs travel.
pub const PACK_BYTES_MAX: usize = 25 << 20;
/// Keys and values of a pack, what aliases repeat included: a few lines of aliases stand for more than any memory holds.
pub const PACK_VALUES_MAX: usize = 500_000;
/// `%` lines of a YAML text: the parser compares each with all before it.
pub const PACK_DIRECTIVES_MAX: usize = 16;
/// Levels of objects and arrays in a body in JSON: what the parser reads without more stack than a thread has.
pub const JSON_DEPTH_MAX: usize = 127;
