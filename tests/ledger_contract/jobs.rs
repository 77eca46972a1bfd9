//! Jobs: stored with their cause, taken by one worker at a time, done at least once.

use std::time::Duration;

use tallycast::domain::ids::RoomId;
use tallycast::domain::jobs::{Job, Task};
use tallycast::domain::room::Room;
use tallycast::domain::text::Title;
use tallycast::ledger::{Replacement, SharedLedger, TakenJob};

use crate::ledgers::RoomFixture;

contract! { tick_ms = 0;
    a_job_is_stored_with_the_change_that_causes_it,
    a_refused_change_causes_no_job,
    a_job_is_stored_once,
    jobs_are_taken_in_order_each_by_one_worker,
    a_job_is_taken_again_when_its_lease_ends,
    a_job_that_is_done_is_never_taken_again,
    the_backlog_says_how_many_wait_and_since_when,
    the_backlog_names_every_room_with_jobs_at_once_and_no_other,
}

/// Longer than any test.
const LONG: Duration = Duration::from_secs(3_600);

fn message(id: &str) -> Job {
    Job { id: id.to_owned(), task: Task::Message { text: format!("this is {id}") } }
}

async fn taken(ledger: &SharedLedger, room: &RoomId, worker: &str, lease: Duration) -> Option<TakenJob> {
    ledger.take_job(room, worker, lease).await.unwrap()
}

async fn a_job_is_stored_with_the_change_that_causes_it(ledger: SharedLedger) {
    let fixture = RoomFixture::new(&ledger, 1).await;
    assert_eq!(taken(&ledger, fixture.id(), "w", LONG).await, None);
    let changed = Room { title: Title::parse("Night").unwrap(), ..fixture.room.clone() };
    let stored = ledger.replace_room(&changed, &[message("a"), message("b")]).await.unwrap();
    assert!(matches!(stored, Replacement::Stored(_)));
    assert_eq!(taken(&ledger, fixture.id(), "w", LONG).await.unwrap().job, message("a"));
    assert_eq!(taken(&ledger, fixture.id(), "w", LONG).await.unwrap().job, message("b"));
}

async fn a_refused_change_causes_no_job(ledger: SharedLedger) {
    let fixture = RoomFixture::new(&ledger, 1).await;
    let stale = Room { seq: 1, ..fixture.room.clone() };
    let outcome = ledger.replace_room(&stale, &[message("a")]).await.unwrap();
    assert!(matches!(outcome, Replacement::Changed(_)));
    assert_eq!(taken(&ledger, fixture.id(), "w", LONG).await, None);
}

async fn a_job_is_stored_once(ledger: SharedLedger) {
    let fixture = RoomFixture::new(&ledger, 1).await;
    ledger.enqueue(fixture.id(), &[message("a")]).await.unwrap();
    ledger.enqueue(fixture.id(), &[message("a"), message("b")]).await.unwrap();
    let first = taken(&ledger, fixture.id(), "w", LONG).await.unwrap();
    ledger.finish_job(fixture.id(), &first).await.unwrap();
    ledger.enqueue(fixture.id(), &[message("a")]).await.unwrap();
    assert_eq!(taken(&ledger, fixture.id(), "w", LONG).await.unwrap().job, message("b"));
    assert_eq!(taken(&ledger, fixture.id(), "w", LONG).await, None);
}

async fn jobs_are_taken_in_order_each_by_one_worker(ledger: SharedLedger) {
    let fixture = RoomFixture::new(&ledger, 1).await;
    ledger.enqueue(fixture.id(), &[message("a"), message("b"), message("c")]).await.unwrap();
    for (worker, id) in [("one", "a"), ("two", "b"), ("one", "c")] {
        let job = taken(&ledger, fixture.id(), worker, LONG).await.unwrap();
        assert_eq!((job.job.id.as_str(), job.attempts), (id, 1));
    }
    assert_eq!(taken(&ledger, fixture.id(), "two", LONG).await, None);
}

async fn a_job_is_taken_again_when_its_lease_ends(ledger: SharedLedger) {
    let fixture = RoomFixture::new(&ledger, 1).await;
    ledger.enqueue(fixture.id(), &[message("a")]).await.unwrap();
    let first = taken(&ledger, fixture.id(), "dies", Duration::ZERO).await.unwrap();
    let again = taken(&ledger, fixture.id(), "lives", Duration::ZERO).await.unwrap();
    assert_eq!((&again.job, again.attempts), (&first.job, 2));
}

async fn a_job_that_is_done_is_never_taken_again(ledger: SharedLedger) {
    let fixture = RoomFixture::new(&ledger, 1).await;
    ledger.enqueue(fixture.id(), &[message("a")]).await.unwrap();
    let job = taken(&ledger, fixture.id(), "w", Duration::ZERO).await.unwrap();
    ledger.finish_job(fixture.id(), &job).await.unwrap();
    // the worker that took it over reports it too
    ledger.finish_job(fixture.id(), &job).await.unwrap();
    assert_eq!(taken(&ledger, fixture.id(), "w", Duration::ZERO).await, None);
}

async fn the_backlog_says_how_many_wait_and_since_when(ledger: SharedLedger) {
    let fixture = RoomFixture::new(&ledger, 1).await;
    let of_room = || async {
        let backlog = ledger.backlog().await.unwrap();
        backlog.into_iter().find(|backlog| backlog.room == *fixture.id())
    };
    assert_eq!(of_room().await, None);
    let before = ledger.check().await.unwrap().now;
    ledger.enqueue(fixture.id(), &[message("a"), message("b")]).await.unwrap();
    let backlog = of_room().await.unwrap();
    assert_eq!(backlog.waiting, 2);
    assert!(backlog.since >= before && backlog.since <= ledger.check().await.unwrap().now);
    for _ in 0..2 {
        let job = taken(&ledger, fixture.id(), "w", LONG).await.unwrap();
        assert!(of_room().await.is_some(), "a job that is taken is not done yet");
        ledger.finish_job(fixture.id(), &job).await.unwrap();
    }
    assert_eq!(of_room().await, None);
}

async fn the_backlog_names_every_room_with_jobs_at_once_and_no_other(ledger: SharedLedger) {
    let mut fixtures = vec![];
    for _ in 0..20 {
        fixtures.push(RoomFixture::new(&ledger, 1).await);
    }
    // which of the rooms above are named, by their places
    let named = || async {
        let backlog = ledger.backlog().await.unwrap();
        let place = |fixture: &RoomFixture| backlog.iter().any(|backlog| backlog.room == *fixture.id());
        fixtures.iter().enumerate().filter(|(_, fixture)| place(fixture)).map(|(place, _)| place).collect::<Vec<_>>()
    };
    assert!(named().await.is_empty());
    ledger.enqueue(fixtures[3].id(), &[message("a")]).await.unwrap();
    assert_eq!(named().await, [3]);
    let changed = Room { title: Title::parse("Night").unwrap(), ..fixtures[17].room.clone() };
    ledger.replace_room(&changed, &[message("b")]).await.unwrap();
    assert_eq!(named().await, [3, 17], "a change that causes a job counts as well");
    for place in [3, 17] {
        let job = taken(&ledger, fixtures[place].id(), "w", LONG).await.unwrap();
        assert!(named().await.contains(&place), "a job that is taken is not done");
        ledger.finish_job(fixtures[place].id(), &job).await.unwrap();
    }
    assert!(named().await.is_empty());
    ledger.enqueue(fixtures[3].id(), &[message("c")]).await.unwrap();
    assert_eq!(named().await, [3], "a room that was done with comes back");
}
