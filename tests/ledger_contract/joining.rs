//! Who gets in, and under which name.

use futures_util::future::join_all;
use tallycast::domain::ids::RoomId;
use tallycast::domain::room::JoinMode;
use tallycast::ledger::{JoinOutcome, JoinRequest, SharedLedger, Voter};

use crate::ledgers::{RoomFixture, card, invite, name, names, newcomer};

contract! { tick_ms = 0;
    an_open_room_admits_everybody,
    a_closed_room_admits_no_new_voter,
    a_card_finds_its_voter_again,
    a_token_finds_its_voter_again,
    many_equal_joins_at_once_make_one_voter,
    a_name_belongs_to_one_voter_without_regard_to_case,
    a_taken_name_comes_with_the_first_free_suggestion,
    one_name_requested_by_many_at_once_is_given_once,
    a_new_voter_needs_a_name,
    an_invite_admits_one_voter,
    an_invite_gives_its_name_and_finds_its_voter_again,
    an_unknown_invite_is_refused,
    a_name_reserved_by_an_invite_is_for_its_holder,
    a_name_that_was_invited_before_keeps_its_invite,
    a_removed_voter_is_refused_by_token_card_and_invite,
    rooms_do_not_share_voters,
    a_lost_voter_with_a_token_joins_again_under_the_same_id,
}

async fn room(ledger: &SharedLedger) -> RoomId {
    RoomFixture::new(ledger, 1).await.room.id
}

fn voter_of(request: &JoinRequest) -> Voter {
    let name = request.name.clone().unwrap();
    Voter { voter: request.voter.clone(), name, card: request.card.clone(), removed: false }
}

async fn joined(ledger: &SharedLedger, room: &RoomId, called: &str) -> (JoinRequest, Voter) {
    let request = newcomer(called);
    let JoinOutcome::Done(voter) = ledger.join(room, &request).await.unwrap() else { panic!("{called} joins") };
    (request, voter)
}

async fn an_open_room_admits_everybody(ledger: SharedLedger) {
    let room = room(&ledger).await;
    let request = newcomer("Anna");
    assert_eq!(ledger.join(&room, &request).await.unwrap(), JoinOutcome::Done(voter_of(&request)));
    assert_eq!(ledger.voter(&room, &request.voter).await.unwrap(), Some(voter_of(&request)));
    assert_eq!(ledger.voter(&room, &newcomer("x").voter).await.unwrap(), None);
}

async fn a_closed_room_admits_no_new_voter(ledger: SharedLedger) {
    let room = room(&ledger).await;
    let code = invite();
    ledger.invite(&room, &[(name("Bela"), code.clone())]).await.unwrap();
    let closed = JoinRequest { mode: JoinMode::Closed, ..newcomer("Anna") };
    assert_eq!(ledger.join(&room, &closed).await.unwrap(), JoinOutcome::Closed);
    let invited = JoinRequest { invite: Some(code), ..closed };
    assert_eq!(ledger.join(&room, &invited).await.unwrap(), JoinOutcome::Closed);
}

async fn a_card_finds_its_voter_again(ledger: SharedLedger) {
    let room = room(&ledger).await;
    let (anna, voter) = joined(&ledger, &room, "Anna").await;
    for mode in [JoinMode::Open, JoinMode::Invite, JoinMode::Closed] {
        let again = JoinRequest { card: anna.card.clone(), name: None, mode, ..newcomer("x") };
        assert_eq!(ledger.join(&room, &again).await.unwrap(), JoinOutcome::Known(voter.clone()));
    }
    let renamed = JoinRequest { card: anna.card.clone(), ..newcomer("Somebody else") };
    assert_eq!(ledger.join(&room, &renamed).await.unwrap(), JoinOutcome::Known(voter));
    assert_eq!(ledger.gate_snapshot(&room, 1).await.unwrap().unwrap().voters, 1);
}

async fn a_token_finds_its_voter_again(ledger: SharedLedger) {
    let room = room(&ledger).await;
    let (anna, voter) = joined(&ledger, &room, "Anna").await;
    let (bela, other) = joined(&ledger, &room, "Bela").await;
    let mode = JoinMode::Closed;
    let again = JoinRequest { voter: anna.voter.clone(), has_token: true, mode, ..newcomer("x") };
    assert_eq!(ledger.join(&room, &again).await.unwrap(), JoinOutcome::Known(voter));
    let without = JoinRequest { card: bela.card, has_token: false, ..again };
    assert_eq!(ledger.join(&room, &without).await.unwrap(), JoinOutcome::Known(other), "an id alone proves nothing");
}

