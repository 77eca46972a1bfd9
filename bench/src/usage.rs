//! What processes use: CPU time and memory, from `/proc`.

use anyhow::{Context, Result};
use procfs::process::Process;
use procfs::{Current, Meminfo};

use crate::server::Server;

/// Length of a clock tick of the kernel's process statistics: 100 per second.
const TICK_NS: u64 = 10_000_000;

/// CPU time that servers use from [`Meter::start`] on.
pub struct Meter(Vec<(u32, Cpu)>);

impl Meter {
    /// Begins now.
    pub fn start(servers: &[Server]) -> Result<Self> {
        servers.iter().map(|server| Ok((server.pid(), Cpu::of(server.pid())?))).collect::<Result<_>>().map(Self)
    }

    /// CPU time of all of them since the start, in µs.
    pub fn us(&self) -> Result<f64> {
        self.0.iter().map(|(pid, before)| Ok(Cpu::of(*pid)?.since(*before) as f64 / 1e3)).sum()
    }
}

/// CPU time so far, in ns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cpu {
    /// Of the threads that run now, exact.
    threads: u64,
    /// Of the process, with threads that have ended, in whole ticks.
    process: u64,
}

impl Cpu {
    fn of(pid: u32) -> Result<Self> {
        let process = process(pid)?;
        // a thread may end between the listing and the reading
        let tasks = process.tasks()?.filter_map(|task| task.ok()?.schedstat().ok());
        let threads = tasks.map(|statistics| statistics.sum_exec_runtime).sum();
        let stat = process.stat()?;
        Ok(Self { threads, process: (stat.utime + stat.stime) * TICK_NS })
    }

    /// The time of the threads, unless the process has clearly used more: then a thread has ended in between.
    fn since(self, before: Self) -> u64 {
        let threads = self.threads.saturating_sub(before.threads);
        let process = self.process.saturating_sub(before.process);
        if process > threads + threads / 50 + 2 * TICK_NS { process } else { threads }
    }
}

/// Resident memory of a server, in bytes.
pub fn resident_bytes(server: &Server) -> Result<f64> {
    let kib = process(server.pid())?.status()?.vmrss.context("the process has no memory any more")?;
    Ok(kib as f64 * 1024.0)
}

/// Memory of the kernel's objects, sockets among them, in bytes.
pub fn kernel_object_bytes() -> Result<f64> {
    Ok(Meminfo::current()?.slab as f64)
}

fn process(pid: u32) -> Result<Process> {
    Process::new(pid.try_into()?).context("the process has ended")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn the_time_of_ended_threads_is_counted() {
        let before = Cpu { threads: 1_000_000_000, process: 1_000_000_000 };
        let one_has_ended = Cpu { threads: 600_000_000, process: 1_500_000_000 };
        assert_eq!(one_has_ended.since(before), 500_000_000);
        let all_run = Cpu { threads: 1_234_567_890, process: 1_240_000_000 };
        assert_eq!(all_run.since(before), 234_567_890);
    }

    #[test]
    fn the_work_of_a_process_is_measured() {
        let (this, began) = (std::process::id(), Instant::now());
        let meter = Meter(vec![(this, Cpu::of(this).unwrap())]);
        while began.elapsed() < Duration::from_millis(30) {
            std::hint::spin_loop();
        }
        assert!(meter.us().unwrap() > 1_000.0);
    }
}
