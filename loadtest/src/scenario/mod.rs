//! A scenario: a hall, what happens in it phase by phase, and what must hold at the end.

mod check;
mod model;
mod shipped;
mod steps;

pub use model::{Arrivals, RoundChange, Scenario, Split};
pub use shipped::SHIPPED;
pub use steps::{Step, steps};

#[cfg(test)]
mod tests;
