//! The connections that programs take on a database that they share.

/// How many there are, and how many there should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionBudget {
    /// Of this program: those that read, at most.
    pub readers: usize,
    /// Of this program: those of record operations and claims, at most.
    pub writers: usize,
    /// Of this program: those that are always open.
    pub own: usize,
    /// Other programs that work on the database.
    pub others: usize,
    /// Whether a pool stands between, which gives each transaction one of its own.
    pub is_pooled: bool,
    /// How many the database gives to all of them; unknown behind a pool.
    pub given: Option<usize>,
    /// What an administrator calls the limits of the database.
    pub limits: &'static str,
    /// The settings that say how many one program takes.
    pub settings: &'static str,
}

impl ConnectionBudget {
    /// What one program takes at most.
    #[must_use]
    pub fn of_one(&self) -> usize {
        self.readers + self.writers + self.own
    }

    /// What a pool has to give `programs`, so that transactions that are open never wait for one another: each may hold
    /// one, and needs another one to read.
    #[must_use]
    pub fn of_a_pool(&self, programs: usize) -> usize {
        programs * (self.writers + self.own) + 1
    }

    /// What is missing for `programs` like this one, and the fix; `None` when there are enough or nobody knows.
    #[must_use]
    pub fn shortage(&self, programs: usize) -> Option<(String, String)> {
        let (needed, given) = (programs * self.of_one(), self.given?);
        (needed > given).then(|| {
            let who =
                if programs == 1 { "1 server".to_owned() } else { format!("{programs} servers") };
            (
                format!("{who} may take {needed} connections to the database, which gives {given}"),
                format!(
                    "raise the database's limit ({}) by {}, or lower {}",
                    self.limits,
                    needed - given,
                    self.settings
                ),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: ConnectionBudget = ConnectionBudget {
        readers: 16,
        writers: 16,
        own: 4,
        others: 0,
        is_pooled: false,
        given: Some(97),
        limits: "the limit",
        settings: "the settings",
    };

    #[test]
    fn as_many_programs_as_the_database_has_connections_for_lack_nothing() {
        assert_eq!(BUDGET.of_one(), 36);
        assert_eq!(BUDGET.shortage(2), None);
        let (what, fix) = BUDGET.shortage(3).unwrap();
        assert_eq!(what, "3 servers may take 108 connections to the database, which gives 97");
        assert_eq!(fix, "raise the database's limit (the limit) by 11, or lower the settings");
        assert_eq!(ConnectionBudget { given: None, ..BUDGET }.shortage(9), None);
    }

    #[test]
    fn a_pool_has_one_more_than_all_open_transactions_may_hold() {
        assert_eq!(BUDGET.of_a_pool(2), 41);
    }
}
