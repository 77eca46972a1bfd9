//! Replicas that are to confirm what is stored, and are not there, or lag behind.

use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, FutureExt, join_all};
use tallycast::domain::gate::DesiredGate;
use tallycast::domain::ids::{Invite, RoomCode, RoomId};
use tallycast::domain::jobs::{Job, Task};
use tallycast::domain::room::{JoinMode, Room};
use tallycast::domain::setup::{Plan, RoundPlan};
use tallycast::domain::text::{Name, Title};
use tallycast::ledger::redis::{RedisLedger, RedisOptions};
use tallycast::ledger::{
    Creation, Diagnostics, FeedEvent, JobStore, JoinRequest, Ledger, LedgerError, PodStore, RankEntry, RankingStore,
    RenameRequest, ResumeRequest, RoomStore, VoteStore, VoterStore, VotersQuery, fresh_card,
};

use crate::support::redis::Redis;
use crate::{batch, cast, fresh_room, join, ledger, opened, voter};

/// Replicas have a second to confirm; reads must not wait for that.
const AT_ONCE: Duration = Duration::from_millis(500);

fn with_replicas(redis: &Redis) -> RedisLedger {
    RedisLedger::new(RedisOptions { replicas: 1, ..RedisOptions::new(redis.url()) }).unwrap()
}

fn planned() -> Room {
    let choices = [("A".to_owned(), None), ("B".to_owned(), None)];
    let plan = Plan::new(
        Title::parse("Evening").unwrap(),
        vec![RoundPlan::new("Round", &choices, None, Default::default(), 0).unwrap()],
    );
    plan.into_room(fresh_room(), RoomCode::from_entropy(rand::random()), 0).unwrap()
}

fn entry() -> RankEntry {
    let name = Name::parse("Anna").unwrap();
    RankEntry { place: 1, voter: voter(1), name, score: 1, time_ms: 1, rounds: vec![(1, 1)] }
}

/// A room with a voter, a vote, a ranking and a job, stored while no replica had to confirm.
async fn prepared(redis: &Redis) -> Room {
    let plain = ledger(redis, 0);
    let Creation::Created(room) = plain.create_room(&planned()).await.unwrap() else { panic!("all is free") };
    plain.set_gates(&room.id, 1, &opened(1)).await.unwrap();
    join(&plain, &room.id, voter(1)).await;
    plain.partition_writer(&room.id, 0, "pod").commit(&batch(vec![(voter(1), cast(1, "ab"))])).await.unwrap();
    plain.store_ranking(&room.id, 1, 0, &[entry()]).await.unwrap();
    plain.enqueue(&room.id, &[job("one")]).await.unwrap();
    room
}

fn job(id: &str) -> Job {
    Job { id: id.into(), task: Task::Archive }
}

fn greeting(number: u8) -> ResumeRequest {
    let name = Name::parse(&format!("Voter {number}")).unwrap();
    ResumeRequest { voter: voter(number), name, card: fresh_card(), take: Some((1, 1)) }
}

#[tokio::test]
async fn without_replicas_reads_answer_at_once() {
    let redis = Redis::start().await;
    let room = prepared(&redis).await;
    let (asked, id) = (with_replicas(&redis), &room.id);
    let mut slow = vec![];
    macro_rules! at_once {
        ($($call:expr => $fits:expr),+ $(,)?) => {$(
            let since = Instant::now();
            let (answer, took) = ($call.await, since.elapsed());
            match answer {
                Ok(answer) if took <= AT_ONCE => assert!($fits(answer), "{}", stringify!($call)),
                answer => slow.push(format!("{}: {:?} after {took:?}", stringify!($call), answer.err())),
            }
        )+};
    }
    at_once! {
        asked.rooms() => |listing: tallycast::ledger::Listing| listing.rooms.len() == 1,
        asked.find_room(&room.code) => |found: Option<Room>| found.is_some(),
        asked.room(id) => |found: Option<Room>| found.is_some(),
        asked.gate_snapshot(id, 1) => |found: Option<tallycast::ledger::GateSnapshot>| found.unwrap().gates[0].stored == 2,
        asked.ballots_of(id, 1, &voter(1), &[(1, 1)]) => |ballots: Vec<tallycast::domain::ballot::Ballot>| ballots[0].votes == "ab",
        asked.ballots(id, 0, (1, 1), None) => |(ballots, _): (Vec<_>, _)| ballots.len() == 1,
        asked.resume(id, 1, &[greeting(1)]) => |greeted: Vec<_>| greeted.len() == 1,
        asked.voter(id, &voter(1)) => |found: Option<_>| found.is_some(),
        asked.voters(id, &VotersQuery { limit: 10, ..VotersQuery::default() }) => |page: tallycast::ledger::VotersPage| page.voters.len() == 1,
        asked.invites(id) => |invites: Vec<_>| invites.is_empty(),
        asked.backlog() => |backlog: Vec<_>| backlog.len() == 1,
        asked.ranking(id, 1, 0) => |entries: Vec<_>| entries.len() == 1,
        asked.present(id, &["pod".to_owned()], &[voter(1)]) => |present: Vec<bool>| present == [false],
        asked.is_signed_out("desk") => |out: bool| !out,
        // what is worth no more than the seconds it lives
        asked.note_present(id, "pod", &[voter(1)], &[]) => |()| true,
        asked.announce(&FeedEvent::SignedOut { sign_in: "desk".into() }) => |()| true,
    }
    assert!(slow.is_empty(), "{slow:#?}");
}

