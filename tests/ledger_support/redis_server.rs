//! A redis-server of the tests' own.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Starts Redis and kills it (SIGKILL) as soon as this process closes the pipe, also by its own death. Then, unless
/// `$1` is `keep`, removes the directory `$2`.
const KEEPER: &str = r#"
exec 2>/dev/null
keep=$1 dir=$2; shift 2
redis-server "$@" >"$dir/log" 2>&1 </dev/null & server=$!
read -r _
kill -9 $server; wait $server
[ "$keep" = keep ] || rm -rf "$dir"
"#;

/// A running server with the durability that the project asks of an operator.
pub struct RedisServer {
    keeper: Child,
    port: u16,
}

impl RedisServer {
    /// The one that most tests of this process share: rooms are independent.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<RedisServer> = OnceLock::new();
        SHARED.get_or_init(|| {
            let directory = tempfile::tempdir().expect("a temporary directory").keep();
            Self::start_on_a_free_port(&directory, "remove")
        })
    }

    /// One that a test may kill. Its data stay in the directory.
    pub fn own(directory: &TempDir) -> Self {
        Self::start_on_a_free_port(directory.path(), "keep")
    }

    /// Kills it and starts another on the same data and port.
    pub fn restart(self, directory: &TempDir) -> Self {
        let port = self.port;
        drop(self);
        Self::start(directory.path(), port, "keep").expect("the port is still free")
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    fn start_on_a_free_port(directory: &Path, keep: &str) -> Self {
        // the port is free when it is chosen, and may not be a moment later
        let attempts = (0..5).filter_map(|_| {
            let port = TcpListener::bind("127.0.0.1:0").ok()?.local_addr().ok()?.port();
            Self::start(directory, port, keep)
        });
        attempts.into_iter().next().expect("redis-server is installed (Debian package redis-server) and starts")
    }

    fn start(directory: &Path, port: u16, keep: &str) -> Option<Self> {
        let directory: PathBuf = directory.canonicalize().expect("a directory");
        let keeper = Command::new("sh")
            .args(["-c", KEEPER, "sh", keep])
            .arg(&directory)
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--dir"])
            .arg(&directory)
            .args(["--appendonly", "yes", "--appendfsync", "always", "--save", ""])
            .args(["--maxmemory-policy", "noeviction"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("a shell");
        let server = Self { keeper, port };
        let since = Instant::now();
        while since.elapsed() < Duration::from_secs(10) {
            if server.serves(&directory) {
                return Some(server);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        None
    }

    /// It answers, and it is ours: another process may have taken the port.
    fn serves(&self, directory: &Path) -> bool {
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
            stream.set_read_timeout(Some(Duration::from_secs(1)))?;
            stream.write_all(b"CONFIG GET dir\r\nPING\r\nQUIT\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        ask().is_ok_and(|answer| answer.contains(&*directory.to_string_lossy()) && answer.contains("+PONG"))
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}
