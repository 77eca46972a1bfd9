//! A `redis-server` of the test's own, with the durability that the project demands of an operator.

use super::free_port;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;

const START_LIMIT: Duration = Duration::from_secs(20);
/// How often another port is tried when somebody else has taken the first one.
const START_ATTEMPTS: usize = 5;

/// Starts Redis, prints its process id, and kills it (SIGKILL) as soon as the test's process closes the pipe, also by
/// its own death. Then, unless `$2` is `keep`, removes the directory `$1`.
const KEEPER: &str = r#"
dir=$1 after=$2; shift 2
exec 2>/dev/null
redis-server "$@" >"$dir/log" 2>&1 </dev/null & server=$!
echo $server
read -r _
kill -9 $server; wait $server
[ "$after" = keep ] || rm -rf "$dir"
"#;

/// What happens to the files when the server ends.
#[derive(Clone, Copy)]
enum Files {
    Keep,
    Remove,
}

pub struct Redis {
    pub port: u16,
    // before the directory, which must not go first
    process: Option<Process>,
    directory: PathBuf,
    _temporary: Option<TempDir>,
}

impl Redis {
    pub async fn start() -> Redis {
        spawn_blocking(Redis::start_blocking).await.expect("no panic")
    }

    /// As `start`, for tests without a runtime at hand.
    pub fn start_blocking() -> Redis {
        let temporary = tempfile::tempdir().expect("a temporary directory");
        let (port, process) = Process::on_a_free_port(temporary.path(), Files::Keep);
        let directory = temporary.path().to_owned();
        Redis { port, process: Some(process), directory, _temporary: Some(temporary) }
    }

    /// The one that most tests of this process share, where rooms are independent. It ends with the process.
    pub fn shared() -> &'static Redis {
        static SHARED: OnceLock<Redis> = OnceLock::new();
        SHARED.get_or_init(|| {
            let directory = tempfile::tempdir().expect("a temporary directory").keep();
            let (port, process) = Process::on_a_free_port(&directory, Files::Remove);
            Redis { port, process: Some(process), directory, _temporary: None }
        })
    }

    /// A port and a directory; nothing runs yet.
    pub fn prepared() -> Redis {
        let temporary = tempfile::tempdir().expect("a temporary directory");
        let directory = temporary.path().to_owned();
        Redis { port: free_port(), process: None, directory, _temporary: Some(temporary) }
    }

    /// Starts Redis on its port and directory and waits until it has loaded its file.
    pub async fn launch(&mut self) {
        assert!(self.process.is_none(), "redis on port {} still runs", self.port);
        let (directory, port) = (self.directory.clone(), self.port);
        let started = spawn_blocking(move || Process::start(&directory, port, Files::Keep)).await.expect("no panic");
        self.process = Some(started.unwrap_or_else(|| panic!("redis on port {port} does not start")));
    }

    /// Kills it and starts it again, on the same port and files.
    pub fn restart_blocking(&mut self) {
        drop(self.process.take().expect("a running redis"));
        let started = Process::start(&self.directory, self.port, Files::Keep);
        self.process = Some(started.expect("the port is still free"));
    }

    /// SIGKILL. What it had acknowledged is in its append-only file.
    pub async fn kill9(&mut self) {
        drop(self.process.take().expect("a running redis"));
    }

    /// Sends `STOP` or `CONT` to this Redis.
    pub fn signal(&self, name: &str) {
        let pid = &self.process.as_ref().expect("a running redis").pid;
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status();
        assert!(sent.expect("a shell").success(), "kill -{name} {pid}");
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Sends one inline command and gives the first bytes of the answer; `None` if there is none.
    pub async fn try_command(&self, command: &str) -> Option<String> {
        let talk = async {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.ok()?;
            stream.write_all(format!("{command}\r\n").as_bytes()).await.ok()?;
            let mut answer = [0; 512];
            let length = stream.read(&mut answer).await.ok()?;
            Some(String::from_utf8_lossy(&answer[..length]).into_owned())
        };
        tokio::time::timeout(Duration::from_secs(2), talk).await.ok().flatten()
    }

    /// As `try_command`, for commands that must succeed.
    pub async fn command(&self, command: &str) -> String {
        let answer = self.try_command(command).await.unwrap_or_else(|| panic!("redis does not answer {command}"));
        assert!(!answer.starts_with('-'), "redis refuses {command}: {answer}");
        answer
    }
}

/// A running server. Dropped, it is killed.
struct Process {
    keeper: Child,
    pid: String,
}

impl Process {
    fn on_a_free_port(directory: &Path, files: Files) -> (u16, Process) {
        // the port is free when it is chosen, and may not be a moment later
        let mut attempts = (0..START_ATTEMPTS).filter_map(|_| {
            let port = free_port();
            Some((port, Process::start(directory, port, files)?))
        });
        attempts.next().expect("redis-server is installed (Debian package redis-server) and starts")
    }

    /// `None` if it does not answer in time: another process may have the port.
    fn start(directory: &Path, port: u16, files: Files) -> Option<Process> {
        let directory = directory.canonicalize().expect("a directory");
        let after = match files {
            Files::Keep => "keep",
            Files::Remove => "remove",
        };
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "sh"])
            .arg(&directory)
            .arg(after)
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--dir"])
            .arg(&directory)
            .args(["--appendonly", "yes", "--appendfsync", "always", "--save", ""])
            .args(["--maxmemory-policy", "noeviction"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let mut pid = String::new();
        let output = keeper.stdout.take().expect("a pipe");
        BufReader::new(output).read_line(&mut pid).expect("the keeper prints a process id");
        let process = Process { keeper, pid: pid.trim().to_owned() };
        let since = Instant::now();
        while since.elapsed() < START_LIMIT {
            if serves(port, &directory) {
                return Some(process);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        None
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// Redis answers on this port, and it is the one with this directory.
fn serves(port: u16, directory: &Path) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = BlockingStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"CONFIG GET dir\r\nPING\r\nQUIT\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.contains(&*directory.to_string_lossy()) && answer.contains("+PONG"))
}
