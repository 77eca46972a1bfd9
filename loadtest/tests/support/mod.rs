//! The built program, and real servers for it.

#![allow(dead_code, reason = "every test file uses its own part")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub const KEY: &str = "emcee-key-for-load-tests-01";

/// The output of a run.
pub struct Output {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    pub fn all(&self) -> String {
        format!("{}{}", self.stderr, self.stdout)
    }

    pub fn is_refused_with(&self, words: &[&str]) {
        assert_eq!(self.code, 104, "{}", self.all());
        for word in words {
            assert!(self.stderr.contains(word), "{word} is missing in: {}", self.stderr);
        }
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
    }
}

fn command(arguments: &[&str], open_files: Option<u32>) -> Command {
    let program = env!("CARGO_BIN_EXE_loadtest");
    // a hard limit, because the program raises the soft one by itself
    let limit = open_files.map_or(String::new(), |limit| format!("ulimit -n {limit} && "));
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{limit}exec \"$0\" \"$@\""), program]).args(arguments);
    for name in ["TALLYCAST__EMCEE__KEY", "LOADTEST_WEBHOOK", "LOADTEST_UPLOAD", "LOADTEST_REPORT_URL"] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

/// Runs the program to its end.
pub fn loadtest(arguments: &[&str], environment: &[(&str, &str)], open_files: Option<u32>) -> Output {
    let output = command(arguments, open_files).envs(environment.iter().copied()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Output { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Runs the program, which must end with a usage error that holds these words.
pub fn refused(arguments: &[&str], words: &[&str]) {
    loadtest(arguments, &[], None).is_refused_with(words);
}

/// Runs a scenario, sends it a signal once its progress holds `word`, and waits for the end.
pub fn interrupted(text: &str, options: &[&str], signal: &str, word: &str) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("own.toml");
    std::fs::write(&path, text).unwrap();
    let mut child = command(&[&[path.to_str().unwrap()], options].concat(), None)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut stderr = String::new();
    for line in lines.by_ref().map_while(Result::ok) {
        stderr.push_str(&line);
        stderr.push('\n');
        if line.contains(word) {
            break;
        }
    }
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
    lines.map_while(Result::ok).for_each(|line| stderr.push_str(&format!("{line}\n")));
    let mut stdout = String::new();
    child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
    Output { code: child.wait().unwrap().code().unwrap_or(-1), stdout, stderr }
}

/// Ports in use by tests: parallel tests get different ones.
static GIVEN: Mutex<Vec<u16>> = Mutex::new(vec![]);

/// A free port outside of the range of outgoing connections. Ports below 1024 need root.
pub fn free_port() -> u16 {
    let mut given = GIVEN.lock().unwrap();
    let free = |port: &u16| !given.contains(port) && TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let port = (600..1000).chain(20_000..32_000).find(free).expect("a free port");
    given.push(port);
    port
}

/// A received request.
#[derive(Debug)]
pub struct Post {
    head: String,
    pub body: String,
}

impl Post {
    /// True if this was asked for.
    pub fn is(&self, method: &str, path: &str) -> bool {
        self.head.starts_with(&format!("{method} {path} HTTP/1.1\r\n"))
    }

    /// Value of a header, asked for in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// Receives requests and answers them with these statuses.
pub struct Receiver {
    pub url: String,
    taken: JoinHandle<Vec<Post>>,
}

impl Receiver {
    pub fn start(statuses: &'static [u16]) -> Self {
        Self::with_body(statuses, "")
    }

    pub fn with_body(statuses: &'static [u16], body: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let take = move |status| {
            let mut stream = BufReader::new(listener.accept().unwrap().0);
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                assert!(stream.read_line(&mut head).unwrap() > 0, "a request ended in its head: {head}");
            }
            let mut post = Post { head, body: String::new() };
            let length = post.header("content-length").map_or(0, |length| length.parse().unwrap());
            stream.by_ref().take(length).read_to_string(&mut post.body).unwrap();
            let length = body.len();
            let answer = format!("HTTP/1.1 {status} -\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
            stream.get_mut().write_all(answer.as_bytes()).unwrap();
            post
        };
        Self { url, taken: std::thread::spawn(move || statuses.iter().map(take).collect()) }
    }

    /// Every request, once there is one for each status.
    pub fn posts(self) -> Vec<Post> {
        self.taken.join().unwrap()
    }
}

/// True if a server there is ready. A server with its probes on another port answers 404.
fn takes_voters(port: u16) -> bool {
    let Ok(mut stream) = std::net::TcpStream::connect(("127.0.0.1", port)) else { return false };
    let mut answer = String::new();
    let told = stream.write_all(b"GET /readyz HTTP/1.0\r\n\r\n").and_then(|()| stream.read_to_string(&mut answer));
    told.is_ok()
        && [" 200 ", " 404 "].iter().any(|status| answer.lines().next().is_some_and(|line| line.contains(status)))
}

/// A server with a known key.
pub struct Server {
    pub url: String,
    child: Child,
    _directory: tempfile::TempDir,
}

impl Server {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// One of several on the same Redis.
    pub fn start_on(redis: &Redis) -> Self {
        let secret = "a-secret-of-all-pods";
        Self::start_with(&[("TALLYCAST__LEDGER__URL", &redis.url()), ("TALLYCAST__SERVER__SECRET", secret)])
    }

    pub fn start_with(settings: &[(&str, &str)]) -> Self {
        let binary = PathBuf::from(env!("CARGO_BIN_EXE_loadtest")).with_file_name("tallycast");
        assert!(binary.is_file(), "there is no server at {}: run `cargo build` first", binary.display());
        let directory = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let child = Command::new(binary)
            .envs([
                ("SERVER_PORT", port.to_string().as_str()),
                ("TALLYCAST__SERVER__HOST", "127.0.0.1"),
                ("TALLYCAST__EMCEE__KEY", KEY),
                ("TALLYCAST__LEDGER__URL", &format!("embedded:{}/db", directory.path().display())),
            ])
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while !takes_voters(port) {
            assert!(begun.elapsed() < Duration::from_secs(30), "the server does not come up");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { url: format!("http://127.0.0.1:{port}"), child, _directory: directory }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The answer to a GET of the emcee.
    pub fn get(&self, path: &str) -> serde_json::Value {
        let ask = async {
            let url = format!("{}/api/v1/{path}", self.url);
            let answer = reqwest::Client::new().get(url).bearer_auth(KEY).send().await?.error_for_status()?;
            answer.json().await
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(ask).unwrap_or_else(|error: reqwest::Error| panic!("GET {path}: {error}"))
    }

    /// Join codes of all rooms, with deleted ones.
    pub fn rooms(&self) -> Vec<String> {
        let rooms = self.get("rooms?deleted=true");
        rooms["rooms"].as_array().unwrap().iter().map(|room| room["room"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits until only these rooms are left: purges are asynchronous.
    pub fn is_left_with(&self, rooms: &[String], told: &Output) {
        let begun = Instant::now();
        while self.rooms() != rooms {
            assert!(begun.elapsed() < Duration::from_secs(20), "{:?}, not {rooms:?}\n{}", self.rooms(), told.all());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// A Redis with an append-only file, in the background. Commands may stop and start it.
pub struct Redis {
    pub port: u16,
    /// A shell command that starts it.
    pub start: String,
    directory: tempfile::TempDir,
}

impl Redis {
    pub fn start() -> Self {
        let (port, directory) = (free_port(), tempfile::tempdir().unwrap());
        let start = format!(
            "redis-server --port {port} --bind 127.0.0.1 --dir {} --daemonize yes --appendonly yes --appendfsync always \
             --save '' --maxmemory-policy noeviction --slowlog-log-slower-than 0 >/dev/null",
            directory.path().display()
        );
        let redis = Self { port, start, directory };
        assert!(Command::new("sh").args(["-c", &redis.start]).status().unwrap().success(), "no redis-server");
        let begun = Instant::now();
        // another process may have taken the port; the answer must be from this Redis
        while !redis.is_ours() {
            assert!(begun.elapsed() < Duration::from_secs(20), "redis does not come up");
            std::thread::sleep(Duration::from_millis(20));
        }
        redis
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// A shell command that sends it a command.
    pub fn command(&self, words: &str) -> String {
        format!("redis-cli -p {} {words} >/dev/null 2>&1", self.port)
    }

    fn is_ours(&self) -> bool {
        let ask = format!("redis-cli -p {} config get dir", self.port);
        let told = Command::new("sh").args(["-c", &ask]).output().unwrap().stdout;
        String::from_utf8_lossy(&told).lines().any(|line| std::path::Path::new(line) == self.directory.path())
    }

    fn says(&self, words: &str) -> bool {
        Command::new("sh").args(["-c", &self.command(&format!("-e {words}"))]).status().unwrap().success()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        if self.is_ours() {
            self.says("shutdown nosave");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
