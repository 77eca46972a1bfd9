//! The upper bounds of histogram buckets.

/// For what should take milliseconds, in seconds. The thresholds of alerts are among them.
pub const FAST: [f64; 12] = [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
/// For the number of casts in a batch.
pub const SIZES: [f64; 8] = [1.0, 4.0, 16.0, 64.0, 128.0, 256.0, 512.0, 1000.0];
