//! A pool: the virtual users of one process, and the stage pages that only watch.
//!
//! | file | holds |
//! | --- | --- |
//! | [`messages`] | what the controller and a pool send each other |
//! | [`recorder`] | what all users of a pool share: where to connect, and what was measured |
//! | [`stage`] | a stage page |
//! | [`runner`] | starts users and carries out the schedule |
//! | [`process`] | a pool in a process of its own |

pub mod messages;
pub mod process;
pub mod recorder;
pub mod runner;
mod stage;
