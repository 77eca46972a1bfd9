//! Numbers and marks as text.

/// A time in ms, with as many digits as matter.
pub fn ms(ms: f64) -> String {
    match ms {
        ms if ms >= 10_000.0 => format!("{:.1} s", ms / 1000.0),
        ms if ms >= 100.0 => format!("{ms:.0} ms"),
        ms if ms >= 1.0 => format!("{ms:.1} ms"),
        ms => format!("{ms:.2} ms"),
    }
}

/// As [`ms`]; a dash if there is none.
pub fn optional_ms(time: Option<f64>) -> String {
    time.map_or("-".to_owned(), ms)
}

/// MiB of a number of bytes.
pub fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / 1024.0 / 1024.0)
}

/// Something per second in a run of `seconds`.
pub fn per_second(count: f64, seconds: f64) -> f64 {
    count / seconds.max(0.001)
}

/// A mark for success or failure.
pub fn tick(ok: bool) -> char {
    if ok { '✓' } else { '✗' }
}
