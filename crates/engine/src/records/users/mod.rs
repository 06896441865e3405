//! Users: accounts with their effective roles, passwords.

mod credentials;
mod directory;

pub use credentials::{VerifiedCredentials, hash_password, is_password_hash};
pub use directory::{
    Account, account, authenticate, session_user, session_user_by_id, set_password,
};
