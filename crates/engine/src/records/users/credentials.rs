//! Password hashes, and the memory of credentials that were verified a moment ago.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use argon2::password_hash::rand_core::{OsRng, RngCore};
use argon2::password_hash::{Output, PasswordHash, PasswordHasher, Salt, SaltString};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use campanile_model::Instant;
use campanile_model::fold::fold;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use crate::error::EngineError;

/// How long a verified credential is believed without computing its hash again.
const REMEMBERED_MS: i64 = 5 * 60 * 1000;
/// Credentials remembered at most; when it is full it starts anew.
const REMEMBERED_MAX: usize = 1_000;
/// Hashes computed at one time: each takes 19 MiB and a core.
const HASHES_AT_ONCE: usize = 2;
/// As many more for credentials that were right before: who sends wrong ones by the thousand must not keep them waiting.
const HASHES_OF_KNOWN_AT_ONCE: usize = 1;
/// Blocks of 1 KiB that a hash may ask for: what is stored as a hash may come from elsewhere.
const HASH_BLOCKS_MAX: usize = 64 * 1024;

/// What an unknown user's password is verified against, so that the answer takes as long: a hash with the
/// parameters of [`hash_password`] that no password is known for.
const NOBODYS_HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5cy1zYWx0LTAwMQ$\
                            AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

/// The argon2id hash of a password with a salt of its own, as `sys_user.user_password` keeps it.
///
/// # Errors
/// [`EngineError::BadInput`] when the password is too long to be hashed.
pub fn hash_password(password: &str) -> Result<String, EngineError> {
    let salt = SaltString::generate(&mut OsRng);
    match Argon2::default().hash_password(password.as_bytes(), &salt) {
        Ok(hash) => Ok(hash.to_string()),
        Err(error) => Err(EngineError::BadInput {
            path: "password".to_owned(),
            detail: format!("it cannot be hashed: {error}"),
        }),
    }
}

/// Whether `password` is the one behind `hash`, computed in `memory`, which grows as it has to.
fn is_password_of(password: &str, hash: &PasswordHash<'_>, memory: &mut Vec<Block>) -> bool {
    let parts = (Algorithm::try_from(hash.algorithm), Params::try_from(hash), hash.salt, hash.hash);
    let (Ok(algorithm), Ok(params), Some(salt), Some(expected)) = parts else { return false };
    let Ok(version) = hash.version.map_or(Ok(Version::default()), Version::try_from) else {
        return false;
    };
    let blocks = params.block_count();
    let mut salt_bytes = [0; Salt::MAX_LENGTH];
    let Ok(salt) = salt.decode_b64(&mut salt_bytes) else { return false };
    if blocks > HASH_BLOCKS_MAX {
        return false;
    }
    if memory.len() < blocks {
        memory.resize(blocks, Block::default());
    }
    let mut computed = vec![0; expected.len()];
    let argon = Argon2::new(algorithm, version, params);
    let done = argon.hash_password_into_with_memory(
        password.as_bytes(),
        salt,
        &mut computed,
        &mut memory[..blocks],
    );
    // Outputs are compared in constant time.
    done.is_ok() && Output::new(&computed).is_ok_and(|computed| computed == expected)
}

/// A credential that was right, and against which stored hash: another hash makes it worthless.
#[derive(Debug, Clone)]
struct Verified {
    against: Arc<str>,
    until: Instant,
}

/// Credentials verified some minutes ago, under a keyed digest: the key is made at start and never stored, and
/// neither login nor password can be read back.
pub struct VerifiedCredentials {
    key: [u8; 64],
    remembered: Mutex<HashMap<[u8; 32], Verified>>,
    /// Each with the memory that it hashes in, kept from the first time on: memory of this size that was freed is not used
    /// again by the allocator, and many checks at once made gigabytes of it.
    turns: [Mutex<Vec<Block>>; HASHES_AT_ONCE],
    turns_of_known: [Mutex<Vec<Block>>; HASHES_OF_KNOWN_AT_ONCE],
}

impl Default for VerifiedCredentials {
    fn default() -> Self {
        let mut key = [0; 64];
        OsRng.fill_bytes(&mut key);
        Self {
            key,
            remembered: Mutex::default(),
            turns: Default::default(),
            turns_of_known: Default::default(),
        }
    }
}

impl fmt::Debug for VerifiedCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VerifiedCredentials")
    }
}

impl VerifiedCredentials {
    /// Whether `password` is the one behind `hash`; never for `None`, which takes as long.
    pub(super) fn verify(
        &self,
        now: Instant,
        user_name: &str,
        password: &str,
        hash: Option<&str>,
    ) -> bool {
        let digest = self.digest(user_name, password);
        if self.is_remembered(now, &digest, hash) {
            return true;
        }
        // One turn per login: calls that arrive together with the same credential compute its hash once.
        let mut memory = self.turn(user_name, self.was_right(&digest)).lock();
        if self.is_remembered(now, &digest, hash) {
            return true;
        }
        // A user without a (valid) hash costs as much as one with.
        let stored = hash.and_then(|hash| PasswordHash::new(hash).ok());
        let known = stored.is_some();
        let Some(against) = stored.or_else(|| PasswordHash::new(NOBODYS_HASH).ok()) else {
            return false;
        };
        let matches = is_password_of(password, &against, &mut memory);
        let right = matches && known;
        if let (true, Some(hash)) = (right, hash) {
            self.remember(now, digest, hash);
        }
        right
    }

