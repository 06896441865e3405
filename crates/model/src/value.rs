//! One field's value in its stored form.

use std::fmt;
use std::sync::Arc;

/// A field's value as *stored text* (scripting reference §0, §4): dates `yyyy-MM-dd HH:mm:ss` UTC, booleans
/// `1`/`0`, references as sys_id, numbers as plain decimal text. NULL and the empty text are one thing, `Nil`.
///
/// Cloning is cheap. The database keeps real column types; the store converts at its edge.
#[derive(Clone, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub enum Value {
    /// No value.
    #[default]
    Nil,
    /// A value; the text is never empty.
    Text(Arc<str>),
}

impl Value {
    /// The value of `text`; empty means [`Value::Nil`].
    #[must_use]
    pub fn text(text: &str) -> Self {
        if text.is_empty() { Self::Nil } else { Self::Text(Arc::from(text)) }
    }

    /// A boolean's stored text.
    #[must_use]
    pub fn bool(value: bool) -> Self {
        Self::text(if value { "1" } else { "0" })
    }

    /// An integer's stored text.
    #[must_use]
    pub fn int(value: i64) -> Self {
        Self::text(&value.to_string())
    }

    /// The stored text; empty when nil.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Nil => "",
            Self::Text(text) => text,
        }
    }

    /// The stored text, `None` when nil.
    #[must_use]
    pub fn as_option(&self) -> Option<&str> {
        match self {
            Self::Nil => None,
            Self::Text(text) => Some(text),
        }
    }

    /// Whether there is no value.
    #[must_use]
    pub fn is_nil(&self) -> bool {
        matches!(self, Self::Nil)
    }

    /// The value of a boolean field: true for `1` (and `true`), false for everything else and nil.
    #[must_use]
    pub fn is_true(&self) -> bool {
        matches!(self.as_str(), "1" | "true")
    }

    /// The whole number, `None` when nil or not one.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        self.as_str().parse().ok()
    }

    /// The number, `None` when nil or not one.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        self.as_str().parse().ok().filter(|n: &f64| n.is_finite())
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nil => f.write_str("nil"),
            Self::Text(text) => write!(f, "{text:?}"),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::text(&text)
    }
}
