//! Bringing a room in.

use std::time::Duration;

use super::format::{Archive, Part};
use crate::domain::Invalid;
use crate::domain::room::Room;
use crate::ledger::{Claimed, ImportClaim, Ledger, LedgerError, SLICE};

/// An import that has written nothing for so long is given up, and another one may begin.
const LEASE: Duration = Duration::from_secs(30);

/// What became of an import.
#[derive(Debug)]
pub enum Import {
    /// The room is here now.
    Done(Room),
    /// It was here before, the same.
    Unchanged(Room),
    /// A room with this id is here, and has gone its own way.
    Exists(Room),
    /// Another import of this room, or of one with its code or `ref`, is under way.
    Running,
    /// Another room has the code.
    CodeTaken,
    /// Another room has the `ref`.
    RefTaken(Room),
    /// Its times are not of this ledger's clock.
    Refused(Invalid),
}

impl Archive {
    /// Brings the room in. Its id, code and `ref` are claimed first, and everything is written under that claim: of two
    /// imports at once one is told that the other is running. Nobody can see the room before all of it is there. The same
    /// again changes nothing.
    ///
    /// # Errors
    /// The ledger's: say it again. What was written is taken back, now or when the claim has run out.
    pub async fn import(&self, ledger: &dyn Ledger) -> Result<Import, LedgerError> {
        if let Err(invalid) = self.check_times(ledger.check().await?.now) {
            return Ok(Import::Refused(invalid));
        }
        // an import that was cut off must not keep this one waiting
        ledger.sweep_imports().await?;
        let claim = match ledger.begin_import(&self.room, LEASE).await? {
            Claimed::Held(claim) => claim,
            Claimed::Exists(here) => return Ok(self.compared(here)),
            Claimed::Running => return Ok(Import::Running),
            Claimed::CodeTaken => return Ok(Import::CodeTaken),
            Claimed::RefTaken(holder) => return Ok(Import::RefTaken(holder)),
        };
        match self.write_under(ledger, &claim).await {
            Ok(room) => Ok(Import::Done(room)),
            Err(error) => {
                if let Err(error) = ledger.drop_import(&claim).await {
                    tracing::warn!(room = %claim.room, %error, "an import is taken back when its claim has run out");
                }
                Err(error)
            }
        }
    }

    /// What to say of a room that is here already.
    fn compared(&self, here: Room) -> Import {
        // the version is the ledger's, and a room at home needs no key of its own
        let ours = Room { seq: self.room.seq, token_key: self.room.token_key.clone(), ..here.clone() };
        if ours == self.room { Import::Unchanged(here) } else { Import::Exists(here) }
    }

    async fn write_under(&self, ledger: &dyn Ledger, claim: &ImportClaim) -> Result<Room, LedgerError> {
        for parts in self.parts.chunks(SLICE) {
            ledger.write_parts(claim, parts).await?;
        }
        if let Some(reveal) = &self.room.reveal {
            for (slice, entries) in (0..).zip(self.ranking.chunks(SLICE)) {
                let part = Part::Ranking { ranking: reveal.ranking, slice, entries: entries.to_vec() };
                ledger.write_parts(claim, &[part]).await?;
            }
        }
        ledger.finish_import(claim, &self.room).await
    }
}
