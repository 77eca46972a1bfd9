//! What processes use, and what machine they are on, as Linux tells it.

use std::fs::read_to_string;

use serde::{Deserialize, Serialize};

/// Clock ticks a second in `/proc/PID/stat`: the same on every Linux of today.
const TICKS: f64 = 100.0;

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
        let stat = read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let status = read_to_string(format!("/proc/{pid}/status")).ok()?;
        sum.cpu_seconds += cpu_seconds(&stat)?;
        sum.rss_bytes += rss_bytes(&status)?;
    }
    (!pids.is_empty()).then_some(sum)
}

fn cpu_seconds(stat: &str) -> Option<f64> {
    // the name before it may hold spaces and brackets
    let mut fields = stat[stat.rfind(')')? + 1..].split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS)
}

fn rss_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
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
        let cpuinfo = read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        let meminfo = read_to_string("/proc/meminfo").unwrap_or_default();
        let memory = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB"));
        Self {
            loadtest: env!("CARGO_PKG_VERSION").to_owned(),
            server: None,
            commit: output("git", &["rev-parse", "--short", "HEAD"]),
            cpu: model.map_or("unknown", |(_, model)| model.trim()).to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: memory.and_then(|kib| kib.trim().parse::<u64>().ok()).unwrap_or(0) * 1024,
            kernel: read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
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
    fn a_name_with_brackets_does_not_confuse() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194304 100 0 0 0 150 50 0 0 20 0 4 0 100 0 0";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        assert_eq!(rss_bytes("Name:\tx\nVmRSS:\t  2048 kB\n"), Some(2 * 1024 * 1024));
    }

    #[test]
    fn this_process_uses_something() {
        assert!(usage(&[std::process::id()]).is_some_and(|usage| usage.rss_bytes > 0));
        assert_eq!(usage(&[]), None);
    }
}