    /// Whether this credential was right once since the start, against whatever hash.
    pub(super) fn knows(&self, user_name: &str, password: &str) -> bool {
        self.was_right(&self.digest(user_name, password))
    }

    fn was_right(&self, digest: &[u8; 32]) -> bool {
        self.remembered.lock().contains_key(digest)
    }

    fn turn(&self, user_name: &str, is_known: bool) -> &Mutex<Vec<Block>> {
        let turns = if is_known { &self.turns_of_known[..] } else { &self.turns };
        &turns[usize::from(Sha256::digest(fold(user_name))[0]) % turns.len()]
    }

    /// Whether exactly this credential was verified some minutes ago, against this hash.
    pub(super) fn remembers(
        &self,
        now: Instant,
        user_name: &str,
        password: &str,
        hash: Option<&str>,
    ) -> bool {
        self.is_remembered(now, &self.digest(user_name, password), hash)
    }

    fn is_remembered(&self, now: Instant, digest: &[u8; 32], hash: Option<&str>) -> bool {
        let remembered = self.remembered.lock();
        remembered
            .get(digest)
            .is_some_and(|verified| Some(&*verified.against) == hash && now < verified.until)
    }

    fn remember(&self, now: Instant, digest: [u8; 32], hash: &str) {
        let mut remembered = self.remembered.lock();
        if remembered.len() >= REMEMBERED_MAX {
            remembered.clear();
        }
        let until = now.plus_millis(REMEMBERED_MS);
        remembered.insert(digest, Verified { against: Arc::from(hash), until });
    }

    /// HMAC in its two steps, each with its own half of the key.
    fn digest(&self, user_name: &str, password: &str) -> [u8; 32] {
        let (inner_key, outer_key) = self.key.split_at(32);
        let name = fold(user_name);
        let inner = Sha256::new()
            .chain_update(inner_key)
            .chain_update(name.len().to_le_bytes())
            .chain_update(name)
            .chain_update(password)
            .finalize();
        Sha256::new().chain_update(outer_key).chain_update(inner).finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_millis(1_700_000_000_000);

    #[test]
    fn the_hash_for_unknown_users_costs_what_a_real_one_costs() {
        let real = hash_password("secret").unwrap();
        let parameters = |hash: &str| {
            let hash = PasswordHash::new(hash).unwrap();
            let parameters = hash.params.to_string();
            (hash.algorithm.to_string(), hash.version, parameters, hash.hash.unwrap().len())
        };
        assert_eq!(parameters(&real), parameters(NOBODYS_HASH));
    }

    #[test]
    fn a_remembered_credential_ends_with_time_and_with_the_hash() {
        let credentials = VerifiedCredentials::default();
        let hash = hash_password("secret").unwrap();
        assert!(credentials.verify(NOW, "Admin", "secret", Some(&hash)));
        let digest = credentials.digest("admin", "secret");
        assert!(credentials.is_remembered(NOW, &digest, Some(&hash)), "logins ignore case");
        assert!(!credentials.is_remembered(NOW.plus_millis(REMEMBERED_MS), &digest, Some(&hash)));
        assert!(!credentials.is_remembered(NOW, &digest, Some("another hash")));
        assert!(!credentials.is_remembered(NOW, &digest, None), "the user is gone");
    }

    #[test]
    fn the_memory_of_a_hash_is_used_again_and_a_greedy_hash_gets_none() {
        let mut memory = Vec::new();
        let hash = hash_password("secret").unwrap();
        let hash = PasswordHash::new(&hash).unwrap();
        assert!(is_password_of("secret", &hash, &mut memory));
        let (place, blocks) = (memory.as_ptr(), memory.len());
        assert!(!is_password_of("Secret", &hash, &mut memory));
        assert!(is_password_of("secret", &hash, &mut memory), "what is left in it does not count");
        assert_eq!((memory.as_ptr(), memory.len()), (place, blocks));
        let greedy = NOBODYS_HASH.replace("m=19456", "m=4194304");
        assert!(!is_password_of("x", &PasswordHash::new(&greedy).unwrap(), &mut memory));
        assert_eq!(memory.len(), blocks);
    }

    #[test]
    fn who_was_right_before_waits_for_no_turn_of_others() {
        let credentials = VerifiedCredentials::default();
        let hash = hash_password("secret").unwrap();
        assert!(!credentials.knows("admin", "secret"));
        assert!(credentials.verify(NOW, "admin", "secret", Some(&hash)));
        let _all: Vec<_> = credentials.turns.iter().map(Mutex::lock).collect();
        let later = NOW.plus_millis(REMEMBERED_MS);
        assert!(credentials.verify(later, "ADMIN", "secret", Some(&hash)));
        assert!(credentials.knows("admin", "secret") && !credentials.knows("admin", "Secret"));
    }

    #[test]
    fn wrong_unknown_and_broken_are_refused_and_not_remembered() {
        let credentials = VerifiedCredentials::default();
        let hash = hash_password("secret").unwrap();
        assert!(!credentials.verify(NOW, "admin", "Secret", Some(&hash)));
        assert!(!credentials.verify(NOW, "nobody", "secret", None));
        assert!(!credentials.verify(NOW, "admin", "", Some("")));
        assert!(credentials.remembered.lock().is_empty());
    }

    #[test]
    fn login_and_password_do_not_run_into_each_other() {
        let credentials = VerifiedCredentials::default();
        assert_ne!(credentials.digest("ab", "c"), credentials.digest("a", "bc"));
    }
}
