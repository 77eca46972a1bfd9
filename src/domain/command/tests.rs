use proptest::prelude::*;

use super::*;
use crate::domain::gate::{Gate, sum};
use crate::domain::ids::{RoomCode, RoomId};
use crate::domain::room::{RoomPhase, Screen};
use crate::domain::setup::{Plan, RoundPlan};
use crate::domain::text::Title;
use crate::domain::visibility::{self, Audience, Blackout};

/// A room with one gate, on which commands are executed as `ledger::execute` does it.
#[derive(Debug, Clone)]
struct Show {
    room: Room,
    gate: Gate,
    now: LedgerMs,
}

impl Show {
    fn new(splits: &[Split]) -> Self {
        let round = |split: &Split| {
            let choices = [("Red".to_owned(), None), ("Blue".to_owned(), None)];
            RoundPlan::new("A round", &choices, None, *split, 10).unwrap()
        };
        let plan = Plan::new(Title::parse("An evening").unwrap(), splits.iter().map(round).collect());
        let room = plan.into_room(RoomId::from_entropy([1; 16]), RoomCode::from_entropy([1; 6]), 1_000).unwrap();
        Self { room, gate: Gate::default(), now: 1_000 }
    }

    fn closes_at(&self) -> Option<LedgerMs> {
        self.room.running.as_ref().and(self.gate.deadline)
    }

    fn store(&mut self, room: Room) {
        // as a ledger does it
        let seq = self.now.max(self.room.seq + 1);
        self.room = Room { seq, ..room };
        if let Some(desired) = self.room.desired_gate() {
            self.gate.follow(&desired, self.now);
        }
        // every room that commands produce passes the checks of reading and importing
        assert_eq!(self.room.validate(), Ok(()), "{:?}", self.room);
        assert_eq!(self.gate.fits(&self.room), Ok(()), "{:?} {:?}", self.gate, self.room);
    }

    /// Executes a command; `true` if anything had to be done.
    fn execute(&mut self, command: &Command) -> Result<bool, Refused> {
        let ranking = FrozenRanking { ranking: 7, of: 3, places: vec![1, 2] };
        let mut changed = false;
        loop {
            let at = Moment { now: self.now, closes_at: self.closes_at(), ranking: Some(&ranking) };
            match self.room.apply(command, at)? {
                Step::Unchanged => return Ok(changed),
                Step::Store(room) => {
                    self.store(*room);
                    return Ok(true);
                }
                Step::CloseFirst(by) => {
                    self.store(self.room.begin_close(by));
                    self.store(self.room.finish_close(&sum([&self.gate]), self.now));
                    changed = true;
                }
                Step::RankFirst => unreachable!("a ranking was given"),
            }
        }
    }

    fn must(&mut self, command: Command) {
        self.execute(&command).unwrap_or_else(|refused| panic!("{command:?}: {refused}"));
    }

    fn refused(&mut self, command: Command) -> Refused {
        self.execute(&command).expect_err("must not fit")
    }

    fn vote(&mut self, letters: &str) {
        self.gate.count(letters, true, self.now);
    }
}

fn open(round: u16) -> Command {
    Command::Open { round, take: None, seconds: None }
}

fn timed(round: u16, seconds: u32) -> Command {
    Command::Open { round, take: None, seconds: Some(seconds) }
}

fn close(round: u16) -> Command {
    Command::Close { round, take: None }
}

fn take(round: u16, take: u16) -> Command {
    Command::Take { round, take }
}

fn reveal(place: Option<u32>) -> Command {
    Command::Reveal { place, top: None, auto_ms: None }
}

#[test]
fn an_evening_goes_from_lobby_to_finished() {
    let mut show = Show::new(&[Split::Live]);
    assert_eq!(show.room.phase(), RoomPhase::Lobby);
    show.must(open(1));
    assert_eq!(show.room.phase(), RoomPhase::Voting);
    show.vote("aab");
    show.must(close(1));
    assert_eq!(show.room.phase(), RoomPhase::Between);
    assert_eq!(show.room.round(1).unwrap().counted().unwrap().winner(), Some(0));
    show.must(reveal(Some(51)));
    assert_eq!(show.room.phase(), RoomPhase::Reveal);
    show.must(reveal(Some(1)));
    assert_eq!(show.room.phase(), RoomPhase::Finished);
    show.must(reveal(None));
    assert_eq!(show.room.phase(), RoomPhase::Between);
}

