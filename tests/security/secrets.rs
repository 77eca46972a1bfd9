//! Nothing that a process writes or shows has a secret in it, also when things go wrong.

use crate::support::dice;
use crate::support::emcee::{Emcee, plain_round};
use crate::support::guarded_redis::GuardedRedis;
use crate::support::receiver::Receiver;
use crate::support::server::{EMCEE_KEY, SECRET, Server};
use crate::support::socket::Socket;
use crate::support::voter::{Verdict, Voter};
use reqwest::Method;
use serde_json::json;
use std::fs;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);
const WEBHOOK_PATH: &str = "services/T000/hush-hush-webhook";
const WRONG_KEY: &str = "a-key-that-was-mistyped";
const NAME: &str = "Zebulon Quartermain";

/// A secret, and what it is.
type Secret = (&'static str, String);

fn assert_none_in(text: &str, place: &str, secrets: &[Secret]) {
    for (what, secret) in secrets {
        if let Some(line) = text.lines().find(|line| line.contains(secret.as_str())) {
            panic!("{what} is in {place}: {line}");
        }
    }
}

/// An evening of the shipped kinds of pods with everything that is secret in files, in which the chat refuses messages,
/// keys are mistyped, Redis is killed, and a process starts with a wrong password. Logs are as detailed as they can be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_log_metric_or_probe_of_an_evening_has_a_secret() {
    let redis = GuardedRedis::start().await;
    let chat = Receiver::start(Some(500));
    let files = tempfile::tempdir().expect("a temporary directory");
    let file = |name: &str, text: &str| {
        let path = files.path().join(name);
        fs::write(&path, format!("{text}\n")).expect("a file");
        path.display().to_string()
    };
    let (key_file, secret_file) = (file("emcee-key", EMCEE_KEY), file("server-secret", SECRET));
    let webhook_file = file("webhook-url", &format!("{}/{WEBHOOK_PATH}", chat.url()));
    let server = |user: &str, role: &str| {
        let mut settings = redis.settings(user);
        settings.extend([
            ("TALLYCAST__SERVER__ROLE", role.to_owned()),
            ("TALLYCAST__EMCEE__KEY", String::new()),
            ("TALLYCAST__EMCEE__KEY_FILE", key_file.clone()),
            ("TALLYCAST__SERVER__SECRET", String::new()),
            ("TALLYCAST__SERVER__SECRET_FILE", secret_file.clone()),
            ("TALLYCAST__JOBS__WEBHOOK_URL_FILE", webhook_file.clone()),
            ("TALLYCAST__JOBS__LEASE_SECONDS", "1".to_owned()),
            ("TALLYCAST__LOG__FILTER", "trace".to_owned()),
        ]);
        Server::spawn(&settings.iter().map(|(name, value)| (*name, value.as_str())).collect::<Vec<_>>())
    };
    let mut pods = [server("audience", "audience"), server("tallycast", "admin"), server("tallycast", "worker")];
    for pod in &mut pods {
        pod.ready().await;
    }
    let (doors, emcee) = ([pods[0].address()], Emcee::new(vec![pods[1].address()]));

    let wrong = json!({"key": WRONG_KEY, "device": "laptop"});
    let refused = emcee.public(Method::POST, "/session", Some(&wrong)).await;
    assert_eq!(refused.status, 401, "{}", refused.text);
    let right = json!({"key": EMCEE_KEY, "device": "laptop"});
    let signed_in = emcee.public(Method::POST, "/session", Some(&right)).await;
    let cookie = signed_in.header("set-cookie").split(['=', ';']).nth(1).expect("a cookie").to_owned();

    let room = emcee.create(json!({"title": "Secrets", "rounds": [plain_round()]})).await;
    let invites = json!({"names": ["Cleo"]});
    let invited = emcee.call(Method::POST, &format!("/rooms/{room}/invites"), Some(&invites)).await;
    let invite = invited.expect(201, "an invite")["invites"][0]["invite"].as_str().expect("text").to_owned();
    let mut voter = Voter::join(&emcee.http, &doors, &room, NAME, dice(140, 0)).await;
    let mut desk = Socket::emcee(pods[1].address(), &room).await;
    desk.expect("desk").await;
    emcee.open(&room, 1).await;
    assert_eq!(voter.cast(1, 1, "aab").await, Verdict::Stored);
    emcee.close(&room, 1).await;
    // refused first, and then accepted
    assert!(chat.wait_until(PATIENCE, |posts| !posts.is_empty()).await.is_some(), "the worker posts the result");
    chat.answer_with(200);
    assert!(chat.accepts_within(PATIENCE).await, "the worker posts it again");
    let archive = emcee.call(Method::GET, &format!("/rooms/{room}/export?format=archive"), None).await;
    let room_key = archive.text.split("\"token_key\":\"").nth(1).and_then(|rest| rest.split('"').next());

    let secrets: Vec<Secret> = vec![
        ("the emcee's key", EMCEE_KEY.to_owned()),
        ("a mistyped key", WRONG_KEY.to_owned()),
        ("the emcee's cookie", cookie),
        ("the server's secret", SECRET.to_owned()),
        ("the webhook", WEBHOOK_PATH.to_owned()),
        ("a password of Redis", redis.password("tallycast")),
        ("a password of Redis", redis.password("audience")),
        ("the room's key", room_key.expect("an archive has the room's key").to_owned()),
        ("a voter's token", voter.token.clone()),
        ("a voter's card", voter.card.clone()),
        ("a voter's name", NAME.to_owned()),
        ("an invite", invite),
    ];
    for pod in &pods {
        for path in ["/metrics", "/readyz", "/healthz"] {
            let shown = emcee.http.get(&pod.url(path)).await.expect("an answer");
            assert_none_in(&shown.text, path, &secrets);
        }
    }

    // a process with a password that is not right, and Redis gone
    fs::write(redis.password_file("tallycast"), "another-password-0001\n").expect("a file");
    let stranger = server("tallycast", "admin");
    let said = |server: &Server, what: &str| {
        let log = server.log();
        log.contains(what).then_some(log)
    };
    let told = tokio::time::timeout(PATIENCE, async {
        while said(&stranger, "the ledger does not answer").is_none() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    told.await.expect("it says that the ledger does not answer");
    drop(redis);
    let told = tokio::time::timeout(PATIENCE, async {
        while !pods.iter().all(|pod| said(pod, "the ledger does not answer").is_some()) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    told.await.expect("every pod says that the ledger does not answer");
    let secrets = [secrets, vec![("a password of Redis", "another-password-0001".to_owned())]].concat();
    for pod in pods.iter().chain([&stranger]) {
        assert!(!pod.log().is_empty());
        assert_none_in(&pod.log(), "the log", &secrets);
    }
}
