//! Bodies of the HTTP calls, as they come in and go out.

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
    /// What the evening is called, 1 to 80 characters.
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
    /// Whether rounds to come are told.
    #[serde(default)]
    #[schema(value_type = String, pattern = "^(open|secret)$")]
    pub programme: Programme,
    /// Not the real thing.
    #[serde(default)]
    pub rehearsal: bool,
    /// Partitions of ballots and counts, 1 to 64.
    #[serde(default = "one")]
    #[schema(default = 1, minimum = 1, maximum = 64)]
    pub partitions: u16,
    /// 1 to 100 contests.
    pub rounds: Vec<RoundBody>,
}

fn ten() -> u16 {
    10
}

fn one() -> u16 {
    1
}

/// One round of [`RoomBody`].
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RoundBody {
    /// 1 to 80 characters.
    pub title: String,
    /// 2 to 8 sides.
    pub choices: Vec<ChoiceBody>,
    /// Its length, 5 to 86,400; left out: until the emcee closes it.
    #[serde(default)]
    #[schema(minimum = 5, maximum = 86_400)]
    pub seconds: Option<u32>,
    /// When the split may be seen.
    #[serde(default)]
    #[schema(value_type = String, pattern = "^(live|hidden|held)$")]
    pub split: Split,
    /// Last seconds of a timed round in which a live split is dark.
    #[serde(default)]
    pub blackout_seconds: u32,
}

/// One choice of [`RoundBody`].
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
    /// Checks it.
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

/// `PATCH /rooms/{room}`: what is left out stays.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RoomPatch {
    /// See [`RoomBody`].
    #[serde(default)]
    pub title: Option<String>,
    /// Fixed at creation.
    #[serde(default, rename = "ref")]
    pub reference: Option<String>,
    /// Until the first round was opened.
    #[serde(default)]
    pub votes_per_round: Option<u16>,
    /// See [`RoomBody`].
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub join: Option<JoinMode>,
    /// See [`RoomBody`].
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub programme: Option<Programme>,
    /// Until the first round was opened.
    #[serde(default)]
    pub rehearsal: Option<bool>,
    /// Fixed at creation.
    #[serde(default)]
    pub partitions: Option<u16>,
    /// The whole list.
    #[serde(default)]
    pub rounds: Option<Vec<RoundBody>>,
}

impl RoomPatch {
    /// Checks it.
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

/// A field that must be there and may be `null`.
fn required<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(deserializer)
}

/// `POST …/open`; an empty body is as good as `{}`.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
pub struct OpenBody {
    /// The take that shall run.
    #[serde(default)]
    pub take: Option<u16>,
    /// Its length, 5 to 86,400 s.
    #[serde(default)]
    pub seconds: Option<u32>,
}

/// `POST …/deadline`.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct DeadlineBody {
    /// `null`: no deadline.
    #[serde(deserialize_with = "required")]
    pub closes_at: Option<LedgerMs>,
}

/// `POST …/close`; an empty body is as good as `{}`.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
pub struct CloseBody {
    /// Which take is meant.
    #[serde(default)]
    pub take: Option<u16>,
}

/// `POST …/take`.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct TakeBody {
    /// The take that shall count.
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
    /// The outcome that is meant; `None`: the votes'.
    ///
    /// # Errors
    /// Neither a letter nor `votes`.
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
    /// `top + 1` begins, 1 shows all, `null` takes the ranking away.
    #[serde(deserialize_with = "required")]
    pub place: Option<u32>,
    /// 1 to 1,000.
    #[serde(default)]
    pub top: Option<u32>,
    /// Goes on by itself.
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
    /// Of the screen, where it has one.
    #[serde(default)]
    pub round: Option<u16>,
    /// Keep the join code in a corner.
    #[serde(default)]
    pub join_code: bool,
    /// A line for the hall, 1 to 80 characters.
    #[serde(default)]
    pub message: Option<String>,
    /// When what is announced begins.
    #[serde(default)]
    pub until: Option<LedgerMs>,
    /// Whether the stage page may make a sound.
    #[serde(default)]
    pub sound: bool,
}

impl StageBody {
    /// Checks it.
    ///
    /// # Errors
    /// The message is too long.
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
    /// What the device shall be called, cut after 40 characters.
    #[serde(default)]
    pub device: Option<String>,
}

/// `POST /rooms/{room}/join`.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct JoinBody {
    /// 1 to 24 characters; may be left out by whoever is known or invited.
    #[serde(default)]
    pub name: Option<String>,
    /// The voter's way back, 12 characters of the code alphabet.
    #[serde(default)]
    pub card: Option<String>,
    /// An invitation.
    #[serde(default)]
    pub invite: Option<String>,
}

/// The answer to a join.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct JoinedView {
    /// Id.
    pub voter: String,
    /// Name.
    pub name: String,
    /// For `hello` and `Authorization: Bearer`.
    pub token: String,
    /// The way back.
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
    /// Another name.
    #[serde(default)]
    pub name: Option<String>,
    /// Out, or in again.
    #[serde(default)]
    pub removed: Option<bool>,
}

/// A voter in the emcee's list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct VoterView {
    /// Id.
    pub voter: String,
    /// Name.
    pub name: String,
    /// Has a socket somewhere.
    pub connected: bool,
    /// Was removed.
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
    /// For whom.
    pub name: String,
    /// The code.
    pub invite: String,
    /// The link with the code in it.
    pub url: String,
}
