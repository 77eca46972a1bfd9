//! What processes use, and what machine they are on.

use serde::{Deserialize, Serialize};

use crate::platform;

/// What a process has used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// CPU time since its start.
    pub cpu_seconds: f64,
    /// Resident memory now.
    pub rss_bytes: u64,
}

/// Sum over some processes; none if one cannot be read.
pub fn usage(pids: &[u32]) -> Option<Usage> {
    let mut sum = Usage::default();
    for pid in pids {
        let one = platform::usage(*pid)?;
        sum.cpu_seconds += one.cpu_seconds;
        sum.rss_bytes += one.rss_bytes;
    }
    (!pids.is_empty()).then_some(sum)
}

/// Where a run took place, so that runs can be compared.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Environment {
    /// Version of this program.
    pub loadtest: String,
    /// What the server's binary says of itself; only with --start.
    pub server: Option<String>,
    /// Commit of the checkout that it was started in, if there is one.
    pub commit: Option<String>,
    /// Processor.
    pub cpu: String,
    /// Its cores.
    pub cores: usize,
    /// Memory of the machine.
    pub memory_bytes: u64,
    /// Kernel.
    pub kernel: String,
}

impl Environment {
    /// Of this machine.
    pub fn here() -> Self {
        Self {
            loadtest: env!("CARGO_PKG_VERSION").to_owned(),
            server: None,
            commit: output("git", &["rev-parse", "--short", "HEAD"]),
            cpu: platform::processor().unwrap_or_else(|| "unknown".to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: platform::memory_bytes().unwrap_or(0),
            kernel: platform::kernel(),
        }
    }
}

/// What a program prints, if it can be run and succeeds.
pub fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output =
        std::process::Command::new(program).args(arguments).stderr(std::process::Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_something() {
        assert!(usage(&[std::process::id()]).is_some_and(|usage| usage.rss_bytes > 0));
        assert_eq!(usage(&[]), None);
    }
}
