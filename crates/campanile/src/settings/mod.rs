//! Settings: the embedded defaults, then a file, then `CAMPANILE_*` variables, then flags.

mod layers;

pub(crate) use layers::{Settings, load};
