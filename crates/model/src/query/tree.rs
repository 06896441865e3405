//! The parsed form of an encoded query, close to its text.

/// An operator of §11.2. Synonyms are folded: `CONTAINS` and `*` parse as [`Operator::Like`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operator {
    /// `=`
    Equals,
    /// `!=`
    NotEquals,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `STARTSWITH`
    StartsWith,
    /// `ENDSWITH`, `%`
    EndsWith,
    /// `LIKE`, `CONTAINS`, `*`
    Like,
    /// `NOT LIKE`, `DOES NOT CONTAIN`, …
    NotLike,
    /// `IN`
    In,
    /// `NOT IN`
    NotIn,
    /// `ISEMPTY`, `EMPTYSTRING`
    IsEmpty,
    /// `ISNOTEMPTY`
    IsNotEmpty,
    /// `ANYTHING`
    Anything,
    /// `BETWEEN`
    Between,
    /// `SAMEAS`
    SameAs,
    /// `NSAMEAS`
    NotSameAs,
    /// `GT_FIELD`
    GreaterField,
    /// `LT_FIELD`
    LessField,
    /// `GT_OR_EQUALS_FIELD`
    GreaterOrEqualField,
    /// `LT_OR_EQUALS_FIELD`
    LessOrEqualField,
    /// `ON`
    On,
    /// `NOTON`
    NotOn,
    /// `INSTANCEOF`
    InstanceOf,
    /// `VALCHANGES`
    Changes,
    /// `CHANGESFROM`
    ChangesFrom,
    /// `CHANGESTO`
    ChangesTo,
    /// An operator that is known but not evaluated yet (`RELATIVEGT`, `DYNAMIC`, `DATEPART`, `MORETHAN`, …): it
    /// is an invalid term wherever it is bound, and is printed back as it was written. `RLQUERY` and `JOIN` are
    /// such terms with an empty path; a `JOIN` owns the rest of the text and is the last term of its query.
    Unsupported(&'static str),
}

/// One term: `field operator value`. The value is unescaped (`^^` is `^`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Term {
    /// Field, possibly dot-walked.
    pub path: String,
    /// Operator.
    pub operator: Operator,
    /// Value text; empty for operators without one.
    pub value: String,
}

/// Terms joined by `^OR`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Group {
    /// At least one.
    pub terms: Vec<Term>,
}

/// Groups joined by `^`; alternatives are joined by `^NQ`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Alternative {
    /// An alternative without terms is as if it were not written; when no other has any, every row matches.
    pub groups: Vec<Group>,
}

/// `ORDERBY` or `ORDERBYDESC`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Order {
    /// Field, possibly dot-walked.
    pub path: String,
    /// Descending.
    pub descending: bool,
}

/// A piece of a query that has no meaning: broken text, an unknown field, an operator in the wrong place.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct InvalidTerm {
    /// The piece as it was written.
    pub text: String,
    /// Why, in words: `no field 'nope' on table 'incident'`.
    pub reason: String,
}

/// A whole encoded query.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Query {
    /// Joined by `^NQ`; none at all means every row. Parsing makes no empty ones.
    pub alternatives: Vec<Alternative>,
    /// In textual order, for the whole query.
    pub order: Vec<Order>,
    /// `GROUPBY` paths.
    pub group_by: Vec<String>,
    /// Pieces that could not be parsed. A group of which *every* arm is invalid stands in `alternatives` as no
    /// group at all (it is dropped) and here.
    pub invalid: Vec<InvalidTerm>,
}