#[test]
fn one_round_is_open_at_a_time() {
    let mut show = Show::new(&[Split::Live, Split::Live]);
    show.must(open(1));
    assert_eq!(show.refused(open(2)), Refused::AnotherRoundOpen);
    assert_eq!(show.refused(take(2, 1)), Refused::AnotherRoundOpen);
    assert_eq!(show.refused(Command::Show { round: 2 }), Refused::AnotherRoundOpen);
    assert_eq!(show.refused(Command::Decide { round: 2, outcome: Some(Decision::Draw) }), Refused::AnotherRoundOpen);
    assert_eq!(show.refused(close(2)), Refused::NotOpen);
    assert_eq!(show.refused(Command::Deadline { round: 2, closes_at: None }), Refused::NotOpen);
    assert_eq!(show.refused(reveal(Some(51))), Refused::RoundOpen);
    assert_eq!(show.refused(open(3)), Refused::NoSuchRound(3));
    assert_eq!(show.refused(open(0)), Refused::NoSuchRound(0));
}

#[test]
fn a_closed_round_is_not_opened_again_but_voided() {
    let mut show = Show::new(&[Split::Live]);
    show.must(open(1));
    show.vote("bb");
    show.must(close(1));
    assert_eq!(show.refused(open(1)), Refused::AlreadyClosed);
    show.must(take(1, 2));
    assert!(show.room.round(1).unwrap().counted().is_none());
    assert_eq!(show.refused(Command::Open { round: 1, take: Some(1), seconds: None }), Refused::OtherTake);
    show.must(Command::Open { round: 1, take: Some(2), seconds: None });
    assert_eq!(show.gate.tally.total(), 0);
    show.must(close(1));
    show.must(take(1, 1));
    assert_eq!(show.room.round(1).unwrap().counted().unwrap().tally.votes, [0, 2]);
    assert!(matches!(show.refused(take(1, 4)), Refused::Invalid(_)));
}

#[test]
fn voiding_an_open_round_closes_it_with_a_record_first() {
    let mut show = Show::new(&[Split::Live]);
    show.must(open(1));
    show.vote("a");
    show.must(take(1, 2));
    let round = show.room.round(1).unwrap();
    assert_eq!((round.take, round.takes.len(), round.takes[0].tally.total()), (2, 1, 1));
    assert!(show.room.running.is_none());
}

#[test]
fn an_impossible_take_closes_nothing() {
    let mut show = Show::new(&[Split::Live]);
    show.must(open(1));
    for number in [0, 3, 9] {
        assert!(matches!(show.refused(take(1, number)), Refused::Invalid(_)), "{number}");
    }
    assert!(show.room.running.is_some());
}

#[test]
fn a_timed_round_is_closed_at_its_deadline_however_late_that_is_found() {
    let mut show = Show::new(&[Split::Live, Split::Live]);
    show.must(timed(1, 30));
    show.now += 3_600_000;
    assert_eq!(show.refused(Command::Deadline { round: 1, closes_at: None }), Refused::NotOpen);
    let record = show.room.round(1).unwrap().counted().unwrap().clone();
    assert_eq!((record.by, record.closed_at, record.outage_ms), (ClosedBy::Deadline, 31_000, 3_570_000));
}

#[test]
fn a_close_that_was_begun_is_finished_before_anything_else() {
    let mut show = Show::new(&[Split::Live, Split::Live]);
    show.must(open(1));
    show.store(show.room.begin_close(ClosedBy::Emcee));
    show.must(open(2));
    assert_eq!(show.room.round(1).unwrap().takes.len(), 1);
}

#[test]
fn a_blackout_lasts_until_the_close() {
    let mut show = Show::new(&[Split::Live]);
    let sees = |show: &Show| {
        let mut fresh = Blackout::default();
        fresh.update(&show.room, show.closes_at(), show.now);
        visibility::sees_split(&show.room, 1, fresh, Audience::Public)
    };
    show.must(timed(1, 30));
    show.now += 19_999;
    assert!(sees(&show));
    show.now += 1;
    assert!(!sees(&show));
    show.must(Command::Deadline { round: 1, closes_at: Some(show.now + 600_000) });
    assert!(!sees(&show));
    show.must(Command::Deadline { round: 1, closes_at: None });
    assert!(!sees(&show));
    show.must(close(1));
    assert!(sees(&show));
}

