//! Who may do what: the emcee's key and cookie, voters' tokens, foreign origins.

use crate::support::cluster::Cluster;
use crate::support::dice;
use crate::support::emcee::Emcee;
use crate::support::http::{Answer, Http};
use crate::support::server::EMCEE_KEY;
use crate::support::socket::Socket;
use crate::support::voter::Voter;
use reqwest::Method;
use serde_json::{Value, json};

/// Every emcee call with a body that would be accepted.
pub fn emcee_calls() -> Vec<(Method, &'static str, Value)> {
    let rounds = json!([{"title": "x", "choices": [{"label": "A"}, {"label": "B"}]}]);
    vec![
        (Method::POST, "/rooms", json!({"title": "x", "rounds": rounds})),
        (Method::GET, "/rooms", Value::Null),
        (Method::PATCH, "/rooms/{room}", json!({"title": "x"})),
        (Method::DELETE, "/rooms/{room}?title=Guarded", Value::Null),
        (Method::POST, "/rooms/{room}/undelete", json!({})),
        (Method::GET, "/rooms/{room}/voters", Value::Null),
        (Method::PATCH, "/rooms/{room}/voters/{voter}", json!({"removed": true})),
        (Method::POST, "/rooms/{room}/invites", json!({"names": ["Ann"]})),
        (Method::POST, "/rooms/{room}/rounds/1/open", json!({})),
        (Method::POST, "/rooms/{room}/rounds/1/deadline", json!({"closes_at": null})),
        (Method::POST, "/rooms/{room}/rounds/1/close", json!({})),
        (Method::POST, "/rooms/{room}/rounds/1/take", json!({"take": 2})),
        (Method::POST, "/rooms/{room}/rounds/1/show", json!({})),
        (Method::POST, "/rooms/{room}/rounds/1/decide", json!({"winner": null})),
        (Method::PUT, "/rooms/{room}/reveal", json!({"place": 1})),
        (Method::PUT, "/rooms/{room}/stage", json!({"screen": "auto"})),
        (Method::GET, "/rooms/{room}/ranking", Value::Null),
        (Method::GET, "/rooms/{room}/export?format=json", Value::Null),
        (Method::GET, "/rooms/{room}/export?format=archive", Value::Null),
        (Method::GET, "/rooms/{room}/audit", Value::Null),
        (Method::POST, "/rooms/import", json!({})),
        (Method::POST, "/purge", json!({"older_than_seconds": 0, "all": true})),
        (Method::GET, "/rooms/{room}/invites", Value::Null),
        (Method::GET, "/check", Value::Null),
        (Method::GET, "/ledger/slow-log", Value::Null),
    ]
}

