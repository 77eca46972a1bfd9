//! The operator's command line, as it is typed: the real binary against a real server.

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod desk;
mod mistakes;
mod moving;
mod plan;
mod records;