#[test]
fn a_hidden_split_is_shown_at_the_close_and_a_held_one_by_the_emcee() {
    let mut show = Show::new(&[Split::Hidden, Split::Held]);
    let sees = |show: &Show, round, audience| visibility::sees_split(&show.room, round, Blackout::default(), audience);
    show.must(open(1));
    assert!(!sees(&show, 1, Audience::Public) && sees(&show, 1, Audience::Emcee));
    show.must(close(1));
    assert!(sees(&show, 1, Audience::Public));
    show.must(open(2));
    assert_eq!(show.refused(Command::Show { round: 2 }), Refused::NotClosed);
    show.must(close(2));
    assert!(!sees(&show, 2, Audience::Public) && sees(&show, 2, Audience::Emcee));
    assert!(!visibility::sees_result(&show.room, 2, Audience::Public));
    assert_eq!(show.refused(reveal(Some(51))), Refused::NotShown);
    show.must(Command::Show { round: 2 });
    assert!(sees(&show, 2, Audience::Public));
    show.must(reveal(Some(51)));
}

#[test]
fn results_cannot_change_while_a_ranking_is_shown() {
    let mut show = Show::new(&[Split::Live, Split::Live]);
    assert_eq!(show.refused(reveal(Some(51))), Refused::NothingClosed);
    show.must(open(1));
    show.must(close(1));
    show.must(reveal(Some(51)));
    for command in [open(2), take(1, 2), Command::Decide { round: 1, outcome: Some(Decision::Winner(1)) }] {
        assert_eq!(show.refused(command), Refused::RankingShown);
    }
    show.must(close(1));
    show.must(reveal(None));
    show.must(open(2));
}

#[test]
fn the_emcee_can_decide_against_the_votes_and_take_that_back() {
    let mut show = Show::new(&[Split::Live]);
    show.must(open(1));
    show.vote("aab");
    show.must(close(1));
    let winner = |show: &Show| show.room.round(1).unwrap().counted().unwrap().winner();
    show.must(Command::Decide { round: 1, outcome: Some(Decision::Winner(1)) });
    assert_eq!(winner(&show), Some(1));
    show.must(Command::Decide { round: 1, outcome: Some(Decision::Draw) });
    assert_eq!(winner(&show), None);
    show.must(Command::Decide { round: 1, outcome: None });
    assert_eq!(winner(&show), Some(0));
    let beyond = Command::Decide { round: 1, outcome: Some(Decision::Winner(2)) };
    assert!(matches!(show.refused(beyond), Refused::Invalid(_)));
}

#[test]
fn an_automatic_reveal_shows_group_after_group() {
    let mut show = Show::new(&[Split::Live]);
    show.must(open(1));
    show.must(close(1));
    show.must(Command::Reveal { place: Some(51), top: Some(50), auto_ms: Some(1_000) });
    let (due, step) = show.room.next_auto_step().unwrap();
    assert_eq!(due, show.now + 1_000);
    show.now = due;
    show.must(step);
    assert_eq!(show.room.reveal.as_ref().unwrap().place, 2);
    let (due, step) = show.room.next_auto_step().unwrap();
    assert_eq!(show.execute(&step), Ok(false), "it is not due yet");
    show.now = due;
    show.must(step);
    assert!(show.room.reveal.as_ref().unwrap().is_done());
    assert_eq!(show.room.next_auto_step(), None);
}

#[test]
fn an_automatic_step_does_nothing_after_a_command_of_the_emcee() {
    let automatic = |place| Command::Reveal { place: Some(place), top: Some(50), auto_ms: Some(1_000) };
    let stopped = Command::Reveal { place: Some(51), top: Some(50), auto_ms: None };
    for faster in [stopped, reveal(None), automatic(2), automatic(1)] {
        let mut show = Show::new(&[Split::Live]);
        show.must(open(1));
        show.must(close(1));
        show.must(automatic(51));
        let (due, step) = show.room.next_auto_step().unwrap();
        show.now = due;
        show.must(faster.clone());
        let left = show.room.reveal.clone();
        assert_eq!(show.execute(&step), Ok(false), "after {faster:?}");
        assert_eq!(show.room.reveal, left, "after {faster:?}");
    }
}

