//! What was answered survives a restart: the file is closed and opened, or Redis is killed and started.

use tallycast::domain::ballot::Cast;
use tallycast::domain::command::Command;
use tallycast::domain::gate::{partition_of, sum};
use tallycast::domain::room::Room;
use tallycast::ledger::execute::{execute, execute_due};
use tallycast::ledger::{
    Batch, Creation, JoinOutcome, JoinRequest, LedgerError, RankEntry, Replacement, Verdict, Voter, VotersQuery,
};

use crate::ledgers::{RoomFixture, TestLedger, invite, name, newcomer, voter};

contract! { restarts;
    everything_acknowledged_survives_a_restart,
    a_round_continues_after_a_restart,
    a_blackout_survives_a_restart_whatever_the_deadline_is_then,
}

async fn a_blackout_survives_a_restart_whatever_the_deadline_is_then(test_ledger: TestLedger) {
    let ledger = test_ledger.ledger.clone();
    let mut planned = RoomFixture::planned(2, None);
    planned.rounds[0].blackout_seconds = 600;
    let Creation::Created(room) = ledger.create_room(&planned).await.unwrap() else { panic!("all is free") };
    let open = Command::Open { round: 1, take: None, seconds: Some(3_600) };
    let opened = execute(&ledger, &room.id, &open).await.unwrap();
    let due = execute_due(&ledger, &room.id).await.unwrap();
    assert_eq!(due.room, opened.room, "it has not begun");
    let closes_at = Some(opened.now + 600_000);
    execute(&ledger, &room.id, &Command::Deadline { round: 1, closes_at }).await.unwrap();
    let dark = execute_due(&ledger, &room.id).await.unwrap().room;
    assert!(dark.running.as_ref().is_some_and(|running| running.dark), "{:?}", dark.running);
    assert_eq!(execute_due(&ledger, &room.id).await.unwrap().room.seq, dark.seq, "said once");
    drop(ledger);

    let test_ledger = test_ledger.restart();
    let later = Command::Deadline { round: 1, closes_at: Some(opened.now + 3_600_000) };
    let moved = execute(&test_ledger.ledger, &room.id, &later).await.unwrap().room;
    assert!(moved.running.is_some_and(|running| running.dark));
}

async fn everything_acknowledged_survives_a_restart(test_ledger: TestLedger) {
    let reference = "the-evening";
    let planned = RoomFixture::planned(3, Some(reference));
    let ledger = test_ledger.ledger.clone();
    let Creation::Created(room) = ledger.create_room(&planned).await.unwrap() else { panic!("all is free") };
    let Replacement::Stored(room) = ledger.replace_room(&Room { rehearsal: true, ..room }, &[]).await.unwrap() else {
        panic!("read last")
    };
    let anna = newcomer("Anna");
    let JoinOutcome::Done(voter) = ledger.join(&room.id, &anna).await.unwrap() else { panic!("all is free") };
    let bela = newcomer("Bela");
    ledger.join(&room.id, &bela).await.unwrap();
    ledger.set_removed(&room.id, 3, &bela.voter, true).await.unwrap();
    let code = invite();
    ledger.invite(&room.id, &[(name("Cleo"), code.clone())]).await.unwrap();
    let entry = RankEntry {
        place: 1,
        voter: voter.voter.clone(),
        name: voter.name.clone(),
        score: 7,
        time_ms: 8,
        rounds: vec![(1, 7)],
    };
    ledger.store_ranking(&room.id, 5, 0, std::slice::from_ref(&entry)).await.unwrap();
    let tomorrow = ledger.check().await.unwrap().now + 86_400_000;
    ledger.sign_out("the first desk", tomorrow).await.unwrap();
    drop(ledger);

    let test_ledger = test_ledger.restart();
    let ledger = &test_ledger.ledger;
    assert_eq!(ledger.room(&room.id).await.unwrap().as_ref(), Some(&room));
    assert_eq!(ledger.find_room(&room.code).await.unwrap().as_ref(), Some(&room));
    assert_eq!(ledger.rooms().await.unwrap().rooms, std::slice::from_ref(&room));
    let taken = RoomFixture::planned(1, Some(reference));
    assert_eq!(ledger.create_room(&taken).await.unwrap(), Creation::RefTaken(room.clone()));
    assert_eq!(ledger.voter(&room.id, &voter.voter).await.unwrap().as_ref(), Some(&voter));
    let by_card = JoinRequest { card: anna.card, ..newcomer("x") };
    assert_eq!(ledger.join(&room.id, &by_card).await.unwrap(), JoinOutcome::Known(voter.clone()));
    assert_eq!(ledger.join(&room.id, &newcomer("ANNA")).await.unwrap(), JoinOutcome::NameTaken(None));
    assert!(ledger.voter(&room.id, &bela.voter).await.unwrap().is_some_and(|voter| voter.removed));
    assert_eq!(ledger.invite(&room.id, &[(name("Cleo"), invite())]).await.unwrap(), [code]);
    let page = ledger.voters(&room.id, &VotersQuery { limit: 10, ..VotersQuery::default() }).await.unwrap();
    assert_eq!(page.voters.len(), 2);
    assert_eq!(ledger.gate_snapshot(&room.id, 3).await.unwrap().unwrap().voters, 1);
    assert_eq!(ledger.ranking(&room.id, 5, 0).await.unwrap(), [entry]);
    assert!(ledger.is_signed_out("the first desk").await.unwrap());
    let Replacement::Stored(again) = ledger.replace_room(&room, &[]).await.unwrap() else { panic!("read last") };
    assert!(again.seq > room.seq);
}

