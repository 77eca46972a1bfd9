//! The measuring client: one thread, epoll, headers parsed only.
//!
//! It must cost less than what it measures, so a frame is told by how its text begins, payloads are never copied, and
//! all sockets share one buffer. It never has more than one vote of a socket under way.
//!
//! | file | holds |
//! | --- | --- |
//! | [`frame`] | frames on the wire |
//! | [`speech`] | the words of each kind of server |
//! | [`client`] | one socket |
//! | [`crowd`] | all of them: the storm, the event loop |
//! | [`fan_out`] | one to all |
//! | [`votes`] | votes in a closed loop, and at planned times |

pub mod client;
pub mod crowd;
pub mod fan_out;
pub mod frame;
pub mod speech;
pub mod votes;

pub use crowd::Crowd;
pub use fan_out::FanOut;
pub use speech::{CASTS_PER_ROUND, MOST_CASTS_PER_ROUND, Speech};
pub use votes::Votes;
