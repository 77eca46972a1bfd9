//! Voters after they have joined.

use futures_util::future::join_all;
use tallycast::domain::ballot::Ballot;
use tallycast::domain::ids::{RoomId, VoterId};
use tallycast::ledger::{
    JoinOutcome, JoinRequest, RankEntry, RenameRequest, ResumeRequest, SLICE, SharedLedger, Voter, VotersPage,
    VotersQuery,
};

use crate::ledgers::{RoomFixture, card, invite, name, names, newcomer, voter};

contract! { tick_ms = 0;
    a_known_voter_is_greeted_with_the_ballot,
    a_voter_missing_from_the_ledger_is_stored_again,
    a_restored_voter_whose_name_is_taken_gets_another,
    a_removed_voter_is_greeted_as_removed,
    many_voters_are_greeted_in_order,
    many_greetings_at_once_write_one_voter,
    a_new_name_frees_the_old_one,
    a_taken_name_is_refused,
    a_removal_is_reported_and_can_be_undone,
    a_snapshot_counts_voters_without_the_removed,
    pages_of_voters_do_not_overlap_or_skip,
    voters_are_found_by_a_part_of_the_name,
    a_frozen_ranking_is_kept_in_slices_until_it_is_dropped,
}

async fn joined(ledger: &SharedLedger, room: &RoomId, called: &str) -> Voter {
    match ledger.join(room, &newcomer(called)).await.unwrap() {
        JoinOutcome::Done(voter) => voter,
        other => panic!("{other:?}"),
    }
}

fn greeting(voter: &Voter, take: Option<(u16, u16)>) -> ResumeRequest {
    ResumeRequest { voter: voter.voter.clone(), name: voter.name.clone(), card: card(), take }
}

/// Greets one voter.
async fn greet(ledger: &SharedLedger, fixture: &RoomFixture, greeting: ResumeRequest) -> (Voter, Ballot) {
    ledger.resume(fixture.id(), fixture.partitions, &[greeting]).await.unwrap().remove(0)
}

fn unknown(called: &str) -> Voter {
    let JoinRequest { voter, card, .. } = newcomer(called);
    Voter { voter, name: name(called), card, removed: false }
}

fn renaming(voter: &Voter, to: &str) -> RenameRequest {
    RenameRequest { voter: voter.voter.clone(), name: name(to), suggestions: names(&["Other 2", "Other 3"]) }
}

async fn a_known_voter_is_greeted_with_the_ballot(ledger: SharedLedger) {
    let mut fixture = RoomFixture::new(&ledger, 3).await;
    fixture.open(2, 1).await;
    let anna = joined(&ledger, fixture.id(), "Anna").await;
    fixture.cast_in((2, 1), &anna.voter, 1, "abc").await;
    let stored = fixture.ballot(&anna.voter, (2, 1)).await;
    assert_eq!(stored.votes, "abc");
    for (take, ballot) in [(Some((2, 1)), stored), (Some((1, 1)), Ballot::default()), (None, Ballot::default())] {
        let greeted = greet(&ledger, &fixture, greeting(&anna, take)).await;
        assert_eq!(greeted, (anna.clone(), ballot));
    }
}

async fn a_voter_missing_from_the_ledger_is_stored_again(ledger: SharedLedger) {
    let mut fixture = RoomFixture::new(&ledger, 3).await;
    fixture.open(1, 1).await;
    let anna = unknown("Anna");
    fixture.cast(&anna.voter, 1, "ab").await;
    let greeting = greeting(&anna, Some((1, 1)));
    let (written, ballot) = greet(&ledger, &fixture, greeting.clone()).await;
    assert_eq!(written, Voter { card: greeting.card.clone(), ..anna.clone() });
    assert_eq!(ballot.votes, "ab");
    assert_eq!(ledger.voter(fixture.id(), &anna.voter).await.unwrap(), Some(written.clone()));
    assert_eq!(fixture.snapshot().await.voters, 1);
    let by_card = JoinRequest { card: greeting.card, ..newcomer("x") };
    assert_eq!(ledger.join(fixture.id(), &by_card).await.unwrap(), JoinOutcome::Known(written));
    assert_eq!(ledger.join(fixture.id(), &newcomer("ANNA")).await.unwrap(), JoinOutcome::NameTaken(None));
}

async fn a_restored_voter_whose_name_is_taken_gets_another(ledger: SharedLedger) {
    let fixture = RoomFixture::new(&ledger, 1).await;
    joined(&ledger, fixture.id(), "anna").await;
    joined(&ledger, fixture.id(), "Anna 2").await;
    let lost = unknown("Anna");
    let (written, _) = greet(&ledger, &fixture, greeting(&lost, None)).await;
    assert_eq!((written.voter, written.name), (lost.voter, name("Anna 3")));
}

async fn a_removed_voter_is_greeted_as_removed(ledger: SharedLedger) {
    let fixture = RoomFixture::new(&ledger, 2).await;
    let anna = joined(&ledger, fixture.id(), "Anna").await;
    ledger.set_removed(fixture.id(), 2, &anna.voter, true).await.unwrap();
    let (greeted, _) = greet(&ledger, &fixture, greeting(&anna, None)).await;
    assert_eq!(greeted, Voter { removed: true, ..anna });
}

