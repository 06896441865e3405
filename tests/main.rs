//! Whole-program tests: they start the real binary and drive it by HTTP and by signals.

mod arrows;
mod crash;
mod harness;
mod packs;
mod replay;
