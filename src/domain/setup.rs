//! Creating and editing a room, and the bounds of its settings.

use super::ids::{LETTERS, RoomCode, RoomId};
use super::room::{Choice, JoinMode, Programme, Room, Round, Split, Stage};
use super::text::{Label, Title};
use super::{Invalid, LedgerMs, Refused};

/// Most rounds of a room.
pub const MAX_ROUNDS: usize = 100;
/// Bounds of `votes_per_round`.
pub const VOTES_PER_ROUND: std::ops::RangeInclusive<u16> = 1..=100;
/// Bounds of the length of a round, in seconds.
pub const SECONDS: std::ops::RangeInclusive<u32> = 5..=86_400;
/// Bounds of `partitions`.
pub const PARTITIONS: std::ops::RangeInclusive<u16> = 1..=64;
/// Most bytes of `ref`.
pub const MAX_REF_BYTES: usize = 200;

/// Default colours of the letters. People who confuse red and green can tell them apart too.
const COLORS: [&str; 8] = ["#3d7dff", "#ff9f1c", "#00b894", "#e84393", "#a66cff", "#ffd23f", "#00c2d1", "#c0c6d1"];

/// A valid plan of a round. The fields are those of [`Round`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoundPlan {
    /// Title of the round.
    pub title: Title,
    /// 2 to 8 choices.
    pub choices: Vec<Choice>,
    /// Length in seconds; `None` for a round that the emcee closes.
    pub seconds: Option<u32>,
    /// When the split may be seen.
    pub split: Split,
    /// How many seconds before the deadline a live split goes dark.
    pub blackout_seconds: u32,
}

impl RoundPlan {
    /// Checks the plan of a round. A choice is a label and a colour.
    ///
    /// # Errors
    /// The field that is out of bounds, seen from the round.
    pub fn new(
        title: &str,
        choices: &[(String, Option<String>)],
        seconds: Option<u32>,
        split: Split,
        blackout_seconds: u32,
    ) -> Result<Self, Invalid> {
        let title = Title::parse(title)?;
        check_choices(choices.len())?;
        let choices = choices.iter().enumerate().map(|(index, (label, color))| {
            choice(index, label, color.as_deref()).map_err(|e| e.inside(&format!("choices[{index}]")))
        });
        let choices = choices.collect::<Result<_, _>>()?;
        check_seconds(seconds)?;
        check_blackout(blackout_seconds)?;
        Ok(Self { title, choices, seconds, split, blackout_seconds })
    }

    fn into_round(self) -> Round {
        Round {
            title: self.title,
            choices: self.choices,
            seconds: self.seconds,
            split: self.split,
            blackout_seconds: self.blackout_seconds,
            take: 1,
            takes: vec![],
        }
    }
}

/// Checks the length of a round.
///
/// # Errors
/// It is out of bounds.
pub fn check_seconds(seconds: Option<u32>) -> Result<(), Invalid> {
    match seconds {
        Some(seconds) if !SECONDS.contains(&seconds) => {
            let (least, most) = SECONDS.into_inner();
            Err(Invalid::new("seconds", format!("must be {least} to {most}, not {seconds}")))
        }
        _ => Ok(()),
    }
}

/// Checks the length of a blackout.
///
/// # Errors
/// It is out of bounds.
pub fn check_blackout(seconds: u32) -> Result<(), Invalid> {
    if seconds <= *SECONDS.end() {
        return Ok(());
    }
    Err(Invalid::new("blackout_seconds", format!("must be 0 to {}", SECONDS.end())))
}

/// Checks how many choices a round has.
///
/// # Errors
/// It is out of bounds.
pub fn check_choices(count: usize) -> Result<(), Invalid> {
    if (2..=LETTERS.len()).contains(&count) {
        return Ok(());
    }
    Err(Invalid::new("choices", format!("must be 2 to 8, not {count}")))
}

