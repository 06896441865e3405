//! Moving house: everything of one database into another, of the same engine or the other one.
//!
//! Rows go in pages, each in one transaction with the mark that tells how far their table is, so that a copy that was
//! broken off goes on where it stood. At the end both are read once more and compared. Until then nothing can be
//! started on the target.

use std::path::PathBuf;
use std::sync::Arc;

use campanile_store::{
    CopyMark, DatabaseUrl, Dump, DumpRow, DumpSum, DumpTable, DumpValue, Load, PostgresLoader,
    PostgresOptions, PostgresStore, SqliteLoader, SqliteOptions, SqliteStore, Store, StoreError,
    dump_tables,
};

use crate::data_folder::{self, FolderState};
use crate::error::EngineError;
use crate::half_file::failure;
use crate::opening::initialised;
use crate::records::dictionary;

/// Rows of the first page of a table, when nobody knows yet how long they are: of the longest (a snapshot of 256 KiB, texts of
/// 64 KiB) some 20 MB.
const PAGE_ROWS_FIRST: usize = 50;

/// Most rows of a page: more would only make a broken copy repeat more.
const PAGE_ROWS_MAX: usize = 2_000;

/// What a page should hold: it is in memory as a whole, on both sides.
const PAGE_BYTES: usize = 4 << 20;

/// One side of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A data folder.
    Folder(PathBuf),
    /// A PostgreSQL database.
    Database(DatabaseUrl),
}

/// How far a copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyProgress<'a> {
    /// Both sides are being read and compared.
    pub is_comparing: bool,
    /// The table at hand.
    pub table: &'a str,
    /// Its place among all, from 1.
    pub number: usize,
    /// How many tables there are.
    pub tables: usize,
    /// Rows of it so far.
    pub rows: u64,
}

/// What a copy came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyReport {
    /// Source and target in words, without a password.
    pub from: String,
    /// See `from`.
    pub to: String,
    /// Tables with their rows: the same on both sides.
    pub tables: Vec<(String, u64)>,
    /// Rows that an earlier run, which was broken off, had copied already.
    pub rows_before: u64,
}

