//! Settings: the embedded defaults, then a file, then `CAMPANILE_*` variables, then flags.

mod layers;
mod postgres;

pub(crate) use layers::{Settings, load};