/// Checks a colour in its stored form: `#rrggbb`, lower case.
///
/// # Errors
/// It is out of bounds.
pub fn check_color(color: &str) -> Result<(), Invalid> {
    let digits = color.strip_prefix('#').unwrap_or_default();
    if digits.len() == 6 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Ok(());
    }
    Err(Invalid::new("color", "must be #rrggbb"))
}

fn choice(index: usize, label: &str, color: Option<&str>) -> Result<Choice, Invalid> {
    let label = Label::parse(label)?;
    let color = match color {
        None => COLORS[index].to_owned(),
        Some(color) => {
            let color = color.to_ascii_lowercase();
            check_color(&color)?;
            color
        }
    };
    Ok(Choice { label, color })
}

/// Checks how many rounds a room has.
///
/// # Errors
/// It is out of bounds.
pub fn check_rounds(count: usize) -> Result<(), Invalid> {
    if (1..=MAX_ROUNDS).contains(&count) {
        return Ok(());
    }
    Err(Invalid::new("rounds", format!("must be 1 to {MAX_ROUNDS}, not {count}")))
}

/// Checks the number of partitions of a room.
///
/// # Errors
/// It is out of bounds.
pub fn check_partitions(partitions: u16) -> Result<(), Invalid> {
    if PARTITIONS.contains(&partitions) {
        return Ok(());
    }
    Err(Invalid::new("partitions", format!("must be 1 to 64, not {partitions}")))
}

/// Checks the organiser's own name for a room.
///
/// # Errors
/// It is out of bounds.
pub fn check_reference(reference: Option<&str>) -> Result<(), Invalid> {
    if reference.is_none_or(|text| (1..=MAX_REF_BYTES).contains(&text.len())) {
        return Ok(());
    }
    Err(Invalid::new("ref", format!("must be 1 to {MAX_REF_BYTES} bytes")))
}

/// The `ref` for a copy of the room with the name `of`, cut if it is too long.
pub fn reference_of_copy(of: &str) -> String {
    let mut reference = format!("copy-of-{of}");
    reference.truncate(reference.floor_char_boundary(MAX_REF_BYTES));
    reference
}

/// Checks the number of slips of a voter in a round.
///
/// # Errors
/// It is out of bounds.
pub fn check_votes(votes: u16) -> Result<(), Invalid> {
    if VOTES_PER_ROUND.contains(&votes) {
        return Ok(());
    }
    Err(Invalid::new("votes_per_round", format!("must be 1 to 100, not {votes}")))
}

/// The plan of a room. The fields are those of [`Room`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Title of the evening.
    pub title: Title,
    /// The organiser's own unique name, 1 to [`MAX_REF_BYTES`] bytes.
    pub reference: Option<String>,
    /// Slips of a voter in a round.
    pub votes_per_round: u16,
    /// Who may join.
    pub join: JoinMode,
    /// Whether the audience sees future rounds.
    pub programme: Programme,
    /// Whether it is a rehearsal.
    pub rehearsal: bool,
    /// Partitions of ballots and counts.
    pub partitions: u16,
    /// The rounds, in order.
    pub rounds: Vec<RoundPlan>,
}

impl Plan {
    /// A plan with these rounds, and otherwise the defaults of `POST /rooms`.
    pub fn new(title: Title, rounds: Vec<RoundPlan>) -> Self {
        Self {
            title,
            reference: None,
            votes_per_round: 10,
            join: JoinMode::Open,
            programme: Programme::Open,
            rehearsal: false,
            partitions: 1,
            rounds,
        }
    }

    /// Creates the room.
    ///
    /// # Errors
    /// The field that is out of bounds.
    pub fn into_room(self, id: RoomId, code: RoomCode, now: LedgerMs) -> Result<Room, Invalid> {
        check_rounds(self.rounds.len())?;
        check_votes(self.votes_per_round)?;
        check_partitions(self.partitions)?;
        check_reference(self.reference.as_deref())?;
        Ok(Room {
            id,
            code,
            reference: self.reference,
            title: self.title,
            votes_per_round: self.votes_per_round,
            join: self.join,
            programme: self.programme,
            rehearsal: self.rehearsal,
            partitions: self.partitions,
            rounds: self.rounds.into_iter().map(RoundPlan::into_round).collect(),
            last_round: 0,
            running: None,
            stage: Stage::default(),
            reveal: None,
            command_seq: 0,
            seq: 0,
            created_at: now,
            deleted_at: None,
            purging: false,
            token_key: None,
        })
    }
}

