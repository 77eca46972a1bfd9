//! Redis over TLS, as managed ones are.

use crate::support::dice;
use crate::support::emcee::{Emcee, round};
use crate::support::free_port;
use crate::support::http::Http;
use crate::support::server::Server;
use crate::support::voter::{Verdict, Voter};
use serde_json::json;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn votes_are_stored_over_tls_in_a_redis_with_a_configured_authority() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = |name: &str| dir.path().join(name).display().to_string();
    let made = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/certs.sh")).env("CERTS", dir.path()).output();
    assert!(made.await.expect("a shell").status.success());
    let port = free_port();
    let mut redis = Command::new("redis-server");
    redis.args(["--port", "0", "--tls-port", &port.to_string(), "--bind", "127.0.0.1", "--dir", &file("")]);
    redis.args(["--tls-cert-file", &file("tls.crt"), "--tls-key-file", &file("tls.key")]);
    redis.args(["--tls-ca-cert-file", &file("ca.crt"), "--tls-auth-clients", "no"]);
    redis.args(["--appendonly", "yes", "--appendfsync", "always", "--save", "", "--maxmemory-policy", "noeviction"]);
    let _redis = redis.stdout(Stdio::null()).kill_on_drop(true).spawn().expect("redis-server");

    let url = format!("rediss://localhost:{port}");
    let ca = file("ca.crt");
    let trusting = [("TALLYCAST__LEDGER__URL", url.as_str()), ("TALLYCAST__LEDGER__CA_FILE", ca.as_str())];
    let pods = [Server::start(&trusting).await, Server::start(&trusting).await];
    let addresses: Vec<_> = pods.iter().map(Server::address).collect();
    let emcee = Emcee::new(addresses.clone());
    let room = emcee.create_plain("Secure", 1).await;
    emcee.open(&room, 1).await;
    let mut ann = Voter::join(&emcee.http, &addresses[..1], &room, "Ann", dice(95, 0)).await;
    let mut bea = Voter::join(&emcee.http, &addresses[1..], &room, "Bea", dice(95, 1)).await;
    assert_eq!((ann.cast(1, 1, "aab").await, bea.cast(1, 1, "b").await), (Verdict::Stored, Verdict::Stored));
    assert_eq!(round(&emcee.close(&room, 1).await, 1)["tally"]["votes"], json!([2, 2]));

    let stranger = Server::spawn(&trusting[..1]);
    let http = Http::new();
    let says_why = async {
        loop {
            if let Ok(answer) = http.get(&stranger.url("/readyz")).await
                && answer.body["reasons"].to_string().contains("it does not answer")
            {
                return answer.status;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    let status = timeout(Duration::from_secs(20), says_why).await.expect("it says why");
    assert_eq!(status, 503, "an authority that browsers do not know is not trusted");
}
