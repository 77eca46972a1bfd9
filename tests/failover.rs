//! The primary dies and sentinels name another: what was acknowledged is there, once.

#[path = "support/mod.rs"]
mod support;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use support::emcee::Emcee;
use support::http::Http;
use support::redis::Redis;
use support::server::Server;
use support::voter::{Verdict, Voter};
use support::{dice, free_port};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// How long a failover may take: sentinels wait a second before they believe it.
const FAILOVER: Duration = Duration::from_secs(60);
const VOTERS: u64 = 40;
const SLIPS: usize = 30;

/// The users of Redis that take part.
const USERS: [&str; 5] = ["tallycast", "audience", "monitor", "replica", "sentinel"];

/// A primary, two replicas, and three sentinels, each with the rights that the manifests give it.
struct Watched {
    dir: TempDir,
    servers: Vec<(u16, Child)>,
    sentinels: Vec<(u16, Child)>,
}

impl Watched {
    async fn start() -> Watched {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let ports: Vec<u16> = (0..6).map(|_| free_port()).collect();
        let mut watched = Watched { dir, servers: vec![], sentinels: vec![] };
        for user in USERS {
            fs::write(watched.file(&format!("redis-{user}")), format!("a-password-of-{user}-0001\n")).expect("a file");
        }
        for name in ["base/redis/with_users.sh", "base/redis/users.acl", "components/redis-sentinel/replication.acl"] {
            let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests").join(name);
            fs::copy(&shipped, watched.file(shipped.file_name().and_then(OsStr::to_str).expect("a name")))
                .expect("a file");
        }
        for port in &ports[..3] {
            let of = if *port == ports[0] { String::new() } else { format!("replicaof 127.0.0.1 {}\n", ports[0]) };
            let settings = "appendonly yes\nappendfsync always\nsave \"\"\nmaxmemory-policy noeviction\n\
                            repl-diskless-sync-delay 0\nrepl-ping-replica-period 1\n\
                            masteruser replica\nmasterauth a-password-of-replica-0001\n";
            let child =
                watched.launch(*port, &format!("{settings}{of}"), &["sh", "with_users.sh", "redis-server"], &[]);
            watched.servers.push((*port, child));
        }
        for port in &ports[..3] {
            let login = "AUTH monitor a-password-of-monitor-0001\r\nINFO replication";
            answers(*port, login, |info| info.contains("connected_slaves:2") || info.contains("master_link_status:up"))
                .await;
        }
        for port in &ports[3..] {
            let settings = format!(
                "sentinel monitor hall 127.0.0.1 {} 2\nsentinel down-after-milliseconds hall 1000\n\
                 sentinel failover-timeout hall 5000\nsentinel auth-user hall sentinel\n\
                 sentinel auth-pass hall a-password-of-sentinel-0001\n{}\n",
                ports[0],
                rights_at_a_sentinel()
            );
            let child = watched.launch(*port, &settings, &["redis-server"], &["--sentinel"]);
            watched.sentinels.push((*port, child));
        }
        for port in &ports[3..] {
            let all = |info: &str| info.contains("slaves=2,sentinels=3");
            answers(*port, "INFO sentinel", all).await;
        }
        watched
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn launch(&self, port: u16, settings: &str, program: &[&str], more: &[&str]) -> Child {
        let folder = self.dir.path().join(port.to_string());
        fs::create_dir_all(&folder).expect("a folder");
        let file = folder.join("redis.conf");
        let head = format!("port {port}\nbind 127.0.0.1\ndir {}\nlogfile redis.log\n", folder.display());
        fs::write(&file, format!("{head}{settings}")).expect("a configuration");
        let mut command = Command::new(program[0]);
        command.current_dir(self.dir.path()).env("PASSWORDS", self.dir.path()).env("USERS", &folder);
        command.args(&program[1..]).arg(file).args(more).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        command.spawn().expect("redis-server is installed (Debian package redis-server)")
    }

    fn url(&self) -> String {
        let hosts: Vec<String> = self.sentinels.iter().map(|(port, _)| format!("127.0.0.1:{port}")).collect();
        format!("redis+sentinel://{}/hall/0", hosts.join(","))
    }

    /// How a process reaches the primary.
    fn settings(&self) -> [(&'static str, String); 3] {
        [
            ("TALLYCAST__LEDGER__URL", self.url()),
            ("TALLYCAST__LEDGER__USER", "tallycast".to_owned()),
            ("TALLYCAST__LEDGER__PASSWORD_FILE", self.file("redis-tallycast").display().to_string()),
        ]
    }
}

/// What the manifests allow somebody to do who asks a sentinel.
fn rights_at_a_sentinel() -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/components/redis-sentinel/start.sh");
    let script = fs::read_to_string(script).expect("the script");
    script.lines().find(|line| line.starts_with("user default ")).expect("its users").to_owned()
}

/// Asks until the answer fits.
async fn answers(port: u16, command: &str, fits: impl Fn(&str) -> bool) {
    let asking = async {
        loop {
            let talk = async {
                let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
                stream.write_all(format!("{command}\r\n").as_bytes()).await.ok()?;
                stream.shutdown().await.ok()?;
                let mut answer = vec![];
                stream.read_to_end(&mut answer).await.ok()?;
                Some(String::from_utf8_lossy(&answer).into_owned())
            };
            if talk.await.is_some_and(|answer| fits(&answer)) {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(FAILOVER, asking).await.unwrap_or_else(|_| panic!("{command} on port {port}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_votes_survive_the_loss_of_the_primary() {
    let mut watched = Watched::start().await;
    let login = watched.settings();
    let mut settings: Vec<_> = login.iter().map(|(name, value)| (*name, value.as_str())).collect();
    settings.push(("TALLYCAST__LEDGER__REPLICAS", "1"));
    let pods = [Server::start(&settings).await, Server::start(&settings).await];
    let addresses: Vec<_> = pods.iter().map(Server::address).collect();
    let emcee = Emcee::new(addresses.clone()).persistent();
    let room = emcee
        .create(json!({"title": "Failover", "votes_per_round": SLIPS, "rounds": [
            {"title": "One", "choices": [{"label": "A"}, {"label": "B"}]}]}))
        .await;
    emcee.open(&room, 1).await;
    let mut crowd = JoinSet::new();
    for number in 0..VOTERS {
        let mut voter = Voter::join(&emcee.http, &addresses, &room, &format!("V{number}"), dice(96, number)).await;
        crowd.spawn(async move {
            for slip in 0..SLIPS {
                let votes = if slip % 3 == 0 { "b" } else { "a" };
                assert_eq!(voter.cast(1, 1, votes).await, Verdict::Stored);
                sleep(Duration::from_millis(50)).await;
            }
            voter
        });
    }
    // in the middle of it, the primary is gone without a word
    let half = VOTERS * SLIPS as u64 / 3;
    let since = Instant::now();
    while emcee.room(&room).await["rounds"][0]["tally"]["total"].as_u64().unwrap_or(0) < half {
        assert!(since.elapsed() < FAILOVER, "a third of the votes");
        sleep(Duration::from_millis(50)).await;
    }
    let (_, primary) = &mut watched.servers[0];
    primary.start_kill().expect("its own child");
    primary.wait().await.expect("its own child");

    let voters = timeout(FAILOVER * 2, crowd.join_all()).await.expect("everybody is answered in the end");
    emcee.close(&room, 1).await;
    let export = emcee.export(&room).await;
    let ballots = export["rounds"][0]["takes"][0]["ballots"].as_array().expect("ballots").clone();
    assert_eq!(ballots.len(), voters.len());
    for mut voter in voters {
        let stored = ballots.iter().find(|ballot| ballot["voter"] == voter.id).expect("a ballot");
        assert_eq!(stored["votes"], json!(voter.told(1, 1).votes), "{}", voter.name);
    }
    let third = VOTERS * SLIPS as u64 / 3;
    assert_eq!(export["rounds"][0]["takes"][0]["record"]["votes"], json!([third * 2, third]));
    assert_eq!(emcee.audit(&room).await["ok"], Value::Bool(true));

    // whoever may ask a sentinel cannot have it watch another primary
    let (sentinel, _) = &watched.sentinels[0];
    for order in
        ["SENTINEL SET hall quorum 1", "SENTINEL FAILOVER hall", "SENTINEL REMOVE hall", "CONFIG GET *", "ACL LIST"]
    {
        answers(*sentinel, order, |said| {
            assert!(said.starts_with("-NOPERM") || said.starts_with("-ERR unknown"), "{order}: {said}");
            true
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_without_confirming_replicas_are_refused() {
    let watched = Watched::start().await;
    let login = watched.settings();
    let server = Server::spawn(&login.each_ref().map(|(name, value)| (*name, value.as_str())));
    let http = Http::new();
    let says_why = async {
        loop {
            if let Ok(answer) = http.get(&server.url("/readyz")).await
                && answer.body["reasons"].to_string().contains("ledger.replicas")
            {
                return answer.status;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    assert_eq!(timeout(FAILOVER, says_why).await.expect("it says why"), 503);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_replica_a_pod_acknowledges_no_vote_still_shows_rooms_and_says_why_it_is_not_ready() {
    let (redis, mut replica) = (Redis::start().await, Redis::start().await);
    let follow = format!("REPLICAOF 127.0.0.1 {}", redis.port);
    replica.command(&follow).await;
    let settings = [("TALLYCAST__LEDGER__URL", &*redis.url()), ("TALLYCAST__LEDGER__REPLICAS", "1")];
    let mut server = Server::start(&settings).await;
    let emcee = Emcee::new(vec![server.address()]);
    let room = emcee.create_plain("Alone", 1).await;
    emcee.open(&room, 1).await;
    let mut voter = Voter::join(&emcee.http, &[server.address()], &room, "Ann", dice(97, 0)).await;
    assert_eq!(voter.cast(1, 1, "a").await, Verdict::Stored);

    replica.kill9().await;
    let busy = voter.send_cast(1, 1, 2, "b").await.expect("an answer");
    assert_eq!((&busy["refused"], &busy["votes"]), (&json!("busy"), &json!("a")), "{busy}");
    let since = Instant::now();
    loop {
        let ready = emcee.http.get(&server.url("/readyz")).await.expect("an answer");
        if ready.status == 503 && ready.text.contains("0 of 1 replicas") {
            break;
        }
        assert!(since.elapsed() < Duration::from_secs(5), "{} {}", ready.status, ready.text);
        sleep(Duration::from_millis(50)).await;
    }
    let since = Instant::now();
    assert_eq!(emcee.get(&format!("/rooms/{room}/voters")).await["voters"][0]["name"], "Ann");
    assert!(since.elapsed() < Duration::from_millis(700), "a read took {:?}", since.elapsed());

    replica.launch().await;
    replica.command(&follow).await;
    server.ready().await;
    voter.begin(1, 1, "b");
    assert_eq!(voter.resolve(1, 1).await, Some(Verdict::Stored));
    assert_eq!(emcee.close(&room, 1).await["rounds"][0]["tally"]["votes"], json!([1, 1]));
}
