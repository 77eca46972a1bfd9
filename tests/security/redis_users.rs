//! The users of Redis that the manifests ship: they can do what an evening needs, and a pod for the audience no more.

use crate::support::dice;
use crate::support::emcee::{Emcee, plain_round, round};
use crate::support::guarded_redis::GuardedRedis;
use crate::support::seals::{all_sealed, check_proof};
use crate::support::server::{EMCEE_KEY, Server};
use crate::support::socket::Socket;
use crate::support::voter::{Verdict, Voter, card, join};
use reqwest::Method;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::{sleep, timeout};

const PATIENCE: Duration = Duration::from_secs(20);

/// An audience pod, an admin pod and a worker, each with its user.
struct Installation {
    redis: GuardedRedis,
    audience: Server,
    admin: Server,
    worker: Server,
}

impl Installation {
    async fn start() -> Installation {
        let redis = GuardedRedis::start().await;
        let [mut audience, mut admin, mut worker] =
            [("audience", "audience"), ("tallycast", "admin"), ("tallycast", "worker")].map(|(user, role)| {
                let mut settings = redis.settings(user);
                settings.push(("TALLYCAST__SERVER__ROLE", role.to_owned()));
                let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
                Server::spawn(&settings)
            });
        for server in [&mut audience, &mut admin, &mut worker] {
            server.ready().await;
        }
        Installation { redis, audience, admin, worker }
    }

    fn emcee(&self) -> Emcee {
        Emcee::new(vec![self.admin.address()])
    }

    fn doors(&self) -> [SocketAddr; 1] {
        [self.audience.address()]
    }

