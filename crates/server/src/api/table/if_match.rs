//! `If-Match` (RFC 9110 §13.1.1): `*`, or a list of entity tags, one of which the row must have. A weak tag never matches.

use axum::http::{HeaderMap, header};
use campanile_engine::records::if_match::IfMatch;

use crate::errors::ApiError;

/// What the caller lets the version of the row be; `None` is any. A number without quotes is taken for a tag.
///
/// # Errors
/// `bad_parameter` for what is neither `*` nor a list of tags.
pub(super) fn if_match(headers: &HeaderMap) -> Result<Option<IfMatch>, ApiError> {
    let mut values = headers.get_all(header::IF_MATCH).iter().peekable();
    if values.peek().is_none() {
        return Ok(None);
    }
    let texts: Vec<&str> = values.map(|value| value.to_str().unwrap_or_default().trim()).collect();
    if texts == ["*"] {
        return Ok(None);
    }
    let text = texts.join(", ");
    let tags = tags(&text).ok_or_else(|| {
        ApiError::bad_parameter("If-Match", format!("expected an ETag such as \"3\", got {text}"))
    })?;
    let told = match tags.as_slice() {
        [Tag { text, weak: false }] => (*text).to_owned(),
        _ => text.clone(),
    };
    let strong = tags.iter().filter(|tag| !tag.weak).map(|tag| tag.text.to_owned());
    Ok(Some(IfMatch::any_of(strong.collect(), told)))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tag<'a> {
    text: &'a str,
    weak: bool,
}

/// The tags of a list; `None` when it is no list of tags, or an empty one.
fn tags(list: &str) -> Option<Vec<Tag<'_>>> {
    let mut tags = Vec::new();
    let mut rest = list;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return Some(tags).filter(|tags| !tags.is_empty());
        }
        let strong = rest.strip_prefix("W/");
        let (text, after) = match strong.unwrap_or(rest).strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => bare_number(rest)?,
        };
        tags.push(Tag { text, weak: strong.is_some() });
        rest = after.trim_start_matches([' ', '\t']);
        if !rest.is_empty() && !rest.starts_with(',') {
            return None;
        }
    }
}

fn bare_number(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(list: &str) -> Option<Vec<(&str, bool)>> {
        Some(tags(list)?.iter().map(|tag| (tag.text, tag.weak)).collect())
    }

    #[test]
    fn lists_of_tags_are_read_and_everything_else_is_refused() {
        assert_eq!(read("\"19\""), Some(vec![("19", false)]));
        assert_eq!(read("19"), Some(vec![("19", false)]));
        assert_eq!(read("\"999\", \"19\""), Some(vec![("999", false), ("19", false)]));
        assert_eq!(read(",\"a,b\" ,\tW/\"19\","), Some(vec![("a,b", false), ("19", true)]));
        assert_eq!(read("\"\""), Some(vec![("", false)]));
        for refused in
            ["", ",", "soon", "\"19", "19\"", "\"1\" \"2\"", "W/19", "w/\"1\"", "*, \"1\"", "-1"]
        {
            assert_eq!(read(refused), None, "{refused}");
        }
    }
}