async fn many_voters_are_greeted_in_order(ledger: SharedLedger) {
    let mut fixture = RoomFixture::new(&ledger, 3).await;
    fixture.open(1, 1).await;
    let (anna, bela, lost) =
        (joined(&ledger, fixture.id(), "Anna").await, joined(&ledger, fixture.id(), "Bela").await, unknown("Cleo"));
    fixture.cast(&anna.voter, 1, "ab").await;
    fixture.cast(&bela.voter, 1, "b").await;
    ledger.set_removed(fixture.id(), 3, &bela.voter, true).await.unwrap();
    let crowd = [
        greeting(&bela, Some((1, 1))),
        greeting(&lost, Some((1, 1))),
        greeting(&anna, Some((1, 1))),
        greeting(&anna, None),
    ];
    let greeted = ledger.resume(fixture.id(), 3, &crowd).await.unwrap();
    let told: Vec<_> = greeted.iter().map(|(voter, ballot)| (&voter.voter, voter.removed, &*ballot.votes)).collect();
    let (a, b, c) = (&anna.voter, &bela.voter, &lost.voter);
    assert_eq!(told, [(b, true, "b"), (c, false, ""), (a, false, "ab"), (a, false, "")]);
    assert_eq!(ledger.resume(fixture.id(), 3, &[]).await.unwrap(), []);
}

async fn many_greetings_at_once_write_one_voter(ledger: SharedLedger) {
    let fixture = RoomFixture::new(&ledger, 1).await;
    let anna = unknown("Anna");
    let greetings: Vec<_> = (0..20).map(|_| greeting(&anna, None)).collect();
    let greeted = join_all(greetings.into_iter().map(|greeting| greet(&ledger, &fixture, greeting))).await;
    let stored = ledger.voter(fixture.id(), &anna.voter).await.unwrap().unwrap();
    assert!(greeted.into_iter().all(|greeted| greeted.0 == stored));
    assert_eq!(fixture.snapshot().await.voters, 1);
}

async fn a_new_name_frees_the_old_one(ledger: SharedLedger) {
    let room = RoomFixture::new(&ledger, 1).await.room.id;
    let anna = joined(&ledger, &room, "Anna").await;
    for called in ["Hanna", "HANNA", "Anna", "Bela"] {
        let renamed = Voter { name: name(called), ..anna.clone() };
        assert_eq!(ledger.rename(&room, &renaming(&anna, called)).await.unwrap(), JoinOutcome::Done(renamed.clone()));
        assert_eq!(ledger.voter(&room, &anna.voter).await.unwrap(), Some(renamed));
    }
    joined(&ledger, &room, "Anna").await;
    joined(&ledger, &room, "hanna").await;
    let by_card = JoinRequest { card: anna.card, ..newcomer("x") };
    let JoinOutcome::Known(known) = ledger.join(&room, &by_card).await.unwrap() else { panic!("the card stays") };
    assert_eq!(known.name.as_str(), "Bela");
}

async fn a_taken_name_is_refused(ledger: SharedLedger) {
    let room = RoomFixture::new(&ledger, 1).await.room.id;
    let anna = joined(&ledger, &room, "Anna").await;
    joined(&ledger, &room, "Bela").await;
    joined(&ledger, &room, "Other 2").await;
    ledger.invite(&room, &[(name("Cleo"), invite())]).await.unwrap();
    let suggested = JoinOutcome::NameTaken(Some(name("Other 3")));
    for taken in ["BELA", "cleo"] {
        assert_eq!(ledger.rename(&room, &renaming(&anna, taken)).await.unwrap(), suggested, "{taken}");
    }
    assert_eq!(ledger.voter(&room, &anna.voter).await.unwrap(), Some(anna));
    let nobody = renaming(&unknown("x"), "Dora");
    assert_eq!(ledger.rename(&room, &nobody).await.unwrap(), JoinOutcome::NoSuchVoter);
}

async fn a_removal_is_reported_and_can_be_undone(ledger: SharedLedger) {
    let room = RoomFixture::new(&ledger, 3).await.room.id;
    let anna = joined(&ledger, &room, "Anna").await;
    let removed = Voter { removed: true, ..anna.clone() };
    for _ in 0..2 {
        assert_eq!(ledger.set_removed(&room, 3, &anna.voter, true).await.unwrap(), Some(removed.clone()));
        assert_eq!(ledger.voter(&room, &anna.voter).await.unwrap(), Some(removed.clone()));
    }
    for _ in 0..2 {
        assert_eq!(ledger.set_removed(&room, 3, &anna.voter, false).await.unwrap(), Some(anna.clone()));
    }
    ledger.set_removed(&room, 3, &anna.voter, true).await.unwrap();
    let renamed = Voter { name: name("Hanna"), ..removed };
    assert_eq!(ledger.rename(&room, &renaming(&anna, "Hanna")).await.unwrap(), JoinOutcome::Done(renamed.clone()));
    assert_eq!(ledger.voter(&room, &anna.voter).await.unwrap(), Some(renamed), "a name says nothing of the removal");
    assert_eq!(ledger.set_removed(&room, 3, &voter(9), true).await.unwrap(), None);
    assert_eq!(ledger.voter(&room, &voter(9)).await.unwrap(), None);
}

