//! How far a socket is read while a cast is unanswered: the session can do nothing with the frames behind it.

use std::rc::Rc;

use crate::actors::InFlightCast;

/// Bytes that are read at once, and at most while a cast is unanswered.
pub const MAX_READ_BYTES: usize = 4 * 1024;

/// Reading goes on for a while behind a cast that is in flight, then pauses until its reply has arrived.
pub struct ReadAhead {
    in_flight: Rc<InFlightCast>,
    /// Bytes read while the cast is in flight.
    used_bytes: usize,
    paused: bool,
}

impl ReadAhead {
    pub fn new(in_flight: Rc<InFlightCast>) -> Self {
        Self { in_flight, used_bytes: 0, paused: false }
    }

    /// How many bytes may be read now; `None`: reading is paused.
    pub fn budget(&mut self) -> Option<usize> {
        if !self.in_flight.is_open() {
            self.used_bytes = 0;
        }
        self.paused = self.used_bytes == MAX_READ_BYTES;
        (!self.paused).then(|| MAX_READ_BYTES - self.used_bytes)
    }

    /// Bytes were read.
    pub fn record(&mut self, bytes: usize) {
        if self.in_flight.is_open() {
            self.used_bytes += bytes;
        }
    }

    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// True if reading is paused and the reply has arrived since.
    pub fn may_resume(&self) -> bool {
        self.paused && !self.in_flight.is_open()
    }
}
