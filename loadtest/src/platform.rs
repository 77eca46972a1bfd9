//! What depends on the operating system. Elsewhere than on Linux a report says less, and everything else works.

use std::fs::read_to_string;
use std::process::Stdio;

use tokio::process::{Child, Command};

use crate::process::Usage;

/// Clock ticks a second in `/proc/PID/stat`: the same on every Linux of today.
const TICKS: f64 = 100.0;
/// Ports for whoever does not ask for one, where that cannot be asked.
const USUAL_PORTS: u64 = 28_000;

/// What a process has used; none if it cannot be read.
pub fn usage(pid: u32) -> Option<Usage> {
    let stat = read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let status = read_to_string(format!("/proc/{pid}/status")).ok()?;
    Some(Usage { cpu_seconds: cpu_seconds(&stat)?, rss_bytes: rss_bytes(&status)? })
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

/// What the processor is called.
pub fn processor() -> Option<String> {
    let cpuinfo = read_to_string("/proc/cpuinfo").ok()?;
    let (_, model) = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'))?;
    Some(model.trim().to_owned())
}

/// Memory of the machine.
pub fn memory_bytes() -> Option<u64> {
    let meminfo = read_to_string("/proc/meminfo").ok()?;
    let kib = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB"))?;
    Some(kib.trim().parse::<u64>().ok()? * 1024)
}

/// What the kernel is called; elsewhere than on Linux the system's name.
pub fn kernel() -> String {
    let release = read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let name = if release.trim().is_empty() { std::env::consts::OS } else { release.trim() };
    name.to_owned()
}

/// Ports that the system gives to whoever does not ask for one.
pub fn ports() -> u64 {
    ports_in(&read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default())
}

/// Ports in a range as Linux writes it.
fn ports_in(range: &str) -> u64 {
    let mut ends = range.split_whitespace().filter_map(|end| end.parse::<u64>().ok());
    match (ends.next(), ends.next()) {
        (Some(low), Some(high)) if low <= high => high - low + 1,
        _ => USUAL_PORTS,
    }
}

/// Ctrl-C at a terminal, and what `kill` and Kubernetes send. From its making on neither ends the program by itself.
pub struct Interrupts {
    #[cfg(unix)]
    signals: [tokio::signal::unix::Signal; 2],
}

impl Interrupts {
    /// Begins to listen.
    ///
    /// # Errors
    /// The system does not let it.
    pub fn listen() -> std::io::Result<Self> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            Ok(Self { signals: [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?] })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        #[cfg(unix)]
        {
            let [interrupt, terminate] = &mut self.signals;
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        }
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
    }
}

/// Keeps Ctrl-C at a terminal from reaching a new process.
pub fn keep_from_ctrl_c(command: &mut Command) -> &mut Command {
    #[cfg(unix)]
    command.process_group(0);
    // CREATE_NEW_PROCESS_GROUP
    #[cfg(windows)]
    command.creation_flags(0x0200);
    command
}

/// Asks a process to stop as a service manager does, where there is such a way; else it is ended.
pub async fn ask_to_stop(child: &mut Child) -> std::io::Result<()> {
    if !cfg!(unix) {
        return child.start_kill();
    }
    let Some(pid) = child.id() else { return Ok(()) };
    Command::new("kill").args(["-TERM", &pid.to_string()]).stderr(Stdio::null()).status().await.map(drop)
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
    fn a_range_of_ports_is_counted() {
        assert_eq!((ports_in("32768\t60999\n"), ports_in("nonsense")), (28_232, USUAL_PORTS));
    }
}
