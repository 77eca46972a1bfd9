//! Tallycast: live audience voting for a hall full of people, with every vote counted exactly once.
//!
//! Dependencies point one way, from the first line to the last:
//!
//! | module | is |
//! | --- | --- |
//! | [`domain`] | the rules of the game, pure |
//! | [`wire`] | what goes over the wire, as types |
//! | [`ledger`] | what is stored for good: the contract, an embedded file, Redis |
//! | [`board`] | what a room shows, to whom, encoded once |
//! | [`actors`] | sessions, coordinators, the subscriber, the registry |
//! | [`http`] | routes, pages, sockets, errors |
//! | [`startup`] | the composition root: build, run, drain |
//!
//! Beside them: [`settings`], [`telemetry`] (logs), [`metrics`] (every series), [`traces`] (spans), [`draft`] (files),
//! [`outside`] (a server as phones see it) and [`platform`] (the operating system).

pub mod actors;
pub mod atomic_file;
pub mod auth;
pub mod board;
pub mod cli;
pub mod domain;
pub mod http;
pub mod ledger;
pub mod metrics;
pub mod outside;
pub mod platform;
pub mod settings;
pub mod startup;
pub mod telemetry;
pub mod traces;
pub mod wire;