#[test]
fn an_edit_cannot_change_what_votes_were_cast_on() {
    let mut show = Show::new(&[Split::Live, Split::Live]);
    let plan = |labels: &[&str], seconds, split| {
        let choices: Vec<_> = labels.iter().map(|label| ((*label).to_owned(), None)).collect();
        RoundPlan::new("New", &choices, seconds, split, 10).unwrap()
    };
    let edit = |rounds| Command::Edit(Edit { rounds: Some(rounds), ..Edit::default() });
    show.must(open(1));
    show.must(close(1));
    show.must(edit(vec![plan(&["X", "Y"], None, Split::Live), plan(&["A", "B", "C"], Some(60), Split::Held)]));
    assert_eq!(show.room.rounds[0].takes.len(), 1);
    for (rounds, field) in [
        (vec![], "rounds"),
        (vec![plan(&["X", "Y", "Z"], None, Split::Live)], "rounds[0].choices"),
        (vec![plan(&["X", "Y"], Some(60), Split::Live)], "rounds[0].seconds"),
        (vec![plan(&["X", "Y"], None, Split::Hidden)], "rounds[0].split"),
    ] {
        let refused = show.refused(edit(rounds));
        let named = matches!(&refused, Refused::NotChangeable(f) if f == field)
            || matches!(&refused, Refused::Invalid(invalid) if invalid.field == field);
        assert!(named, "{field}: {refused:?}");
    }
    let votes = Command::Edit(Edit { votes_per_round: Some(5), ..Edit::default() });
    assert_eq!(show.refused(votes), Refused::NotChangeable("votes_per_round".into()));
}

fn any_command() -> impl Strategy<Value = Command> {
    let round = 1u16..4;
    prop_oneof![
        4 => (round.clone(), prop::option::of(1u16..4), prop::option::of(5u32..20))
            .prop_map(|(round, take, seconds)| Command::Open { round, take, seconds }),
        3 => (round.clone(), prop::option::of(1u16..4)).prop_map(|(round, take)| Command::Close { round, take }),
        2 => (round.clone(), 1u16..5).prop_map(|(round, take)| Command::Take { round, take }),
        1 => (round.clone(), prop::option::of(1_000u64..60_000))
            .prop_map(|(round, closes_at)| Command::Deadline { round, closes_at }),
        1 => round.clone().prop_map(|round| Command::Show { round }),
        1 => (round, prop::option::of(0u8..3))
            .prop_map(|(round, w)| Command::Decide { round, outcome: w.map(Decision::Winner) }),
        1 => prop::option::of(1u32..52).prop_map(reveal),
        1 => any::<bool>().prop_map(|on| {
            Command::Stage(Stage { screen: Screen::Auto, join_code: on, ..Stage::default() })
        }),
    ]
}

proptest! {
    /// For all commands in all orders: a repeat at the same moment changes nothing, at most one round is open, the
    /// counts of closed takes never change, and no ranking is shown while a round is open.
    #[test]
    fn every_command_is_absolute(commands in prop::collection::vec((any_command(), 0u64..8_000, "[ab]{0,3}"), 1..40)) {
        let mut show = Show::new(&[Split::Live, Split::Hidden, Split::Held]);
        for (command, pause, votes) in commands {
            show.now += pause;
            if matches!(show.gate.check(show.gate.round, show.gate.take, show.now), crate::domain::ballot::GateCheck::Open { .. }) {
                show.vote(&votes);
            }
            let before = show.clone();
            if show.execute(&command).is_ok() {
                let mut again = show.clone();
                // a deadline in the past means now, so its repeat may close the round
                let closes_now = matches!(&command, Command::Deadline { closes_at: Some(at), .. } if *at <= show.now);
                if !closes_now {
                    prop_assert_eq!(again.execute(&command), Ok(false), "{:?}", command);
                    prop_assert_eq!(&again.room, &show.room);
                }
            }
            prop_assert!(show.room.reveal.is_none() || show.room.running.is_none());
            for (old, new) in before.room.rounds.iter().zip(&show.room.rounds) {
                for take in &old.takes {
                    let kept = new.takes.iter().find(|t| t.take == take.take).expect("closed takes stay in the record");
                    prop_assert_eq!((&kept.tally, kept.closed_at, kept.by), (&take.tally, take.closed_at, take.by));
                }
                prop_assert!(new.takes.windows(2).all(|pair| pair[0].take < pair[1].take));
            }
        }
    }
}
