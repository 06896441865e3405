//! `campanile replay`: sends a CSV of record changes through a running server, and tells what came of it.

use std::time::{Duration, Instant};

use campanile_engine::packs::replay::apply::{ReplayBatch, ReplayCounts};
use campanile_engine::packs::replay::map::ReplayMap;
use campanile_engine::packs::replay::rows::{self, ChangeLog, LoggedRow};
use campanile_model::counted;
use serde_json::{Map, Value, json};

use super::progress::bar;
use crate::args::ReplayArgs;
use crate::client::Client;
use crate::output::{self, Failure};

/// Rows of one request that writes: small enough for the progress to move.
const ROWS_PER_REQUEST: usize = 250;
/// Rows of one request that only checks.
const ROWS_PER_CHECK: usize = 5_000;
/// Refused rows that are shown.
const REFUSALS_SHOWN: usize = 10;
/// How long nothing may move before nobody waits for the rest of the events.
const STANDSTILL: Duration = Duration::from_secs(60);
/// Between two looks at the events.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How fast rows are sent.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Speed {
    Max,
    RowsPerSecond(f64),
}

/// Checks all rows, replays them, waits for their events and tells what came of them.
pub(crate) fn run(args: &ReplayArgs, json: bool) -> Result<(), Failure> {
    let speed = speed(&args.speed)?;
    let map_file = args.map.display().to_string();
    let map_text = std::fs::read_to_string(&args.map).map_err(|error| {
        Failure::usage(format!("{map_file}: the file could not be read: {error}"))
    })?;
    let map = ReplayMap::parse(&map_file, &map_text).map_err(Failure::usage)?;
    // What is no CSV is wrong usage; one that does not fit the map is refused, as the server refuses rows.
    let csv = rows::load(&args.file, &map).map_err(Failure::usage)?;
    let log = rows::parse(&args.file.display().to_string(), &csv, &map)?;
    let replay = Replay {
        client: Client::new(&args.server)?,
        batch: ReplayBatch {
            map_file,
            map: map_text,
            file: args.file.display().to_string(),
            columns: log.columns.clone(),
            ..ReplayBatch::default()
        },
    };
    let before = replay.summary(i64::MAX)?;
    let after = before["last_sequence"].as_i64().unwrap_or(0);
    replay.check(&log)?;
    let began = Instant::now();
    let counts = replay.send(&log, speed)?;
    let took = began.elapsed();
    let (summary, handled) =
        if args.no_wait { (replay.summary(after)?, true) } else { replay.wait(after)? };
    let answer = answer(&counts, took, &summary);
    output::print(json, &answer, text);
    if counts.refused > 0 {
        return Err(Failure::failed(counted(
            counts.refused,
            "row was refused",
            "rows were refused",
        )));
    }
    if !handled {
        return Err(Failure::failed(format!(
            "{} and none was handled for {} s: are the queues running? (campanile events list)",
            counted(waiting_of(&summary), "event still waits", "events still wait"),
            STANDSTILL.as_secs()
        )));
    }
    Ok(())
}

fn speed(text: &str) -> Result<Speed, Failure> {
    match text.parse::<f64>() {
        _ if text == "max" => Ok(Speed::Max),
        Ok(rows) if rows.is_finite() && rows > 0.0 => Ok(Speed::RowsPerSecond(rows)),
        _ => Err(Failure::usage(format!("--speed: expected 'max' or rows a second, got '{text}'"))),
    }
}

struct Replay {
    client: Client,
    /// Everything of a request but its rows.
    batch: ReplayBatch,
}

impl Replay {
    fn post(&self, rows: &[LoggedRow], check: bool) -> Result<ReplayCounts, Failure> {
        let batch = ReplayBatch {
            rows: rows.iter().map(|row| row.cells.clone()).collect(),
            lines: rows.iter().map(|row| row.line).collect(),
            check,
            ..self.batch.clone()
        };
        let body = serde_json::to_value(&batch).map_err(Failure::failed)?;
        let answer = self.client.post("/api/replay", &body)?.result();
        serde_json::from_value(answer)
            .map_err(|error| Failure::failed(format!("the answer could not be read: {error}")))
    }

    fn summary(&self, after: i64) -> Result<Value, Failure> {
        Ok(self.client.get(&format!("/api/replay/summary?after={after}"))?.result())
    }

    /// Has the server look at every row before any is written.
    fn check(&self, log: &ChangeLog) -> Result<(), Failure> {
        let mut told = ReplayCounts::default();
        if log.rows.is_empty() {
            told.add(self.post(&[], true)?);
        }
        for rows in log.rows.chunks(ROWS_PER_CHECK) {
            told.add(self.post(rows, true)?);
        }
        if told.refused == 0 {
            return Ok(());
        }
        let shown =
            told.refusals.iter().take(REFUSALS_SHOWN).cloned().collect::<Vec<_>>().join("\n  ");
        Err(Failure::failed(format!(
            "nothing was written: {} of {} rows cannot be read:\n  {shown}",
            told.refused, told.rows
        )))
    }

