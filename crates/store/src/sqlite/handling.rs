//! The file of who is handling what, so that a crash can count lapses (T7).
//!
//! A small file of fixed slots beside the database, one for each processor, written without a sync when handling
//! begins. Claims stand in memory only; after a crash all of them are dead, but only an event that a processor had
//! begun may have caused it. A slot also names epoch, attempts and lapses, so that an attempt that ended is not taken
//! for one that did not, and a lapse that was counted is not counted again by a process that dies before it has
//! cleared the file.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use campanile_model::SysId;
use campanile_model::limits::PROCESSORS_MAX;

/// Name of the file inside the data folder.
pub(super) const HANDLING_FILE: &str = "handling";

/// Bytes of a slot: key, epoch, attempts, lapses, checksum.
const SLOT_BYTES: usize = 64;

/// Bytes of a slot that its checksum covers.
const SUMMED: usize = 56;

/// Slots that are written: no node has more processors.
const SLOTS_MAX: usize = PROCESSORS_MAX;

/// An attempt that a processor had begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Begun {
    pub(super) event: SysId,
    pub(super) epoch: i64,
    pub(super) attempts: i64,
    /// Claims that had lapsed before this one.
    pub(super) lapses: i64,
}

/// The open file.
#[derive(Debug)]
pub(super) struct Handling(File);

impl Handling {
    /// Opens the file in `folder` and returns what was being handled when its last owner ended.
    ///
    /// # Errors
    /// What the file system said.
    pub(super) fn open(folder: &Path) -> std::io::Result<(Self, Vec<Begun>)> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(folder.join(HANDLING_FILE))?;
        let length =
            usize::try_from(file.metadata()?.len()).unwrap_or(0).min(SLOTS_MAX * SLOT_BYTES);
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, 0)?;
        let begun = bytes.chunks_exact(SLOT_BYTES).filter_map(decode).collect();
        Ok((Self(file), begun))
    }

    /// Notes that `slot` begins to handle an event.
    pub(super) fn begin(&self, slot: usize, begun: &Begun) {
        self.write(slot, &encode(begun));
    }

    /// Notes that `slot` handles nothing.
    pub(super) fn end(&self, slot: usize) {
        self.write(slot, &[0; SLOT_BYTES]);
    }

    /// Forgets everything: at a clean close, and when the lapses of a crash are counted.
    ///
    /// # Errors
    /// What the file system said.
    pub(super) fn clear(&self) -> std::io::Result<()> {
        self.0.set_len(0)
    }

    fn write(&self, slot: usize, bytes: &[u8; SLOT_BYTES]) {
        if slot >= SLOTS_MAX {
            return;
        }
        if let Err(error) = self.0.write_all_at(bytes, (slot * SLOT_BYTES) as u64) {
            tracing::warn!(slot, %error, "could not note what a processor handles; a crash would not be counted");
        }
    }
}

fn encode(begun: &Begun) -> [u8; SLOT_BYTES] {
    let mut bytes = [0; SLOT_BYTES];
    bytes[..32].copy_from_slice(begun.event.as_str().as_bytes());
    bytes[32..40].copy_from_slice(&begun.epoch.to_le_bytes());
    bytes[40..48].copy_from_slice(&begun.attempts.to_le_bytes());
    bytes[48..56].copy_from_slice(&begun.lapses.to_le_bytes());
    let sum = checksum(&bytes[..SUMMED]);
    bytes[SUMMED..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// What a slot says; `None` when it is empty or was written by halves.
fn decode(bytes: &[u8]) -> Option<Begun> {
    let number = |from: usize| bytes.get(from..from + 8)?.try_into().ok().map(i64::from_le_bytes);
    let event = std::str::from_utf8(bytes.get(..32)?).ok()?.parse().ok()?;
    let sum = u64::from_le_bytes(bytes.get(SUMMED..SLOT_BYTES)?.try_into().ok()?);
    if sum != checksum(&bytes[..SUMMED]) {
        return None;
    }
    Some(Begun { event, epoch: number(32)?, attempts: number(40)?, lapses: number(48)? })
}

fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use campanile_model::Instant;

    use super::*;

    #[test]
    fn what_was_begun_and_not_ended_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let (handling, before) = Handling::open(folder.path()).unwrap();
        assert!(before.is_empty());
        let begun: Vec<_> = (0..3)
            .map(|n| Begun {
                event: SysId::generate(Instant::from_millis(1)),
                epoch: n,
                attempts: 2 * n,
                lapses: n % 2,
            })
            .collect();
        for (slot, one) in begun.iter().enumerate() {
            handling.begin(slot * 5, one);
        }
        handling.end(5);
        drop(handling);
        let (handling, found) = Handling::open(folder.path()).unwrap();
        assert_eq!(found, [begun[0], begun[2]]);
        handling.clear().unwrap();
        assert!(Handling::open(folder.path()).unwrap().1.is_empty());
    }

    #[test]
    fn a_slot_that_was_written_by_halves_counts_nothing() {
        let mut bytes = encode(&Begun {
            event: SysId::generate(Instant::from_millis(1)),
            epoch: 1,
            attempts: 0,
            lapses: 0,
        });
        bytes[33] ^= 1;
        assert_eq!(decode(&bytes), None);
        assert_eq!(decode(&bytes[..40]), None);
        assert_eq!(decode(&[0; SLOT_BYTES]), None);
    }
}
