//! Every code that a caller can meet has a page, and every page a code (docs/errors).

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::harness::root;

/// What stands before the literal of a code, blanks left out.
const OPENERS: [&str; 12] = [
    "unprocessable(\"",
    "unavailable(\"",
    "operation_failed(\"",
    "refused(\"",
    "refused((\"",
    "refusal(\"",
    "refusal_of(\"",
    "integrity(change,\"",
    "FireRefused{code:\"",
    "Integrity{code:\"",
    "error.code=\"",
    "Err((\"",
];

fn sources(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
            found.push(code.split_whitespace().collect());
        }
    }
}

fn is_code(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

fn codes_in(source: &str, codes: &mut BTreeSet<String>) {
    let mut take = |rest: &str| {
        let literal = rest.split('"').next().unwrap_or_default();
        if is_code(literal) {
            codes.insert(literal.to_owned());
        }
    };
    for opener in OPENERS {
        source.match_indices(opener).for_each(|(at, found)| take(&source[at + found.len()..]));
    }
    // `ApiError::new(StatusCode::FORBIDDEN, "not_allowed", …)`
    for (at, found) in source.match_indices("StatusCode::") {
        let rest = &source[at + found.len()..];
        let name = rest.find(|c: char| !c.is_ascii_uppercase() && c != '_').unwrap_or(0);
        if let Some(rest) = rest[name..].strip_prefix(",\"") {
            take(rest);
        }
    }
    // Codes that are constants: `const REGISTRATION_INACTIVE: &str = "registration_inactive";`
    for (at, found) in source.match_indices("INACTIVE:&str=\"") {
        take(&source[at + found.len()..]);
    }
}

#[test]
fn every_error_code_has_a_page_and_every_page_a_code() {
    let mut found = Vec::new();
    // Packs and handlers have reasons of their own, which are no codes of answers.
    for folder in ["server/src", "engine/src/records", "engine/src/events", "engine/src/queues"] {
        sources(&root().join("crates").join(folder), &mut found);
    }
    let mut codes = BTreeSet::new();
    found.iter().for_each(|source| codes_in(source, &mut codes));
    for known in
        ["unauthenticated", "not_allowed", "too_long", "queue_invalid", "bad_query", "key_reused"]
    {
        assert!(codes.contains(known), "the scan misses {known}: {codes:?}");
    }
    let pages: BTreeSet<String> = fs::read_dir(root().join("docs/errors"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .filter(|name| name != "README")
        .collect();
    let missing: Vec<_> = codes.difference(&pages).collect();
    let unknown: Vec<_> = pages.difference(&codes).collect();
    assert!(missing.is_empty(), "codes without a page in docs/errors: {missing:?}");
    assert!(unknown.is_empty(), "pages in docs/errors whose code nobody answers: {unknown:?}");
}

#[test]
fn a_page_says_what_happened_and_what_to_do() {
    for entry in fs::read_dir(root().join("docs/errors")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(text.starts_with(&format!("# {name}\n")), "{name}");
        for part in ["HTTP status: ", "**What it means.**", "**What to do.**"] {
            assert!(text.contains(part), "{name} lacks {part}");
        }
    }
}
