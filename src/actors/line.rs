//! The line to a session, for words from any thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix::dev::SendError;
use actix::prelude::*;
use prometheus::IntCounter;

use super::messages::Whisper;
use super::pod::Pod;

/// A session's mailbox, and whether it has refused a word. Such a session is stuck, mostly behind a peer that does not
/// read, and what it has missed nobody would say again: so the sweep of its thread closes the socket, and whoever comes
/// back is told everything anew.
#[derive(Clone)]
pub struct Line {
    session: Recipient<Whisper>,
    missed: Arc<AtomicBool>,
    refusals: IntCounter,
}

impl Line {
    /// To a session of this pod.
    pub fn new(session: Recipient<Whisper>, pod: &Pod) -> Self {
        let refusals = pod.metrics.mailbox_refusals.with_label_values(&["session"]);
        Self { session, missed: Arc::default(), refusals }
    }

    /// Says a word. A session that has ended needs none.
    pub fn whisper(&self, whisper: Whisper) {
        if let Err(SendError::Full(_)) = self.session.try_send(whisper) {
            self.refusals.inc();
            self.missed.store(true, Ordering::Relaxed);
        }
    }

    /// True once a word was refused.
    pub fn has_missed(&self) -> bool {
        self.missed.load(Ordering::Relaxed)
    }
}
