//! Hellos of voters, gathered: while the ledger is being asked for some, others wait and go together in the next
//! question. So a storm of ten thousand costs some dozens of questions, and a single hello waits for nobody.

use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::oneshot;

use super::ActiveRoom;
use crate::actors::pod::{Pod, Vital};
use crate::domain::ballot::Ballot;
use crate::ledger::{Greeting, LedgerError, SLICE, Voter};

type Greeted = Result<(Voter, Ballot), LedgerError>;

/// See [module](self).
#[derive(Default)]
pub struct Greeter(Mutex<Hall>);

#[derive(Default)]
struct Hall {
    waiting: Vec<(Greeting, oneshot::Sender<Greeted>)>,
    /// The ledger is being asked.
    asking: bool,
}

impl Greeter {
    fn hall(&self) -> MutexGuard<'_, Hall> {
        self.0.lock().expect("nobody panics with it")
    }

    /// The next ones to ask for; nobody asks any more if there are none.
    fn next(&self) -> Vec<(Greeting, oneshot::Sender<Greeted>)> {
        let mut hall = self.hall();
        let count = hall.waiting.len().min(SLICE);
        let rest = hall.waiting.split_off(count);
        hall.asking = count > 0;
        std::mem::replace(&mut hall.waiting, rest)
    }
}

impl ActiveRoom {
    /// Greets one voter.
    ///
    /// # Errors
    /// The ledger's.
    pub async fn greet(self: &Arc<Self>, pod: &Arc<Pod>, greeting: Greeting) -> Greeted {
        let (sender, answer) = oneshot::channel();
        let leads = {
            let mut hall = self.greeter.hall();
            hall.waiting.push((greeting, sender));
            !std::mem::replace(&mut hall.asking, true)
        };
        if leads {
            // a task of its own: the session that leads may go away
            actix_web::rt::spawn(greet_all(pod.clone(), self.clone()));
        }
        answer.await.unwrap_or_else(|_| Err(LedgerError::NotApplied("the greeter is gone".into())))
    }
}

async fn greet_all(pod: Arc<Pod>, room: Arc<ActiveRoom>) {
    let _vital = Vital("greeter");
    loop {
        let (greetings, answers): (Vec<_>, Vec<_>) = room.greeter.next().into_iter().unzip();
        if greetings.is_empty() {
            return;
        }
        let record = room.board.room();
        match pod.ledger.greet(&record.id, record.partitions, &greetings).await {
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