async fn ask(emcee: &Emcee, method: &Method, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
    let body = Some(body).filter(|body| !body.is_null());
    emcee.http.send(method.clone(), &emcee.url(method, path), headers, body).await.expect("an answer")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_emcee_call_without_the_key_is_refused_and_changes_nothing() {
    let cluster = Cluster::embedded().await;
    let emcee = cluster.emcee();
    let room = emcee.create_plain("Guarded", 1).await;
    let ann = Voter::join(&emcee.http, &cluster.addresses(), &room, "Ann", dice(70, 0)).await;
    let token = format!("Bearer {}", ann.token);
    let (voters_cookie, forged) = (format!("tallycast={}", ann.token), format!("Bearer {EMCEE_KEY}x"));
    let before = emcee.export(&room).await;
    let credentials: Vec<(&str, Vec<(&str, &str)>)> = vec![
        ("nothing", vec![]),
        ("a voter's token", vec![("authorization", &token)]),
        ("a voter's token as a cookie", vec![("cookie", &voters_cookie), ("origin", "http://evil.example")]),
        ("a wrong key", vec![("authorization", &forged)]),
        ("an empty key", vec![("authorization", "Bearer ")]),
        ("a key without its scheme", vec![("authorization", EMCEE_KEY)]),
        ("basic credentials", vec![("authorization", "Basic ZW1jZWU6ZW1jZWU=")]),
    ];
    for (method, path, body) in emcee_calls() {
        let path = path.replace("{room}", &room).replace("{voter}", &ann.id);
        for (who, headers) in &credentials {
            let answer = ask(&emcee, &method, &path, headers, &body).await;
            assert!(
                [401, 403, 429].contains(&answer.status),
                "{method} {path} with {who}: {} {}",
                answer.status,
                answer.text
            );
            assert!(answer.body["code"].is_string(), "{method} {path} with {who}: {}", answer.text);
        }
    }
    let after = emcee.export(&room).await;
    assert_eq!(after["room"]["title"], before["room"]["title"]);
    assert_eq!((&after["voters"], &after["rounds"]), (&before["voters"], &before["rounds"]), "nothing was changed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cookie_of_a_sign_in_reads_and_with_an_origin_also_writes() {
    let cluster = Cluster::embedded().await;
    let emcee = cluster.emcee();
    let room = emcee.create_plain("Cookie", 1).await;
    let wrong = json!({"key": "not the key at all"});
    ask(&emcee, &Method::POST, "/session", &[], &wrong).await.expect_problem(401, "bad_key", "a wrong key");
    let signed = ask(&emcee, &Method::POST, "/session", &[], &json!({"key": EMCEE_KEY, "device": "laptop"})).await;
    let set = signed.header("set-cookie").to_owned();
    signed.expect(204, "POST /session");
    assert!(set.contains("HttpOnly") && set.contains("SameSite=Strict"), "{set}");
    assert!(!set.contains(EMCEE_KEY), "the cookie is not the key: {set}");
    let cookie = set.split(';').next().expect("name=value");

    let read = ask(&emcee, &Method::GET, "/rooms", &[("cookie", cookie)], &Value::Null).await;
    read.expect(200, "reading needs no origin");
    let own = format!("http://{}", cluster.addresses()[0]);
    let path = format!("/rooms/{room}");
    let body = json!({"title": "Changed"});
    let port = cluster.addresses()[0].port();
    let other_port = format!("http://127.0.0.1:{}", port + 1);
    let (longer, user) =
        (format!("http://127.0.0.1:{port}.evil.example"), format!("http://evil.example@127.0.0.1:{port}"));
    for origin in ["http://evil.example", "null", "", &other_port, &longer, &user] {
        let headers = [("cookie", cookie), ("origin", origin)];
        let answer = ask(&emcee, &Method::PATCH, &path, &headers, &body).await;
        answer.expect_problem(403, "cross_origin", &format!("origin {origin:?}"));
    }
    let answer = ask(&emcee, &Method::PATCH, &path, &[("cookie", cookie)], &body).await;
    answer.expect_problem(403, "cross_origin", "no origin at all");
    assert_eq!(emcee.room(&room).await["title"], "Cookie", "nothing was changed");
    let headers = [("cookie", cookie), ("origin", own.as_str())];
    ask(&emcee, &Method::PATCH, &path, &headers, &body).await.expect(200, "the server's own origin");

    // the same cookie opens an emcee's socket, which ends when the device signs out
    let mut desk = Socket::open_with(cluster.addresses()[0], "desk", &headers).await.expect("a socket");
    desk.say_hello(&room, "emcee", None).await;
    desk.expect("desk").await;
    ask(&emcee, &Method::DELETE, "/session", &headers, &Value::Null).await.expect(204, "DELETE /session");
    let (_, before) = desk.closed().await;
    assert!(before.iter().any(|(name, body)| name == "bye" && body["reason"] == "signed_out"), "{before:?}");
    let answer = ask(&emcee, &Method::GET, "/rooms", &[("cookie", cookie)], &Value::Null).await;
    assert_eq!(answer.status, 401, "a signed-out cookie is worth nothing: {}", answer.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_keys_are_rate_limited_and_the_right_key_still_works() {
    let cluster = Cluster::embedded().await;
    let emcee = cluster.emcee();
    let mut limited = None;
    for guess in 0..100 {
        let answer =
            ask(&emcee, &Method::POST, "/session", &[], &json!({"key": format!("guess number {guess}")})).await;
        if answer.status == 429 {
            limited = Some((guess, answer));
            break;
        }
        answer.expect_problem(401, "bad_key", "a guess");
    }
    let (guesses, answer) = limited.expect("a hundred guesses are too many");
    assert!(guesses >= 3, "a typing mistake is forgiven: limited after {guesses}");
    assert!(answer.header("retry-after").parse::<u32>().is_ok(), "Retry-After: {:?}", answer.headers);
    answer.expect_problem(429, "too_many", "too many guesses");
    emcee.get("/rooms").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_local_proxy_wrong_keys_limit_only_the_client_that_sends_them() {
    let cluster = Cluster::embedded_with(&[("TALLYCAST__SERVER__TRUSTED_HOPS", "127.0.0.1")]).await;
    let emcee = cluster.emcee();
    let guess = async |from: &str| {
        let headers = [("x-forwarded-for", from)];
        ask(&emcee, &Method::POST, "/session", &headers, &json!({"key": "a wrong guess"})).await.status
    };
    let mut guesses = 0;
    while guess("203.0.113.7").await != 429 {
        guesses += 1;
        assert!(guesses < 100, "a hundred guesses are too many");
    }
    assert_eq!(guess("203.0.113.8").await, 401, "another address has guesses of its own");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_from_a_foreign_page_is_refused_before_it_opens() {
    let cluster = Cluster::embedded().await;
    let pod = cluster.addresses()[0];
    for origin in ["http://evil.example", "null", "http://127.0.0.1.evil.example"] {
        match Socket::open_with(pod, "evil", &[("origin", origin)]).await {
            Err(tokio_tungstenite::tungstenite::Error::Http(answer)) => assert_eq!(answer.status(), 403, "{origin}"),
            other => panic!("origin {origin}: {:?}", other.map(|_| "a socket")),
        }
    }
    let own = format!("http://{pod}");
    Socket::open_with(pod, "own page", &[("origin", &own)]).await.expect("the server's own page");
    Socket::open_with(pod, "no browser", &[]).await.expect("a client that is no browser");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_and_altered_tokens_are_refused_everywhere() {
    let cluster = Cluster::embedded().await;
    let emcee = cluster.emcee();
    let room = emcee.create_plain("Tokens", 1).await;
    let ann = Voter::join(&emcee.http, &cluster.addresses(), &room, "Ann", dice(71, 0)).await;
    let mut tokens =
        vec![String::new(), "x".to_owned(), "a.b.c".to_owned(), EMCEE_KEY.to_owned(), ann.token.to_uppercase()];
    for at in [0, ann.token.len() / 2, ann.token.len() - 2] {
        // one character other than it was
        let mut altered = ann.token.clone().into_bytes();
        altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
        tokens.push(String::from_utf8(altered).expect("a token is ASCII"));
    }
    tokens.push(ann.token[..ann.token.len() - 4].to_owned());
    for token in tokens {
        let bearer = format!("Bearer {token}");
        let me =
            ask(&emcee, &Method::GET, &format!("/rooms/{room}/me"), &[("authorization", &bearer)], &Value::Null).await;
        assert_eq!(me.status, 401, "{token:?}: {}", me.text);
        assert!(me.body["code"].is_string(), "{}", me.text);
        let mut socket = Socket::open(cluster.addresses()[0], "forger").await.expect("a socket");
        socket.say_hello(&room, "voter", Some(&token)).await;
        assert_eq!(socket.closed().await.0, Some(4401), "{token:?}");
    }
    for role in ["voter", "emcee"] {
        let mut socket = Socket::open(cluster.addresses()[0], "nobody").await.expect("a socket");
        socket.say_hello(&room, role, None).await;
        assert_eq!(socket.closed().await.0, Some(4401), "{role} without a token");
    }
    let mut socket = Socket::open(cluster.addresses()[0], "no emcee").await.expect("a socket");
    socket.say_hello(&room, "emcee", Some(&ann.token)).await;
    assert_eq!(socket.closed().await.0, Some(4401), "a voter's token is no key");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_of_one_process_are_valid_on_another_with_the_same_secret() {
    let cluster = Cluster::redis(2).await;
    let emcee = cluster.emcee();
    let room = emcee.create_plain("Shared", 1).await;
    let ann = Voter::join(&Http::new(), &cluster.addresses()[..1], &room, "Ann", dice(72, 0)).await;
    for pod in cluster.addresses() {
        let (_, state) = Socket::hello(pod, &room, "voter", Some(&ann.token)).await;
        assert_eq!(state["you"]["voter"], ann.id.as_str());
    }
}
