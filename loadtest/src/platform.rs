//! What depends on the operating system.

use std::process::Stdio;

use serde::Serialize;
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, Pid, ProcessRefreshKind, ProcessesToUpdate, RefreshKind, System};
use tokio::process::{Child, Command};

/// Ports for outgoing connections, where the system does not say how many there are.
const USUAL_PORTS: u64 = 28_000;

/// What a process has used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Usage {
    /// CPU time since its start.
    pub cpu_seconds: f64,
    /// Resident memory now.
    pub rss_bytes: u64,
}

/// Sum over some processes; `None` if there are none or one of them cannot be read.
pub fn usage(pids: &[u32]) -> Option<Usage> {
    let pids: Vec<_> = pids.iter().map(|pid| Pid::from_u32(*pid)).collect();
    let mut system = System::new();
    let what = ProcessRefreshKind::nothing().with_cpu().with_memory();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&pids), false, what);
    let mut sum = Usage::default();
    for pid in &pids {
        let process = system.process(*pid)?;
        sum.cpu_seconds += process.accumulated_cpu_time() as f64 / 1000.0;
        sum.rss_bytes += process.memory();
    }
    (!pids.is_empty()).then_some(sum)
}

/// This machine in one line: what runs can be compared by.
pub fn machine() -> String {
    let what =
        RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing()).with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(what);
    let cpu = system.cpus().first().map_or("unknown processor", |cpu| cpu.brand().trim());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let gib = system.total_memory() as f64 / 1024f64.powi(3);
    let kernel = System::kernel_version().unwrap_or_default();
    format!("{cpu}, {cores} cores, {gib:.1} GiB, {} {kernel}", std::env::consts::OS)
}

/// Number of ports that the system uses for outgoing connections.
pub fn ports() -> u64 {
    ports_in(&std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default())
}

/// Number of ports in a range as Linux writes it.
fn ports_in(range: &str) -> u64 {
    let mut ends = range.split_whitespace().filter_map(|end| end.parse::<u64>().ok());
    match (ends.next(), ends.next()) {
        (Some(low), Some(high)) if low <= high => high - low + 1,
        _ => USUAL_PORTS,
    }
}

/// Ctrl-C at a terminal, and SIGTERM. Once this exists, neither ends the program by itself.
pub struct Interrupts {
    #[cfg(unix)]
    signals: [tokio::signal::unix::Signal; 2],
}

impl Interrupts {
    /// Begins to listen.
    ///
    /// # Errors
    /// The system does not allow it.
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

/// Asks a process to stop as a service manager does. Where the system has no such signal, the process is killed.
///
/// # Errors
/// The signal cannot be sent.
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
    fn this_process_uses_something() {
        assert!(usage(&[std::process::id()]).is_some_and(|usage| usage.rss_bytes > 0));
        assert_eq!(usage(&[]), None);
    }

    #[test]
    fn ports_of_a_range_are_counted() {
        assert_eq!((ports_in("32768\t60999\n"), ports_in("nonsense")), (28_232, USUAL_PORTS));
    }
}
