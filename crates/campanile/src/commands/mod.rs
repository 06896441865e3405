//! One file a command.

mod apply;
mod bench;
mod doctor;
mod eval;
mod events;
mod explain_text;
mod fire;
mod folder;
mod init;
mod replay;
mod run;
mod serve;
mod user;

pub(crate) use run::run;
