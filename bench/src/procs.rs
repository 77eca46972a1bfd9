//! Processes on fixed cores, and what they use: CPU time and memory. Linux only.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use procfs::process::{ClearRefs, Process as ProcEntry, Status};
use procfs::{Current, LoadAverage, Meminfo};

/// Core of the measured servers, with all their threads.
pub const SERVER_CORE: &str = "0";
/// Core of the measuring client, and of Redis: its CPU time is counted separately.
pub const CLIENT_CORE: &str = "1";
/// For runs that compare nothing.
pub const BOTH_CORES: &str = "0,1";
/// Time until a server must answer.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// Length of a clock tick of the kernel's process statistics: 100 per second.
const TICK_NS: u64 = 10_000_000;

/// A child process. It is killed when this is dropped.
pub struct Process {
    child: Child,
    name: &'static str,
    log: PathBuf,
}

impl Process {
    /// Starts `program` on `cores`, with its output in `log`.
    ///
    /// # Errors
    /// `taskset` or the program cannot be started.
    pub fn start(
        name: &'static str,
        cores: &str,
        program: &Path,
        log: &Path,
        configure: impl FnOnce(&mut Command),
    ) -> Result<Self> {
        let out = File::create(log).with_context(|| format!("creating {}", log.display()))?;
        let mut command = Command::new("taskset");
        command.args(["-c", cores]).arg(program);
        command.stdin(Stdio::null()).stderr(out.try_clone()?).stdout(out);
        configure(&mut command);
        let child = command.spawn().context("starting taskset (package util-linux)")?;
        Ok(Self { child, name, log: log.to_owned() })
    }

    /// The program's process id: taskset replaces itself by the program.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Calls `is_up` until it returns true.
    ///
    /// # Errors
    /// The process ended, or is not up within 20 s. The text holds the end of its log.
    pub fn wait_until(&mut self, mut is_up: impl FnMut() -> bool) -> Result<()> {
        let began = Instant::now();
        while !is_up() {
            let ended = self.child.try_wait()?;
            if ended.is_some() || began.elapsed() > START_TIMEOUT {
                let log = std::fs::read_to_string(&self.log).unwrap_or_default();
                let lines: Vec<_> = log.lines().collect();
                let end = lines[lines.len().saturating_sub(5)..].join("\n");
                let why = ended.map_or("too slow".to_owned(), |status| status.to_string());
                bail!("{} does not start ({why}):\n{end}", self.name);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Moves this process, and the threads that it starts from now on, to [`CLIENT_CORE`].
///
/// # Errors
/// There is no `taskset`, or the machine has only one core.
pub fn pin_self() -> Result<()> {
    let pid = std::process::id().to_string();
    let done = Command::new("taskset").args(["-cp", CLIENT_CORE, &pid]).output();
    let done = done.context("starting taskset (package util-linux)")?;
    ensure!(done.status.success(), "two cores are needed: {}", String::from_utf8_lossy(&done.stderr).trim());
    Ok(())
}

/// Waits until no other bench runs on this machine, and makes others wait until the file is closed.
///
/// # Errors
/// The lock file cannot be created.
pub fn wait_for_turn() -> Result<File> {
    let path = std::env::temp_dir().join("tallycast-bench.lock");
    let lock = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
    if lock.try_lock().is_err() {
        eprintln!("waiting for another bench to end: each would disturb the other");
        lock.lock().with_context(|| format!("locking {}", path.display()))?;
    }
    Ok(lock)
}

/// Average number of tasks that ran or waited for a core in the last minute.
pub fn load() -> Option<f32> {
    Some(LoadAverage::current().ok()?.one)
}

/// CPU time that some processes use from [`Meter::start`] on.
pub struct Meter(Vec<(u32, Cpu)>);

impl Meter {
    /// Begins now.
    ///
    /// # Errors
    /// A process has ended.
    pub fn start(pids: &[u32]) -> Result<Self> {
        pids.iter().map(|pid| Ok((*pid, Cpu::of(*pid)?))).collect::<Result<_>>().map(Self)
    }

    /// CPU time since the start in µs, for each process.
    ///
    /// # Errors
    /// A process has ended.
    pub fn read(&self) -> Result<Vec<f64>> {
        self.0.iter().map(|(pid, before)| Ok(Cpu::of(*pid)?.since(*before) as f64 / 1e3)).collect()
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
        let process = entry(pid)?;
        let mut threads = 0;
        for task in process.tasks()? {
            // a thread may end between the listing and the reading
            if let Ok(statistics) = task.and_then(|task| task.schedstat()) {
                threads += statistics.sum_exec_runtime;
            }
        }
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

fn entry(pid: u32) -> Result<ProcEntry> {
    ProcEntry::new(pid.try_into()?).context("the process has ended")
}

/// A field of a process's status in KiB, as bytes.
fn bytes(pid: u32, field: fn(Status) -> Option<u64>) -> Result<u64> {
    field(entry(pid)?.status()?).map(|kib| kib * 1024).context("the process has no memory any more")
}

/// Resident memory of a process, in bytes.
///
/// # Errors
/// The process has ended.
pub fn resident_bytes(pid: u32) -> Result<u64> {
    bytes(pid, |status| status.vmrss)
}

/// Highest resident memory since [`reset_peak`], in bytes.
///
/// # Errors
/// The process has ended.
pub fn peak_bytes(pid: u32) -> Result<u64> {
    bytes(pid, |status| status.vmhwm)
}

/// Begins a new peak.
///
/// # Errors
/// The process has ended, or belongs to another user.
pub fn reset_peak(pid: u32) -> Result<()> {
    entry(pid)?.clear_refs(ClearRefs::PeakRSS).context("resetting the peak of the resident memory")
}

/// Memory of the kernel's objects, sockets among them, in bytes.
///
/// # Errors
/// The kernel does not say.
pub fn kernel_object_bytes() -> Result<u64> {
    Ok(Meminfo::current()?.slab)
}

#[cfg(test)]
mod tests {
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
        let meter = Meter::start(&[std::process::id()]).unwrap();
        let began = Instant::now();
        let mut sum = 0u64;
        while began.elapsed() < Duration::from_millis(30) {
            sum = sum.wrapping_mul(31).wrapping_add(1);
        }
        std::hint::black_box(sum);
        assert!(meter.read().unwrap()[0] > 1_000.0);
        assert!(resident_bytes(std::process::id()).unwrap() > 100_000);
        reset_peak(std::process::id()).unwrap();
        assert!(peak_bytes(std::process::id()).unwrap() > 100_000 && kernel_object_bytes().unwrap() > 0);
    }
}