/// Changes to the settings of a room; a field that is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edit {
    /// Title of the evening.
    pub title: Option<Title>,
    /// Cannot change: only the same value is accepted.
    pub reference: Option<Option<String>>,
    /// Can change until the first round was opened.
    pub votes_per_round: Option<u16>,
    /// Who may join.
    pub join: Option<JoinMode>,
    /// Whether the audience sees future rounds.
    pub programme: Option<Programme>,
    /// Can change until the first round was opened.
    pub rehearsal: Option<bool>,
    /// Cannot change: only the same value is accepted.
    pub partitions: Option<u16>,
    /// The whole list of rounds.
    pub rounds: Option<Vec<RoundPlan>>,
}

impl Edit {
    /// The room with these changes.
    ///
    /// # Errors
    /// A field is out of bounds, or cannot change any more.
    pub fn apply(&self, room: &Room) -> Result<Room, Refused> {
        let mut room = room.clone();
        let begun = room.last_round > 0;
        let fixed = |changes: bool, field: &str| match changes {
            true => Err(Refused::NotChangeable(field.to_owned())),
            false => Ok(()),
        };
        fixed(self.reference.as_ref().is_some_and(|r| *r != room.reference), "ref")?;
        fixed(self.partitions.is_some_and(|p| p != room.partitions), "partitions")?;
        if let Some(votes) = self.votes_per_round {
            check_votes(votes)?;
            fixed(begun && votes != room.votes_per_round, "votes_per_round")?;
            room.votes_per_round = votes;
        }
        if let Some(rehearsal) = self.rehearsal {
            fixed(begun && rehearsal != room.rehearsal, "rehearsal")?;
            room.rehearsal = rehearsal;
        }
        if let Some(title) = &self.title {
            room.title = title.clone();
        }
        room.join = self.join.unwrap_or(room.join);
        room.programme = self.programme.unwrap_or(room.programme);
        if let Some(rounds) = &self.rounds {
            check_rounds(rounds.len())?;
            room.rounds = edit_rounds(&room, rounds)?;
        }
        Ok(room)
    }
}

/// The list of rounds after an edit. Opened rounds keep everything that votes were cast on.
fn edit_rounds(room: &Room, plans: &[RoundPlan]) -> Result<Vec<Round>, Refused> {
    let is_open = |number: u16| room.running.as_ref().is_some_and(|running| running.round == number);
    let was_opened = |number: u16, round: &Round| is_open(number) || !round.takes.is_empty();
    let opened = room.rounds.iter().zip(1..).filter(|(round, number)| was_opened(*number, round));
    if opened.map(|(_, number)| usize::from(number)).max().unwrap_or(0) > plans.len() {
        return Err(Refused::NotChangeable("rounds".into()));
    }
    let mut rounds = vec![];
    for (plan, number) in plans.iter().zip(1u16..) {
        let fresh = plan.clone().into_round();
        let Some(present) = room.round(number).filter(|round| was_opened(number, round)) else {
            rounds.push(fresh);
            continue;
        };
        let keep = |same: bool, field: &str| match same {
            true => Ok(()),
            false => Err(Refused::NotChangeable(format!("rounds[{}].{field}", number - 1))),
        };
        keep(fresh.choices.len() == present.choices.len(), "choices")?;
        keep(fresh.seconds == present.seconds, "seconds")?;
        keep(fresh.blackout_seconds == present.blackout_seconds, "blackout_seconds")?;
        keep(fresh.split == present.split || present.counted().is_none(), "split")?;
        rounds.push(Round { take: present.take, takes: present.takes.clone(), ..fresh });
    }
    Ok(rounds)
}
