//! Which rooms have jobs: one call returns them, and none is forgotten.

use std::time::Duration;

use futures_util::future::join_all;
use tallycast::domain::ids::{RoomCode, RoomId};
use tallycast::domain::jobs::{Job, Task};
use tallycast::ledger::redis::{RedisLedger, RedisOptions};
use tallycast::ledger::{Creation, JobStore, RoomStore};

use crate::ledger;
use crate::rooms::room;
use crate::support::redis::Redis;

const HINT: &str = "tc:{dir}:rooms_with_jobs";
const LEASE: Duration = Duration::from_secs(60);

fn message(id: &str) -> [Job; 1] {
    [Job { id: id.to_owned(), task: Task::Message { text: format!("this is {id}") } }]
}

/// Makes rooms, and gives their ids.
async fn make_rooms(ledger: &RedisLedger, count: usize) -> Vec<RoomId> {
    let creations = (0..count).map(|_| async {
        let planned = room(RoomCode::from_entropy(rand::random()).as_str(), None);
        match ledger.create_room(&planned).await.unwrap() {
            Creation::Created(room) => room.id,
            other => panic!("{other:?}"),
        }
    });
    join_all(creations).await
}

async fn commands_so_far(redis: &Redis) -> u64 {
    let stats = redis.command("INFO stats").await;
    let count = stats.lines().find_map(|line| line.strip_prefix("total_commands_processed:"));
    count.expect("Redis counts commands").parse().expect("a number")
}

async fn rooms_with_jobs(ledger: &RedisLedger) -> Vec<RoomId> {
    ledger.backlog().await.unwrap().into_iter().map(|backlog| backlog.room).collect()
}

/// Commands that Redis does for ten looks at the backlog, those of the pool included.
async fn cost_of_ten_looks(redis: &Redis, ledger: &RedisLedger) -> u64 {
    assert_eq!(rooms_with_jobs(ledger).await, []);
    let before = commands_so_far(redis).await;
    for _ in 0..10 {
        assert_eq!(rooms_with_jobs(ledger).await, []);
    }
    commands_so_far(redis).await - before
}

#[tokio::test]
async fn a_thousand_rooms_without_jobs_cost_as_little_as_none() {
    let redis = Redis::start().await;
    let ledger = ledger(&redis, 0);
    let of_none = cost_of_ten_looks(&redis, &ledger).await;
    for _ in 0..100 {
        make_rooms(&ledger, 10).await;
    }
    assert_eq!(ledger.rooms().await.unwrap().rooms.len(), 1_000);
    assert_eq!(cost_of_ten_looks(&redis, &ledger).await, of_none);
}

#[tokio::test]
async fn jobs_missing_from_the_hint_are_found_when_a_worker_starts() {
    let redis = Redis::start().await;
    let one = ledger(&redis, 0);
    let rooms = make_rooms(&one, 3).await;
    assert_eq!(rooms_with_jobs(&one).await, []);
    one.enqueue(&rooms[1], &message("a")).await.unwrap();
    // as in an installation whose jobs were stored by a version that knew no hint
    redis.command(&format!("DEL {HINT}")).await;
    let other = ledger(&redis, 0);
    assert_eq!(rooms_with_jobs(&other).await, [rooms[1].clone()]);
    assert_eq!(rooms_with_jobs(&one).await, [rooms[1].clone()]);
}

#[tokio::test]
async fn a_lost_hint_is_repaired_by_a_periodic_scan_of_all_rooms() {
    let redis = Redis::start().await;
    let options = RedisOptions { all_jobs_every: Duration::from_millis(50), ..RedisOptions::new(redis.url()) };
    let ledger = RedisLedger::new(options).unwrap();
    let rooms = make_rooms(&ledger, 3).await;
    assert_eq!(rooms_with_jobs(&ledger).await, []);
    ledger.enqueue(&rooms[2], &message("a")).await.unwrap();
    redis.command(&format!("DEL {HINT}")).await;
    let found = async {
        while rooms_with_jobs(&ledger).await != [rooms[2].clone()] {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), found).await.expect("it is found");
}

#[tokio::test]
async fn a_room_leaves_the_hint_only_when_its_last_job_is_old_and_done() {
    let redis = Redis::start().await;
    let ledger = ledger(&redis, 0);
    let rooms = make_rooms(&ledger, 3).await;
    assert_eq!(rooms_with_jobs(&ledger).await, []);
    let hinted = async || redis.command(&format!("ZCARD {HINT}")).await;
    for room in &rooms[..2] {
        ledger.enqueue(room, &message("a")).await.unwrap();
        let job = ledger.take_job(room, "w", LEASE).await.unwrap().unwrap();
        ledger.finish_job(room, &job).await.unwrap();
    }
    ledger.enqueue(&rooms[2], &message("a")).await.unwrap();
    assert_eq!(rooms_with_jobs(&ledger).await, [rooms[2].clone()]);
    assert_eq!(hinted().await, ":3\r\n", "one more job may be on its way to any of them");
    for room in &rooms[1..] {
        redis.command(&format!("ZADD {HINT} 1 {room}")).await;
    }
    assert_eq!(rooms_with_jobs(&ledger).await, [rooms[2].clone()]);
    assert_eq!(hinted().await, ":2\r\n", "the second is done, and was so long ago; the third still waits");
    ledger.enqueue(&rooms[1], &message("b")).await.unwrap();
    assert_eq!(rooms_with_jobs(&ledger).await.len(), 2, "and it comes back");
}
