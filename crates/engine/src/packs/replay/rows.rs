//! Reading a file of changes: the columns of the map, the rows in the order in which they happened.

use std::cmp::Ordering;
use std::path::Path;

use super::map::{OrderKind, ReplayMap, shown};
use crate::error::EngineError;
use crate::packs::yaml::bad_input;
use campanile_model::nearest::suggestion;

/// The rows of a file, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChangeLog {
    /// Names of the columns that the map knows, in the order of the file.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Vec<LoggedRow>,
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedRow {
    /// Line of the file on which it begins.
    pub line: u64,
    /// Cells, one for each of [`ChangeLog::columns`].
    pub cells: Vec<String>,
}

/// A value that rows are ordered by; nothing comes first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum SortKey {
    Nothing,
    Number(i64),
    Text(String),
}

/// The text of a file that has the form of a CSV; whether it fits the map is for [`parse`] to tell.
///
/// # Errors
/// [`EngineError::BadInput`]: the file cannot be read, is empty, or has a quote that nothing closes; with file and line.
pub fn load(path: &Path, map: &ReplayMap) -> Result<Vec<u8>, EngineError> {
    let file = path.display().to_string();
    let text = std::fs::read(path)
        .map_err(|error| bad_input(&file, "", format!("the file could not be read: {error}")))?;
    check_form(&file, without_mark(&text), map)?;
    Ok(text)
}

/// The text without the mark of its encoding.
fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}

/// Reads the text of `file`. Rows that are equal in all columns of the order keep their order in the file.
///
/// # Errors
/// [`EngineError::BadInput`]: as [`load`]; a column of the map is missing, a row has more or fewer cells than the header, a
/// cell of an ordering column has another form; with file, column and line.
pub fn parse(file: &str, text: &[u8], map: &ReplayMap) -> Result<ChangeLog, EngineError> {
    let text = without_mark(text);
    check_form(file, text, map)?;
    let mut reader = csv::Reader::from_reader(text);
    let broken = |error: csv::Error, behind: &csv::Position| {
        bad_input(file, "", in_words(text, &error, behind))
    };
    let header = match reader.headers() {
        Ok(header) => header.clone(),
        Err(error) => return Err(broken(error, reader.position())),
    };
    let place = |column: &str| {
        header.iter().position(|name| name == column).ok_or_else(|| missing(file, column, &header))
    };
    for column in map.needed_columns() {
        place(column)?;
    }
    let taken: Vec<usize> = (0..header.len())
        .filter(|at| header.get(*at).is_some_and(|name| map.columns.contains_key(name)))
        .collect();
    let columns: Vec<String> =
        taken.iter().filter_map(|at| header.get(*at)).map(str::to_owned).collect();
    if let Some(twice) = columns.iter().enumerate().find(|(at, name)| columns[..*at].contains(name))
    {
        return Err(bad_input(file, format!("column '{}'", twice.1), "stands in the header twice"));
    }
    let order: Vec<(usize, OrderKind)> = map
        .order
        .iter()
        .map(|key| Ok((place(&key.column)?, key.kind)))
        .collect::<Result<_, EngineError>>()?;

    let mut rows = Vec::new();
    let mut records = reader.into_records();
    while let Some(record) = records.next() {
        let record = record.map_err(|error| broken(error, records.reader().position()))?;
        let line = record.position().map_or(0, |position| line_of(text, position));
        let keys: Vec<SortKey> = order
            .iter()
            .map(|(at, kind)| {
                sort_key(map, *kind, record.get(*at).unwrap_or_default()).map_err(|reason| {
                    let column = header.get(*at).unwrap_or_default();
                    bad_input(file, format!("line {line}: column '{column}'"), reason)
                })
            })
            .collect::<Result<_, EngineError>>()?;
        let cells = taken.iter().map(|at| record.get(*at).unwrap_or_default().to_owned()).collect();
        rows.push((keys, LoggedRow { line, cells }));
    }
    rows.sort_by(|(left, _), (right, _)| left.partial_cmp(right).unwrap_or(Ordering::Equal));
    Ok(ChangeLog { columns, rows: rows.into_iter().map(|(_, row)| row).collect() })
}

/// Refuses what is no CSV at all, whatever the map says.
fn check_form(file: &str, text: &[u8], map: &ReplayMap) -> Result<(), EngineError> {
    if text.trim_ascii().is_empty() {
        let key = map.needed_columns().next().unwrap_or_default();
        let detail = format!(
            "line 1: the file is empty: expected a header with column '{key}' and the others of the map"
        );
        return Err(bad_input(file, "", detail));
    }
    if let Some(line) = unclosed_quote(text) {
        let detail = "a quote opens a cell here and is never closed: close it, or write a quote that belongs to the cell as \"\"";
        return Err(bad_input(file, format!("line {line}"), detail));
    }
    Ok(())
}

