//! The machine that was measured, in words.

use std::path::Path;

use serde_json::{Value, json};

/// What a reader needs to set the figures beside those of another machine.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    processor: String,
    cores: usize,
    memory_mb: u64,
    kernel: String,
    disk: String,
    load: String,
}

impl Machine {
    /// Looks at this machine; `folder` is where the databases stand. What cannot be found out is `unknown`.
    pub(super) fn look(folder: &Path) -> Self {
        let memory_kb = field("/proc/meminfo", "MemTotal").and_then(|text| {
            text.split_whitespace().next().and_then(|number| number.parse::<u64>().ok())
        });
        Self {
            processor: field("/proc/cpuinfo", "model name").unwrap_or_else(unknown),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mb: memory_kb.unwrap_or(0) / 1024,
            kernel: line("/proc/sys/kernel/osrelease").unwrap_or_else(unknown),
            disk: disk(folder).unwrap_or_else(unknown),
            load: line("/proc/loadavg").unwrap_or_else(unknown),
        }
    }

    /// One paragraph.
    pub(super) fn sentence(&self) -> String {
        format!(
            "{} × {}, {} MB memory, Linux {}, {}; load when it began {}",
            self.cores, self.processor, self.memory_mb, self.kernel, self.disk, self.load
        )
    }

    pub(super) fn as_json(&self) -> Value {
        json!({
            "processor": self.processor, "cores": self.cores, "memory_mb": self.memory_mb,
            "kernel": self.kernel, "disk": self.disk, "load": self.load,
        })
    }
}

fn unknown() -> String {
    "unknown".to_owned()
}

fn line(path: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    Some(text.lines().next()?.trim().to_owned())
}

/// The value of the first `name: value` line.
fn field(path: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// File system and device of the longest mount point that holds `folder`.
fn disk(folder: &Path) -> Option<String> {
    let folder = folder.canonicalize().ok()?;
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    let mount = mounts
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?, words.next()?, words.next()?))
        })
        .filter(|(_, point, _)| folder.starts_with(point))
        .max_by_key(|(_, point, _)| point.len())?;
    Some(format!("{} on {}", mount.2, mount.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_told_in_one_line() {
        let sentence = Machine::look(Path::new("/")).sentence();
        assert!(sentence.contains("Linux") && !sentence.contains('\n'), "{sentence}");
    }
}
