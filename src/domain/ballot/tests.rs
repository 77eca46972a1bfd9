use proptest::prelude::*;

use super::*;
use crate::domain::MAX_NUMBER;

const OPEN: GateCheck = GateCheck::Open { choices: 2, votes_per_round: 10 };

fn cast(slip: u32, votes: &str) -> Cast {
    Cast::parse(slip, votes.to_owned()).unwrap()
}

fn judged(ballot: &str, slip: u32, votes: &str, gate_check: GateCheck) -> (String, Option<Refusal>) {
    let cast = cast(slip, votes);
    let judgement = judge(ballot, &cast, gate_check);
    (judgement.append.to_owned(), judgement.refused)
}

#[test]
fn a_repeated_cast_is_accepted_even_after_the_close() {
    for gate_check in [OPEN, GateCheck::Closed, GateCheck::OtherTake] {
        assert_eq!(judged("aab", 1, "aab", gate_check), (String::new(), None));
        assert_eq!(judged("aab", 2, "a", gate_check), (String::new(), None));
    }
}

#[test]
fn overlapping_slips_must_agree_and_the_rest_is_appended() {
    assert_eq!(judged("aa", 2, "abb", OPEN), ("bb".into(), None));
    assert_eq!(judged("aa", 2, "bbb", OPEN), (String::new(), Some(Refusal::Conflict)));
    assert_eq!(judged("ab", 1, "aa", OPEN), (String::new(), Some(Refusal::Conflict)));
}

#[test]
fn a_closed_round_comes_before_every_other_refusal() {
    assert_eq!(judged("ab", 1, "aa", GateCheck::Closed).1, Some(Refusal::Closed));
    assert_eq!(judged("", 9, "z", GateCheck::Closed).1, Some(Refusal::Closed));
    assert_eq!(judged("", 9, "z", GateCheck::OtherTake).1, Some(Refusal::StaleTake));
}

#[test]
fn an_unknown_choice_is_refused_before_a_gap() {
    assert_eq!(judged("", 5, "c", OPEN), (String::new(), Some(Refusal::BadChoice)));
    assert_eq!(judged("", 1, "ac", OPEN), (String::new(), Some(Refusal::BadChoice)));
}

#[test]
fn a_cast_beyond_the_next_slip_is_a_gap() {
    assert_eq!(judged("a", 3, "a", OPEN), (String::new(), Some(Refusal::Gap)));
    assert_eq!(judged("", u32::MAX, "a", OPEN), (String::new(), Some(Refusal::Gap)));
}

#[test]
fn a_cast_over_the_budget_is_out_of_votes_and_the_part_that_fits_is_appended() {
    assert_eq!(judged("aaaaaaaa", 9, "bbb", OPEN), ("bb".into(), Some(Refusal::OutOfVotes)));
    assert_eq!(judged("aaaaaaaaaa", 11, "b", OPEN), (String::new(), Some(Refusal::OutOfVotes)));
}

#[test]
fn a_malformed_cast_is_refused() {
    for (slip, votes) in [(0, "a"), (1, ""), (1, "A"), (1, "a1"), (1, "ä"), (1, " ")] {
        assert!(Cast::parse(slip, votes.into()).is_err(), "{slip} {votes:?}");
    }
    assert!(Cast::parse(1, "a".repeat(101)).is_err());
}

#[test]
fn the_stored_form_keeps_letters_and_time() {
    for (votes, time_ms) in [("", 0), ("aab", 1732), ("h", MAX_NUMBER)] {
        let ballot = Ballot { votes: votes.into(), time_ms };
        assert_eq!(Ballot::decode(&ballot.encode()), Some(ballot));
    }
    for text in ["", "aab", "1a2", "z1", "a-1", "a18446744073709551615"] {
        assert_eq!(Ballot::decode(text), None, "{text}");
    }
}

proptest! {
    /// For any casts in any order with any repeats: the ballot only grows, never over the budget, and each cast that
    /// was accepted whole is a repeat from then on.
    #[test]
    fn a_ballot_only_grows_and_accepted_casts_are_repeats(
        casts in prop::collection::vec((1u32..13, "[a-c]{1,4}"), 1..60),
        budget in 1u16..=10,
    ) {
        let gate_check = GateCheck::Open { choices: 2, votes_per_round: budget };
        let mut ballot = String::new();
        let mut accepted: Vec<Cast> = vec![];
        for (slip, votes) in casts {
            let cast = cast(slip, &votes);
            let judgement = judge(&ballot, &cast, gate_check);
            let before = ballot.clone();
            ballot.push_str(judgement.append);
            prop_assert!(ballot.starts_with(&before));
            prop_assert!(ballot.len() <= usize::from(budget));
            match judgement.refused {
                None => accepted.push(cast),
                Some(Refusal::OutOfVotes) => prop_assert_eq!(ballot.len(), usize::from(budget)),
                Some(_) => prop_assert_eq!(judgement.append, ""),
            }
            for earlier in &accepted {
                for gate_check in [gate_check, GateCheck::Closed, GateCheck::OtherTake] {
                    prop_assert_eq!(judge(&ballot, earlier, gate_check), Judgement { append: "", refused: None });
                }
            }
        }
    }
}