    fn send(&self, log: &ChangeLog, speed: Speed) -> Result<ReplayCounts, Failure> {
        let bar = bar(
            u64::try_from(log.rows.len()).unwrap_or(0),
            "{bar:40} {pos}/{len} rows, {per_sec}, {eta} left",
        );
        let began = Instant::now();
        let mut counts = ReplayCounts::default();
        let size = match speed {
            Speed::Max => ROWS_PER_REQUEST,
            // About five requests a second.
            Speed::RowsPerSecond(rows) => whole(rows / 5.0).clamp(1, ROWS_PER_REQUEST),
        };
        for rows in log.rows.chunks(size) {
            counts.add(self.post(rows, false)?);
            bar.inc(u64::try_from(rows.len()).unwrap_or(0));
            if let Speed::RowsPerSecond(rate) = speed {
                let due = Duration::from_secs_f64(seconds_for(counts.rows, rate));
                std::thread::sleep(due.saturating_sub(began.elapsed()));
            }
        }
        bar.finish_and_clear();
        Ok(counts)
    }

    /// Waits until no event is due or being handled; the second value is false when nothing moves any more.
    fn wait(&self, after: i64) -> Result<(Value, bool), Failure> {
        let bar = bar(0, "{spinner} {msg}");
        let mut moved = Instant::now();
        let mut waiting_before = u64::MAX;
        loop {
            let summary = self.summary(after)?;
            let waiting = waiting_of(&summary);
            if waiting != waiting_before {
                (moved, waiting_before) = (Instant::now(), waiting);
            }
            if waiting == 0 || moved.elapsed() > STANDSTILL {
                bar.finish_and_clear();
                return Ok((summary, waiting == 0));
            }
            bar.set_message(format!(
                "{} for handlers",
                counted(waiting, "event waits", "events wait")
            ));
            bar.tick();
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

/// Events that wait, of a summary or an answer.
fn waiting_of(summary: &Value) -> u64 {
    summary["waiting"].as_u64().unwrap_or(0)
}

fn whole(number: f64) -> usize {
    format!("{number:.0}").parse().unwrap_or(usize::MAX)
}

fn seconds_for(rows: u64, rate: f64) -> f64 {
    u32::try_from(rows).map_or(f64::from(u32::MAX), f64::from) / rate
}

fn answer(counts: &ReplayCounts, took: Duration, summary: &Value) -> Value {
    let rate = u32::try_from(counts.rows).map_or(0.0, f64::from) / took.as_secs_f64().max(0.001);
    json!({
        "rows": counts.rows,
        "inserts": counts.inserts,
        "updates": counts.updates,
        "unchanged": counts.unchanged,
        "refused": counts.refused,
        "refusals": counts.refusals,
        "references_created": counts.references_created,
        "choices_created": counts.choices_created,
        "events": summary["events"],
        "handlers": summary["handlers"],
        "runs": summary["runs"],
        "waiting": summary["waiting"],
        "duration_ms": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        "rows_per_second": whole(rate),
    })
}

fn text(answer: &Value) -> String {
    let mut lines = vec![format!(
        "{} rows in {:.1} s ({} a second): {} inserted, {} updated, {} unchanged, {} refused",
        answer["rows"],
        answer["duration_ms"].as_f64().unwrap_or(0.0) / 1000.0,
        answer["rows_per_second"],
        answer["inserts"],
        answer["updates"],
        answer["unchanged"],
        answer["refused"],
    )];
    for (title, member) in [("made", "references_created"), ("new choices", "choices_created")] {
        let counts = pairs(&answer[member]);
        if !counts.is_empty() {
            lines.push(format!("{title}: {counts}"));
        }
    }
    for (title, member) in [("event", "events"), ("handler", "handlers")] {
        let empty = Map::new();
        let members = answer[member].as_object().unwrap_or(&empty);
        if members.is_empty() {
            continue;
        }
        let rows: Vec<Vec<String>> =
            members.iter().map(|(name, counts)| vec![name.clone(), pairs(counts)]).collect();
        lines.push(String::new());
        lines.push(output::table(&[title, "count"], &rows));
    }
    if waiting_of(answer) > 0 {
        let waiting = counted(waiting_of(answer), "event still waits", "events still wait");
        lines.push(format!("\n{waiting}"));
    }
    let refusals = answer["refusals"].as_array().into_iter().flatten().filter_map(Value::as_str);
    for refusal in refusals.take(REFUSALS_SHOWN) {
        lines.push(format!("refused: {refusal}"));
    }
    lines.join("\n")
}

/// `processed 12, error 1`
fn pairs(counts: &Value) -> String {
    let pairs: Vec<String> = counts
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    pairs.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_speed_is_max_or_a_number_of_rows() {
        assert_eq!(speed("max").unwrap(), Speed::Max);
        assert_eq!(speed("2.5").unwrap(), Speed::RowsPerSecond(2.5));
        for text in ["", "fast", "0", "-1", "inf"] {
            assert!(speed(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_summary_names_what_there_is_and_nothing_else() {
        let counts = ReplayCounts {
            rows: 3,
            inserts: 1,
            updates: 1,
            unchanged: 1,
            ..ReplayCounts::default()
        };
        let summary = json!({
            "events": {"incident.inserted": {"processed": 1}}, "handlers": {}, "runs": {}, "waiting": 0,
        });
        let told = text(&answer(&counts, Duration::from_millis(1500), &summary));
        assert_eq!(
            told,
            "3 rows in 1.5 s (2 a second): 1 inserted, 1 updated, 1 unchanged, 0 refused\n\n\
             event              count\nincident.inserted  processed 1"
        );
    }
}