/// Where in a cell a reader of CSV is.
enum Within {
    Start,
    Plain,
    Quotes,
    /// Behind a quote that may have ended the quoted part.
    Quote,
}

/// The line on which a cell's quotes open that nothing closes: everything behind it would be one cell.
fn unclosed_quote(text: &[u8]) -> Option<u64> {
    let (mut line, mut opened) = (1, 0);
    let mut within = Within::Start;
    for byte in text {
        within = match (&within, byte) {
            (Within::Quotes, b'"') => Within::Quote,
            (Within::Quotes, _) => Within::Quotes,
            (Within::Start, b'"') => {
                opened = line;
                Within::Quotes
            }
            (Within::Quote, b'"') => Within::Quotes,
            (_, b',' | b'\n' | b'\r') => Within::Start,
            _ => Within::Plain,
        };
        line += u64::from(*byte == b'\n');
    }
    matches!(within, Within::Quotes).then_some(opened)
}

/// The line on which a row begins. Where lines end in CR LF, the reader says that a row begins before the LF.
fn line_of(text: &[u8], position: &csv::Position) -> u64 {
    let at = usize::try_from(position.byte()).unwrap_or(usize::MAX);
    position.line() + u64::from(text.get(at) == Some(&b'\n'))
}

fn sort_key(map: &ReplayMap, kind: OrderKind, cell: &str) -> Result<SortKey, String> {
    let cell = map.cell(cell);
    if cell.is_empty() {
        return Ok(SortKey::Nothing);
    }
    match kind {
        OrderKind::DateTime => map.instant(cell).map(|at| SortKey::Number(at.as_millis())),
        OrderKind::Integer => match cell.trim().parse() {
            Ok(number) => Ok(SortKey::Number(number)),
            Err(_not_a_number) => Err(format!("'{}' is no whole number", shown(cell))),
        },
        OrderKind::Text => Ok(SortKey::Text(cell.to_owned())),
    }
}

fn missing(file: &str, column: &str, header: &csv::StringRecord) -> EngineError {
    let names: Vec<&str> = header.iter().collect();
    let meant = suggestion(column, names.iter().copied());
    let detail = format!(
        "the map needs it and the file does not have it{meant}; it has: {}",
        names.join(", ")
    );
    bad_input(file, format!("column '{column}'"), detail)
}

/// Line breaks inside of a row.
fn breaks_between(text: &[u8], begin: Option<&csv::Position>, behind: &csv::Position) -> u64 {
    let at = |position: &csv::Position| usize::try_from(position.byte()).unwrap_or(usize::MAX);
    let row = begin.and_then(|begin| text.get(at(begin)..at(behind))).unwrap_or_default();
    row.trim_ascii().iter().map(|byte| u64::from(*byte == b'\n')).sum()
}

