//! The HTTP API and the socket, row by row of the contract, against the real binary.

#[path = "../support/mod.rs"]
mod support;

mod admin_port;
mod archives;
mod audit_log;
mod auth;
mod bad_input;
mod check;
mod damaged_file;
mod emcee;
mod exports;
mod forged_archives;
mod full_pod;
mod hosts;
mod joining;
mod operations;
mod output;
mod quarantine;
mod roles;
mod rounds;
mod seals;
mod secure_redis;
mod slow_log;
mod sockets;
mod starting;
mod traces;
mod voters;
