//! Record numbers (business-rules §14.2): prefix and counter, never twice, gaps allowed.
//!
//! Numbers are handed out from memory. A high-water mark is stored ahead of them, so that a restart goes on
//! behind every number that was ever given; the mark is not part of the operation that uses the number.

use std::collections::HashMap;
use std::sync::Arc;

use argon2::password_hash::rand_core::{OsRng, RngCore};
use campanile_model::{Dictionary, Record, TableDef};
use campanile_store::{ReadTx, WriteTx};
use parking_lot::Mutex;

use crate::engine::Engine;
use crate::error::EngineError;
use crate::records::definitions::Load;
use crate::records::lookup;

/// Numbers that one stored mark covers: what a crash may skip.
const RESERVED_AHEAD: i64 = 100;
/// First number when `sys_number.number` is empty.
const DEFAULT_BASE: i64 = 1000;
/// Digits when `sys_number.maximum_digits` is empty.
const DEFAULT_DIGITS: usize = 7;
/// Most digits that a number is padded to.
pub(crate) const DIGITS_MAX: usize = 40;

/// How the numbers of one table look: a row of `sys_number`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct NumberFormat {
    table: Arc<str>,
    prefix: Arc<str>,
    base: i64,
    digits: usize,
}

impl NumberFormat {
    fn text(&self, number: i64) -> String {
        format!("{}{number:0width$}", self.prefix, width = self.digits)
    }

    fn mark_key(&self) -> String {
        format!("number:{}", self.table)
    }
}

/// All rows of `sys_number`.
#[derive(Debug)]
struct NumberFormats {
    by_table: HashMap<Arc<str>, NumberFormat>,
}

impl NumberFormats {
    /// The format of the class itself, else of its nearest ancestor.
    fn of(&self, table: &TableDef) -> Option<&NumberFormat> {
        table.lineage.iter().find_map(|name| self.by_table.get(name))
    }
}

impl Load for NumberFormats {
    const TABLES: &'static [&'static str] = &["sys_number"];

    fn load(engine: &Engine) -> Result<Self, EngineError> {
        let dictionary: Arc<Dictionary> = engine.dictionary()?;
        let table = lookup::table(&dictionary, "sys_number")?;
        let read = Arc::clone(engine.store()).read()?;
        Self::read(&*read, table)
    }
}

impl NumberFormats {
    fn read(read: &dyn ReadTx, table: &Arc<TableDef>) -> Result<Self, EngineError> {
        let rows = read.select(&lookup::equal(table, &[]))?;
        let by_table = rows.iter().map(format_of_row).map(|f| (Arc::clone(&f.table), f)).collect();
        Ok(Self { by_table })
    }
}

fn format_of_row(row: &Record) -> NumberFormat {
    let digits = row.get("maximum_digits").as_i64().and_then(|n| usize::try_from(n).ok());
    NumberFormat {
        table: Arc::from(row.text("category")),
        prefix: Arc::from(row.text("prefix")),
        base: row.get("number").as_i64().unwrap_or(DEFAULT_BASE),
        digits: digits.unwrap_or(DEFAULT_DIGITS).min(DIGITS_MAX),
    }
}

/// Where one counter stands.
#[derive(Debug, Clone, Copy, Default)]
struct Counter {
    /// The next number to hand out.
    next: i64,
    /// Numbers below this are covered by a mark that is committed.
    marked: i64,
}

/// A stored mark: numbers below it are given, or are its author's to give.
#[derive(Debug, PartialEq, Eq)]
struct Mark<'a> {
    upto: i64,
    /// The program that set it; empty when it was settled at a clean end.
    author: &'a str,
}

impl<'a> Mark<'a> {
    fn read(text: &'a str) -> Self {
        let (upto, author) = text.split_once(' ').unwrap_or((text, ""));
        Self { upto: upto.parse().unwrap_or(0), author }
    }

    fn text(&self) -> String {
        if self.author.is_empty() {
            self.upto.to_string()
        } else {
            format!("{} {}", self.upto, self.author)
        }
    }
}

/// The counters of all tables. A thread takes the writer before the lock, never the other way round.
#[derive(Debug)]
pub struct Numbers {
    /// Tells this program's marks from those of others on the same database.
    author: String,
    counters: Mutex<HashMap<Arc<str>, Counter>>,
}

impl Default for Numbers {
    fn default() -> Self {
        let mut bytes = [0; 8];
        OsRng.fill_bytes(&mut bytes);
        Self { author: format!("{:016x}", u64::from_le_bytes(bytes)), counters: Mutex::default() }
    }
}

