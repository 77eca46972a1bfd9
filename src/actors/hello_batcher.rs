//! Hellos of voters, gathered: while the ledger is being asked for some, others wait and go together in the next
//! question. So a storm of ten thousand costs some dozens of questions, and a single hello waits for nobody.

use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::oneshot;

use super::pod::AbortOnPanic;
use crate::domain::ballot::Ballot;
use crate::domain::room::Room;
use crate::ledger::{Greeting, LedgerError, SLICE, SharedLedger, Voter};

type Greeted = Result<(Voter, Ballot), LedgerError>;

/// See [module](self).
#[derive(Default)]
pub struct HelloBatcher(Mutex<HelloQueue>);

#[derive(Default)]
struct HelloQueue {
    waiting: Vec<(Greeting, oneshot::Sender<Greeted>)>,
    /// The ledger is being asked.
    asking: bool,
}

impl HelloBatcher {
    fn queue(&self) -> MutexGuard<'_, HelloQueue> {
        self.0.lock().expect("the lock is never poisoned")
    }

    /// The next ones to ask for; nobody asks any more if there are none.
    fn next(&self) -> Vec<(Greeting, oneshot::Sender<Greeted>)> {
        let mut queue = self.queue();
        let count = queue.waiting.len().min(SLICE);
        let rest = queue.waiting.split_off(count);
        queue.asking = count > 0;
        std::mem::replace(&mut queue.waiting, rest)
    }

    /// Greets one voter of `room`.
    ///
    /// # Errors
    /// The ledger's.
    pub async fn greet(self: &Arc<Self>, ledger: &SharedLedger, room: Arc<Room>, greeting: Greeting) -> Greeted {
        let (sender, answer) = oneshot::channel();
        let leads = {
            let mut queue = self.queue();
            queue.waiting.push((greeting, sender));
            !std::mem::replace(&mut queue.asking, true)
        };
        if leads {
            // a task of its own: the session that leads may go away
            actix_web::rt::spawn(greet_all(self.clone(), ledger.clone(), room));
        }
        answer.await.unwrap_or_else(|_| Err(LedgerError::NotApplied("the batcher is gone".into())))
    }
}

async fn greet_all(batcher: Arc<HelloBatcher>, ledger: SharedLedger, room: Arc<Room>) {
    let _abort_on_panic = AbortOnPanic("batcher");
    loop {
        let (greetings, answers): (Vec<_>, Vec<_>) = batcher.next().into_iter().unzip();
        if greetings.is_empty() {
            return;
        }
        match ledger.greet(&room.id, room.partitions, &greetings).await {
            Ok(greeted) => {
                for (answer, greeted) in answers.into_iter().zip(greeted) {
                    // a session that has gone needs no answer
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