    /// Redis has refused no command, and nothing went wrong for want of a right.
    async fn assert_nothing_was_refused(&self) {
        assert_eq!(self.redis.ask("monitor", &["acl", "log"]).await, "", "commands that Redis has refused");
        for server in [&self.audience, &self.admin, &self.worker] {
            let log = server.log();
            let wrong: Vec<_> = log.lines().filter(|line| line.contains("NOPERM") || line.contains("ERROR")).collect();
            assert_eq!(wrong, [] as [&str; 0]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_evening_needs_no_right_that_the_shipped_users_lack() {
    let hall = Installation::start().await;
    let (emcee, doors) = (hall.emcee(), hall.doors());
    let room = emcee.create(json!({"title": "Rights", "ref": "rights", "rounds": vec![plain_round(); 2]})).await;

    // every way in: by name, by card, by token, by invite; and another name
    let mut ann = Voter::join(&emcee.http, &doors, &room, "Ann", dice(130, 0)).await;
    let mut bea = Voter::join(&emcee.http, &doors, &room, "Bea", dice(130, 1)).await;
    let again = join(&emcee.http, doors[0], &room, &json!({"card": ann.card})).await;
    assert_eq!(again.expect(200, "by card")["voter"], ann.id.as_str());
    let invites = json!({"names": ["Cleo"]});
    let invited = emcee.call(Method::POST, &format!("/rooms/{room}/invites"), Some(&invites)).await;
    let invite = invited.expect(201, "an invite")["invites"][0]["invite"].clone();
    let body = json!({"invite": invite, "card": card(&mut dice(130, 2))});
    let cleo = join(&emcee.http, doors[0], &room, &body).await.expect(201, "by invite");
    let renamed = json!({"name": "Annabel"});
    ann.http(&emcee.http, Method::PATCH, "/me", Some(&renamed)).await.expect(200, "a new name");

    let mut desk = Socket::emcee(hall.admin.address(), &room).await;
    desk.expect("desk").await;
    let _stage = Socket::stage(doors[0], &room).await;
    emcee.open(&room, 1).await;
    assert_eq!((ann.cast(1, 1, "aab").await, bea.cast(1, 1, "b").await), (Verdict::Stored, Verdict::Stored));
    emcee
        .patch(&format!("/rooms/{room}/voters/{}", cleo["voter"].as_str().expect("an id")), json!({"removed": true}))
        .await;
    assert_eq!(round(&emcee.close(&room, 1).await, 1)["tally"]["votes"], json!([2, 2]));
    emcee.decide(&room, 1, json!("a")).await;

    // the second one closes by itself: the audience's pod only hears of it
    emcee.post(&format!("/rooms/{room}/rounds/2/open"), json!({"seconds": 5})).await;
    assert_eq!(ann.cast(2, 1, "a").await, Verdict::Stored);
    ann.wait_until("the deadline", |voter| voter.is_over(2, 1)).await;
    emcee.reveal(&room, json!({"place": 1})).await;
    ann.wait_until("the ranking", |voter| voter.reveal.is_some()).await;

    all_sealed(&emcee, &room).await;
    let proof = ann.http(&emcee.http, Method::GET, "/me/proof?round=2", None).await;
    check_proof(&proof.expect(200, "a proof"), &ann.id, "a");

    assert_eq!(emcee.audit(&room).await["ok"], true);
    let archive = emcee.call(Method::GET, &format!("/rooms/{room}/export?format=archive"), None).await;
    let (key, import) = (format!("Bearer {EMCEE_KEY}"), hall.admin.url("/api/v1/rooms/import?fresh=true"));
    let headers = [("authorization", key.as_str())];
    let copied = emcee.http.send_bytes(Method::POST, &import, &headers, archive.text.into_bytes()).await;
    let copied = copied.expect("an answer").expect(201, "an import");
    let copy = copied["room"].as_str().expect("a code").to_owned();
    emcee.call(Method::DELETE, &format!("/rooms/{copy}?title=Rights"), None).await.expect(204, "DELETE");
    emcee
        .call(Method::POST, "/purge", Some(&json!({"older_than_seconds": 0, "room": copy})))
        .await
        .expect(200, "a purge");
    let purged = async {
        while emcee.get("/rooms?deleted=true").await["rooms"].to_string().contains(&copy) {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, purged).await.expect("the worker purges the copy");
    hall.assert_nothing_was_refused().await;
}

/// What somebody can do with the password of an audience pod.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_user_of_audience_pods_changes_no_record_and_no_other_pods_data() {
    let hall = Installation::start().await;
    let (emcee, doors) = (hall.emcee(), hall.doors());
    let code = emcee.create_plain("Guarded", 1).await;
    let mut ann = Voter::join(&emcee.http, &doors, &code, "Ann", dice(131, 0)).await;
    emcee.open(&code, 1).await;
    assert_eq!(ann.cast(1, 1, "a").await, Verdict::Stored);
    let id = hall.redis.ask("tallycast", &["hget", "tc:{dir}:codes", &code]).await;
    let key = |name: &str| format!("tc:{{{id}}}:{name}");
    let (gate, ballots) = (format!("tc:{{{id}.0}}:gate"), format!("tc:{{{id}.0}}:ballots:1.1"));
    let sha = hall.redis.ask("tallycast", &["script", "load", "return redis.call('HSET', ARGV[1], 'seq', '1')"]).await;
    assert_eq!(sha.len(), 40, "{sha}");
    let before = hall.redis.ask("tallycast", &["hgetall", &key("record")]).await;
    let signed_out = r#"{"signed_out":{"sign_in":"x"}}"#;

    let record = key("record");
    let attempts: &[&[&str]] = &[
        &["hset", &record, "seq", "1"],
        &["hdel", &record, "record"],
        &["evalsha", &sha, "1", &record, &record],
        // a script may name a key that it may write, and write another
        &["evalsha", &sha, "1", &gate, &record],
        &["evalsha", &sha, "0", &record],
        &["xadd", &key("jobs"), "*", "job", "{}"],
        &["hset", &key("job_ids"), "x", "1"],
        &["zadd", "tc:{dir}:rooms_with_jobs", "1", &id],
        &["hset", "tc:{dir}:codes", "AAAAAA", &id],
        &["hdel", "tc:{dir}:codes", &code],
        &["hset", "tc:{dir}:refs", "x", &id],
        &["hset", "tc:{dir}:imports", &id, "x"],
        &["set", "tc:{dir}:signed_out:x", "1"],
        &["hset", &key("ranking:1"), "0", "[]"],
        &["hset", &key("invites"), "x", "y"],
        &["sadd", &key("removed"), &ann.id],
        &["srem", &key("removed"), &ann.id],
        &["hdel", &key("voters"), &ann.id],
        &["hdel", &ballots, &ann.id],
        &["del", &ballots],
        &["unlink", &gate],
        &["pexpire", &ballots, "1"],
        &["rename", &ballots, &gate],
        &["hset", "anything", "else", "1"],
        &["hgetall", &key("voters")],
        &["keys", "*"],
        &["scan", "0"],
        &["select", "1"],
        &["flushall"],
        &["flushdb"],
        &["config", "set", "appendfsync", "no"],
        &["config", "rewrite"],
        &["script", "flush"],
        &["script", "load", "while true do end"],
        &["script", "kill"],
        &["eval", "return 1", "0"],
        &["acl", "setuser", "audience", "+@all"],
        &["client", "kill", "type", "normal"],
        &["slowlog", "get"],
        &["monitor"],
        &["psync", "?", "-1"],
        &["replicaof", "127.0.0.1", "1"],
        &["shutdown", "nosave"],
        &["publish", "tc:control:0", signed_out],
        &["publish", "elsewhere", "x"],
        &["subscribe", "elsewhere"],
        &["psubscribe", "*"],
    ];
    let mut allowed = vec![];
    for words in attempts {
        let said = hall.redis.ask("audience", words).await;
        // of some the shipped settings have taken the name away
        if !said.contains("NOPERM") && !said.contains("ERR unknown command") && !said.contains("can't access") {
            allowed.push(format!("{words:?}: {said}"));
        }
    }
    assert_eq!(allowed, [] as [String; 0], "what the audience's password allows");

    // nobody gets in without a name, nor as the user that others are without one
    for words in
        [&["ping"][..], &["hset", &record, "seq", "1"], &["auth", "default", ""], &["auth", ""], &["hello", "3"]]
    {
        let said = hall.redis.ask_as_nobody(words).await;
        assert!(["NOAUTH", "WRONGPASS"].iter().any(|word| said.contains(word)), "{words:?}: {said}");
    }
    assert_eq!(hall.redis.ask("tallycast", &["hgetall", &record]).await, before);
    assert_eq!(round(&emcee.close(&code, 1).await, 1)["tally"]["votes"], json!([1, 0]));

    // what it can do, a vote needs: ballots can be forged, and the audit says so
    let forged = hall.redis.ask("audience", &["hset", &ballots, "forged", "bbbbbb1"]).await;
    assert_eq!(forged, "1", "if this is refused, say less in manifests/README.md");
    let audit: Value = emcee.audit(&code).await;
    assert_eq!(audit["ok"], false, "{audit}");
}

/// After its start Redis has no scripts, and a pod for the audience may load none. And it reads its own file with the rights of
/// a user: with too few, it would drop the votes in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_redis_keeps_acknowledged_votes_and_more_are_taken() {
    let mut hall = Installation::start().await;
    let (emcee, doors) = (hall.emcee(), hall.doors());
    let room = emcee.create_plain("Restarted", 1).await;
    let mut ann = Voter::join(&emcee.http, &doors, &room, "Ann", dice(133, 0)).await;
    emcee.open(&room, 1).await;
    assert_eq!(ann.cast(1, 1, "a").await, Verdict::Stored);
    hall.redis.restart().await;
    // a phone repeats what is busy
    ann.begin(1, 1, "b");
    let counted = timeout(PATIENCE, ann.resolve(1, 1)).await.expect("the scripts are there again");
    assert_eq!(counted, Some(Verdict::Stored));
    assert_eq!(round(&emcee.persistent().close(&room, 1).await, 1)["tally"]["votes"], json!([1, 1]));
}

/// A pod for the audience writes no records, not even when nobody else is there to do what is due.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_admin_and_worker_a_round_waits_for_its_result_and_takes_no_votes_after_its_deadline() {
    let mut hall = Installation::start().await;
    let (emcee, doors) = (hall.emcee(), hall.doors());
    let body = json!({"title": "Alone", "votes_per_round": 100, "rounds": [plain_round()]});
    let room = emcee.create(body).await;
    let mut ann = Voter::join(&emcee.http, &doors, &room, "Ann", dice(132, 0)).await;
    emcee.post(&format!("/rooms/{room}/rounds/1/open"), json!({"seconds": 5})).await;
    assert_eq!(ann.cast(1, 1, "ab").await, Verdict::Stored);
    hall.admin.kill9().await;
    hall.worker.kill9().await;
    let refused = async {
        loop {
            match ann.cast(1, 1, "a").await {
                Verdict::Refused(why) => return why,
                Verdict::Stored => sleep(Duration::from_millis(200)).await,
            }
        }
    };
    assert_eq!(timeout(PATIENCE, refused).await.expect("the deadline"), "closed");
    let shown = emcee.http.get(&hall.audience.url(&format!("/api/v1/rooms/{room}"))).await.expect("an answer");
    assert_eq!(round(&shown.expect(200, "the room"), 1)["phase"], "open", "nobody has stored its result");
    hall.admin.launch();
    hall.admin.ready().await;
    ann.wait_until("the result", |voter| voter.is_over(1, 1)).await;
    let stored = ann.told(1, 1).votes.len();
    assert_eq!(round(&emcee.room(&room).await, 1)["tally"]["total"], stored);
    hall.worker.launch();
    hall.worker.ready().await;
    assert_eq!(hall.redis.ask("monitor", &["acl", "log"]).await, "", "commands that Redis has refused");
}