async fn many_equal_joins_at_once_make_one_voter(ledger: SharedLedger) {
    let room = room(&ledger).await;
    // the same card, and each time another id, as pods make them for a phone that tries again
    let anna = newcomer("Anna");
    let requests: Vec<_> = (0..50).map(|_| JoinRequest { voter: newcomer("x").voter, ..anna.clone() }).collect();
    let outcomes = join_all(requests.iter().map(|request| ledger.join(&room, request))).await;
    let mut new = vec![];
    let mut known = vec![];
    for outcome in outcomes {
        match outcome.unwrap() {
            JoinOutcome::Done(voter) => new.push(voter),
            JoinOutcome::Known(voter) => known.push(voter),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(new.len(), 1);
    assert!(known.iter().all(|voter| *voter == new[0]));
    assert_eq!(ledger.gate_snapshot(&room, 1).await.unwrap().unwrap().voters, 1);
}

async fn a_name_belongs_to_one_voter_without_regard_to_case(ledger: SharedLedger) {
    let room = room(&ledger).await;
    joined(&ledger, &room, "Straße").await;
    for taken in ["Straße", "STRASSE", "strasse"] {
        assert_eq!(ledger.join(&room, &newcomer(taken)).await.unwrap(), JoinOutcome::NameTaken(None));
    }
    joined(&ledger, &room, "Strase").await;
}

async fn a_taken_name_comes_with_the_first_free_suggestion(ledger: SharedLedger) {
    let room = room(&ledger).await;
    joined(&ledger, &room, "Anna").await;
    joined(&ledger, &room, "ANNA 2").await;
    let request = JoinRequest { suggestions: names(&["Anna 2", "Anna 3", "Anna 4"]), ..newcomer("anna") };
    assert_eq!(ledger.join(&room, &request).await.unwrap(), JoinOutcome::NameTaken(Some(name("Anna 3"))));
    // nothing was reserved by that
    joined(&ledger, &room, "Anna 3").await;
    assert_eq!(ledger.join(&room, &request).await.unwrap(), JoinOutcome::NameTaken(Some(name("Anna 4"))));
    let request = JoinRequest { suggestions: names(&["Anna 2"]), ..request };
    assert_eq!(ledger.join(&room, &request).await.unwrap(), JoinOutcome::NameTaken(None));
}

async fn one_name_requested_by_many_at_once_is_given_once(ledger: SharedLedger) {
    let room = room(&ledger).await;
    let requests: Vec<_> = (0..50).map(|_| newcomer("Anna")).collect();
    let outcomes = join_all(requests.iter().map(|request| ledger.join(&room, request))).await;
    let given = outcomes.into_iter().filter(|outcome| matches!(outcome, Ok(JoinOutcome::Done(_))));
    assert_eq!(given.count(), 1);
}

async fn a_new_voter_needs_a_name(ledger: SharedLedger) {
    let room = room(&ledger).await;
    let nameless = JoinRequest { name: None, ..newcomer("x") };
    assert_eq!(ledger.join(&room, &nameless).await.unwrap(), JoinOutcome::NameMissing);
}

async fn an_invite_admits_one_voter(ledger: SharedLedger) {
    let room = room(&ledger).await;
    let code = invite();
    ledger.invite(&room, &[(name("Anna"), code.clone())]).await.unwrap();
    let without = JoinRequest { mode: JoinMode::Invite, ..newcomer("Bela") };
    assert_eq!(ledger.join(&room, &without).await.unwrap(), JoinOutcome::InviteNeeded);
    let with = JoinRequest { invite: Some(code.clone()), mode: JoinMode::Invite, ..newcomer("Anna") };
    assert_eq!(ledger.join(&room, &with).await.unwrap(), JoinOutcome::Done(voter_of(&with)));
    let second = JoinRequest { invite: Some(code), mode: JoinMode::Invite, ..newcomer("Cleo") };
    assert_eq!(ledger.join(&room, &second).await.unwrap(), JoinOutcome::Known(voter_of(&with)));
}

async fn an_invite_gives_its_name_and_finds_its_voter_again(ledger: SharedLedger) {
    let room = room(&ledger).await;
    let code = invite();
    ledger.invite(&room, &[(name("Anna"), code.clone())]).await.unwrap();
    let invited = JoinRequest { invite: Some(code.clone()), name: None, mode: JoinMode::Invite, ..newcomer("x") };
    let JoinOutcome::Done(voter) = ledger.join(&room, &invited).await.unwrap() else { panic!("invited") };
    assert_eq!((voter.name.as_str(), &voter.voter), ("Anna", &invited.voter));
    let elsewhere = JoinRequest { card: card(), voter: newcomer("x").voter, mode: JoinMode::Closed, ..invited };
    assert_eq!(ledger.join(&room, &elsewhere).await.unwrap(), JoinOutcome::Known(voter));
}

async fn an_unknown_invite_is_refused(ledger: SharedLedger) {
    let room = room(&ledger).await;
    for mode in [JoinMode::Open, JoinMode::Invite, JoinMode::Closed] {
        let request = JoinRequest { invite: Some(invite()), mode, ..newcomer("Anna") };
        assert_eq!(ledger.join(&room, &request).await.unwrap(), JoinOutcome::BadInvite);
    }
}

async fn a_name_reserved_by_an_invite_is_for_its_holder(ledger: SharedLedger) {
    let room = room(&ledger).await;
    let code = invite();
    ledger.invite(&room, &[(name("Anna"), code.clone())]).await.unwrap();
    let other = JoinRequest { suggestions: names(&["ANNA", "Anna 2"]), ..newcomer("anna") };
    assert_eq!(ledger.join(&room, &other).await.unwrap(), JoinOutcome::NameTaken(Some(name("Anna 2"))));
    let holder = JoinRequest { invite: Some(code), ..newcomer("Anna") };
    assert_eq!(ledger.join(&room, &holder).await.unwrap(), JoinOutcome::Done(voter_of(&holder)));
}

async fn a_name_that_was_invited_before_keeps_its_invite(ledger: SharedLedger) {
    let room = room(&ledger).await;
    let (first, second, third) = (invite(), invite(), invite());
    let people = [(name("Anna"), first.clone()), (name("Bela"), second.clone()), (name("ANNA"), invite())];
    let given = ledger.invite(&room, &people).await.unwrap();
    assert_eq!(given, [first.clone(), second.clone(), first.clone()]);
    let people = [(name("Cleo"), third.clone()), (name("bela"), invite()), (name("Anna"), first.clone())];
    assert_eq!(ledger.invite(&room, &people).await.unwrap(), [third, second, first]);
    assert_eq!(ledger.invite(&room, &[]).await.unwrap(), []);
    let many: Vec<_> = (0..2_500).map(|number| (name(&format!("HandshakeContext {number}")), invite())).collect();
    let given = ledger.invite(&room, &many).await.unwrap();
    assert!(given.iter().eq(many.iter().map(|(_, invite)| invite)));
}

async fn a_removed_voter_is_refused_by_token_card_and_invite(ledger: SharedLedger) {
    let room = room(&ledger).await;
    let code = invite();
    ledger.invite(&room, &[(name("Anna"), code.clone())]).await.unwrap();
    let anna = JoinRequest { invite: Some(code.clone()), ..newcomer("Anna") };
    assert!(matches!(ledger.join(&room, &anna).await.unwrap(), JoinOutcome::Done(_)));
    ledger.set_removed(&room, 1, &anna.voter, true).await.unwrap();
    let ways = [
        JoinRequest { card: anna.card.clone(), ..newcomer("x") },
        JoinRequest { voter: anna.voter.clone(), has_token: true, ..newcomer("x") },
        JoinRequest { invite: Some(code), ..newcomer("x") },
    ];
    for way in &ways {
        assert_eq!(ledger.join(&room, way).await.unwrap(), JoinOutcome::Removed);
    }
    assert_eq!(ledger.join(&room, &newcomer("anna")).await.unwrap(), JoinOutcome::NameTaken(None));
    ledger.set_removed(&room, 1, &anna.voter, false).await.unwrap();
    for way in &ways {
        assert_eq!(ledger.join(&room, way).await.unwrap(), JoinOutcome::Known(voter_of(&anna)));
    }
}

async fn rooms_do_not_share_voters(ledger: SharedLedger) {
    let (one, two) = (room(&ledger).await, room(&ledger).await);
    let anna = newcomer("Anna");
    for room in [&one, &two] {
        assert_eq!(ledger.join(room, &anna).await.unwrap(), JoinOutcome::Done(voter_of(&anna)));
    }
    ledger.set_removed(&one, 1, &anna.voter, true).await.unwrap();
    assert_eq!(ledger.voter(&two, &anna.voter).await.unwrap(), Some(voter_of(&anna)));
}

async fn a_lost_voter_with_a_token_joins_again_under_the_same_id(ledger: SharedLedger) {
    let room = room(&ledger).await;
    let request = JoinRequest { has_token: true, mode: JoinMode::Closed, ..newcomer("Anna") };
    assert_eq!(ledger.join(&room, &request).await.unwrap(), JoinOutcome::Done(voter_of(&request)));
}
