//! What a run says: on the terminal while it goes and at its end, as JSON, and as a page.

mod charts;
pub mod commits;
pub mod html;
pub mod progress;
pub mod summary;
pub mod svg;
pub mod terminal;
