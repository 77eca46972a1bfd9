//! Event files: what an evening shall be, as its organiser writes it down, and how a room differs from it.
//!
//! Both sides become a room record of the domain, so what is out of bounds and what may not change any more is asked of
//! the very rules that the server follows.

mod difference;
mod file;
mod lines;
mod show;

pub use difference::Difference;
pub use file::EventFile;
pub use show::shown;
