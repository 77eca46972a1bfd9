//! The operator's command line: the real binary against a real server.

#[path = "../support/mod.rs"]
mod support;

mod archives;
mod mistakes;
mod operator;
mod plan;
mod records;
mod seals;
