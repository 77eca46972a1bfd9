//! Jobs: what must be done because of a change, in the order in which it was caused.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use redb::{ReadTransaction, ReadableTable};
use serde::{Deserialize, Serialize};

use super::ledger::EmbeddedLedger;
use super::tables::{JOBS, StoreError, parse, store};
use super::write_transaction::WriteTransaction;
use crate::domain::LedgerMs;
use crate::domain::ids::RoomId;
use crate::domain::jobs::Job;
use crate::ledger::{Backlog, JobStore, LedgerError, TakenJob};

/// A job that is not done, as it is stored.
#[derive(Serialize, Deserialize)]
struct Waiting {
    job: Job,
    since: LedgerMs,
    /// End of the lease of the worker that has taken it; 0 if it was never taken.
    taken_until: LedgerMs,
    attempts: u64,
}

#[async_trait]
impl JobStore for EmbeddedLedger {
    async fn enqueue(&self, room: &RoomId, jobs: &[Job]) -> Result<(), LedgerError> {
        let (room, jobs) = (room.clone(), jobs.to_vec());
        self.store.write(1, move |transaction| transaction.enqueue(&room, &jobs)).await
    }

    async fn backlog(&self) -> Result<Vec<Backlog>, LedgerError> {
        self.store.read(backlog).await
    }

    async fn take_job(&self, room: &RoomId, _worker: &str, lease: Duration) -> Result<Option<TakenJob>, LedgerError> {
        let room = room.clone();
        self.store.write(1, move |transaction| transaction.take_job(&room, lease)).await
    }

    async fn finish_job(&self, room: &RoomId, job: &TakenJob) -> Result<(), LedgerError> {
        let (room, entry) = (room.clone(), job.entry.clone());
        let finish = move |transaction: &mut WriteTransaction<'_>| {
            let number = entry.parse().map_err(|_| StoreError::Misused("this is not a job of this ledger"))?;
            transaction.tables.jobs.remove((room.as_str(), number))?;
            Ok(())
        };
        self.store.write(1, finish).await
    }
}

impl WriteTransaction<'_> {
    /// Stores jobs whose ids were not stored before.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn enqueue(&mut self, room: &RoomId, jobs: &[Job]) -> Result<(), StoreError> {
        for job in jobs {
            let id = (room.as_str(), job.id.as_str());
            if self.tables.job_ids.get(id)?.is_some() {
                continue;
            }
            let all = (room.as_str(), 0)..=(room.as_str(), u64::MAX);
            let last = self.tables.jobs.range::<(&str, u64)>(all)?.next_back().transpose()?;
            let number = last.map_or(0, |(key, _)| key.value().1 + 1);
            self.tables.job_ids.insert(id, number)?;
            let waiting = Waiting { job: job.clone(), since: self.now, taken_until: 0, attempts: 0 };
            store(&mut self.tables.jobs, (room.as_str(), number), &waiting)?;
        }
        Ok(())
    }

    /// Takes the oldest job that no worker has a lease on.
    fn take_job(&mut self, room: &RoomId, lease: Duration) -> Result<Option<TakenJob>, StoreError> {
        let mut free = None;
        for entry in self.tables.jobs.range::<(&str, u64)>((room.as_str(), 0)..=(room.as_str(), u64::MAX))? {
            let (key, value) = entry?;
            let waiting: Waiting = parse(value.value())?;
            if waiting.taken_until <= self.now {
                free = Some((key.value().1, waiting));
                break;
            }
        }
        let Some((number, waiting)) = free else { return Ok(None) };
        let taken_until = self.now + lease.as_millis() as LedgerMs;
        let taken = Waiting { taken_until, attempts: waiting.attempts + 1, ..waiting };
        store(&mut self.tables.jobs, (room.as_str(), number), &taken)?;
        Ok(Some(TakenJob { entry: number.to_string(), job: taken.job, attempts: taken.attempts }))
    }
}

fn backlog(transaction: &ReadTransaction) -> Result<Vec<Backlog>, StoreError> {
    let mut rooms: BTreeMap<String, (u64, LedgerMs)> = BTreeMap::new();
    for entry in transaction.open_table(JOBS)?.iter()? {
        let (key, value) = entry?;
        let (count, oldest) = rooms.entry(key.value().0.to_owned()).or_insert((0, LedgerMs::MAX));
        *count += 1;
        // an invalid job is reported to the worker that takes it; the jobs of other rooms go on
        let waiting: Result<Waiting, _> = parse(value.value());
        *oldest = waiting.map_or(*oldest, |waiting| waiting.since.min(*oldest));
    }
    let backlog = rooms
        .into_iter()
        .filter_map(|(room, (waiting, since))| Some(Backlog { room: RoomId::parse(&room).ok()?, waiting, since }));
    Ok(backlog.collect())
}
