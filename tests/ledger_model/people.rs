//! Joins, cards, invites, names, removals.

use std::marker::PhantomData;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};
use tallycast::domain::ids::{Card, Invite};
use tallycast::domain::room::JoinMode;
use tallycast::ledger::{JoinOutcome, JoinRequest, LedgerError, RenameRequest, ResumeRequest, Voter, VotersQuery};

use crate::ledgers::{RoomFixture, TestLedger, name, names, voter};
use crate::{Kind, wait};

/// Names that meet without regard to case, and names that are made from them.
const NAMES: [&str; 7] = ["Anna", "ANNA", "anna 2", "Bela", "Straße", "STRASSE", "Cleo"];
/// More ids than a test can use up.
const VOTERS: usize = 200;
const CARDS: usize = 5;
const INVITES: usize = 4;

#[derive(Debug, Clone)]
pub enum Command {
    Join {
        voter: usize,
        has_token: bool,
        name: Option<&'static str>,
        card: usize,
        invite: Option<usize>,
        mode: JoinMode,
        suggestions: Vec<&'static str>,
    },
    Greet {
        voter: usize,
        name: &'static str,
    },
    Rename {
        voter: usize,
        name: &'static str,
        suggestions: Vec<&'static str>,
    },
    Remove {
        voter: usize,
        removed: bool,
    },
    Invite {
        people: Vec<(&'static str, usize)>,
    },
    Look {
        text: &'static str,
        limit: usize,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub struct Person {
    voter: usize,
    name: String,
    card: usize,
    removed: bool,
}

#[derive(Debug, Clone)]
struct Invited {
    name: &'static str,
    invite: usize,
    used_by: Option<usize>,
}

#[derive(Debug, Clone, PartialEq)]
enum Told {
    Done(Person),
    Known(Person),
    Removed,
    NameTaken(Option<&'static str>),
    NameMissing,
    InviteNeeded,
    BadInvite,
    Closed,
    NoSuchVoter,
    /// The caller broke the contract.
    Misused,
    Invites(Vec<usize>),
    Voter(Option<Person>),
    Found(Vec<Person>),
}

/// The reference: everybody who was ever written or invited.
#[derive(Debug, Clone, Default)]
pub struct Reference {
    people: Vec<Person>,
    invited: Vec<Invited>,
    /// Ids that were used so far: a voter without a token gets a new one.
    ids: usize,
    told: Option<Told>,
}

/// Names are the same if they look the same in capitals.
fn same(a: &str, b: &str) -> bool {
    a.to_uppercase() == b.to_uppercase()
}

impl Reference {
    fn person(&self, voter: usize) -> Option<&Person> {
        self.people.iter().find(|person| person.voter == voter)
    }

    fn person_mut(&mut self, voter: usize) -> Option<&mut Person> {
        self.people.iter_mut().find(|person| person.voter == voter)
    }

    /// Others neither have the name nor were invited under it.
    fn is_free(&self, name: &str, voter: usize, hand: Option<usize>) -> bool {
        let held = self.people.iter().any(|person| person.voter != voter && same(&person.name, name));
        let reserved = self
            .invited
            .iter()
            .any(|invited| same(invited.name, name) && invited.used_by != Some(voter) && Some(invited.invite) != hand);
        !held && !reserved
    }

    fn taken(&self, suggestions: &[&'static str], voter: usize, hand: Option<usize>) -> Told {
        Told::NameTaken(suggestions.iter().copied().find(|name| self.is_free(name, voter, hand)))
    }

    fn join(&mut self, command: &Command) -> Told {
        let Command::Join { voter, has_token, name, card, invite, mode, suggestions } = command else { unreachable!() };
        let by_token = self.people.iter().find(|person| *has_token && person.voter == *voter);
        let by_card = self.people.iter().find(|person| person.card == *card);
        let invitation = self.invited.iter().find(|invited| Some(invited.invite) == *invite).cloned();
        let by_invite = invitation.as_ref().and_then(|invited| self.person(invited.used_by?));
        if let Some(person) = by_token.or(by_card).or(by_invite) {
            return if person.removed { Told::Removed } else { Told::Known(person.clone()) };
        }
        if invite.is_some() && invitation.is_none() {
            return Told::BadInvite;
        }
        if !has_token && *mode == JoinMode::Closed {
            return Told::Closed;
        }
        if !has_token && *mode == JoinMode::Invite && invitation.is_none() {
            return Told::InviteNeeded;
        }
        let Some(name) = name.or(invitation.map(|invited| invited.name)) else { return Told::NameMissing };
        if !self.is_free(name, *voter, *invite) {
            return self.taken(suggestions, *voter, *invite);
        }
        for invited in &mut self.invited {
            if Some(invited.invite) == *invite {
                invited.used_by = Some(*voter);
            }
        }
        self.people.push(Person { voter: *voter, name: name.into(), card: *card, removed: false });
        Told::Done(self.people.last().cloned().unwrap())
    }

    fn greet(&mut self, voter: usize, name: &str) -> Told {
        if self.person(voter).is_none() {
            let numbered = (2..).map(|number| format!("{name} {number}"));
            let name = std::iter::once(name.to_owned()).chain(numbered).find(|name| self.is_free(name, voter, None));
            // a card of its own, behind those that are joined with
            self.people.push(Person { voter, name: name.unwrap(), card: CARDS + voter, removed: false });
        }
        Told::Voter(self.person(voter).cloned())
    }

    fn rename(&mut self, voter: usize, name: &str, suggestions: &[&'static str]) -> Told {
        if self.person(voter).is_none() {
            return Told::NoSuchVoter;
        }
        if !self.is_free(name, voter, None) {
            return self.taken(suggestions, voter, None);
        }
        let person = self.person_mut(voter).unwrap();
        person.name = name.to_owned();
        Told::Done(person.clone())
    }

    fn invite(&mut self, people: &[(&'static str, usize)]) -> Told {
        let is_anothers = |(name, invite): &(&str, usize)| {
            self.invited.iter().any(|invited| invited.invite == *invite && !same(invited.name, name))
        };
        if people.iter().any(is_anothers) {
            return Told::Misused;
        }
        let given = people.iter().map(|(name, invite)| {
            if let Some(before) = self.invited.iter().find(|invited| same(invited.name, name)) {
                return before.invite;
            }
            self.invited.push(Invited { name, invite: *invite, used_by: None });
            *invite
        });
        Told::Invites(given.collect())
    }

    fn tell(&mut self, command: &Command) -> Told {
        match command {
            Command::Join { .. } => self.join(command),
            Command::Greet { voter, name } => self.greet(*voter, name),
            Command::Rename { voter, name, suggestions } => self.rename(*voter, name, suggestions),
            Command::Remove { voter, removed } => {
                let person = self.person_mut(*voter);
                Told::Voter(person.map(|person| {
                    person.removed = *removed;
                    person.clone()
                }))
            }
            Command::Invite { people } => self.invite(people),
            Command::Look { text, .. } => {
                let fits = |person: &&Person| person.name.to_uppercase().contains(&text.to_uppercase());
                let mut found: Vec<_> = self.people.iter().filter(fits).cloned().collect();
                found.sort_by_key(|person| voter(person.voter).to_string());
                Told::Found(found)
            }
        }
    }
}

fn a_name() -> impl Strategy<Value = &'static str> {
    select(NAMES.to_vec())
}

fn some_names() -> impl Strategy<Value = Vec<&'static str>> {
    vec(a_name(), 0..4)
}

fn join(ids: usize) -> impl Strategy<Value = Command> {
    let modes = prop_oneof![4 => Just(JoinMode::Open), 1 => Just(JoinMode::Invite), 1 => Just(JoinMode::Closed)];
    let named = option::weighted(0.8, a_name());
    let who = prop_oneof![4 => Just((ids, false)), 1 => (0..=ids, Just(true))];
    (who, named, 0..CARDS, option::weighted(0.3, 0..INVITES), modes, some_names()).prop_map(
        |((voter, has_token), name, card, invite, mode, suggestions)| Command::Join {
            voter,
            has_token,
            name,
            card,
            invite,
            mode,
            suggestions,
        },
    )
}

impl ReferenceStateMachine for Reference {
    type State = Self;
    type Transition = Command;

    fn init_state() -> BoxedStrategy<Self> {
        Just(Self::default()).boxed()
    }

    fn transitions(state: &Self) -> BoxedStrategy<Command> {
        let ids = state.ids;
        let people = (subsequence((0..INVITES).collect::<Vec<_>>(), 0..=3), vec(a_name(), 3));
        prop_oneof![
            6 => join(ids),
            1 => (0..=ids, a_name()).prop_map(|(voter, name)| Command::Greet { voter, name }),
            2 => (0..=ids, a_name(), some_names())
                .prop_map(|(voter, name, suggestions)| Command::Rename { voter, name, suggestions }),
            1 => (0..=ids, any::<bool>()).prop_map(|(voter, removed)| Command::Remove { voter, removed }),
            1 => people.prop_map(|(invites, names)| Command::Invite { people: names.into_iter().zip(invites).collect() }),
            1 => (select(vec!["", "ann", "STRASSE", "2", "nobody"]), 1..4usize)
                .prop_map(|(text, limit)| Command::Look { text, limit }),
        ]
        .boxed()
    }

    fn apply(mut state: Self, command: &Command) -> Self {
        if let Command::Join { voter, .. } | Command::Greet { voter, .. } = command {
            state.ids = state.ids.max(voter + 1);
        }
        state.told = Some(state.tell(command));
        state
    }
}

/// A ledger, with the cards and invites that the numbers stand for.
pub struct PeopleTest<K> {
    fixture: RoomFixture,
    cards: Vec<Card>,
    invites: Vec<Invite>,
    _stand: TestLedger,
    _kind: PhantomData<K>,
}

impl<K> PeopleTest<K> {
    fn person(&self, told: Voter) -> Person {
        Person {
            voter: (0..VOTERS).find(|number| voter(*number) == told.voter).expect("a voter of ours"),
            name: told.name.to_string(),
            card: self.cards.iter().position(|card| *card == told.card).expect("a card of ours"),
            removed: told.removed,
        }
    }

    fn outcome(&self, told: Result<JoinOutcome, LedgerError>) -> Told {
        match told {
            Ok(JoinOutcome::Done(voter)) => Told::Done(self.person(voter)),
            Ok(JoinOutcome::Known(voter)) => Told::Known(self.person(voter)),
            Ok(JoinOutcome::Removed) => Told::Removed,
            Ok(JoinOutcome::NameTaken(free)) => Told::NameTaken(
                free.map(|free| *NAMES.iter().find(|name| **name == free.as_str()).expect("one of ours")),
            ),
            Ok(JoinOutcome::NameMissing) => Told::NameMissing,
            Ok(JoinOutcome::InviteNeeded) => Told::InviteNeeded,
            Ok(JoinOutcome::BadInvite) => Told::BadInvite,
            Ok(JoinOutcome::Closed) => Told::Closed,
            Ok(JoinOutcome::NoSuchVoter) => Told::NoSuchVoter,
            Err(LedgerError::NotApplied(_)) => Told::Misused,
            Err(error) => panic!("{error}"),
        }
    }

    fn all(&self, text: &str, limit: usize) -> Vec<Person> {
        let mut found = vec![];
        let mut query = VotersQuery { text: text.into(), after: None, limit };
        loop {
            let page = wait(self.fixture.ledger.voters(self.fixture.id(), &query)).unwrap();
            found.extend(page.voters.into_iter().map(|voter| self.person(voter)));
            match page.next {
                Some(next) => query.after = Some(next),
                None => return found,
            }
        }
    }

    fn ask(&self, command: Command) -> Told {
        let (ledger, room) = (&self.fixture.ledger, self.fixture.id());
        match command {
            Command::Join { voter: number, has_token, name: called, card, invite, mode, suggestions } => {
                let request = JoinRequest {
                    voter: voter(number),
                    has_token,
                    name: called.map(name),
                    card: self.cards[card].clone(),
                    invite: invite.map(|invite| self.invites[invite].clone()),
                    mode,
                    suggestions: names(&suggestions),
                };
                self.outcome(wait(ledger.join(room, &request)))
            }
            Command::Greet { voter: number, name: called } => {
                let card = self.cards[CARDS + number].clone();
                let greeting = ResumeRequest { voter: voter(number), name: name(called), card, take: None };
                Told::Voter(Some(self.person(wait(ledger.resume(room, 1, &[greeting])).unwrap().remove(0).0)))
            }
            Command::Rename { voter: number, name: called, suggestions } => {
                let renaming =
                    RenameRequest { voter: voter(number), name: name(called), suggestions: names(&suggestions) };
                self.outcome(wait(ledger.rename(room, &renaming)))
            }
            Command::Remove { voter: number, removed } => {
                let told = wait(ledger.set_removed(room, 1, &voter(number), removed)).unwrap();
                Told::Voter(told.map(|voter| self.person(voter)))
            }
            Command::Invite { people } => {
                let people: Vec<_> =
                    people.iter().map(|(called, invite)| (name(called), self.invites[*invite].clone())).collect();
                match wait(ledger.invite(room, &people)) {
                    Ok(given) => {
                        let number =
                            |invite| self.invites.iter().position(|known| *known == invite).expect("one of ours");
                        Told::Invites(given.into_iter().map(number).collect())
                    }
                    Err(LedgerError::NotApplied(_)) => Told::Misused,
                    Err(error) => panic!("{error}"),
                }
            }
            Command::Look { text, limit } => Told::Found(self.all(text, limit)),
        }
    }
}

impl<K: Kind> StateMachineTest for PeopleTest<K> {
    type SystemUnderTest = Self;
    type Reference = Reference;

    fn init_test(_: &Reference) -> Self {
        let test_ledger = wait(async { K::test_ledger() });
        let fixture = wait(RoomFixture::new(&test_ledger.ledger, 1));
        let cards = (0..CARDS + VOTERS).map(|_| Card::from_entropy(rand::random())).collect();
        let invites = (0..INVITES).map(|_| Invite::from_entropy(rand::random())).collect();
        Self { fixture, cards, invites, _stand: test_ledger, _kind: PhantomData }
    }

    fn apply(test: Self, reference: &Reference, command: Command) -> Self {
        let told = test.ask(command);
        assert_eq!(Some(told), reference.told);
        let heads = reference.people.iter().filter(|person| !person.removed).count();
        assert_eq!(wait(test.fixture.snapshot()).voters, heads as u64);
        test
    }

    fn teardown(test: Self, reference: Reference) {
        let mut people = reference.people.clone();
        people.sort_by_key(|person| voter(person.voter).to_string());
        assert_eq!(test.all("", 1_000), people);
        for number in 0..=reference.ids {
            let stored = wait(test.fixture.ledger.voter(test.fixture.id(), &voter(number))).unwrap();
            assert_eq!(stored.map(|voter| test.person(voter)).as_ref(), reference.person(number));
        }
    }
}
