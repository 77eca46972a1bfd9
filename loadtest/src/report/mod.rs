//! What a run reports: progress, the end on the terminal, JSON, and a page.

mod charts;
pub mod html;
pub mod progress;
pub mod summary;
mod table;
pub mod terminal;
pub mod text;
