//! Measures Tallycast side by side with small reference servers on one machine, in one run.
//!
//! | module | is |
//! | --- | --- |
//! | [`gauge`] | the measuring client |
//! | [`procs`] | processes on a core of their own, and what they use |
//! | [`lab`] | starts the servers: Tallycast, the floor, Socket.IO, Redis |
//! | [`tallycast`] | an emcee and minted voters |
//! | [`measures`] | the rows of the table, one family a file |
//! | [`table`] | limits and verdicts |
//! | [`record`] | what was measured: kept, merged, written |

pub mod gauge;
pub mod lab;
pub mod measures;
pub mod procs;
pub mod record;
pub mod table;
pub mod tallycast;
