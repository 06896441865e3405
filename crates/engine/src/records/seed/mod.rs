//! The system's own tables and rows, and how tables are written in packs.

mod bootstrap;
mod rows;
mod spec;
mod system;

pub use bootstrap::bring_up_to_date;
pub use rows::{apply_constant_defaults, stamp_new};
pub use spec::{
    ChoiceListSpec, ChoiceSpec, FieldSpec, OverrideSpec, Scalar, TableRows, TableSpec, stable_id,
};
pub(crate) use system::PACK as SYSTEM_PACK;
pub use system::{system_dictionary, system_table};
