//! What is done to a contender to get its figures. Every trial has servers that were started anew.
//!
//! | file | holds |
//! | --- | --- |
//! | [`contest`] | runs contenders in turn, and takes medians |
//! | [`fan_out`] | one tally to every viewer; votes at the same time |
//! | [`votes`] | votes stored and answered |
//! | [`sockets`] | memory, CPU time without activity, and everybody connects at once |
//! | [`ranking`] | ranking and audit of a large room |
//! | [`ninety_thousand`] | the load test with several processes |

mod contest;
mod fan_out;
mod ninety_thousand;
mod ranking;
mod sockets;
mod votes;

pub use contest::{Medians, contest};
pub use fan_out::{fan_out, votes_meanwhile};
pub use ninety_thousand::ninety_thousand;
pub use ranking::ranking;
pub use sockets::{memory, storm};
pub use votes::votes;
