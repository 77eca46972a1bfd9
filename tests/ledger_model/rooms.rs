//! Rooms, their codes and references, and who may replace a record.

use std::marker::PhantomData;

use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};
use tallycast::domain::ids::{RoomCode, RoomId};
use tallycast::domain::room::Room;
use tallycast::domain::text::Title;
use tallycast::ledger::{Creation, LedgerError, Replacement};

use crate::ledgers::{RoomFixture, TestLedger};
use crate::{Kind, wait};

/// Rooms, and as many codes; there are fewer references.
const ROOMS: usize = 4;
const REFERENCES: usize = 2;

#[derive(Debug, Clone)]
pub enum Command {
    Create {
        room: usize,
        code: usize,
        reference: Option<usize>,
    },
    /// By somebody who has missed the last `behind` replacements.
    Replace {
        room: usize,
        behind: usize,
        title: u32,
    },
    Find {
        code: usize,
    },
}

#[derive(Debug, Clone)]
struct Stored {
    room: usize,
    code: usize,
    reference: Option<usize>,
    /// Every title it has had.
    titles: Vec<u32>,
}

#[derive(Debug, Clone, PartialEq)]
enum Told {
    Created(usize),
    CodeTaken,
    RefTaken(usize),
    Replaced,
    Changed,
    NoSuchRoom,
    Found(Option<usize>),
}

/// The reference: the rooms in the order of their making.
#[derive(Debug, Clone)]
pub struct Reference {
    stored: Vec<Stored>,
    told: Option<Told>,
}

impl Reference {
    fn of(&self, room: usize) -> Option<&Stored> {
        self.stored.iter().find(|stored| stored.room == room)
    }

    fn tell(&mut self, command: &Command) -> Told {
        match *command {
            Command::Create { room, code, reference } => {
                let with_reference = self.stored.iter().find(|s| s.reference.is_some() && s.reference == reference);
                if self.of(room).is_some() {
                    Told::Created(room)
                } else if let Some(other) = with_reference {
                    Told::RefTaken(other.room)
                } else if self.stored.iter().any(|stored| stored.code == code) {
                    Told::CodeTaken
                } else {
                    self.stored.push(Stored { room, code, reference, titles: vec![0] });
                    Told::Created(room)
                }
            }
            Command::Replace { room, behind, title } => {
                match self.stored.iter_mut().find(|stored| stored.room == room) {
                    None => Told::NoSuchRoom,
                    Some(stored) if behind == 0 || stored.titles.len() == 1 => {
                        stored.titles.push(title);
                        Told::Replaced
                    }
                    Some(_) => Told::Changed,
                }
            }
            Command::Find { code } => {
                Told::Found(self.stored.iter().find(|stored| stored.code == code).map(|stored| stored.room))
            }
        }
    }
}

impl ReferenceStateMachine for Reference {
    type State = Self;
    type Transition = Command;

    fn init_state() -> BoxedStrategy<Self> {
        Just(Self { stored: vec![], told: None }).boxed()
    }

    fn transitions(_: &Self) -> BoxedStrategy<Command> {
        prop_oneof![
            2 => (0..ROOMS, 0..ROOMS, prop::option::of(0..REFERENCES))
                .prop_map(|(room, code, reference)| Command::Create { room, code, reference }),
            3 => (0..ROOMS, prop_oneof![3 => Just(0usize), 1 => 1..3usize], any::<u32>())
                .prop_map(|(room, behind, title)| Command::Replace { room, behind, title }),
            1 => (0..ROOMS).prop_map(|code| Command::Find { code }),
        ]
        .boxed()
    }

    fn apply(mut state: Self, command: &Command) -> Self {
        state.told = Some(state.tell(command));
        state
    }
}

/// A ledger, and the records that it has answered with.
pub struct RoomsTest<K> {
    test_ledger: TestLedger,
    ids: Vec<RoomId>,
    codes: Vec<RoomCode>,
    references: Vec<String>,
    /// Each version of each room.
    versions: Vec<Vec<Room>>,
    _kind: PhantomData<K>,
}

impl<K> RoomsTest<K> {
    fn number(&self, room: &Room) -> usize {
        self.ids.iter().position(|id| *id == room.id).expect("a room of ours")
    }