async fn a_snapshot_counts_voters_without_the_removed(ledger: SharedLedger) {
    let fixture = RoomFixture::new(&ledger, 2).await;
    let mut voters = vec![];
    for called in ["Anna", "Bela", "Cleo"] {
        voters.push(joined(&ledger, fixture.id(), called).await);
    }
    assert_eq!(fixture.snapshot().await.voters, 3);
    for _ in 0..2 {
        ledger.set_removed(fixture.id(), 2, &voters[1].voter, true).await.unwrap();
        assert_eq!(fixture.snapshot().await.voters, 2);
    }
    for _ in 0..2 {
        ledger.set_removed(fixture.id(), 2, &voters[1].voter, false).await.unwrap();
        assert_eq!(fixture.snapshot().await.voters, 3);
    }
}

async fn pages(ledger: &SharedLedger, room: &RoomId, text: &str, limit: usize) -> Vec<Voter> {
    let mut found = vec![];
    let mut query = VotersQuery { text: text.into(), after: None, limit };
    loop {
        let VotersPage { voters, next } = ledger.voters(room, &query).await.unwrap();
        assert!(voters.len() <= limit);
        found.extend(voters);
        match next {
            Some(next) => query.after = Some(next),
            None => return found,
        }
    }
}

async fn pages_of_voters_do_not_overlap_or_skip(ledger: SharedLedger) {
    let room = RoomFixture::new(&ledger, 1).await.room.id;
    let requests: Vec<_> = (0..30).map(|number| newcomer(&format!("HandshakeContext {number}"))).collect();
    let mut expected = vec![];
    for outcome in join_all(requests.iter().map(|request| ledger.join(&room, request))).await {
        let JoinOutcome::Done(voter) = outcome.unwrap() else { panic!("all names differ") };
        expected.push(voter);
    }
    expected.sort_by_key(|voter| voter.voter.to_string());
    ledger.set_removed(&room, 1, &expected[4].voter, true).await.unwrap();
    expected[4].removed = true;
    for limit in [1, 7, 10, 30, 1_000] {
        assert_eq!(pages(&ledger, &room, "", limit).await, expected, "{limit}");
    }
    let empty = RoomFixture::new(&ledger, 1).await.room.id;
    assert_eq!(pages(&ledger, &empty, "", 50).await, []);
}

async fn voters_are_found_by_a_part_of_the_name(ledger: SharedLedger) {
    let room = RoomFixture::new(&ledger, 1).await.room.id;
    for called in ["Anna", "Hannah", "Bela", "Straßer", "Annika", "Zo\u{eb}"] {
        joined(&ledger, &room, called).await;
    }
    for (text, expected) in [
        ("ann", vec!["Anna", "Annika", "Hannah"]),
        ("ANNA", vec!["Anna", "Hannah"]),
        ("strasse", vec!["Straßer"]),
        ("ZOE\u{308}", vec!["Zo\u{eb}"]),
        ("nobody", vec![]),
    ] {
        let mut found: Vec<_> = pages(&ledger, &room, text, 2).await.iter().map(|v| v.name.to_string()).collect();
        found.sort();
        assert_eq!(found, expected, "{text}");
    }
}

async fn a_frozen_ranking_is_kept_in_slices_until_it_is_dropped(ledger: SharedLedger) {
    let room = RoomFixture::new(&ledger, 1).await.room.id;
    let entry = |number: usize| RankEntry {
        place: number as u32 + 1,
        voter: VoterId::parse(&format!("v{number}")).unwrap(),
        name: name(&format!("HandshakeContext {number}")),
        score: 70 - number as u64 % 70,
        time_ms: 1_234_567,
        rounds: vec![(1, 10), (2, 0), (7, 3)],
    };
    let slices: Vec<Vec<_>> = vec![(0..SLICE).map(entry).collect(), (SLICE..SLICE + 5).map(entry).collect()];
    for ranking in [1_700_000_000_000, 1_700_000_000_001] {
        for _ in 0..2 {
            for (slice, entries) in slices.iter().enumerate() {
                ledger.store_ranking(&room, ranking, slice as u32, entries).await.unwrap();
            }
        }
    }
    for _ in 0..2 {
        ledger.drop_rankings(&room, 0..1_700_000_000_001).await.unwrap();
    }
    for slice in 0..3 {
        assert_eq!(ledger.ranking(&room, 1_700_000_000_000, slice).await.unwrap(), []);
        let kept = ledger.ranking(&room, 1_700_000_000_001, slice).await.unwrap();
        assert_eq!(kept, slices.get(slice as usize).cloned().unwrap_or_default());
    }
}
