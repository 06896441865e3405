//! How many connections this program takes, and how many the database gives.

use super::connection::Connection;
use super::nodes::working;
use super::options::Connections;
use crate::contract::{ConnectionBudget, StoreError};

/// The limits on connections of this user to this database: of the server without what is kept for others, of the role, of
/// the database. -1 is none.
const LIMITS: &str = "SELECT current_setting('max_connections')::bigint \
     - current_setting('superuser_reserved_connections')::bigint \
     - COALESCE(current_setting('reserved_connections', true)::bigint, 0), \
     (SELECT rolconnlimit::bigint FROM pg_roles WHERE rolname = current_user), \
     (SELECT datconnlimit::bigint FROM pg_database WHERE datname = current_database())";

/// The budget of the program with `token`. Behind a pool nobody knows how many there are.
///
/// # Errors
/// What PostgreSQL said.
pub(super) fn budget(
    connection: &Connection,
    connections: &Connections,
    token: i64,
    is_pooled: bool,
) -> Result<ConnectionBudget, StoreError> {
    let others = working(connection, token)?.len();
    let mut given = None;
    if !is_pooled && let Some(row) = connection.query_first(LIMITS, &[])? {
        let limits: [Option<i64>; 3] = [row.try_get(0)?, row.try_get(1)?, row.try_get(2)?];
        given = limits.into_iter().flatten().filter_map(|limit| usize::try_from(limit).ok()).min();
    }
    let Connections { readers_max, writers_max, .. } = *connections;
    Ok(ConnectionBudget {
        readers: readers_max,
        writers: writers_max,
        own: Connections::OWN,
        others,
        is_pooled,
        given,
        limits: "max_connections, or CONNECTION LIMIT of the role or the database",
        settings: "postgres.readers and postgres.writers",
    })
}
