//! One line of the table: a value, its target, and what it is set beside.

use serde_json::{Value, json};

use super::spread::{micros_each, per_second};
use super::took::Took;

/// What a value counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Things a second: more is better. For all others less is.
    PerSecond,
    /// Milliseconds.
    Millis,
    /// Microseconds.
    Micros,
    /// 2^20 bytes.
    Megabytes,
    /// Things.
    Count,
}

impl Unit {
    fn word(self) -> &'static str {
        match self {
            Self::PerSecond => "/s",
            Self::Millis => "ms",
            Self::Micros => "µs",
            Self::Megabytes => "MB",
            Self::Count => "",
        }
    }
}

/// What DESIGN §7 asks for, in the figure's unit.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Target {
    must: f64,
    aim: f64,
}

/// What was measured beside it in the same run, in the figure's unit.
#[derive(Debug, Clone, PartialEq)]
struct Beside {
    value: f64,
    what: &'static str,
}

/// One measured value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Figure {
    what: String,
    value: f64,
    unit: Unit,
    /// Microseconds of the processors for one of what is counted.
    processor_us: Option<f64>,
    target: Option<Target>,
    beside: Option<Beside>,
}

impl Figure {
    /// How many of `count` a second, with what one of them cost.
    pub(super) fn rate(what: impl Into<String>, count: usize, took: Took) -> Self {
        let processor_us = Some(micros_each(count, took.processor));
        Self { processor_us, ..Self::new(what, per_second(count, took.wall), Unit::PerSecond) }
    }

    /// Its value.
    pub(super) fn value(&self) -> f64 {
        self.value
    }

    /// A value without a target.
    pub(super) fn new(what: impl Into<String>, value: f64, unit: Unit) -> Self {
        Self { what: what.into(), value, unit, processor_us: None, target: None, beside: None }
    }

    /// Sets what must be reached, and what is aimed at.
    pub(super) fn target(mut self, must: f64, aim: f64) -> Self {
        self.target = Some(Target { must, aim });
        self
    }

    /// Sets the limit or peer that the ratio is taken to.
    pub(super) fn beside(mut self, value: f64, what: &'static str) -> Self {
        self.beside = Some(Beside { value, what });
        self
    }

    /// Whether it misses what it must reach.
    pub(super) fn misses(&self) -> bool {
        self.target.is_some_and(|target| match self.unit {
            Unit::PerSecond => self.value < target.must,
            _ => self.value > target.must,
        })
    }

    /// The cells of its line: measurement, value, unit, must, aim, processor time, ratio.
    pub(super) fn cells(&self) -> [String; 7] {
        let mark = if self.misses() { " (missed)" } else { "" };
        let target =
            |value: fn(Target) -> f64| self.target.map_or_else(String::new, |t| number(value(t)));
        let ratio = |beside: &Beside| format!("{:.2} × {}", self.value / beside.value, beside.what);
        [
            self.what.clone(),
            format!("{}{mark}", number(self.value)),
            self.unit.word().to_owned(),
            target(|t| t.must),
            target(|t| t.aim),
            self.processor_us.map_or_else(String::new, number),
            self.beside.as_ref().map_or_else(String::new, ratio),
        ]
    }

    /// The same for programs.
    pub(super) fn as_json(&self) -> Value {
        let beside = self.beside.as_ref();
        json!({
            "measurement": self.what,
            "value": self.value,
            "unit": self.unit.word(),
            "must": self.target.map(|t| t.must),
            "aim": self.target.map(|t| t.aim),
            "missed": self.misses(),
            "processor_us": self.processor_us,
            "ratio": beside.map(|b| self.value / b.value),
            "ratio_to": beside.map(|b| b.what),
        })
    }
}

/// Three significant digits or more, thousands apart: `118,600`, `12.4`, `0.83`.
fn number(value: f64) -> String {
    if value.abs() < 10.0 {
        return format!("{value:.2}");
    }
    if value.abs() < 100.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::with_capacity(digits.len() + 4);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        let written = [0.834, 12.44, 999.6, 118_600.2, 1_234_567.0].map(number);
        assert_eq!(written, ["0.83", "12.4", "1,000", "118,600", "1,234,567"]);
    }

    #[test]
    fn a_rate_below_and_a_time_above_what_it_must_reach_are_missed() {
        let rate = |value| Figure::new("x", value, Unit::PerSecond).target(100.0, 200.0).misses();
        let time = |value| Figure::new("x", value, Unit::Millis).target(3.0, 1.0).misses();
        assert!(rate(99.0) && !rate(100.0));
        assert!(time(3.1) && !time(3.0));
        assert!(!Figure::new("x", 1.0, Unit::PerSecond).misses());
    }

    #[test]
    fn the_ratio_is_to_what_was_measured_beside_it() {
        let figure = Figure::new("x", 50.0, Unit::PerSecond).beside(200.0, "raw inserts");
        assert_eq!(figure.cells()[6], "0.25 × raw inserts");
        assert_eq!(figure.as_json()["ratio"], 0.25);
    }
}
