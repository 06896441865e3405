//! Forms of statements and tables that Citus does not send to one shard, and the check that the mode has none of them.
//!
//! The rules are those of Citus' documentation and of its planner's source; Citus itself was not run. They are stricter than it: a
//! statement of the mode names one table, and its partition by one parameter.

use super::plan_tests::partitioned;
use super::statements::ALL;
use crate::postgres::{PostgresOptions, PostgresStore};
use crate::testing::TestDatabase;

/// Tables that are spread.
const SPREAD: [&str; 3] = ["sysevent_live", "sysevent_log", "sysevent_run"];

/// The column by which they are.
const DISTRIBUTION: &str = "\"partition\"";

/// Functions that are known to give the same for the same.
const IMMUTABLE: [&str; 5] = ["lower", "coalesce", "unnest", "any", "array_position"];

/// Words that a parenthesis may follow and that are no functions.
const WORDS: [&str; 12] =
    ["as", "and", "or", "not", "in", "values", "conflict", "from", "where", "select", "new", "on"];

/// A word, name, parameter or sign of a statement, in small letters; and how deep in parentheses it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    text: String,
    depth: usize,
}

fn tokens(text: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut depth = 0_usize;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_ascii_alphanumeric() || "_$.".contains(c);
        let length = match first {
            quote @ ('\'' | '"') => rest[1..].find(quote).map_or(rest.len(), |end| end + 2),
            first if is_word(first) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            first => first.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        if token == ")" {
            depth = depth.saturating_sub(1);
        }
        if !token.trim().is_empty() {
            found.push(Token { text: token.to_ascii_lowercase(), depth });
        }
        if token == "(" {
            depth += 1;
        }
        rest = after;
    }
    found
}

/// Why Citus would not send a statement to one shard; nothing when it would.
fn refusal(text: &str) -> Option<String> {
    let tokens = tokens(text);
    let at = |index: usize| tokens.get(index).map_or("", |token| token.text.as_str());
    let has = |sequence: &[&str]| {
        tokens
            .windows(sequence.len())
            .any(|part| part.iter().map(|t| &*t.text).eq(sequence.iter().copied()))
    };
    let modifies = ["insert", "update", "delete"];
    // A modifying part that is not the statement itself stands in parentheses.
    let inner = tokens.iter().any(|token| token.depth > 0 && modifies.contains(&&*token.text));
    let is_insert = has(&["insert", "into"]);
    if at(0) == "with" {
        return Some(if inner {
            "a modifying common table expression".to_owned()
        } else if is_insert {
            "an INSERT with a common table expression".to_owned()
        } else {
            "a common table expression".to_owned()
        });
    }
    if tokens.iter().any(|token| token.depth > 0 && token.text == "select") {
        return Some("a subquery".to_owned());
    }
    let tables: Vec<&str> = (1..tokens.len())
        .filter(|index| ["from", "into", "update", "join"].contains(&at(index - 1)))
        .filter(|index| *index < 2 || at(index - 2) != "distinct")
        .map(at)
        .filter(|name| !["unnest", "skip"].contains(name) && !name.starts_with("set"))
        .collect();
    if tables.len() != 1 || !SPREAD.contains(&tables[0]) {
        return Some(format!("other tables than one that is spread: {tables:?}"));
    }
    for index in 1..tokens.len() {
        let name = at(index - 1);
        let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic());
        if at(index) == "("
            && is_name
            && !SPREAD.contains(&name)
            && !WORDS.contains(&name)
            && !IMMUTABLE.contains(&name)
        {
            return Some(format!("the function {name}, which may be volatile"));
        }
    }
    if is_insert { insert_refusal(&tokens) } else { filter_refusal(&tokens, at(0) == "update") }
}

