//! Importing a room from an archive.

use std::time::Duration;

use super::format::{Archive, Part};
use crate::domain::Invalid;
use crate::domain::jobs::Job;
use crate::domain::room::Room;
use crate::ledger::{Claimed, ImportClaim, Ledger, LedgerError, SLICE};

/// An import that has written nothing for this long is given up, and another one can start.
const LEASE: Duration = Duration::from_secs(30);

/// The outcome of an import.
#[derive(Debug)]
pub enum Import {
    /// The room is imported.
    Done(Room),
    /// The same room was imported before.
    Unchanged(Room),
    /// A room with this id exists, and differs from the archive.
    Exists(Room),
    /// Another import of this room, or of one with its code or `ref`, is running.
    Running,
    /// Another room has the code.
    CodeTaken,
    /// Another room has the `ref`.
    RefTaken(Room),
    /// Its times are ahead of this ledger's clock.
    Refused(Invalid),
}

impl Archive {
    /// Imports the room. Its id, code and `ref` are claimed first, and everything is written under that claim: of two
    /// imports at once, one is told that the other is running. The room is not visible before all of it is stored. The
    /// same import again changes nothing.
    ///
    /// # Errors
    /// See [`LedgerError`]: try again. What was written is dropped now, or when the claim has expired.
    pub async fn import(&self, ledger: &dyn Ledger) -> Result<Import, LedgerError> {
        if let Err(invalid) = self.check_times(ledger.check().await?.now) {
            return Ok(Import::Refused(invalid));
        }
        // an import that was interrupted must not block this one
        ledger.sweep_imports().await?;
        let claim = match ledger.begin_import(&self.room, LEASE).await? {
            Claimed::Held(claim) => claim,
            Claimed::Exists(stored) => {
                let compared = self.compare(stored);
                // an earlier import may have ended before it came to this
                if let Import::Unchanged(room) = &compared {
                    seal_later(ledger, room).await?;
                }
                return Ok(compared);
            }
            Claimed::Running => return Ok(Import::Running),
            Claimed::CodeTaken => return Ok(Import::CodeTaken),
            Claimed::RefTaken(holder) => return Ok(Import::RefTaken(holder)),
        };
        match self.write_under(ledger, &claim).await {
            Ok(room) => {
                seal_later(ledger, &room).await?;
                Ok(Import::Done(room))
            }
            Err(error) => {
                if let Err(error) = ledger.drop_import(&claim).await {
                    tracing::warn!(room = %claim.room, %error, "a failed import could not be dropped yet; that happens when its claim has expired");
                }
                Err(error)
            }
        }
    }

    /// The outcome for a room that is stored already.
    fn compare(&self, stored: Room) -> Import {
        // `seq` is set by the ledger, a room of this installation has no token key in its record, and a worker adds seals
        let sealed_as = stored.clone().sealed_as(&self.room);
        let same = Room { seq: self.room.seq, token_key: self.room.token_key.clone(), ..sealed_as };
        if same == self.room { Import::Unchanged(stored) } else { Import::Exists(stored) }
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

/// Has a worker seal what came without a seal: archives of older versions, copies, and takes that were closed just before
/// the archive was written.
async fn seal_later(ledger: &dyn Ledger, room: &Room) -> Result<(), LedgerError> {
    match room.next_to_seal() {
        Some(_) => ledger.enqueue(&room.id, &[Job::seal(room, "imported")]).await,
        None => Ok(()),
    }
}
