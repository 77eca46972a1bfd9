//! What an export holds: a room with its voters and ballots, as JSON, lines or CSV.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::domain::Invalid;
use crate::domain::ballot::Ballot;
use crate::domain::ids::VoterId;
use crate::domain::room::{Room, Take};
use crate::domain::seal::Salts;
use crate::http::error::ApiResult;
use crate::ledger::execute::{all_ballots, all_voters};
use crate::ledger::{Ledger, Voter};
use crate::wire::room::RecordView;

/// The columns of the CSV.
const COLUMNS: [&str; 7] = ["round", "take", "counted", "voter", "name", "votes", "time_ms"];
/// The index of the column with the names.
const NAME: usize = 4;

/// A room with its voters and ballots.
pub struct Contents {
    room: Arc<Room>,
    /// The room as the emcee sees it.
    view: Value,
    voters: Vec<Voter>,
    /// False if the names were dropped.
    has_names: bool,
    /// The ballots of each take, sorted by voter.
    ballots: Vec<BallotsOfTake>,
    ranking: Vec<Value>,
    salts: Salts,
}

/// Round and take, with the ballots of its voters.
type BallotsOfTake = ((u16, u16), Vec<(VoterId, Ballot)>);

impl Contents {
    /// Reads voters and ballots of a room. `view` is the room as the emcee sees it.
    ///
    /// # Errors
    /// 503 if the ledger does not answer.
    pub async fn read(
        ledger: &dyn Ledger,
        room: Arc<Room>,
        view: Value,
        ranking: Vec<Value>,
        salts: Salts,
    ) -> ApiResult<Self> {
        let mut ballots = vec![];
        for (round, take, _) in room.takes() {
            let mut cast: Vec<_> = all_ballots(ledger, &room, (round, take)).await?.into_iter().collect();
            cast.sort_by(|(a, _), (b, _)| a.cmp(b));
            ballots.push(((round, take), cast));
        }
        // last, so that everybody who has cast a vote meanwhile is among them
        let voters = all_voters(ledger, &room.id).await?;
        Ok(Self { room, view, voters, has_names: true, ballots, ranking, salts })
    }

    /// Removes the names of the voters, wherever they are.
    pub fn drop_names(&mut self) {
        self.has_names = false;
        let shown = self.view.pointer_mut("/reveal/shown").and_then(Value::as_array_mut);
        for group in shown.into_iter().flatten().chain(&mut self.ranking) {
            if let Some(fields) = group.as_object_mut() {
                fields.remove("names");
                fields.remove("name");
            }
        }
    }

    /// The export as one object.
    pub fn object(&self) -> Value {
        json!({
            "room": self.view,
            "voters": self.voters().collect::<Vec<_>>(),
            "rounds": self.rounds(),
            "ranking": self.ranking,
        })
    }

    /// The same, one object a line.
    pub fn lines(&self) -> String {
        let mut lines = vec![json!({ "room": self.view })];
        lines.extend(self.voters().map(|voter| json!({ "voter": voter })));
        for (take, cast) in &self.ballots {
            let mut view = self.take(*take);
            view["round"] = take.0.into();
            lines.push(json!({ "take": view }));
            lines.extend(cast.iter().map(|(voter, ballot)| {
                let mut view = self.ballot(*take, voter, ballot);
                (view["round"], view["take"]) = (take.0.into(), take.1.into());
                json!({ "ballot": view })
            }));
        }
        lines.extend(self.ranking.iter().map(|entry| json!({ "ranking": entry })));
        lines.iter().map(|line| format!("{line}\n")).collect()
    }

    /// One line for each ballot.
    ///
    /// # Errors
    /// The CSV cannot be written.
    pub fn csv(&self) -> ApiResult<String> {
        let failed = |error: csv::Error| Invalid::new("export", error.to_string());
        let mut csv = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(vec![]);
        let mut write = |row: [&str; COLUMNS.len()]| {
            let cells = row.iter().enumerate().filter(|(column, _)| self.has_names || *column != NAME);
            csv.write_record(cells.map(|(_, cell)| cell)).map_err(failed)
        };
        write(COLUMNS)?;
        let names: HashMap<_, _> = self.voters.iter().map(|voter| (&voter.voter, voter.name.as_str())).collect();
        for ((round, take), cast) in &self.ballots {
            let counted = self.room.round(*round).is_some_and(|round| round.take == *take);
            for (voter, ballot) in cast {
                let name = names.get(voter).copied().unwrap_or_default();
                // a spreadsheet would evaluate a name that begins like a formula
                let name = if name.starts_with(['=', '+', '-', '@']) { format!("'{name}") } else { name.to_owned() };
                let (round, take, time) = (round.to_string(), take.to_string(), ballot.time_ms.to_string());
                write([&round, &take, &counted.to_string(), voter.as_str(), &name, &ballot.votes, &time])?;
            }
        }
        let text = csv.into_inner().map_err(|error| Invalid::new("export", error.to_string()))?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    fn voters(&self) -> impl Iterator<Item = Value> {
        self.voters.iter().map(|voter| {
            let mut view = json!({ "voter": voter.voter });
            if self.has_names {
                view["name"] = voter.name.as_str().into();
            }
            if voter.removed {
                view["removed"] = true.into();
            }
            view
        })
    }

    /// A ballot. With its salt, anybody can compute the leaf that it is in the tree of a sealed take.
    fn ballot(&self, take: (u16, u16), voter: &VoterId, ballot: &Ballot) -> Value {
        let mut view = json!({ "voter": voter, "votes": ballot.votes, "time_ms": ballot.time_ms });
        if self.record_of(take).is_some_and(|record| record.seal.is_some()) {
            view["salt"] = self.salts.of(take, voter).to_string().into();
        }
        view
    }

    /// A take without its ballots. An open one has no record.
    fn take(&self, take: (u16, u16)) -> Value {
        let counted = self.room.round(take.0).is_some_and(|round| round.take == take.1);
        let mut view = json!({ "take": take.1, "counted": counted });
        if let Some(record) = self.record_of(take) {
            view["record"] = serde_json::to_value(RecordView::new(record)).unwrap_or_default();
        }
        view
    }

    fn record_of(&self, (round, take): (u16, u16)) -> Option<&Take> {
        self.room.round(round)?.takes.iter().find(|known| known.take == take)
    }

    fn rounds(&self) -> Vec<Value> {
        let round = |number: u16| {
            let of_round = self.ballots.iter().filter(|((round, _), _)| *round == number);
            let takes = of_round.map(|(take, cast)| {
                let mut view = self.take(*take);
                view["ballots"] = cast.iter().map(|(voter, ballot)| self.ballot(*take, voter, ballot)).collect();
                view
            });
            json!({ "round": number, "takes": takes.collect::<Vec<_>>() })
        };
        (1u16..).zip(&self.room.rounds).map(|(number, _)| round(number)).collect()
    }
}