/// The value that goes into the distribution column is one parameter, and uniqueness is asked together with it.
fn insert_refusal(tokens: &[Token]) -> Option<String> {
    let position = |text: &str| tokens.iter().position(|token| token.text == text);
    let columns: Vec<&str> = tokens[..position("select")?]
        .iter()
        .filter(|token| token.depth == 1 && token.text != ",")
        .map(|token| &*token.text)
        .collect();
    let Some(at) = columns.iter().position(|column| *column == DISTRIBUTION) else {
        return Some("an INSERT without the distribution column".to_owned());
    };
    let values: Vec<Vec<&str>> = tokens[position("select")? + 1..position("from")?]
        .split(|token| token.text == ",")
        .map(|value| value.iter().map(|token| &*token.text).collect())
        .collect();
    if !matches!(values.get(at).map(Vec::as_slice), Some([parameter, ..]) if parameter.starts_with('$'))
    {
        return Some("rows of several partitions in one INSERT".to_owned());
    }
    if let Some(conflict) = position("conflict") {
        let rest = &tokens[conflict..];
        let target: Vec<&str> =
            rest.iter().take_while(|token| token.text != "do").map(|token| &*token.text).collect();
        if !target.contains(&DISTRIBUTION) {
            return Some("a unique key without the distribution column".to_owned());
        }
        let set = rest.iter().position(|token| token.text == "set");
        if set.is_some_and(|set| rest[set..].iter().any(|token| token.text == DISTRIBUTION)) {
            return Some("a change of the distribution value".to_owned());
        }
    }
    None
}

/// What is asked names one partition, by equality with a parameter, and every row has to have it.
fn filter_refusal(tokens: &[Token], is_update: bool) -> Option<String> {
    let whole: Vec<&str> =
        tokens.iter().filter(|token| token.depth == 0).map(|token| &*token.text).collect();
    let filter = whole.iter().position(|word| *word == "where").unwrap_or(whole.len());
    if is_update {
        let set = whole.iter().position(|word| *word == "set").unwrap_or(0);
        let is_set = |pair: &[&str]| pair == [DISTRIBUTION, "="];
        if whole[set..filter].windows(2).any(is_set) {
            return Some("a change of the distribution value".to_owned());
        }
    }
    let named =
        |part: &[&str]| part[0] == DISTRIBUTION && part[1] == "=" && part[2].starts_with('$');
    let one = whole[filter..].windows(3).filter(|part| named(part)).count() == 1;
    if one && !whole[filter..].contains(&"or") {
        return None;
    }
    let holds = ["update", "share", "key"].iter().any(|word| whole[filter..].contains(word));
    Some(if holds && !is_update {
        "FOR UPDATE over several shards".to_owned()
    } else {
        "a filter that does not name one partition".to_owned()
    })
}

/// What Citus would not distribute of the tables themselves.
fn refused_tables(database: &TestDatabase) -> Vec<String> {
    let spread = SPREAD.map(|table| format!("'{table}'::regclass")).join(", ");
    let mut found = database.texts(&format!(
        "SELECT 'unique key without the distribution column: ' || indexrelid::regclass FROM pg_index \
         JOIN pg_attribute AS distribution ON attrelid = indrelid AND attname = 'partition' \
         WHERE indisunique AND indrelid IN ({spread}) AND NOT attnum = ANY (indkey::int2[]) ORDER BY 1"
    ));
    found.extend(database.texts(&format!(
        "SELECT 'partitioned over several levels: ' || child.oid::regclass FROM pg_inherits \
         JOIN pg_class AS child ON child.oid = inhrelid WHERE inhparent IN ({spread}) AND child.relkind = 'p' ORDER BY 1"
    )));
    found
}

#[test]
fn no_statement_of_the_mode_is_of_a_form_that_citus_does_not_route() {
    for statement in ALL {
        assert_eq!(refusal(statement.text), None, "{}: {}", statement.name, statement.text);
    }
}

