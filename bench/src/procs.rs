//! Processes on a core of their own, and what they use: CPU, memory. All from /proc, so on Linux only.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// Where servers under measure run, all of their threads.
pub const SERVER_CORE: &str = "0";
/// Where the gauge runs, and Redis, whose CPU is counted apart.
pub const CLIENT_CORE: &str = "1";
/// Where nothing is compared and everything is wanted.
pub const BOTH_CORES: &str = "0,1";
/// How long a server may take until it answers.
const START_WITHIN: Duration = Duration::from_secs(20);
/// Ns of a tick in /proc/PID/stat: Linux shows 100 a second to everybody.
const TICK_NS: u64 = 10_000_000;

/// A child process. It is killed when this is dropped.
pub struct Process {
    child: Child,
    name: &'static str,
    log: PathBuf,
}

impl Process {
    /// Starts `program` on `core`, with its output in `log`.
    ///
    /// # Errors
    /// There is no `taskset` or no such program.
    pub fn start(
        name: &'static str,
        cores: &str,
        program: &Path,
        log: &Path,
        set: impl FnOnce(&mut Command),
    ) -> Result<Self> {
        let out = File::create(log).with_context(|| format!("creating {}", log.display()))?;
        let mut command = Command::new("taskset");
        command.args(["-c", cores]).arg(program);
        command.stdin(Stdio::null()).stderr(out.try_clone()?).stdout(out);
        set(&mut command);
        let child = command.spawn().context("starting taskset (package util-linux)")?;
        Ok(Self { child, name, log: log.to_owned() })
    }

    /// taskset becomes the program, so this is the program's.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks `is_up` again and again until it says so.
    ///
    /// # Errors
    /// The process ended, or is not up in time. The end of its log is part of the text.
    pub fn wait_until(&mut self, mut is_up: impl FnMut() -> bool) -> Result<()> {
        let began = Instant::now();
        while !is_up() {
            let ended = self.child.try_wait()?;
            if ended.is_some() || began.elapsed() > START_WITHIN {
                let log = std::fs::read_to_string(&self.log).unwrap_or_default();
                let last: Vec<_> = log.lines().rev().take(5).collect();
                let last = last.into_iter().rev().collect::<Vec<_>>().join("\n");
                bail!(
                    "{} does not come up ({}):\n{last}",
                    self.name,
                    ended.map_or("too slow".into(), |e| e.to_string())
                );
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

/// Puts this process, and threads that it starts from now on, on [`CLIENT_CORE`].
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

/// Waits until no other bench measures on this machine, and keeps others waiting while the file is held.
///
/// # Errors
/// The lock file cannot be made.
pub fn wait_for_turn() -> Result<File> {
    let path = std::env::temp_dir().join("tallycast-bench.lock");
    let lock = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
    if lock.try_lock().is_err() {
        eprintln!("waiting for another run to end: each would measure the other");
        lock.lock().with_context(|| format!("locking {}", path.display()))?;
    }
    Ok(lock)
}

/// Tasks that ran or wanted to run on this machine in the last minute, on average.
pub fn load() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

/// The CPU that some processes use from [`Meter::start`] on.
pub struct Meter(Vec<(u32, Cpu)>);

impl Meter {
    /// Begins now.
    pub fn start(pids: &[u32]) -> Result<Self> {
        pids.iter().map(|pid| Ok((*pid, Cpu::of(*pid)?))).collect::<Result<_>>().map(Self)
    }

    /// Microseconds of CPU since the start, for each process.
    pub fn read(&self) -> Result<Vec<f64>> {
        self.0.iter().map(|(pid, before)| Ok(Cpu::of(*pid)?.since(*before) as f64 / 1e3)).collect()
    }
}

/// CPU time so far, in ns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cpu {
    /// Of all threads that live, exact.
    threads: u64,
    /// Of the whole process, in ticks; threads that have ended are part of it.
    process: u64,
}

impl Cpu {
    fn of(pid: u32) -> Result<Self> {
        let mut threads = 0;
        for thread in std::fs::read_dir(format!("/proc/{pid}/task")).context("the process has ended")? {
            // a thread may end between the listing and the reading
            if let Ok(text) = std::fs::read_to_string(thread?.path().join("schedstat")) {
                threads += run_time(&text).context("schedstat")?;
            }
        }
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        Ok(Self { threads, process: ticks(&stat).context("stat")? * TICK_NS })
    }

    /// The threads' time, unless the process has clearly used more: then a thread has ended, and took its time along.
    fn since(self, before: Self) -> u64 {
        let threads = self.threads.saturating_sub(before.threads);
        let process = self.process.saturating_sub(before.process);
        if process > threads + threads / 50 + 2 * TICK_NS { process } else { threads }
    }
}

/// Ns on a CPU, from a thread's schedstat.
fn run_time(schedstat: &str) -> Option<u64> {
    schedstat.split_ascii_whitespace().next()?.parse().ok()
}

/// User and system ticks, from a process's stat. Its name is in brackets and may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + system)
}

/// Resident bytes of a process.
pub fn resident_bytes(pid: u32) -> Result<u64> {
    field_bytes(&format!("/proc/{pid}/status"), "VmRSS:")
}

/// Most bytes that were resident since [`forget_peak`].
pub fn peak_bytes(pid: u32) -> Result<u64> {
    field_bytes(&format!("/proc/{pid}/status"), "VmHWM:")
}

/// Begins a new peak.
pub fn forget_peak(pid: u32) -> Result<()> {
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5").context("resetting the peak of the resident size")
}

/// Bytes of kernel objects of this machine: sockets' are among them.
pub fn kernel_object_bytes() -> Result<u64> {
    field_bytes("/proc/meminfo", "Slab:")
}

fn field_bytes(path: &str, field: &str) -> Result<u64> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {path}"))?;
    kib(&text, field).map(|kib| kib * 1024).with_context(|| format!("{field} in {path}"))
}

fn kib(text: &str, field: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(field))?.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_time_is_the_first_number_of_schedstat() {
        assert_eq!(run_time("123456789 42 7\n"), Some(123_456_789));
        assert_eq!(run_time(""), None);
    }

    #[test]
    fn ticks_are_found_behind_a_name_with_brackets_and_spaces() {
        let stat = "77 (a) b (c) S 1 77 77 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 3 0";
        assert_eq!(ticks(stat), Some(300));
        assert_eq!(ticks("77 (a"), None);
    }

    #[test]
    fn time_of_ended_threads_is_not_lost() {
        let before = Cpu { threads: 1_000_000_000, process: 1_000_000_000 };
        let one_has_ended = Cpu { threads: 600_000_000, process: 1_500_000_000 };
        assert_eq!(one_has_ended.since(before), 500_000_000);
        let all_live = Cpu { threads: 1_234_567_890, process: 1_240_000_000 };
        assert_eq!(all_live.since(before), 234_567_890);
    }

    #[test]
    fn work_of_a_process_shows_in_its_meter() {
        let meter = Meter::start(&[std::process::id()]).unwrap();
        let began = Instant::now();
        let mut sum = 0u64;
        while began.elapsed() < Duration::from_millis(30) {
            sum = sum.wrapping_mul(31).wrapping_add(1);
        }
        std::hint::black_box(sum);
        assert!(meter.read().unwrap()[0] > 1_000.0);
        assert!(resident_bytes(std::process::id()).unwrap() > 100_000);
    }
}
