//! Built statements as PostgreSQL takes them: numbered places, values in the type of their place.

use std::error::Error;

use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use super::text::stored;
use crate::sql::values::Param;

/// `text` with `$1`, `$2` … for each `?` outside quotes.
pub(super) fn numbered(text: &str) -> String {
    let mut written = String::with_capacity(text.len() + 16);
    let mut quote = None;
    let mut places = 0_usize;
    for c in text.chars() {
        match (quote, c) {
            (None, '?') => {
                places += 1;
                written.push('$');
                written.push_str(&places.to_string());
                continue;
            }
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            _ => {}
        }
        written.push(c);
    }
    written
}

/// The parameters as the client takes them.
pub(super) fn refs(params: &[Param]) -> Vec<&(dyn ToSql + Sync)> {
    params.iter().map(|param| param as &(dyn ToSql + Sync)).collect()
}

/// Values of many rows, a list for each column, as a statement over `unnest` takes them.
pub(super) struct Columns<'a>(pub(super) Vec<Box<dyn ToSql + Sync + 'a>>);

impl Columns<'_> {
    /// The parameters as the client takes them.
    pub(super) fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.0.iter().map(|column| &**column as &(dyn ToSql + Sync)).collect()
    }
}

type Written = Result<IsNull, Box<dyn Error + Sync + Send>>;

impl ToSql for Param {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Written {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Integer(number) if *ty == Type::BOOL => (*number != 0).to_sql(ty, out),
            Self::Integer(number) if *ty == Type::INT8 => number.to_sql(ty, out),
            #[expect(clippy::cast_precision_loss, reason = "the column is a floating-point number")]
            Self::Integer(number) if *ty == Type::FLOAT8 => (*number as f64).to_sql(ty, out),
            Self::Integer(number) => number.to_string().to_sql(ty, out),
            Self::Real(number) if *ty == Type::FLOAT8 => number.to_sql(ty, out),
            Self::Real(number) => number.to_string().to_sql(ty, out),
            Self::Text(text) => stored(text).to_sql(ty, out),
            Self::List(params) => params.to_sql(ty, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        // The statement's text says what each place is; a value that does not fit is told by the server.
        true
    }

    to_sql_checked!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_numbered_and_quoted_signs_are_not() {
        assert_eq!(
            numbered("SELECT \"a?\" FROM t WHERE b = ?::text AND c = '?' AND d = ?"),
            "SELECT \"a?\" FROM t WHERE b = $1::text AND c = '?' AND d = $2"
        );
    }
}
