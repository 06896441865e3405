//! Change logs, replayed as if people had typed them: a row of the file is one change of one record.

pub mod apply;
mod choices;
mod columns;
mod convert;
pub mod map;
mod references;
pub mod rows;
pub mod summary;
