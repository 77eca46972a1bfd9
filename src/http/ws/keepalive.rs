//! When to ping a peer and when to give it up. Pure: counts looks, one a second, and not the clock, so that a process
//! that was stopped for a while does not find all its peers dead.

/// Seconds between pings: while frames are sent, and else.
const PING_BUSY: u8 = 5;
const PING_IDLE: u8 = 20;
/// Seconds for unsent bytes to move, and for a pong to come where frames were sent.
const PATIENCE: u8 = 10;
/// Seconds without a byte from the peer.
const SILENCE: u8 = 60;
/// Seconds for goodbyes: the last bytes out, and the peer's close frame in.
const GOODBYE: u8 = 3;

/// What happened since the last look, and how things are.
#[derive(Debug, Clone, Copy, Default)]
pub struct Activity {
    /// Bytes came.
    pub heard: bool,
    /// A pong came.
    pub pong: bool,
    /// A frame was sent, pings not counted.
    pub sent: bool,
    /// Unsent bytes moved.
    pub moved: bool,
    /// There are unsent bytes.
    pub unsent: bool,
    /// This side does not read, so nothing can be heard.
    pub deaf: bool,
    /// The session has ended.
    pub closing: bool,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    Wait,
    /// Send a ping.
    Ping,
    /// Drop a peer that does not read or answer.
    Drop,
    /// The goodbye has taken long enough.
    Finish,
}

/// See [module](self). All in looks.
#[derive(Debug, Default)]
pub struct Keepalive {
    /// Since bytes came.
    silent: u8,
    /// Since unsent bytes moved.
    stuck: u8,
    /// Since the last ping; `None` before the first.
    pinged: Option<u8>,
    /// Since the first ping without a pong.
    owing: Option<u8>,
    /// Frames were sent since then.
    owing_frames: bool,
    /// Frames were sent since the last ping.
    busy: bool,
    /// Since the session ended.
    closing: u8,
}

impl Keepalive {
    /// Judges a second of a socket's life.
    pub fn look(&mut self, activity: Activity) -> Action {
        if activity.closing {
            self.closing += 1;
            return if self.closing > GOODBYE { Action::Finish } else { Action::Wait };
        }
        self.count(activity);
        let mute = self.owing_frames && self.owing.is_some_and(|owing| owing >= PATIENCE);
        if self.stuck >= PATIENCE || self.silent >= SILENCE || mute {
            return Action::Drop;
        }
        let every = if self.busy { PING_BUSY } else { PING_IDLE };
        let due = self.pinged.map_or(self.busy, |pinged| pinged >= every);
        if !due || activity.unsent {
            return Action::Wait;
        }
        self.pinged = Some(0);
        self.owing.get_or_insert(0);
        self.busy = false;
        Action::Ping
    }

    fn count(&mut self, activity: Activity) {
        if activity.pong {
            self.owing = None;
        }
        if self.owing.is_none() {
            self.owing_frames = false;
        }
        self.busy |= activity.sent;
        self.owing_frames |= activity.sent && self.owing.is_some();
        self.stuck = if activity.unsent && !activity.moved { self.stuck + 1 } else { 0 };
        self.pinged = self.pinged.map(|pinged| pinged.saturating_add(1));
        if activity.heard {
            self.silent = 0;
        } else if !activity.deaf {
            self.silent += 1;
        }
        if !activity.deaf {
            self.owing = self.owing.map(|owing| owing.saturating_add(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Activity =
        Activity { heard: false, pong: false, sent: false, moved: false, unsent: false, deaf: false, closing: false };

    /// Looks every second, until something other than rest and pings is ordered; the seconds of the pings, and the end.
    fn watch(seconds: u8, mut activity: impl FnMut(u8) -> Activity) -> (Vec<u8>, Option<(u8, Action)>) {
        let (mut keepalive, mut pings) = (Keepalive::default(), vec![]);
        for second in 0..seconds {
            match keepalive.look(activity(second)) {
                Action::Wait => {}
                Action::Ping => pings.push(second),
                end => return (pings, Some((second, end))),
            }
        }
        (pings, None)
    }

    #[test]
    fn a_peer_that_answers_is_pinged_every_5_seconds_while_frames_are_sent_and_every_20_else() {
        let healthy = |second: u8| Activity { heard: true, pong: true, sent: second < 20, ..QUIET };
        assert_eq!(watch(61, healthy), (vec![0, 5, 10, 15, 20, 40, 60], None));
    }

    #[test]
    fn a_peer_that_is_sent_frames_and_answers_no_ping_is_dropped_after_10_seconds() {
        let (pings, end) = watch(60, |_| Activity { heard: true, sent: true, ..QUIET });
        assert_eq!((pings[0], end), (0, Some((10, Action::Drop))));
    }

    #[test]
    fn a_peer_that_is_sent_nothing_has_60_seconds() {
        let (_, end) = watch(100, |second| Activity { sent: second == 0, ..QUIET });
        assert_eq!(end, Some((59, Action::Drop)));
        let (_, end) = watch(200, |second| Activity { heard: second % 50 == 0, ..QUIET });
        assert_eq!(end, None);
    }

    #[test]
    fn unsent_bytes_must_move_within_10_seconds_and_are_not_pinged_behind() {
        let stuck = |second| Activity {
            unsent: second >= 1,
            moved: second == 20,
            sent: true,
            heard: true,
            pong: true,
            ..QUIET
        };
        assert_eq!(watch(60, |second| stuck(second.max(1))), (vec![], Some((9, Action::Drop))));
        let slow = |second: u8| Activity { moved: second.is_multiple_of(9), ..stuck(1) };
        assert_eq!(watch(100, slow), (vec![], None));
    }

    #[test]
    fn a_peer_that_can_not_be_heard_owes_nothing() {
        let deaf = |second: u8| Activity { sent: true, deaf: second > 0, ..QUIET };
        assert_eq!(watch(100, deaf).1, None);
    }

    #[test]
    fn a_goodbye_takes_3_seconds_at_most() {
        assert_eq!(watch(60, |_| Activity { closing: true, ..QUIET }), (vec![], Some((3, Action::Finish))));
    }
}
