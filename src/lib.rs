//! Tallycast: live audience voting for a hall full of people, with every vote counted exactly once.
//!
//! Dependencies point one way, from the first line to the last:
//!
//! | module | holds |
//! | --- | --- |
//! | [`domain`] | the rules of voting, pure |
//! | [`wire`] | the messages on the wire, as types |
//! | [`ledger`] | what is stored durably: the contract, an embedded file, Redis |
//! | [`board`] | what a room shows to each audience, encoded once |
//! | [`actors`] | sessions, coordinators, the subscriber, the registry, the worker |
//! | [`http`] | routes, pages, sockets, errors |
//! | [`startup`] | the composition root: build, run, drain |
//!
//! Beside them: [`cli`] (the operator's commands), [`settings`], [`auth`] (keys and tokens), [`telemetry`] (logs),
//! [`metrics`] (every series), [`traces`] (spans), [`rate_limit`], [`external_check`] (a server as phones reach it),
//! [`atomic_file`] and [`platform`] (the operating system).

pub mod actors;
pub mod atomic_file;
pub mod auth;
pub mod board;
pub mod cli;
pub mod domain;
pub mod external_check;
#[cfg(test)]
mod fuzz;
pub mod http;
pub mod ledger;
pub mod metrics;
pub mod platform;
pub mod rate_limit;
pub mod settings;
pub mod startup;
pub mod telemetry;
pub mod traces;
pub mod wire;
