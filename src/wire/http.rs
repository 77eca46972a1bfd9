//! Bodies of HTTP requests and responses.

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::domain::room::{Decision, JoinMode, Programme, Screen, Split, Stage};
use crate::domain::setup::{Edit, Plan, RoundPlan};
use crate::domain::text::Title;
use crate::domain::{Invalid, LedgerMs};

/// `POST /rooms`.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RoomBody {
    /// Title of the evening, 1 to 80 characters.
    pub title: String,
    /// The organiser's own unique name.
    #[serde(default, rename = "ref")]
    pub reference: Option<String>,
    /// Slips of a voter in a round, 1 to 100.
    #[serde(default = "ten")]
    #[schema(default = 10, minimum = 1, maximum = 100)]
    pub votes_per_round: u16,
    /// Who may join.
    #[serde(default)]
    #[schema(value_type = String, pattern = "^(open|invite|closed)$")]
    pub join: JoinMode,
    /// Whether the audience sees future rounds.
    #[serde(default)]
    #[schema(value_type = String, pattern = "^(open|secret)$")]
    pub programme: Programme,
    /// A rehearsal.
    #[serde(default)]
    pub rehearsal: bool,
    /// Partitions of ballots and counts, 1 to 64.
    #[serde(default = "one")]
    #[schema(default = 1, minimum = 1, maximum = 64)]
    pub partitions: u16,
    /// 1 to 100 rounds.
    pub rounds: Vec<RoundBody>,
}

fn ten() -> u16 {
    10
}

fn one() -> u16 {
    1
}

/// A round of [`RoomBody`].
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RoundBody {
    /// 1 to 80 characters.
    pub title: String,
    /// 2 to 8 choices.
    pub choices: Vec<ChoiceBody>,
    /// Its length, 5 to 86,400 s; left out for a round that the emcee closes.
    #[serde(default)]
    #[schema(minimum = 5, maximum = 86_400)]
    pub seconds: Option<u32>,
    /// When the split may be seen.
    #[serde(default)]
    #[schema(value_type = String, pattern = "^(live|hidden|held)$")]
    pub split: Split,
    /// How many seconds before the deadline a live split goes dark.
    #[serde(default)]
    pub blackout_seconds: u32,
}

/// A choice of [`RoundBody`].
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChoiceBody {
    /// 1 to 40 characters.
    pub label: String,
    /// `#rrggbb`.
    #[serde(default)]
    pub color: Option<String>,
}

fn plans(rounds: Vec<RoundBody>) -> Result<Vec<RoundPlan>, Invalid> {
    let plan = |(index, round): (usize, RoundBody)| {
        let choices: Vec<_> = round.choices.into_iter().map(|choice| (choice.label, choice.color)).collect();
        RoundPlan::new(&round.title, &choices, round.seconds, round.split, round.blackout_seconds)
            .map_err(|error| error.inside(&format!("rounds[{index}]")))
    };
    rounds.into_iter().enumerate().map(plan).collect()
}

impl RoomBody {
    /// The plan of the room, checked.
    ///
    /// # Errors
    /// The field that is malformed.
    pub fn into_plan(self) -> Result<Plan, Invalid> {
        Ok(Plan {
            title: Title::parse(&self.title)?,
            reference: self.reference,
            votes_per_round: self.votes_per_round,
            join: self.join,
            programme: self.programme,
            rehearsal: self.rehearsal,
            partitions: self.partitions,
            rounds: plans(self.rounds)?,
        })
    }
}

/// `PATCH /rooms/{room}`: a field that is left out stays as it is.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RoomPatch {
    /// Title of the evening.
    #[serde(default)]
    pub title: Option<String>,
    /// Cannot change: only the same value is accepted.
    #[serde(default, rename = "ref")]
    pub reference: Option<String>,
    /// Can change until the first round was opened.
    #[serde(default)]
    pub votes_per_round: Option<u16>,
    /// Who may join.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub join: Option<JoinMode>,
    /// Whether the audience sees future rounds.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub programme: Option<Programme>,
    /// Can change until the first round was opened.
    #[serde(default)]
    pub rehearsal: Option<bool>,
    /// Cannot change: only the same value is accepted.
    #[serde(default)]
    pub partitions: Option<u16>,
    /// The whole list of rounds.
    #[serde(default)]
    pub rounds: Option<Vec<RoundBody>>,
}

impl RoomPatch {
    /// The changes, checked.
    ///
    /// # Errors
    /// The field that is malformed.
    pub fn into_edit(self) -> Result<Edit, Invalid> {
        Ok(Edit {
            title: self.title.as_deref().map(Title::parse).transpose()?,
            reference: self.reference.map(Some),
            votes_per_round: self.votes_per_round,
            join: self.join,
            programme: self.programme,
            rehearsal: self.rehearsal,
            partitions: self.partitions,
            rounds: self.rounds.map(plans).transpose()?,
        })
    }
}

/// A field that is required and may be `null`.
fn required<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(deserializer)
}

