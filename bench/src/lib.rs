//! Measures Tallycast side by side with small reference servers on one machine, in one run.
//!
//! | module | holds |
//! | --- | --- |
//! | [`options`] | how a run is made |
//! | [`measuring`] | the measuring client |
//! | [`procs`] | processes on fixed cores, and what they use |
//! | [`lab`] | starts the servers: Tallycast, the floor, Socket.IO, Redis |
//! | [`tallycast`] | a pod, and rooms full of voters |
//! | [`measures`] | the rows of the table, one family a file |
//! | [`table`] | limits and verdicts |
//! | [`constants`] | what a unit of work costs, for `loadtest plan` |
//! | [`record`] | what was measured: kept, merged, written |

pub mod constants;
pub mod lab;
pub mod measures;
pub mod measuring;
pub mod options;
pub mod procs;
pub mod record;
pub mod table;
pub mod tallycast;
