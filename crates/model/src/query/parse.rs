//! Text to tree (business-rules §11.1).

use super::parse_limits::{ParseLimits, QueryTooLarge};
use super::tree::{Alternative, Group, InvalidTerm, Operator, Order, Query, Term};

/// Parses an encoded query. Pieces without meaning are collected in [`Query::invalid`]; nothing is refused but
/// size. Terms and order terms count as terms; broken text does not.
///
/// # Errors
/// [`QueryTooLarge`] when a limit is exceeded.
pub fn parse(text: &str, limits: ParseLimits) -> Result<Query, QueryTooLarge> {
    parse_counting(text, limits, |_| true)
}

/// As [`parse`], counting only terms whose path `names_a_field`: over HTTP, terms that name no field are dropped
/// before they are counted (rest-api §2.3). They stay in the tree, and [`super::bind`] reports them.
///
/// # Errors
/// [`QueryTooLarge`] when a limit is exceeded.
pub fn parse_counting(
    text: &str,
    limits: ParseLimits,
    mut names_a_field: impl FnMut(&str) -> bool,
) -> Result<Query, QueryTooLarge> {
    within("bytes", text.len(), limits.bytes_max)?;
    let query = Parser::default().run(text);
    within("alternatives", query.alternatives.len(), limits.alternatives_max)?;
    let conditions = query.terms().map(|term| term.path.as_str());
    let orders = query.order.iter().map(|order| order.path.as_str());
    let terms = conditions.chain(orders).filter(|path| names_a_field(path)).count();
    within("terms", terms, limits.terms_max)?;
    Ok(query)
}

fn within(what: &'static str, got: usize, limit: usize) -> Result<(), QueryTooLarge> {
    if got > limit { Err(QueryTooLarge { what, got, limit }) } else { Ok(()) }
}

/// Whether `path` is written as the grammar wants it: `name {"." name}`, or a text-search pseudo field.
#[must_use]
pub fn is_path(path: &str) -> bool {
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    TEXT_SEARCH_FIELDS.contains(&path) || path.split('.').all(is_name)
}

/// The fields that stand for a text search over the whole row.
pub(super) const TEXT_SEARCH_FIELDS: [&str; 2] = ["123TEXTQUERY321", "123TEXTINDEXGROUP321"];

/// What may begin a piece and is no field.
const RESERVED: [&str; 6] = ["OR", "NQ", "EQ", "GROUPBY", "RLQUERY", "JOIN"];

/// What an arm of a group parses to, and how many bytes of the text it takes.
type Arm = (Result<Term, String>, usize);

#[derive(Default)]
struct Parser {
    query: Query,
    /// Groups of the clause that is being read; one without terms had only broken arms so far.
    groups: Vec<Group>,
}

impl Parser {
    fn run(mut self, text: &str) -> Query {
        let mut rest = text.trim_matches('^');
        while !rest.is_empty() {
            let taken = self.piece(rest);
            rest = rest[taken..].trim_start_matches('^');
        }
        self.end_clause();
        self.query
    }

    /// Reads the piece at the start of `text`; returns how many bytes it took.
    fn piece(&mut self, text: &str) -> usize {
        if let Some(path) = text.strip_prefix("ORDERBYDESC") {
            return "ORDERBYDESC".len() + self.order(text, path, true);
        }
        if let Some(path) = text.strip_prefix("ORDERBY") {
            return "ORDERBY".len() + self.order(text, path, false);
        }
        if let Some(path) = text.strip_prefix("GROUPBY") {
            let taken = part_len(path);
            if is_path(&path[..taken]) {
                self.query.group_by.push(path[..taken].to_owned());
            } else {
                self.broken(
                    &text[.."GROUPBY".len() + taken],
                    "expected a field name after GROUPBY",
                );
            }
            return "GROUPBY".len() + taken;
        }
        if text.starts_with("NQ") {
            self.end_clause();
            return "NQ".len();
        }
        if text.starts_with("EQ") {
            return text.len();
        }
        let (arm, joins) = match text.strip_prefix("OR") {
            Some(arm) => (arm, true),
            None => (text, false),
        };
        if arm.is_empty() || arm.starts_with('^') {
            return text.len() - arm.len();
        }
        if !joins || self.groups.is_empty() {
            self.groups.push(Group::default());
        }
        let (parsed, taken) = arm_at(arm);
        let end = text.len() - arm.len() + taken;
        match parsed {
            Ok(term) => {
                if let Some(group) = self.groups.last_mut() {
                    group.terms.push(term);
                }
            }
            // `OR` is part of the piece where the rest alone would read as something else.
            Err(reason) if RESERVED.iter().any(|word| arm.starts_with(word)) => {
                self.broken(&text[..end], &reason);
            }
            Err(reason) => self.broken(&arm[..taken], &reason),
        }
        end
    }