/// What is wrong with a row; `behind` is where the reader stands after it.
fn in_words(text: &[u8], error: &csv::Error, behind: &csv::Position) -> String {
    let line_at = |position: Option<&csv::Position>| position.map_or(0, |at| line_of(text, at));
    match error.kind() {
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
            let line = line_at(pos.as_ref());
            let told = format!("line {line} has {len} cells, the header has {expected_len}");
            match breaks_between(text, pos.as_ref(), behind) {
                0 => told,
                more => {
                    let last = line + more;
                    format!("{told}; it goes on to line {last}: a quote in it may not be closed")
                }
            }
        }
        csv::ErrorKind::Utf8 { pos, .. } => {
            let line = line_at(pos.as_ref());
            format!("line {line} is not UTF-8: save the file as UTF-8")
        }
        _ => format!("the file could not be read: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map() -> ReplayMap {
        let text = "{campanile: map/v1, table: incident, key: number, empty: '?', date_format: '%d-%m-%Y %H:%M', \
                    order: [{column: at, type: date_time}, {column: count, type: integer}], \
                    columns: {number: {field: number}, state: {field: state}}}";
        ReplayMap::parse("map", text).unwrap()
    }

    fn read(text: &str) -> Result<ChangeLog, EngineError> {
        parse("log.csv", text.as_bytes(), &map())
    }

    fn refusal(text: &str) -> String {
        read(text).unwrap_err().to_string()
    }

    #[test]
    fn rows_come_in_the_order_in_which_they_happened_and_equal_ones_as_in_the_file() {
        let log = read(
            "number,other,state,at,count\nC,x,1,01-02-2016 10:00,10\nA,x,2,01-02-2016 10:00,9\nB,x,3,31-01-2016 \
             10:00,7\nD,x,4,01-02-2016 10:00,9\nE,x,5,?,9\n",
        )
        .unwrap();
        assert_eq!(log.columns, ["number", "state"]);
        let rows: Vec<(&str, u64)> =
            log.rows.iter().map(|r| (r.cells[0].as_str(), r.line)).collect();
        assert_eq!(rows, [("E", 6), ("B", 4), ("A", 3), ("D", 5), ("C", 2)]);
    }

    #[test]
    fn a_missing_column_is_told_with_those_that_there_are() {
        assert_eq!(
            refusal("number,stat,at,count\n"),
            "log.csv: column 'state': the map needs it and the file does not have it; did you mean 'stat'?; it has: \
             number, stat, at, count"
        );
        assert!(refusal("number,state,at\n").contains("column 'count'"));
        assert!(refusal("").contains("column 'number'"));
    }

    #[test]
    fn a_cell_of_another_form_is_told_with_its_line_and_column() {
        assert_eq!(
            refusal("number,state,at,count\nA,1,01-02-2016 10:00,1\nA,1,2016-02-01,1\n"),
            "log.csv: line 3: column 'at': '2016-02-01' is no date: expected %d-%m-%Y %H:%M"
        );
        assert!(
            refusal("number,state,at,count\nA,1,01-02-2016 10:00,x\n")
                .contains("'x' is no whole number")
        );
    }

    #[test]
    fn lines_count_the_same_whether_they_end_in_lf_or_in_cr_lf() {
        let lf =
            "number,state,at,count\nA,\"1\n2\",01-02-2016 10:00,1\nB,1,01-02-2016 10:00,1\nC\n";
        for text in [lf.to_owned(), lf.replace('\n', "\r\n")] {
            assert!(refusal(&text).contains("line 5 has 1 cells"), "{text:?}");
            let rows = read(text.trim_end_matches(['C', '\r', '\n'])).unwrap().rows;
            assert_eq!(rows.iter().map(|row| row.line).collect::<Vec<_>>(), [2, 4], "{text:?}");
        }
    }

    #[test]
    fn an_empty_file_and_a_quote_that_is_not_closed_are_told_with_file_and_line() {
        for text in ["", "\n \r\n", "\u{feff}"] {
            let told = refusal(text);
            assert!(told.starts_with("log.csv: line 1: the file is empty"), "{told}");
        }
        let header = "number,state,at,count\n";
        for (rows, line) in [
            ("A,\"1,01-02-2016 10:00,1\nB,2,01-02-2016 10:00,1\n", 2),
            ("A,1,01-02-2016 10:00,1\nB,1,01-02-2016 10:00,\"1", 3),
            ("A,\"x\ny\",01-02-2016 10:00,1\r\nB,\"\"\"", 4),
        ] {
            let told = refusal(&format!("{header}{rows}"));
            let start =
                format!("log.csv: line {line}: a quote opens a cell here and is never closed");
            assert!(told.starts_with(&start), "{told}");
        }
        assert!(refusal("\"number,state\nA,1\n").starts_with("log.csv: line 1: a quote"));
        // Quotes that are closed, doubled, or no more than a part of a cell.
        let fine =
            "A,\"1 \"\"x\"\",\n2\",01-02-2016 10:00,1\nB 5\" x,\"\",01-02-2016 10:00,\"1\"\n";
        assert_eq!(read(&format!("{header}{fine}")).unwrap().rows[0].cells[1], "1 \"x\",\n2");
    }

    #[test]
    fn a_cell_that_is_quoted_in_a_message_is_cut() {
        let long = format!("{}\n", "y".repeat(5000));
        let told = refusal(&format!("number,state,at,count\nA,1,\"{long}\",1\n"));
        assert!(told.len() < 300 && !told.contains('\n'), "{told}");
    }

    #[test]
    fn ragged_rows_other_encodings_and_doubled_columns_are_told() {
        assert_eq!(
            refusal("number,state,at,count\nA,1\n"),
            "log.csv: line 2 has 2 cells, the header has 4"
        );
        assert_eq!(
            refusal("number,state,at,count\r\nA,\"1,01-02-2016 10:00,1\r\nB,\"\r\n"),
            "log.csv: line 2 has 2 cells, the header has 4; it goes on to line 3: a quote in it may not be closed"
        );
        assert!(
            refusal("number,number,state,at,count\n")
                .contains("column 'number': stands in the header twice")
        );
        let latin = parse("log.csv", b"number,state,at,count\nA,\xe4,01-02-2016 10:00,1\n", &map());
        assert!(latin.unwrap_err().to_string().contains("line 2 is not UTF-8"));
    }

    #[test]
    fn a_mark_of_the_encoding_is_no_part_of_the_first_column() {
        assert!(read("\u{feff}number,state,at,count\n").is_ok());
    }
}
