//! The HTTP API and the socket, row by row of the contract, against the real binary.

#[path = "../support/mod.rs"]
mod support;

mod apart;
mod auth;
mod bad_input;
mod check;
mod damage;
mod emcee;
mod exports;
mod full;
mod joining;
mod moving;
mod operations;
mod output;
mod roles;
mod rounds;
mod secure_redis;
mod slow_log;
mod sockets;
mod starting;
mod strangers;
mod traces;
mod voters;