    fn order(&mut self, text: &str, path: &str, descending: bool) -> usize {
        let taken = part_len(path);
        if is_path(&path[..taken]) {
            self.query.order.push(Order { path: path[..taken].to_owned(), descending });
        } else {
            let end = text.len() - path.len() + taken;
            self.broken(&text[..end], "expected a field name after ORDERBY");
        }
        taken
    }

    fn broken(&mut self, piece: &str, reason: &str) {
        self.query.invalid.push(InvalidTerm { text: piece.to_owned(), reason: reason.to_owned() });
    }

    fn end_clause(&mut self) {
        let groups: Vec<_> =
            self.groups.drain(..).filter(|group| !group.terms.is_empty()).collect();
        if !groups.is_empty() {
            self.query.alternatives.push(Alternative { groups });
        }
    }
}

fn arm_at(text: &str) -> Arm {
    if let Some(inner) = text.strip_prefix("RLQUERY") {
        return related_at(inner, text.len());
    }
    if let Some(inner) = text.strip_prefix("JOIN")
        && inner[..value_len(inner)].contains('!')
    {
        return (Ok(related("JOIN", inner)), text.len());
    }
    term_at(text)
}

/// `RLQUERY…^ENDRLQUERY` is one piece; one inside another is counted. Without its end it takes all text.
fn related_at(inner: &str, whole: usize) -> Arm {
    let mut open = 1;
    for (at, _) in inner.match_indices("RLQUERY") {
        let before = &inner[..at];
        if let Some(before) = before.strip_suffix("^END") {
            open -= 1;
            if open == 0 {
                return (Ok(related("RLQUERY", before)), "RLQUERY".len() + at + "RLQUERY".len());
            }
        } else if before.ends_with([',', '^']) || before.ends_with("^OR") || before.ends_with("^NQ")
        {
            open += 1;
        }
    }
    (Err("RLQUERY has no ^ENDRLQUERY".to_owned()), whole)
}

fn related(word: &'static str, inner: &str) -> Term {
    let operator = Operator::Unsupported(word);
    Term { path: String::new(), operator, value: inner.to_owned() }
}

fn term_at(text: &str) -> Arm {
    let broken = |reason: String| (Err(reason), value_len(text));
    let path = match TEXT_SEARCH_FIELDS.iter().find(|name| text.starts_with(**name)) {
        Some(name) => name,
        None => {
            let in_path =
                |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_.".contains(b);
            &text[..text.bytes().take_while(|b| in_path(b)).count()]
        }
    };
    if !is_path(path) {
        return broken(
            "expected a field name (lower-case letters, digits, underscores)".to_owned(),
        );
    }
    let rest = &text[path.len()..];
    let Some((operator, word)) = Operator::at_start_of(rest) else {
        return broken(format!("expected an operator after '{path}'"));
    };
    let (start, operand) = (path.len() + word, &rest[word..]);
    if operator.takes_value() {
        let taken = value_len(operand);
        let value = operand[..taken].replace("^^", "^");
        return (Ok(Term { path: path.to_owned(), operator, value }), start + taken);
    }
    let taken = part_len(operand);
    if taken > 0 {
        return (Err(format!("operator {} takes no value", operator.word())), start + taken);
    }
    (Ok(Term { path: path.to_owned(), operator, value: String::new() }), start)
}