/// `POST …/open`; an empty body means `{}`.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
pub struct OpenBody {
    /// The take to run.
    #[serde(default)]
    pub take: Option<u16>,
    /// Its length, 5 to 86,400 s.
    #[serde(default)]
    pub seconds: Option<u32>,
}

/// `POST …/deadline`.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct DeadlineBody {
    /// The deadline; `null` for none.
    #[serde(deserialize_with = "required")]
    pub closes_at: Option<LedgerMs>,
}

/// `POST …/close`; an empty body means `{}`.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
pub struct CloseBody {
    /// The take to close.
    #[serde(default)]
    pub take: Option<u16>,
}

/// `POST …/take`.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct TakeBody {
    /// The take that is to count.
    pub take: u16,
}

/// `POST …/decide`.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct DecideBody {
    /// A letter, `null` for a draw, or `"votes"`.
    #[serde(deserialize_with = "required")]
    pub winner: Option<String>,
}

impl DecideBody {
    /// The decision; `None` for the outcome of the votes.
    ///
    /// # Errors
    /// `winner` is neither a letter nor `votes`.
    pub fn outcome(&self) -> Result<Option<Decision>, Invalid> {
        match self.winner.as_deref() {
            None => Ok(Some(Decision::Draw)),
            Some("votes") => Ok(None),
            Some(letter) if letter.len() == 1 && ("a"..="h").contains(&letter) => {
                Ok(Some(Decision::Winner(letter.as_bytes()[0] - b'a')))
            }
            Some(_) => Err(Invalid::new("winner", "must be a letter of the round, null for a draw, or \"votes\"")),
        }
    }
}

/// `PUT …/reveal`.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct RevealBody {
    /// `top + 1` begins the reveal, 1 shows all, `null` takes the ranking away.
    #[serde(deserialize_with = "required")]
    pub place: Option<u32>,
    /// The best places that are shown in the end, 1 to 1,000.
    #[serde(default)]
    pub top: Option<u32>,
    /// Time between two automatic steps, in ms.
    #[serde(default)]
    pub auto_ms: Option<u64>,
}

/// `PUT …/stage`.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StageBody {
    /// `auto`: the stage follows the phase.
    #[schema(value_type = String)]
    pub screen: Screen,
    /// The round of the screen, if it has one.
    #[serde(default)]
    pub round: Option<u16>,
    /// Whether the join code is always shown in a corner.
    #[serde(default)]
    pub join_code: bool,
    /// A line for the hall, 1 to 80 characters.
    #[serde(default)]
    pub message: Option<String>,
    /// The start of what is announced.
    #[serde(default)]
    pub until: Option<LedgerMs>,
    /// Whether the stage page may play sounds.
    #[serde(default)]
    pub sound: bool,
}

impl StageBody {
    /// The settings of the stage, checked.
    ///
    /// # Errors
    /// The message is malformed or too long.
    pub fn into_stage(self) -> Result<Stage, Invalid> {
        let message = self.message.as_deref().map(Title::parse).transpose();
        Ok(Stage {
            screen: self.screen,
            join_code: self.join_code,
            message: message.map_err(|error| Invalid::new("message", error.detail))?,
            until: self.until,
            sound: self.sound,
        })
    }
}

/// `POST /session`.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct SessionBody {
    /// The emcee key.
    pub key: String,
    /// A name for the device, cut after 40 characters.
    #[serde(default)]
    pub device: Option<String>,
}

/// `POST /rooms/{room}/join`.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct JoinBody {
    /// 1 to 24 characters; a known or invited voter may leave it out.
    #[serde(default)]
    pub name: Option<String>,
    /// The voter's card, 12 characters of the code alphabet.
    #[serde(default)]
    pub card: Option<String>,
    /// An invitation.
    #[serde(default)]
    pub invite: Option<String>,
}

/// The response to a join.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct JoinedView {
    /// The voter's id.
    pub voter: String,
    /// The voter's name.
    pub name: String,
    /// For `hello` and `Authorization: Bearer`.
    pub token: String,
    /// Leads back to this voter from any phone.
    pub card: String,
}

/// `PATCH /rooms/{room}/me`.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct RenameBody {
    /// 1 to 24 characters.
    pub name: String,
}

/// `PATCH /rooms/{room}/voters/{voter}`.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
pub struct VoterPatch {
    /// The new name.
    #[serde(default)]
    pub name: Option<String>,
    /// Whether the voter is removed.
    #[serde(default)]
    pub removed: Option<bool>,
}

/// A voter in the emcee's list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct VoterView {
    /// The voter's id.
    pub voter: String,
    /// The voter's name.
    pub name: String,
    /// True if the voter has a socket on any pod.
    pub connected: bool,
    /// True if the voter was removed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
}

/// `POST /rooms/{room}/invites` as JSON.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct InvitesBody {
    /// At most 10,000 names.
    pub names: Vec<String>,
}

/// One invitation.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct InviteView {
    /// The invited name.
    pub name: String,
    /// The code of the invitation.
    pub invite: String,
    /// The link that contains the code.
    pub url: String,
}
