//! `gs`: logging (§9.1) and session messages (§9.2).

use std::rc::Rc;

use rquickjs::{Result, Value};

use super::crossing::to_text;
use super::native::{Call, Method};
use crate::host::{LogLevel, MessageKind};

pub(super) const METHODS: &[Method] = &[
    ("info", 1, info),
    ("warn", 1, warn),
    ("error", 1, error),
    ("debug", 1, debug),
    ("log", 2, log),
    ("logWarning", 2, log_warning),
    ("logError", 2, log_error),
    ("print", 1, print),
    ("isDebugging", 0, is_debugging),
    ("addInfoMessage", 1, add_info_message),
    ("addErrorMessage", 1, add_error_message),
    ("getInfoMessages", 0, get_info_messages),
    ("getErrorMessages", 0, get_error_messages),
    ("flushMessages", 0, flush_messages),
    ("getMessage", 2, get_message),
];

/// The texts that fill `{0}`, `{1}` …: the arguments from `first` on, or the array that stands there.
fn fillings(call: &Call<'_, '_>, first: usize) -> Result<Vec<Rc<str>>> {
    let array = call.arg(first).into_array();
    if let Some(array) = array {
        return array
            .iter::<Value<'_>>()
            .map(|item| to_text(call.ctx(), call.run, &item?))
            .collect();
    }
    (first..call.len()).map(|at| call.text(at)).collect()
}

/// Puts the fillings in. What no filling exists for stays as it is.
fn fill(pattern: &str, fillings: &[Rc<str>]) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(open) = rest.find('{') {
        let (before, from_open) = rest.split_at(open);
        out.push_str(before);
        let filling = from_open[1..].split_once('}').and_then(|(digits, after)| {
            let plain =
                (1..=2).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
            let index = plain.then(|| digits.parse::<usize>().ok())??;
            Some((fillings.get(index)?, after))
        });
        match filling {
            Some((text, after)) => {
                out.push_str(text);
                rest = after;
            }
            None => {
                out.push('{');
                rest = &from_open[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

fn formatted<'js>(call: &Call<'_, 'js>, level: LogLevel) -> Result<Value<'js>> {
    let message = call.text(0)?;
    let host = call.run.host(call.ctx())?;
    if call.len() > 1 {
        host.log(level, "", &fill(&message, &fillings(call, 1)?));
    } else {
        host.log(level, "", &message);
    }
    Ok(call.undefined())
}

fn info<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    formatted(call, LogLevel::Info)
}

fn warn<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    formatted(call, LogLevel::Warn)
}

fn error<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    formatted(call, LogLevel::Error)
}

fn debug<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    formatted(call, LogLevel::Debug)
}

fn with_source<'js>(call: &Call<'_, 'js>, level: LogLevel) -> Result<Value<'js>> {
    let message = call.text(0)?;
    let source = call.text_opt(1)?.unwrap_or_default();
    call.run.host(call.ctx())?.log(level, &source, &message);
    Ok(call.undefined())
}

fn log<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    with_source(call, LogLevel::Info)
}

fn log_warning<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    with_source(call, LogLevel::Warn)
}

fn log_error<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    with_source(call, LogLevel::Error)
}

fn print<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    call.run.host(call.ctx())?.log(LogLevel::Print, "", &call.text(0)?);
    Ok(call.undefined())
}

fn is_debugging<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    Ok(call.bool(call.run.host(call.ctx())?.is_debugging()))
}

fn add_info_message<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    call.run.host(call.ctx())?.add_message(MessageKind::Info, &call.text(0)?);
    Ok(call.undefined())
}

fn add_error_message<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    call.run.host(call.ctx())?.add_message(MessageKind::Error, &call.text(0)?);
    Ok(call.undefined())
}

fn get_info_messages<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    call.text_list(&call.run.host(call.ctx())?.messages(MessageKind::Info))
}

fn get_error_messages<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    call.text_list(&call.run.host(call.ctx())?.messages(MessageKind::Error))
}

fn flush_messages<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    call.run.host(call.ctx())?.flush_messages();
    Ok(call.undefined())
}

/// The text for a key with its placeholders filled. `''` is an apostrophe, and quotes round a placeholder go.
fn get_message<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    let text = call.run.host(call.ctx())?.message_text(&call.text(0)?);
    let fillings = fillings(call, 1)?;
    call.string(&fill(&unquote(&text), &fillings))
}

fn unquote(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(quote) = rest.find('\'') {
        let (before, from_quote) = rest.split_at(quote);
        out.push_str(before);
        let after = &from_quote[1..];
        let placeholder = after.split_once('\'').filter(|(inner, _)| {
            inner.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')).is_some_and(
                |digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()),
            )
        });
        if let Some((inner, behind)) = placeholder {
            out.push_str(inner);
            rest = behind;
        } else {
            out.push('\'');
            rest = after.strip_prefix('\'').unwrap_or(after);
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(pattern: &str, fillings: &[&str]) -> String {
        let fillings: Vec<Rc<str>> = fillings.iter().map(|text| Rc::from(*text)).collect();
        fill(pattern, &fillings)
    }

    #[test]
    fn placeholders_without_a_filling_stay() {
        assert_eq!(filled("a {0} b {1}", &["x"]), "a x b {1}");
        assert_eq!(filled("{0}{0}", &["{1}"]), "{1}{1}", "a filling is not filled again");
        assert_eq!(filled("{", &["x"]), "{");
        assert_eq!(filled("{a} {} {-1} {0", &["x"]), "{a} {} {-1} {0");
        assert_eq!(filled("{{0}}", &["x"]), "{x}");
        assert_eq!(filled("{99999999999999999999}", &["x"]), "{99999999999999999999}");
    }

    #[test]
    fn quotes_follow_message_format_as_far_as_texts_use_them() {
        assert_eq!(unquote("it''s"), "it's");
        assert_eq!(unquote("it's"), "it's");
        assert_eq!(unquote("'{0}' is gone"), "{0} is gone");
        assert_eq!(unquote("'{a}'"), "'{a}'");
    }
}
