//! The words of the operators (business-rules §11.2): every spelling that is read, the one that is written.

use super::tree::Operator;

/// Every spelling, longest first, so that the first match is the longest (`NOT LIKE` before `NOTON`, `<=` before
/// `<`).
const SPELLINGS: &[(&str, Operator)] = &[
    ("GT_OR_EQUALS_FIELD", Operator::GreaterOrEqualField),
    ("LT_OR_EQUALS_FIELD", Operator::LessOrEqualField),
    ("DOES NOT CONTAIN", Operator::NotLike),
    ("DOESNOTCONTAIN", Operator::NotLike),
    ("IN_HIERARCHY", Operator::Unsupported("IN_HIERARCHY")),
    ("NOT CONTAINS", Operator::NotLike),
    ("CHANGESFROM", Operator::ChangesFrom),
    ("DOESNOTHAVE", Operator::Unsupported("DOESNOTHAVE")),
    ("EMPTYSTRING", Operator::IsEmpty),
    ("INSTANCEOF", Operator::InstanceOf),
    ("ISNOTEMPTY", Operator::IsNotEmpty),
    ("RELATIVEEE", Operator::Unsupported("RELATIVEEE")),
    ("RELATIVEGE", Operator::Unsupported("RELATIVEGE")),
    ("RELATIVEGT", Operator::Unsupported("RELATIVEGT")),
    ("RELATIVELE", Operator::Unsupported("RELATIVELE")),
    ("RELATIVELT", Operator::Unsupported("RELATIVELT")),
    ("STARTSWITH", Operator::StartsWith),
    ("VALCHANGES", Operator::Changes),
    ("CHANGESTO", Operator::ChangesTo),
    ("EXCLUDING", Operator::Unsupported("EXCLUDING")),
    ("MATCH_PAT", Operator::Unsupported("MATCH_PAT")),
    ("MATCH_RGX", Operator::Unsupported("MATCH_RGX")),
    ("ANYTHING", Operator::Anything),
    ("CONTAINS", Operator::Like),
    ("DATEPART", Operator::Unsupported("DATEPART")),
    ("ENDSWITH", Operator::EndsWith),
    ("GT_FIELD", Operator::GreaterField),
    ("LESSTHAN", Operator::Unsupported("LESSTHAN")),
    ("LT_FIELD", Operator::LessField),
    ("MORETHAN", Operator::Unsupported("MORETHAN")),
    ("NOT LIKE", Operator::NotLike),
    ("NOTEMPTY", Operator::IsNotEmpty),
    ("BETWEEN", Operator::Between),
    ("DYNAMIC", Operator::Unsupported("DYNAMIC")),
    ("ISEMPTY", Operator::IsEmpty),
    ("NOTLIKE", Operator::NotLike),
    ("NSAMEAS", Operator::NotSameAs),
    ("NOT IN", Operator::NotIn),
    ("SAMEAS", Operator::SameAs),
    ("EMPTY", Operator::IsEmpty),
    ("NOTIN", Operator::NotIn),
    ("NOTON", Operator::NotOn),
    ("LIKE", Operator::Like),
    ("!*", Operator::NotLike),
    ("!=", Operator::NotEquals),
    ("<=", Operator::LessOrEqual),
    (">=", Operator::GreaterOrEqual),
    ("IN", Operator::In),
    ("ON", Operator::On),
    ("%", Operator::EndsWith),
    ("*", Operator::Like),
    ("<", Operator::Less),
    ("=", Operator::Equals),
    (">", Operator::Greater),
];

impl Operator {
    /// The operator whose longest spelling begins `text`, and the length of that spelling in bytes.
    #[must_use]
    pub fn at_start_of(text: &str) -> Option<(Self, usize)> {
        SPELLINGS
            .iter()
            .find(|(word, _)| text.starts_with(word))
            .map(|(word, operator)| (*operator, word.len()))
    }

    /// The operator spelled `word`, in any letter case, blanks around it ignored.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        let word = word.trim();
        SPELLINGS
            .iter()
            .find(|(spelling, _)| spelling.eq_ignore_ascii_case(word))
            .map(|(_, operator)| *operator)
    }

    /// The canonical spelling.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Equals => "=",
            Self::NotEquals => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::StartsWith => "STARTSWITH",
            Self::EndsWith => "ENDSWITH",
            Self::Like => "LIKE",
            Self::NotLike => "NOT LIKE",
            Self::In => "IN",
            Self::NotIn => "NOT IN",
            Self::IsEmpty => "ISEMPTY",
            Self::IsNotEmpty => "ISNOTEMPTY",
            Self::Anything => "ANYTHING",
            Self::Between => "BETWEEN",
            Self::SameAs => "SAMEAS",
            Self::NotSameAs => "NSAMEAS",
            Self::GreaterField => "GT_FIELD",
            Self::LessField => "LT_FIELD",
            Self::GreaterOrEqualField => "GT_OR_EQUALS_FIELD",
            Self::LessOrEqualField => "LT_OR_EQUALS_FIELD",
            Self::On => "ON",
            Self::NotOn => "NOTON",
            Self::InstanceOf => "INSTANCEOF",
            Self::Changes => "VALCHANGES",
            Self::ChangesFrom => "CHANGESFROM",
            Self::ChangesTo => "CHANGESTO",
            Self::Unsupported(word) => word,
        }
    }

    /// Whether a value follows the operator.
    #[must_use]
    pub const fn takes_value(self) -> bool {
        !matches!(self, Self::IsEmpty | Self::IsNotEmpty | Self::Anything | Self::Changes)
    }

    /// Whether the operator compares old and new values.
    #[must_use]
    pub const fn is_change(self) -> bool {
        matches!(self, Self::Changes | Self::ChangesFrom | Self::ChangesTo)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_stand_longest_first_and_once() {
        assert!(SPELLINGS.windows(2).all(|pair| pair[0].0.len() >= pair[1].0.len()));
        let mut words: Vec<_> = SPELLINGS.iter().map(|(word, _)| *word).collect();
        words.sort_unstable();
        assert!(words.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn every_canonical_word_reads_as_its_own_operator() {
        for (_, operator) in SPELLINGS {
            assert_eq!(Operator::from_word(operator.word()), Some(*operator));
            assert_eq!(
                Operator::at_start_of(operator.word()),
                Some((*operator, operator.word().len()))
            );
        }
    }

    #[test]
    fn words_are_taken_in_any_letter_case() {
        assert_eq!(Operator::from_word("contains"), Some(Operator::Like));
        assert_eq!(Operator::from_word(" Not In "), Some(Operator::NotIn));
        assert_eq!(Operator::from_word("=="), None);
        assert_eq!(Operator::from_word(""), None);
    }
}
