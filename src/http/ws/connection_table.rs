//! All sockets of a thread, with and without a subscription, ticked once a second.

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::socket::Socket;
use crate::actors::Pod;
use crate::actors::pod::AbortOnPanic;

/// Between two ticks of a socket.
const TICK: Duration = Duration::from_secs(1);
/// Sockets ticked before other work of the thread gets its turn.
const SLICE: usize = 256;

/// See [module](self).
#[derive(Clone, Default)]
pub struct ConnectionTable(Rc<RefCell<Vec<Weak<Socket>>>>);

impl ConnectionTable {
    /// An empty table. Its sockets are ticked on this thread.
    pub fn start(pod: Arc<Pod>) -> Self {
        let connections = Self::default();
        let ticked = connections.clone();
        actix_web::rt::spawn(async move {
            let _abort_on_panic = AbortOnPanic("connections");
            let mut second = tokio::time::interval(TICK);
            // after this thread or the process was held up, ticks must not catch up: sockets count them as seconds
            second.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                second.tick().await;
                ticked.tick(&pod).await;
            }
        });
        connections
    }

    /// Adds a socket. It is removed when it is dropped.
    pub fn add(&self, socket: &Rc<Socket>) {
        self.0.borrow_mut().push(Rc::downgrade(socket));
    }

    async fn tick(&self, pod: &Pod) {
        let mut next = 0;
        while next < self.0.borrow().len() {
            let draining = pod.health.is_draining();
            let end = next + SLICE;
            while next < end {
                let Some(socket) = self.0.borrow().get(next).map(Weak::upgrade) else { break };
                match socket {
                    Some(socket) => {
                        pod.metrics.sockets_dropped.inc_by(u64::from(socket.tick(draining)));
                        next += 1;
                    }
                    None => drop(self.0.borrow_mut().swap_remove(next)),
                }
            }
            tokio::task::yield_now().await;
        }
    }
}