async fn a_round_continues_after_a_restart(test_ledger: TestLedger) {
    let mut fixture = RoomFixture::new(&test_ledger.ledger, 3).await;
    fixture.open(1, 1).await;
    let voters: Vec<_> = (0..30).map(voter).collect();
    for voter in &voters {
        fixture.cast(voter, 1, "abc").await;
    }
    let removed: Voter = match fixture.ledger.join(fixture.id(), &newcomer("Anna")).await.unwrap() {
        JoinOutcome::Done(voter) => voter,
        other => panic!("{other:?}"),
    };
    fixture.ledger.set_removed(fixture.id(), 3, &removed.voter, true).await.unwrap();
    fixture.ledger.partition_writer(fixture.id(), 0, "pod").publish_pending(20, u64::MAX).await.unwrap();
    let before = fixture.snapshot().await;
    let mut writer = fixture.ledger.partition_writer(fixture.id(), 0, "pod");
    let casts = voters.iter().filter(|voter| partition_of(voter.as_str(), 3) == 0);
    let casts = casts.map(|voter| (voter.clone(), Cast::parse(4, "a".into()).unwrap()));
    let batch = Batch::of(1, 1, 20, casts);
    let room = fixture.room.clone();
    drop(fixture);

    let test_ledger = test_ledger.restart();
    let mut fixture = RoomFixture::found(&test_ledger.ledger, room).await;
    let after = fixture.snapshot().await;
    assert_eq!((after.seq, &after.gates), (before.seq, &before.gates));
    // a writer from before the restart may or may not find its way; it does not hang, and nothing is counted twice
    let told = writer.commit(&batch).await;
    assert!(!matches!(told, Err(LedgerError::Corrupt(_))), "{told:?}");
    let commit = fixture.ledger.partition_writer(fixture.id(), 0, "pod").commit(&batch).await.unwrap();
    assert_eq!(commit.gate.tally.total(), before.gates[0].tally.total() + batch.casts().len() as u64);
    assert!(commit.gate.tally.version > before.gates[0].tally.version);
    assert_eq!(commit.gate.acknowledged, 20);
    let refused = fixture.commit(&[(&removed.voter, 1, "a")]).await;
    assert_eq!(refused.verdicts, [Verdict::Removed]);
    let closed = fixture.close(1, 1).await;
    assert_eq!(sum(&closed).tally.total(), 90 + batch.casts().len() as u64);
}
