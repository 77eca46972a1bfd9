//! Measures Tallycast side by side with small reference servers on one machine, in one run.
//!
//! | module | holds |
//! | --- | --- |
//! | [`options`] | how a run is made |
//! | `run` | which rows are measured, and what becomes of them |
//! | `rows` | the rows of the table: contenders, figures and limits |
//! | `trials` | what is done to a contender to get its figures |
//! | [`measuring`] | the measuring client |
//! | `lab` | starts contenders: Tallycast, the floor, Socket.IO |
//! | `room` | a room of Tallycast, full of voters |
//! | [`server`] | a process on fixed cores |
//! | `usage` | the CPU time and memory of processes |
//! | `row` | a row's verdict and text |
//! | `record` | what was measured: kept, merged, written |

pub mod measuring;
pub mod options;
pub mod server;

mod lab;
mod record;
mod room;
mod row;
mod rows;
mod run;
mod trials;
mod usage;

pub use run::run;
