//! Event files: how an organiser describes an evening, and how a room differs from that.
//!
//! Both sides become a room record of the domain. So the same rules as in the server decide what is out of bounds and what
//! can no longer change.

mod difference;
mod file;
mod lines;
mod render;

pub use difference::Difference;
pub use file::EventFile;
pub use render::render;
