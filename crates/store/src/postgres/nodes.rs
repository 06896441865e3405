//! This program among the others on the database: its row, its beat, and the lease that its claims stand on.
//!
//! Differs because on SQLite the lock on the data folder does all this. Only the database's clock decides when a lease
//! is over.

use std::sync::Arc;
use std::time::{Duration, Instant};

use campanile_model::Nodes;
use parking_lot::{Condvar, Mutex};

use super::connection::Connection;
use super::plans::BEGIN_BY_INDEX;
use super::text::{read, stored};
use crate::contract::StoreError;
use crate::migrate::newest_postgres;

/// Connections that write, by number: the one that appends and the one that completes.
pub(super) const APPENDING: i16 = 1;
pub(super) const COMPLETING: i16 = 2;

/// This program's standing.
#[derive(Debug)]
pub(super) struct Node {
    name: String,
    lease: Duration,
    state: Mutex<State>,
    /// Held by whoever registers, so that of many who find the lease lapsed one does.
    registering: Mutex<()>,
    /// It is time to end.
    stopped: Condvar,
}

/// Names of the programs, other than the one with this token, whose lease goes on.
///
/// # Errors
/// What PostgreSQL said.
pub(super) fn working(connection: &Connection, except: i64) -> Result<Vec<String>, StoreError> {
    let found = connection.query(
        "SELECT name FROM campanile_node WHERE gone_at IS NULL AND token <> $1 \
         AND beat_at + lease_ms * interval '1 millisecond' > clock_timestamp() ORDER BY token",
        &[&except],
    )?;
    found.iter().map(|row| Ok(read(row.try_get(0)?).into_owned())).collect()
}

/// The migration with which programs began to say which ones they know. One that says whether it serves knows the one before.
const TELLS_ITS_KNOWLEDGE: i64 = 8;

/// Programs that do not know migration `$1`; `$2` is [`TELLS_ITS_KNOWLEDGE`].
const DO_NOT_KNOW: &str =
    "gone_at IS NULL AND (serves IS NULL OR COALESCE(knows, $2::bigint - 1) < $1::bigint)";

/// Names of the programs whose lease goes on and that do not know migration `number`, which is the sixth or a later one. Those
/// whose lease has lapsed are gone from here on: one that only stood still registers anew, and does not go on with its next beat.
///
/// # Errors
/// What PostgreSQL said.
pub(super) fn older(connection: &Connection, number: i64) -> Result<Vec<String>, StoreError> {
    connection.execute(
        &format!(
            "UPDATE campanile_node SET gone_at = clock_timestamp() WHERE {DO_NOT_KNOW} \
             AND beat_at + lease_ms * interval '1 millisecond' <= clock_timestamp()"
        ),
        &[&number, &TELLS_ITS_KNOWLEDGE],
    )?;
    let found = connection.query(
        &format!("SELECT name FROM campanile_node WHERE {DO_NOT_KNOW} ORDER BY token"),
        &[&number, &TELLS_ITS_KNOWLEDGE],
    )?;
    found.iter().map(|row| Ok(read(row.try_get(0)?).into_owned())).collect()
}

#[derive(Debug)]
struct State {
    token: i64,
    stopping: bool,
    /// Whether processors run in this program; `None` until somebody has said.
    serves: Option<bool>,
    /// The programs in which processors run, at the last look.
    serving: Arc<[i64]>,
    /// When the lease was renewed last.
    beaten: Instant,
}

impl Node {
    /// Registers a new program.
    ///
    /// # Errors
    /// What PostgreSQL said.
    pub(super) fn register(
        connection: &Connection,
        name: &str,
        lease: Duration,
    ) -> Result<Self, StoreError> {
        let node = Self {
            name: name.to_owned(),
            lease,
            state: Mutex::new(State {
                token: 0,
                stopping: false,
                serves: None,
                serving: Arc::default(),
                beaten: Instant::now(),
            }),
            registering: Mutex::default(),
            stopped: Condvar::new(),
        };
        node.register_again(connection)?;
        Ok(node)
    }

    /// Goes on under a new token, unless somebody else here has replaced `lapsed` already. `forget` is called before.
    ///
    /// # Errors
    /// What PostgreSQL said.
    pub(super) fn replace(
        &self,
        connection: &Connection,
        lapsed: i64,
        forget: impl FnOnce(),
    ) -> Result<(), StoreError> {
        let _turn = self.registering.lock();
        if self.token() != lapsed {
            return Ok(());
        }
        tracing::warn!("this program was taken for dead; it goes on under a new lease");
        forget();
        self.register_again(connection)
    }

