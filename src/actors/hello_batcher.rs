//! Batches hellos: while the ledger is being asked for some voters of a room, others wait and go together into the next
//! call. So ten thousand clients that come back at once cost some dozens of calls, and a single hello never waits.

use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::oneshot;

use super::pod::AbortOnPanic;
use crate::domain::ballot::Ballot;
use crate::domain::room::Room;
use crate::ledger::{LedgerError, ResumeRequest, SLICE, SharedLedger, Voter};

type Greeted = Result<(Voter, Ballot), LedgerError>;

/// See the [module](self). One for each active room.
#[derive(Default)]
pub struct HelloBatcher(Mutex<HelloQueue>);

#[derive(Default)]
struct HelloQueue {
    waiting: Vec<(ResumeRequest, oneshot::Sender<Greeted>)>,
    /// True while a call to the ledger is under way.
    calling: bool,
}

impl HelloBatcher {
    fn queue(&self) -> MutexGuard<'_, HelloQueue> {
        self.0.lock().expect("the lock is never poisoned")
    }

    /// The next batch, at most [`SLICE`] hellos. If there is none, no call is under way any more.
    fn next_batch(&self) -> Vec<(ResumeRequest, oneshot::Sender<Greeted>)> {
        let mut queue = self.queue();
        let count = queue.waiting.len().min(SLICE);
        let rest = queue.waiting.split_off(count);
        queue.calling = count > 0;
        std::mem::replace(&mut queue.waiting, rest)
    }

    /// Asks the ledger for one voter of `room`, together with others that wait.
    ///
    /// # Errors
    /// The ledger's.
    pub async fn greet(self: &Arc<Self>, ledger: &SharedLedger, room: Arc<Room>, greeting: ResumeRequest) -> Greeted {
        let (sender, answer) = oneshot::channel();
        let is_first = {
            let mut queue = self.queue();
            queue.waiting.push((greeting, sender));
            !std::mem::replace(&mut queue.calling, true)
        };
        if is_first {
            // a task of its own: the session that started it may end
            actix_web::rt::spawn(greet_all(self.clone(), ledger.clone(), room));
        }
        answer.await.unwrap_or_else(|_| Err(LedgerError::NotApplied("this process is stopping".into())))
    }
}

/// Calls the ledger until no hello waits.
async fn greet_all(batcher: Arc<HelloBatcher>, ledger: SharedLedger, room: Arc<Room>) {
    let _abort_on_panic = AbortOnPanic("hello batcher");
    loop {
        let (greetings, answers): (Vec<_>, Vec<_>) = batcher.next_batch().into_iter().unzip();
        if greetings.is_empty() {
            return;
        }
        match ledger.resume(&room.id, room.partitions, &greetings).await {
            Ok(greeted) => {
                for (answer, greeted) in answers.into_iter().zip(greeted) {
                    // a session that has ended needs no answer
                    let _ = answer.send(Ok(greeted));
                }
            }
            Err(error) => {
                for answer in answers {
                    let _ = answer.send(Err(error.clone()));
                }
            }
        }
    }
}
