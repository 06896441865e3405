//! Partitions: by which number events are spread (§1.1 `partition`).

/// Partitions that the reference counts.
pub const PARTITIONS: u64 = 1024;

/// The partition of `key` among `count`: FNV-1a (64 bit) of its bytes, mod `count`. A count of 0 is taken for 1.
#[must_use]
pub fn partition(key: &str, count: u64) -> i64 {
    let hash = key.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    i64::try_from(hash % count.max(1)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_partitions_that_divide_the_others_are_the_same_number_folded() {
        for key in ["", "a", "9c573169c611228700193229fff72400", "Ä"] {
            for count in [1, 2, 16, 256] {
                let folded = partition(key, PARTITIONS) % i64::try_from(count).unwrap();
                assert_eq!(partition(key, count), folded, "{key} of {count}");
            }
        }
        assert_eq!(partition("", PARTITIONS), 805, "the offset basis, mod 1024");
    }
}