#[tokio::test]
async fn without_replicas_no_change_is_acknowledged_and_the_check_says_so() {
    let redis = Redis::start().await;
    let room = prepared(&redis).await;
    let (asked, id) = (with_replicas(&redis), &room.id);
    let newcomer = JoinRequest {
        voter: voter(2),
        has_token: false,
        name: Some(Name::parse("Bela").unwrap()),
        card: fresh_card(),
        invite: None,
        mode: JoinMode::Open,
        suggestions: vec![],
    };
    let renaming = RenameRequest { voter: voter(1), name: Name::parse("Anne").unwrap(), suggestions: vec![] };
    let invite = (Name::parse("Cleo").unwrap(), Invite::from_entropy(rand::random()));
    let closed = DesiredGate { open: None, ..opened(2) };
    let other = planned();
    let (greetings, invites, jobs, ranking) = ([greeting(3)], [invite], [job("two")], [entry()]);
    let edited = Room { rehearsal: true, ..room.clone() };
    let votes = batch(vec![(voter(1), cast(3, "a"))]);
    let repeated = batch(vec![(voter(1), cast(1, "ab"))]);
    let writer = || asked.partition_writer(id, 0, "pod");
    let (mut one, mut two, mut three) = (writer(), writer(), writer());
    let changes: Vec<(&str, BoxFuture<'_, Result<(), LedgerError>>)> = vec![
        ("create_room", asked.create_room(&other).map(|answer| answer.map(drop)).boxed()),
        ("replace_room", asked.replace_room(&edited, &[]).map(|answer| answer.map(drop)).boxed()),
        ("set_gates", asked.set_gates(id, 1, &closed).map(|answer| answer.map(drop)).boxed()),
        ("commit", one.commit(&votes).map(|answer| answer.map(drop)).boxed()),
        ("a repeat", two.commit(&repeated).map(|answer| answer.map(drop)).boxed()),
        ("publish_pending", three.publish_pending(1, 0).map(|answer| answer.map(drop)).boxed()),
        ("join", asked.join(id, &newcomer).map(|answer| answer.map(drop)).boxed()),
        ("rename", asked.rename(id, &renaming).map(|answer| answer.map(drop)).boxed()),
        ("resume a lost voter", asked.resume(id, 1, &greetings).map(|answer| answer.map(drop)).boxed()),
        ("invite", asked.invite(id, &invites).map(|answer| answer.map(drop)).boxed()),
        ("enqueue", asked.enqueue(id, &jobs).boxed()),
        ("take_job", asked.take_job(id, "worker", Duration::ZERO).map(|answer| answer.map(drop)).boxed()),
        ("store_ranking", asked.store_ranking(id, 2, 0, &ranking).boxed()),
        ("drop_rankings", asked.drop_rankings(id, 0..8).boxed()),
        ("sign_out", asked.sign_out("desk", 4_000_000_000_000).boxed()),
    ];
    let since = Instant::now();
    let told = join_all(changes.into_iter().map(|(what, change)| change.map(move |answer| (what, answer)))).await;
    assert!(since.elapsed() < Duration::from_millis(2_500), "{:?}", since.elapsed());
    for (what, answer) in told {
        let said = matches!(&answer, Err(LedgerError::MaybeApplied(said)) if said.contains("0 of 1 replicas"));
        assert!(said, "{what}: {answer:?}");
    }
    let reason = asked.check().await.unwrap().unsafe_because.unwrap_or_default();
    assert!(reason.contains("0 of 1 replicas") && reason.contains("ledger.replicas"), "{reason}");
}

#[tokio::test]
async fn a_repeated_cast_waits_for_the_replica_and_a_read_does_not() {
    let (redis, replica) = (Redis::start().await, Redis::start().await);
    let room = prepared(&redis).await;
    let asked = with_replicas(&redis);
    replica.command(&format!("REPLICAOF 127.0.0.1 {}", redis.port)).await;
    let votes = batch(vec![(voter(1), cast(3, "a"))]);
    commits_at_last(&asked, &room.id, "the replica is attached").await;
    assert_eq!(asked.check().await.unwrap().unsafe_because, None);

    replica.signal("STOP");
    // each on its own connection: the second stores nothing, and must not succeed
    for what in ["stored", "repeated"] {
        let told = asked.partition_writer(&room.id, 0, "pod").commit(&votes).await;
        assert!(matches!(told, Err(LedgerError::MaybeApplied(_))), "{what}: {told:?}");
    }
    let since = Instant::now();
    let stored = asked.gate_snapshot(&room.id, 1).await.unwrap().unwrap().gates[0].stored;
    assert_eq!(stored, 3);
    assert!(since.elapsed() < AT_ONCE, "{:?}", since.elapsed());

    replica.signal("CONT");
    commits_at_last(&asked, &room.id, "the replica goes on").await;
    let told = asked.partition_writer(&room.id, 0, "pod").commit(&votes).await.unwrap();
    assert_eq!(told.gate.stored, 3);
}

/// Repeats what was stored until that is confirmed.
async fn commits_at_last(ledger: &dyn Ledger, room: &RoomId, what: &str) {
    let repeated = batch(vec![(voter(1), cast(1, "ab"))]);
    let since = Instant::now();
    while let Err(error) = ledger.partition_writer(room, 0, "pod").commit(&repeated).await {
        assert!(since.elapsed() < Duration::from_secs(30), "{what}: {error}");
    }
}
