//! Numbers with their nouns, as messages say them.

/// `1 <one>`, or `<count> <many>` for every other number.
#[must_use]
pub fn counted(count: impl TryInto<u64>, one: &str, many: &str) -> String {
    match count.try_into().unwrap_or(u64::MAX) {
        1 => format!("1 {one}"),
        count => format!("{count} {many}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular_and_none_is_not() {
        let events = |count: u64| counted(count, "event waits", "events wait");
        assert_eq!([0, 1, 2].map(events), ["0 events wait", "1 event waits", "2 events wait"]);
    }
}