/// Copies everything of `from` to `to`, which must be empty or hold an unfinished copy of the same source. Nobody may work
/// on either. What arrives is compared; then, and not before, a server can be started on it. `partitions` is for a PostgreSQL
/// database as target, as in [`EngineConfig`](crate::EngineConfig).
///
/// # Errors
/// [`EngineError::BadInput`] when a side cannot be used as it is; [`EngineError::CopyDiffers`] when the comparison finds a
/// difference; what the stores answer, for example that a server has the folder.
pub fn copy(
    from: &Place,
    to: &Place,
    partitions: Option<u16>,
    progress: &mut dyn FnMut(CopyProgress<'_>),
) -> Result<CopyReport, EngineError> {
    if is_same(from, to) {
        let place = match to {
            Place::Folder(folder) => folder.display().to_string(),
            Place::Database(url) => url.to_string(),
        };
        let detail = "source and target are the same: name another place with --to";
        return Err(refuse(place, detail));
    }
    let source = open_source(from)?;
    let copied = copy_from(&source, (to, partitions), progress);
    let closed = source.close();
    let report = copied?;
    closed?;
    Ok(report)
}

/// Whether both name one place, as far as the names tell.
fn is_same(from: &Place, to: &Place) -> bool {
    match (from, to) {
        (Place::Folder(from), Place::Folder(to)) => {
            match (from.canonicalize(), to.canonicalize()) {
                (Ok(from), Ok(to)) => from == to,
                // One of them is not there, so it is not the other.
                _ => false,
            }
        }
        (from, to) => from == to,
    }
}

fn copy_from(
    source: &Arc<dyn Store>,
    (to, partitions): (&Place, Option<u16>),
    progress: &mut dyn FnMut(CopyProgress<'_>),
) -> Result<CopyReport, EngineError> {
    // Whoever starts on the source waits until the end.
    let _alone = Arc::clone(source).alone()?;
    let dump = Arc::clone(source).dump()?;
    let place = dump.place();
    if let Some(name) = source.others()?.first() {
        let detail = format!(
            "'{name}' works on it: stop every server on it (one that was killed counts until its lease is over)"
        );
        return Err(EngineError::BadInput { path: place, detail });
    }
    let Some(made) = initialised(source)? else {
        let detail = "it has no complete database: name the one to copy with --from".to_owned();
        return Err(EngineError::BadInput { path: place, detail });
    };
    let dictionary = dictionary::read(&*Arc::clone(source).read()?)?;
    let tables = dump_tables(&dictionary)?;
    let mut target = open_target(to, partitions)?;
    let name = format!("{place} (made {made})");
    expect_free(&*target, &name)?;
    target.begin(&name, &dictionary)?;
    let mut rows_before = 0;
    for (at, table) in tables.iter().enumerate() {
        rows_before += target.mark(table)?.rows;
        copy_table(&*dump, &mut *target, table, &mut |rows| {
            progress(told(&tables, at, rows, false));
        })?;
    }
    let compared = compare(&*dump, &*target, &tables, progress)?;
    target.finish()?;
    Ok(CopyReport { from: place, to: target.place(), tables: compared, rows_before })
}

fn told(tables: &[DumpTable], at: usize, rows: u64, is_comparing: bool) -> CopyProgress<'_> {
    let table = tables.get(at).map_or("", |table| &*table.name);
    CopyProgress { is_comparing, table, number: at + 1, tables: tables.len(), rows }
}

/// Copies the rows of `table` behind its mark.
fn copy_table(
    source: &dyn Dump,
    target: &mut dyn Load,
    table: &DumpTable,
    progress: &mut dyn FnMut(u64),
) -> Result<(), EngineError> {
    let mut mark = target.mark(table)?;
    let mut page_rows = PAGE_ROWS_FIRST;
    progress(mark.rows);
    loop {
        let rows = page(source, table, &mark.key, page_rows)?;
        if rows.is_empty() {
            return Ok(());
        }
        page_rows = next_page(page_rows, &rows);
        mark = load(&source.place(), target, table, &rows, &mark)?;
        progress(mark.rows);
    }
}

/// The next rows of a side.
fn page(
    side: &dyn Dump,
    table: &DumpTable,
    after: &[DumpValue],
    rows_max: usize,
) -> Result<Vec<DumpRow>, EngineError> {
    side.rows(table, after, rows_max).map_err(|error| match error {
        // A value that is not of its column's kind, with its place.
        StoreError::Statement { reason } => refuse(side.place(), &reason),
        error => error.into(),
    })
}

/// Loads the rows behind `mark` and returns the new one. A page with a row that the target refuses is loaded in halves, so that
/// what stands before that row is there, and the row can be named.
fn load(
    source: &str,
    target: &mut dyn Load,
    table: &DumpTable,
    rows: &[DumpRow],
    mark: &CopyMark,
) -> Result<CopyMark, EngineError> {
    let Some(last) = rows.last() else { return Ok(mark.clone()) };
    let count = u64::try_from(rows.len()).unwrap_or(0);
    let moved = CopyMark { key: table.key_of(last), rows: mark.rows + count };
    match target.load(table, rows, &moved) {
        Ok(()) => Ok(moved),
        Err(StoreError::Statement { .. }) if rows.len() > 1 => {
            let (first, second) = rows.split_at(rows.len() / 2);
            let half = load(source, target, table, first, mark)?;
            load(source, target, table, second, &half)
        }
        Err(StoreError::Statement { reason }) => Err(EngineError::BadInput {
            path: format!("{source}, table '{}', row {}", table.name, words(&moved.key)),
            detail: format!(
                "{} refused it: {reason}: mend the row, and give the same command again",
                target.place()
            ),
        }),
        Err(error) => Err(error.into()),
    }
}

fn words(key: &[DumpValue]) -> String {
    let words = key.iter().map(|value| match value {
        DumpValue::Text(text) => text.to_string(),
        DumpValue::Integer(number) => number.to_string(),
        other => format!("{other:?}"),
    });
    words.collect::<Vec<_>>().join(", ")
}

/// Reads both sides and compares count and sum of each table.
fn compare(
    source: &dyn Dump,
    target: &dyn Load,
    tables: &[DumpTable],
    progress: &mut dyn FnMut(CopyProgress<'_>),
) -> Result<Vec<(String, u64)>, EngineError> {
    let mut compared = Vec::new();
    for (at, table) in tables.iter().enumerate() {
        let mut tell = |rows| progress(told(tables, at, rows, true));
        let expected = sum(source, table, &mut tell)?;
        // A loader is a dump too.
        let found = sum(target, table, &mut tell)?;
        if expected != found {
            return Err(EngineError::CopyDiffers {
                table: table.name.clone(),
                from: source.place(),
                to: target.place(),
                expected: expected.rows,
                found: found.rows,
            });
        }
        compared.push((table.name.clone(), found.rows));
    }
    Ok(compared)
}

fn sum(
    dump: &dyn Dump,
    table: &DumpTable,
    progress: &mut dyn FnMut(u64),
) -> Result<DumpSum, EngineError> {
    let mut sum = DumpSum::default();
    let mut after = Vec::new();
    let mut page_rows = PAGE_ROWS_FIRST;
    loop {
        let rows = page(dump, table, &after, page_rows)?;
        let Some(last) = rows.last() else { return Ok(sum) };
        page_rows = next_page(page_rows, &rows);
        after = table.key_of(last);
        rows.iter().for_each(|row| sum.add(row));
        progress(sum.rows);
    }
}

/// How many rows the next page may have: as many as fill it when they are as long as these, and twice as many as before at most.
fn next_page(page_rows: usize, rows: &[DumpRow]) -> usize {
    let bytes: usize = rows.iter().flatten().map(DumpValue::bytes).sum();
    let fitting = rows.len().saturating_mul(PAGE_BYTES) / bytes.max(1);
    fitting.clamp(1, PAGE_ROWS_MAX.min(page_rows * 2))
}

fn open_source(place: &Place) -> Result<Arc<dyn Store>, EngineError> {
    Ok(match place {
        Place::Folder(folder) => {
            if data_folder::inspect(folder)? == FolderState::Empty {
                let detail = "there is no database in it: name the one to copy with --from";
                return Err(refuse(folder.display().to_string(), detail));
            }
            // Known again, from wherever the next run is started.
            let folder = folder.canonicalize().map_err(|error| failure(&error, folder))?;
            SqliteStore::open(&SqliteOptions::new(folder))?
        }
        Place::Database(url) => PostgresStore::open(&PostgresOptions {
            node: "campanile copy".to_owned(),
            ..PostgresOptions::new(url.clone())
        })?,
    })
}

fn open_target(place: &Place, partitions: Option<u16>) -> Result<Box<dyn Load>, EngineError> {
    Ok(match place {
        Place::Folder(folder) => {
            data_folder::inspect(folder)?;
            data_folder::prepare(folder)?;
            Box::new(SqliteLoader::open(folder)?)
        }
        Place::Database(url) => {
            Box::new(PostgresLoader::open_in_partitions(url.clone(), partitions)?)
        }
    })
}

/// A target is empty, or holds what an earlier run for the same source has left.
fn expect_free(target: &dyn Load, source: &str) -> Result<(), EngineError> {
    if let Some(table) = target.occupied_by()? {
        let detail = format!("it is not empty ('{table}'): name an empty one with --to");
        return Err(refuse(target.place(), &detail));
    }
    match target.unfinished()? {
        Some(other) if other != source => {
            let detail = format!(
                "it holds an unfinished copy of {other}: copy that one to its end, or name an empty one with --to"
            );
            Err(refuse(target.place(), &detail))
        }
        _ => Ok(()),
    }
}

fn refuse(path: String, detail: &str) -> EngineError {
    EngineError::BadInput { path, detail: detail.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_grows_with_short_rows_and_shrinks_with_long_ones() {
        let rows = |count: usize, bytes: usize| -> Vec<DumpRow> {
            vec![vec![DumpValue::Text("x".repeat(bytes).into()), DumpValue::Null]; count]
        };
        assert_eq!(next_page(50, &rows(50, 10)), 100);
        assert_eq!(next_page(1_500, &rows(1_500, 10)), PAGE_ROWS_MAX);
        let long = next_page(100, &rows(100, 200_000));
        assert!((10..25).contains(&long), "{long}");
        assert_eq!(next_page(2, &rows(2, 8 << 20)), 1);
        assert_eq!(next_page(50, &[]), 1, "nothing comes behind nothing");
    }
}