    fn newest(&self, room: &Room) -> usize {
        let number = self.number(room);
        assert_eq!(self.versions[number].last(), Some(room), "the newest version is told");
        number
    }

    fn create(&mut self, number: usize, code: usize, reference: Option<usize>) -> Told {
        let reference = reference.map(|reference| self.references[reference].as_str());
        let room =
            Room { id: self.ids[number].clone(), code: self.codes[code].clone(), ..RoomFixture::planned(1, reference) };
        match wait(self.test_ledger.ledger.create_room(&room)).unwrap() {
            Creation::CodeTaken => Told::CodeTaken,
            Creation::RefTaken(room) => Told::RefTaken(self.newest(&room)),
            Creation::Created(created) => {
                if self.versions[number].is_empty() {
                    assert_eq!(Room { seq: 0, ..created.clone() }, room);
                    self.versions[number].push(created.clone());
                }
                Told::Created(self.newest(&created))
            }
        }
    }

    fn replace(&mut self, number: usize, behind: usize, title: u32) -> Told {
        let versions = &self.versions[number];
        let read = versions.len().checked_sub(1 + behind).or(versions.len().checked_sub(1));
        let title = Title::parse(&title.to_string()).unwrap();
        let Some(read) = read.map(|read| versions[read].clone()) else {
            let nobody = Room { id: self.ids[number].clone(), ..RoomFixture::planned(1, None) };
            let told = wait(self.test_ledger.ledger.replace_room(&nobody, &[]));
            assert!(matches!(told, Err(LedgerError::NotApplied(_))), "{told:?}");
            return Told::NoSuchRoom;
        };
        let room = Room { title, ..read };
        match wait(self.test_ledger.ledger.replace_room(&room, &[])).unwrap() {
            Replacement::Stored(stored) => {
                assert!(stored.seq > room.seq);
                assert_eq!(Room { seq: room.seq, ..stored.clone() }, room);
                self.versions[number].push(stored);
                Told::Replaced
            }
            Replacement::Changed(stored) => {
                assert_eq!(self.newest(&stored), number);
                Told::Changed
            }
        }
    }
}

impl<K: Kind> StateMachineTest for RoomsTest<K> {
    type SystemUnderTest = Self;
    type Reference = Reference;

    fn init_test(_: &Reference) -> Self {
        let id = || RoomId::from_entropy(rand::random());
        Self {
            test_ledger: wait(async { K::test_ledger() }),
            ids: (0..ROOMS).map(|_| id()).collect(),
            codes: (0..ROOMS).map(|_| RoomCode::from_entropy(rand::random())).collect(),
            references: (0..REFERENCES).map(|_| id().to_string()).collect(),
            versions: vec![vec![]; ROOMS],
            _kind: PhantomData,
        }
    }

    fn apply(mut test: Self, reference: &Reference, command: Command) -> Self {
        let told = match command {
            Command::Create { room, code, reference } => test.create(room, code, reference),
            Command::Replace { room, behind, title } => {
                // who is behind a record that never changed is not behind
                let behind = behind.min(test.versions[room].len().saturating_sub(1));
                test.replace(room, behind, title)
            }
            Command::Find { code } => {
                let found = wait(test.test_ledger.ledger.find_room(&test.codes[code])).unwrap();
                Told::Found(found.map(|room| test.newest(&room)))
            }
        };
        assert_eq!(Some(told), reference.told);
        test
    }

    fn teardown(test: Self, reference: Reference) {
        let listed = wait(test.test_ledger.ledger.rooms()).unwrap();
        for (number, id) in test.ids.iter().enumerate() {
            let stored = wait(test.test_ledger.ledger.room(id)).unwrap();
            assert_eq!(stored.is_some(), reference.of(number).is_some());
            assert_eq!(stored.as_ref(), test.versions[number].last());
            assert_eq!(listed.rooms.iter().find(|room| room.id == *id), stored.as_ref());
            if let (Some(stored), Some(expected)) = (stored, reference.of(number)) {
                assert_eq!(stored.code, test.codes[expected.code]);
                assert_eq!(stored.reference, expected.reference.map(|reference| test.references[reference].clone()));
                assert_eq!(test.versions[number].len(), expected.titles.len());
                let title = expected.titles.last().filter(|_| expected.titles.len() > 1);
                assert!(title.is_none_or(|title| stored.title.as_str() == title.to_string()));
            }
        }
    }
}
