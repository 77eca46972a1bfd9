//! How other threads send a message to a session.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix::dev::SendError;
use actix::prelude::*;
use prometheus::IntCounter;

use super::messages::SessionMessage;
use super::pod::Pod;

/// A session's mailbox, and whether it has ever refused a message.
///
/// A session that has missed a message is stuck, mostly behind a peer that does not read, and nobody repeats messages to
/// sessions. So the sweep of its thread closes the socket: a client that comes back is told everything anew.
#[derive(Clone)]
pub struct SessionHandle {
    session: Recipient<SessionMessage>,
    missed: Arc<AtomicBool>,
    refusals: IntCounter,
}

impl SessionHandle {
    /// A handle of a session of this process.
    pub fn new(session: Recipient<SessionMessage>, pod: &Pod) -> Self {
        let refusals = pod.metrics.mailbox_refusals.with_label_values(&["session"]);
        Self { session, missed: Arc::default(), refusals }
    }

    /// Sends a message. A session that has ended needs none.
    pub fn send(&self, message: SessionMessage) {
        if let Err(SendError::Full(_)) = self.session.try_send(message) {
            self.refusals.inc();
            self.missed.store(true, Ordering::Relaxed);
        }
    }

    /// True once the mailbox has refused a message.
    pub fn has_missed_a_message(&self) -> bool {
        self.missed.load(Ordering::Relaxed)
    }
}