#[test]
fn each_form_that_citus_does_not_route_is_refused() {
    for (text, why) in [
        (
            "SELECT sequence FROM sysevent_live WHERE queue = $1 FOR UPDATE SKIP LOCKED",
            "FOR UPDATE over several shards",
        ),
        (
            "SELECT 1 FROM sysevent_live WHERE \"partition\" = $1 OR lapses > 0 FOR SHARE",
            "FOR UPDATE over several shards",
        ),
        (
            "SELECT 1 FROM sysevent_live WHERE \"partition\" = ANY ($1)",
            "a filter that does not name one partition",
        ),
        (
            "SELECT 1 FROM sysevent_live WHERE \"partition\" >= $1",
            "a filter that does not name one partition",
        ),
        (
            "DELETE FROM sysevent_live WHERE sequence = ANY ($1)",
            "a filter that does not name one partition",
        ),
        (
            "WITH new AS (SELECT $1::text AS k) INSERT INTO sysevent_live (\"partition\", sys_id) SELECT $2, k FROM new",
            "an INSERT with a common table expression",
        ),
        (
            "WITH gone AS (DELETE FROM sysevent_live WHERE \"partition\" = $1 RETURNING *) \
             INSERT INTO sysevent_log SELECT * FROM gone",
            "a modifying common table expression",
        ),
        (
            "UPDATE sysevent_live SET processed = nextval('sysevent_sequence') WHERE \"partition\" = $1",
            "the function nextval, which may be volatile",
        ),
        (
            "DELETE FROM sysevent_live WHERE \"partition\" = $1 AND random() < 0.5",
            "the function random, which may be volatile",
        ),
        (
            "UPDATE sysevent_live SET \"partition\" = $2 WHERE \"partition\" = $1",
            "a change of the distribution value",
        ),
        (
            "INSERT INTO sysevent_live (\"partition\", sys_id) SELECT $1, k FROM unnest($2::text[]) AS new (k) \
             ON CONFLICT (lower(sys_id), \"partition\") DO UPDATE SET \"partition\" = $1",
            "a change of the distribution value",
        ),
        (
            "INSERT INTO sysevent_live (\"partition\", sys_id) SELECT $1, k FROM unnest($2::text[]) AS new (k) \
             ON CONFLICT (lower(sys_id)) DO NOTHING",
            "a unique key without the distribution column",
        ),
        (
            "INSERT INTO sysevent_live (\"partition\", sys_id) SELECT p, k FROM unnest($1::bigint[], $2::text[]) AS new (p, k)",
            "rows of several partitions in one INSERT",
        ),
        (
            "UPDATE sysevent_live SET lapses = 1 WHERE \"partition\" = $1 AND sequence = ANY (ARRAY (SELECT 1))",
            "a subquery",
        ),
        (
            "SELECT 1 FROM sysevent_live JOIN campanile_node ON token = claim_token WHERE \"partition\" = $1",
            "other tables than one that is spread: [\"sysevent_live\", \"campanile_node\"]",
        ),
    ] {
        assert_eq!(refusal(text).as_deref(), Some(why), "{text}");
    }
}

#[test]
fn the_statements_of_the_other_mode_are_refused() {
    let claim = "UPDATE sysevent_live SET state = 'queued' WHERE sequence = ANY (ARRAY (SELECT sequence FROM sysevent_live \
         WHERE queue = $1 ORDER BY sequence FOR UPDATE SKIP LOCKED LIMIT 5)) RETURNING *";
    assert_eq!(refusal(claim).as_deref(), Some("a subquery"));
}

#[test]
fn the_tables_of_the_mode_have_no_form_that_citus_does_not_distribute() {
    let database = TestDatabase::create();
    let options = PostgresOptions { partitions: Some(16), ..PostgresOptions::new(database.url()) };
    drop(PostgresStore::open(&options).unwrap());
    assert_eq!(refused_tables(&database), [""; 0]);
    database.run("CREATE UNIQUE INDEX of_its_own ON sysevent_log (lower(name))");
    assert_eq!(
        refused_tables(&database),
        ["unique key without the distribution column: of_its_own"]
    );
    let partitioned = partitioned();
    assert_eq!(refused_tables(&partitioned), [""; 0]);
    partitioned.run(
        "DROP TABLE sysevent_log_0; CREATE TABLE sysevent_log_0 PARTITION OF sysevent_log \
         FOR VALUES WITH (MODULUS 16, REMAINDER 0) PARTITION BY RANGE (\"partition\")",
    );
    assert_eq!(refused_tables(&partitioned), ["partitioned over several levels: sysevent_log_0"]);
}