    /// Registers under a new token: the old one counts as dead, and what was claimed under it is others'.
    ///
    /// # Errors
    /// What PostgreSQL said.
    fn register_again(&self, connection: &Connection) -> Result<(), StoreError> {
        let lease_ms = i64::try_from(self.lease.as_millis()).unwrap_or(i64::MAX);
        let serves = self.state.lock().serves.unwrap_or(false);
        let knows = i64::try_from(newest_postgres()).unwrap_or(i64::MAX);
        let began = Instant::now();
        let row = connection.query_first(
            "WITH node AS (INSERT INTO campanile_node (name, lease_ms, serves, knows) VALUES ($1, $2, $4, $5) \
             RETURNING token), \
             writers AS (INSERT INTO campanile_node_writer (token, writer) \
             SELECT token, number FROM node CROSS JOIN unnest($3::smallint[]) AS writer (number)) \
             SELECT token FROM node",
            &[&stored(&self.name), &lease_ms, &vec![APPENDING, COMPLETING], &serves, &knows],
        )?;
        let token: i64 = row.map_or(Ok(0), |row| row.try_get(0))?;
        {
            let mut state = self.state.lock();
            (state.token, state.beaten) = (token, began);
        }
        tracing::debug!(token, name = self.name, "registered with the database");
        Ok(())
    }

    /// What claims and groups are marked with.
    pub(super) fn token(&self) -> i64 {
        self.state.lock().token
    }

    /// Renews the lease. Returns false when it has lapsed and others have taken over.
    ///
    /// # Errors
    /// What PostgreSQL said.
    pub(super) fn beat(&self, connection: &Connection) -> Result<bool, StoreError> {
        let began = Instant::now();
        let renewed = connection.execute(
            "UPDATE campanile_node SET beat_at = clock_timestamp() WHERE token = $1 AND gone_at IS NULL",
            &[&self.token()],
        )?;
        if renewed > 0 {
            self.state.lock().beaten = began;
        }
        Ok(renewed > 0)
    }

    /// Whether the lease goes on, as far as this program can tell without asking: it may have stood still since it asked.
    pub(super) fn is_sure(&self) -> bool {
        self.state.lock().beaten.elapsed() < self.lease
    }

    /// The programs in which processors run. Before any runs in this one, it is alone.
    pub(super) fn nodes(&self) -> Nodes {
        let state = self.state.lock();
        let serving = match state.serves {
            Some(true) => Arc::clone(&state.serving),
            Some(false) => Arc::default(),
            None => Arc::from([state.token]),
        };
        Nodes { own: state.token, serving }
    }

    /// Tells the others whether processors run here, and looks for them.
    ///
    /// # Errors
    /// What PostgreSQL said.
    pub(super) fn serve(&self, connection: &Connection, serves: bool) -> Result<(), StoreError> {
        connection.execute(
            "UPDATE campanile_node SET serves = $2 WHERE token = $1",
            &[&self.token(), &serves],
        )?;
        self.look_around(connection)?;
        self.state.lock().serves = Some(serves);
        Ok(())
    }

    /// Sees in which programs processors run.
    ///
    /// # Errors
    /// What PostgreSQL said.
    pub(super) fn look_around(&self, connection: &Connection) -> Result<(), StoreError> {
        let rows = connection.query(
            "SELECT token FROM campanile_node WHERE gone_at IS NULL AND serves IS NOT FALSE \
             AND beat_at + lease_ms * interval '1 millisecond' > clock_timestamp() ORDER BY token",
            &[],
        )?;
        let serving: Result<Arc<[i64]>, _> = rows.iter().map(|row| row.try_get(0)).collect();
        self.state.lock().serving = serving?;
        Ok(())
    }

    /// Gives back every claim and the lease: nobody has to wait for them.
    ///
    /// # Errors
    /// What PostgreSQL said.
    pub(super) fn leave(&self, connection: &Connection) -> Result<(), StoreError> {
        let token = self.token();
        // However much waits, the claims are found by their index.
        connection.batch(BEGIN_BY_INDEX)?;
        connection.execute(
            "UPDATE sysevent_live SET state = 'ready', claimed_by = NULL, claim_token = NULL \
             WHERE claim_token = $1",
            &[&token],
        )?;
        connection.execute(
            "UPDATE campanile_node SET gone_at = clock_timestamp() WHERE token = $1",
            &[&token],
        )?;
        Ok(connection.batch("COMMIT")?)
    }

    /// When the last program has gone: what it changed at its end, nobody may have been told.
    ///
    /// # Errors
    /// What PostgreSQL said.
    pub(super) fn last_gone(connection: &Connection) -> Result<Option<String>, StoreError> {
        let row = connection.query_first("SELECT max(gone_at)::text FROM campanile_node", &[])?;
        Ok(row.map_or(Ok(None), |row| row.try_get(0))?)
    }

    /// Waits for `time`, or until the program ends. Returns whether to go on.
    pub(super) fn wait(&self, time: Duration) -> bool {
        let mut state = self.state.lock();
        if !state.stopping {
            self.stopped.wait_for(&mut state, time);
        }
        !state.stopping
    }

    /// Ends [`Node::wait`].
    pub(super) fn stop(&self) {
        self.state.lock().stopping = true;
        self.stopped.notify_all();
    }
}
