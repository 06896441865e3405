//! One file a command.

mod apply;
mod backup;
mod bench;
mod copy;
mod doctor;
mod eval;
mod events;
mod explain_text;
mod fire;
mod folder;
mod init;
mod progress;
mod queues;
mod replay;
mod run;
mod serve;
mod tail;
mod user;

pub(crate) use run::run;