impl Numbers {
    fn mark(&self, upto: i64) -> String {
        Mark { upto, author: &self.author }.text()
    }

    /// The next number of `table`'s sequence (its own, else its nearest ancestor's); `None` when it has none.
    ///
    /// Takes the writer for a moment when the numbers that are marked run out: a caller that holds the writer
    /// calls [`Numbers::next_in`].
    ///
    /// # Errors
    /// What the store answers.
    pub fn next(&self, engine: &Engine, table: &TableDef) -> Result<Option<String>, EngineError> {
        let formats = engine.definitions::<NumberFormats>()?;
        let Some(format) = formats.of(table) else { return Ok(None) };
        if let Some(number) = self.take_marked(format) {
            return Ok(Some(format.text(number)));
        }
        let mut tx = Arc::clone(engine.store()).write()?;
        let number = {
            let mut counters = self.counters.lock();
            let counter = counters.entry(Arc::clone(&format.table)).or_default();
            let number = counter.advance(format, &*tx, &self.author)?;
            counter.next = number + 1;
            let mark = counter.next + RESERVED_AHEAD;
            tx.meta_set(&format.mark_key(), &self.mark(mark))?;
            tx.commit()?;
            counter.marked = mark;
            number
        };
        Ok(Some(format.text(number)))
    }

    /// As [`Numbers::next`], inside the caller's write transaction.
    ///
    /// A mark that goes with that transaction covers only its own number: should it roll back, the mark is gone,
    /// and nobody else has a number that relied on it.
    ///
    /// # Errors
    /// What the store answers.
    pub fn next_in(
        &self,
        engine: &Engine,
        tx: &mut dyn WriteTx,
        table: &TableDef,
    ) -> Result<Option<String>, EngineError> {
        let mut formats = engine.definitions::<NumberFormats>()?;
        if formats.of(table).is_none() {
            // The transaction may have brought the format itself: a pack with its first rows.
            let dictionary = engine.dictionary()?;
            let own = lookup::table(&dictionary, "sys_number")?;
            formats = Arc::new(NumberFormats::read(tx.as_read(), own)?);
        }
        let Some(format) = formats.of(table) else { return Ok(None) };
        if let Some(number) = self.take_marked(format) {
            return Ok(Some(format.text(number)));
        }
        let number = {
            let mut counters = self.counters.lock();
            let counter = counters.entry(Arc::clone(&format.table)).or_default();
            let number = counter.advance(format, tx, &self.author)?;
            counter.next = number + 1;
            number
        };
        tx.meta_set(&format.mark_key(), &self.mark(number + 1 + RESERVED_AHEAD))?;
        Ok(Some(format.text(number)))
    }

    /// Lowers the marks to the numbers really given, so that a clean restart leaves no gap. Call it when nobody
    /// takes numbers any more.
    ///
    /// # Errors
    /// What the store answers.
    pub fn settle(&self, engine: &Engine) -> Result<(), EngineError> {
        if self.counters.lock().is_empty() {
            return Ok(());
        }
        let formats = engine.definitions::<NumberFormats>()?;
        let mut tx = Arc::clone(engine.store()).write()?;
        let mut counters = self.counters.lock();
        for (table, counter) in counters.iter_mut() {
            let Some(format) = formats.by_table.get(table) else { continue };
            // Another program may have gone on behind our mark: what we have left is lost then.
            let stored = tx.meta_get(&format.mark_key())?.unwrap_or_default();
            if Mark::read(&stored).author == self.author {
                tx.meta_set(&format.mark_key(), &counter.next.to_string())?;
                counter.marked = counter.next;
            }
        }
        tx.commit()?;
        Ok(())
    }

    fn take_marked(&self, format: &NumberFormat) -> Option<i64> {
        let mut counters = self.counters.lock();
        let counter = counters.get_mut(&format.table)?;
        let number = counter.next.max(format.base);
        (number < counter.marked).then(|| {
            counter.next = number + 1;
            number
        })
    }
}

impl Counter {
    /// The next number: behind everything given here, behind the stored mark unless this process set it, and not
    /// below the base.
    fn advance(
        &self,
        format: &NumberFormat,
        tx: &dyn WriteTx,
        author: &str,
    ) -> Result<i64, EngineError> {
        let stored = tx.meta_get(&format.mark_key())?.unwrap_or_default();
        let stored = Mark::read(&stored);
        let is_own = self.next > 0 && (stored.author == author || stored.upto <= self.next);
        Ok(if is_own { self.next } else { stored.upto.max(self.next) }.max(format.base))
    }
}