/// Bytes up to the next `^`.
fn part_len(text: &str) -> usize {
    text.find('^').unwrap_or(text.len())
}

/// Bytes up to the next `^` that is not doubled.
fn value_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], bytes.get(at + 1)) {
            (b'^', Some(b'^')) => at += 2,
            (b'^', _) => return at,
            _ => at += 1,
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::super::print;
    use super::*;

    fn parsed(text: &str) -> Query {
        parse(text, ParseLimits::STORED).unwrap()
    }

    /// `print` of the tree shows its whole shape, so one text stands for one tree.
    fn canonical(text: &str) -> String {
        print(&parsed(text))
    }

    #[test]
    fn or_binds_tighter_than_and_and_and_tighter_than_nq() {
        let query = parsed("a=1^b=2^ORc=3^d=4^NQe=5");
        let shape: Vec<Vec<usize>> = query
            .alternatives
            .iter()
            .map(|a| a.groups.iter().map(|group| group.terms.len()).collect())
            .collect();
        assert_eq!(shape, [vec![1, 2, 1], vec![1]]);
    }

    #[test]
    fn synonyms_are_written_in_one_way() {
        let cases = [
            ("aCONTAINSx", "aLIKEx"),
            ("a*x", "aLIKEx"),
            ("a%x", "aENDSWITHx"),
            ("a!*x", "aNOT LIKEx"),
            ("aDOES NOT CONTAINx", "aNOT LIKEx"),
            ("aDOESNOTCONTAINx", "aNOT LIKEx"),
            ("aNOT CONTAINSx", "aNOT LIKEx"),
            ("aNOTLIKEx", "aNOT LIKEx"),
            ("aNOTIN1,2", "aNOT IN1,2"),
            ("aEMPTYSTRING", "aISEMPTY"),
            ("aEMPTY", "aISEMPTY"),
            ("aNOTEMPTY", "aISNOTEMPTY"),
            ("a<=2", "a<=2"),
            ("aNOTONx@1@2", "aNOTONx@1@2"),
            ("aINSTANCEOFtask", "aINSTANCEOFtask"),
            ("aIN_HIERARCHYx", "aIN_HIERARCHYx"),
            ("aRELATIVEGE@hour@ago@1", "aRELATIVEGE@hour@ago@1"),
        ];
        for (text, expected) in cases {
            assert_eq!(canonical(text), expected, "{text}");
            assert!(parsed(text).invalid.is_empty(), "{text}");
        }
    }

    #[test]
    fn a_doubled_caret_is_a_caret_in_a_value() {
        let query = parsed("short_description=a^^b^x=^^^ORy=^^^^z");
        let values: Vec<_> = query.terms().map(|term| term.value.as_str()).collect();
        assert_eq!(values, ["a^b", "^", "^^z"]);
    }

    #[test]
    fn empty_parts_count_for_nothing() {
        for text in
            ["^a=1", "^^a=1", "a=1^", "a=1^^", "aISEMPTY^^^b=1", "^OR^a=1", "a=1^NQ", "^NQ^NQa=1"]
        {
            let query = parsed(text);
            assert!(query.invalid.is_empty(), "{text}: {query:?}");
            assert!(print(&query) == "a=1" || print(&query) == "aISEMPTY^b=1", "{text}: {query:?}");
        }
        assert_eq!(parsed(""), Query::default());
        assert_eq!(parsed("^^^"), Query::default());
    }

    #[test]
    fn eq_ends_the_query_and_whatever_follows_is_ignored() {
        assert_eq!(canonical("a=1^EQ"), "a=1");
        assert_eq!(canonical("a=1^EQ<item goto=\"false\"/>^b=2"), "a=1");
        assert_eq!(canonical("a=1^equals=2"), "a=1^equals=2");
    }

    #[test]
    fn order_terms_stand_anywhere_in_textual_order() {
        let query = parsed("ORDERBYDESCpriority^a=1^ORDERBYnumber^ORb=2^GROUPBYstate");
        assert_eq!(print(&query), "a=1^ORb=2^ORDERBYDESCpriority^ORDERBYnumber^GROUPBYstate");
    }

    #[test]
    fn what_waits_is_one_piece_and_comes_back_as_written() {
        let texts = [
            "RLQUERYincident.problem_id,>=1,priority=1^ORpriority=2^ENDRLQUERY^a=1",
            "RLQUERYa.b,>0,m2m^RLQUERYc.d,=0^ENDRLQUERY^ENDRLQUERY^a=1",
            "a=1^JOINsys_user.sys_id=sys_user_group.manager!active=true^NQname=x",
            "assigned_to=javascript:gs.getUserID()^a=1",
            "aONToday@javascript:gs.daysAgoStart(0)@javascript:gs.daysAgoEnd(0)^b=1",
            "aDYNAMIC90d1921e5f510100a9ad2572f2b477fe^123TEXTQUERY321=word",
        ];
        for text in texts {
            assert_eq!(canonical(text), text);
            assert!(parsed(text).invalid.is_empty(), "{text}");
        }
        let query = parsed("a=1^ORDERBYb^JOINt.f=u.g!x=1^ORDERBYc");
        assert_eq!(query.order.len(), 1, "all that follows the JOIN is its own");
        assert_eq!(print(&query), "ORDERBYb^a=1^JOINt.f=u.g!x=1^ORDERBYc");
    }

    #[test]
    fn what_has_no_meaning_is_told_and_comes_back_as_written() {
        let texts = [
            "state = 1",
            "State=1",
            "state",
            "stateLIK1",
            "=1",
            "a..b=1",
            ".a=1",
            "a.=1",
            "1a=1",
            "aISEMPTYx",
            "ORDERBY",
            "ORDERBYa b",
            "GROUPBYX",
            "JOINa.b=c.d",
            "ORORDERBYa",
            "ORNQa=1",
            "RLQUERYa.b,>=1^x=1",
            "größe=1",
            "a b^^c",
        ];
        for text in texts {
            let query = parsed(text);
            assert_eq!(query.invalid.len(), 1, "{text}: {query:?}");
            assert_eq!(query.invalid[0].text, text);
            assert_eq!(query.terms().count() + query.order.len(), 0, "{text}: {query:?}");
            assert_eq!(print(&query), text);
        }
    }

    #[test]
    fn a_broken_arm_leaves_the_other_arms_and_groups_as_they_are() {
        assert_eq!(canonical("a=1^ORb b^ORc=3"), "a=1^ORc=3^b b");
        assert_eq!(canonical("a=1^b b^ORc=3"), "a=1^c=3^b b");
        assert_eq!(canonical("b b^NQa=1"), "a=1^b b");
    }

    #[test]
    fn each_limit_is_told_by_name() {
        let limits = ParseLimits { bytes_max: 30, terms_max: 3, alternatives_max: 2 };
        let refused = |text: &str| parse(text, limits).map_err(|e| (e.what, e.got));
        assert_eq!(refused("a=1^b=1^ORDERBYc").unwrap().order.len(), 1);
        assert_eq!(refused("a=1^b=1^c=1^ORDERBYc"), Err(("terms", 4)));
        assert_eq!(refused("a=1^NQb=1^NQc=1"), Err(("alternatives", 3)));
        assert_eq!(refused(&"x".repeat(31)), Err(("bytes", 31)));
        let error = parse("a=1^b=1^c=1^d=1", limits).unwrap_err();
        assert_eq!(error.to_string(), "encoded query has 4 terms, the limit is 3");
    }

    #[test]
    fn terms_that_name_no_field_are_dropped_before_counting() {
        let limits = ParseLimits { terms_max: 1, ..ParseLimits::HTTP };
        let query = parse_counting("nope=1^a=1^ORDERBYnope", limits, |path| path == "a").unwrap();
        assert_eq!(query.terms().count(), 2);
        assert!(parse_counting("a=1^a=2", limits, |path| path == "a").is_err());
    }
}
