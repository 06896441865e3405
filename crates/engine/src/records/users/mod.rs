//! Users: accounts with their effective roles, passwords.

pub(crate) mod administrators;
mod credentials;
mod directory;
mod manage;

pub use credentials::{VerifiedCredentials, hash_password};
pub use directory::{
    Account, account, authenticate, remembered, session_user, session_user_by_id, set_password,
    was_right,
};
pub use manage::{add, grant, list, revoke};
