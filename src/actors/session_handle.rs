//! The session to a session, for words from any thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix::dev::SendError;
use actix::prelude::*;
use prometheus::IntCounter;

use super::messages::SessionMessage;
use super::pod::Pod;

/// A session's mailbox, and whether it has refused a word. Such a session is stuck, mostly behind a peer that does not
/// read, and what it has missed nobody would say again: so the sweep of its thread closes the socket, and whoever comes
/// back is told everything anew.
#[derive(Clone)]
pub struct SessionHandle {
    session: Recipient<SessionMessage>,
    missed: Arc<AtomicBool>,
    refusals: IntCounter,
}

impl SessionHandle {
    /// To a session of this pod.
    pub fn new(session: Recipient<SessionMessage>, pod: &Pod) -> Self {
        let refusals = pod.metrics.mailbox_refusals.with_label_values(&["session"]);
        Self { session, missed: Arc::default(), refusals }
    }

    /// Says a word. A session that has ended needs none.
    pub fn send(&self, message: SessionMessage) {
        if let Err(SendError::Full(_)) = self.session.try_send(message) {
            self.refusals.inc();
            self.missed.store(true, Ordering::Relaxed);
        }
    }

    /// True once a word was refused.
    pub fn has_missed_a_message(&self) -> bool {
        self.missed.load(Ordering::Relaxed)
    }
}
