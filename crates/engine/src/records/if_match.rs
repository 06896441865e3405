//! The versions that a caller lets a row have before it is changed (`If-Match`, rest-api §7.6).

use campanile_model::Record;

use crate::error::EngineError;

/// Versions (`sys_mod_count`), one of which the row must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IfMatch {
    versions: Vec<String>,
    /// What the caller named, for the refusal.
    told: String,
}

impl IfMatch {
    /// One of `versions`, compared as texts; without any, no row will do. `told` is how the caller named them.
    #[must_use]
    pub fn any_of(versions: Vec<String>, told: String) -> Self {
        Self { versions, told }
    }

    /// The version that `stored` has, when the caller lets it have that one.
    ///
    /// # Errors
    /// [`EngineError::VersionConflict`] otherwise.
    pub(crate) fn version_of(&self, stored: &Record) -> Result<i64, EngineError> {
        let present = stored.text("sys_mod_count");
        let version = stored.get("sys_mod_count").as_i64();
        version.filter(|_| self.versions.iter().any(|version| version == present)).ok_or_else(
            || EngineError::VersionConflict {
                expected: self.told.clone(),
                present: present.to_owned(),
            },
        )
    }
}

impl From<i64> for IfMatch {
    fn from(version: i64) -> Self {
        Self { versions: vec![version.to_string()], told: version.to_string() }
    }
}
