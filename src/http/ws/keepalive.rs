//! When to ping a peer and when to give it up. Pure: it counts ticks, one a second, and reads no clock. So a process that
//! was stopped for a while does not find all its peers dead.

/// Seconds between pings while frames are sent, and while none are.
const PING_BUSY_SECS: u8 = 5;
const PING_IDLE_SECS: u8 = 20;
/// Seconds in which unsent bytes must make progress, and in which a pong must arrive if frames were sent.
const PROGRESS_TIMEOUT_SECS: u8 = 10;
const PONG_TIMEOUT_SECS: u8 = 10;
/// Seconds without a byte from the peer.
const SILENCE_TIMEOUT_SECS: u8 = 60;
/// Seconds to close: the last bytes out, and the peer's close frame in.
const CLOSE_TIMEOUT_SECS: u8 = 3;

/// What happened since the last tick, and how things are now.
#[derive(Debug, Clone, Copy, Default)]
pub struct Activity {
    /// Bytes arrived.
    pub received: bool,
    /// A pong arrived.
    pub pong: bool,
    /// A frame other than a ping was sent.
    pub sent: bool,
    /// The kernel took some of the unsent bytes.
    pub progress: bool,
    /// There are unsent bytes now.
    pub unsent: bool,
    /// This side does not read now, so nothing can arrive.
    pub not_reading: bool,
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
    /// End a close that takes too long.
    Finish,
}

/// See [module](self). All counts are in ticks.
#[derive(Debug, Default)]
pub struct Keepalive {
    /// Since bytes arrived.
    silent: u8,
    /// Since unsent bytes made progress.
    stuck: u8,
    /// Since the last ping; `None` before the first.
    since_ping: Option<u8>,
    /// Since the first ping that no pong has answered.
    unanswered: Option<u8>,
    /// Frames were sent since that ping.
    sent_since_unanswered: bool,
    /// Frames were sent since the last ping.
    sent_since_ping: bool,
    /// Since the session ended.
    closing: u8,
}

impl Keepalive {
    /// Judges the last second.
    pub fn tick(&mut self, activity: Activity) -> Action {
        if activity.closing {
            self.closing += 1;
            return if self.closing > CLOSE_TIMEOUT_SECS { Action::Finish } else { Action::Wait };
        }
        self.count(activity);
        let no_pong = self.sent_since_unanswered && self.unanswered.is_some_and(|ticks| ticks >= PONG_TIMEOUT_SECS);
        if self.stuck >= PROGRESS_TIMEOUT_SECS || self.silent >= SILENCE_TIMEOUT_SECS || no_pong {
            return Action::Drop;
        }
        let interval = if self.sent_since_ping { PING_BUSY_SECS } else { PING_IDLE_SECS };
        let is_due = self.since_ping.map_or(self.sent_since_ping, |ticks| ticks >= interval);
        if !is_due || activity.unsent {
            return Action::Wait;
        }
        self.since_ping = Some(0);
        self.unanswered.get_or_insert(0);
        self.sent_since_ping = false;
        Action::Ping
    }

    fn count(&mut self, activity: Activity) {
        if activity.pong {
            self.unanswered = None;
        }
        if self.unanswered.is_none() {
            self.sent_since_unanswered = false;
        }
        self.sent_since_ping |= activity.sent;
        self.sent_since_unanswered |= activity.sent && self.unanswered.is_some();
        self.stuck = if activity.unsent && !activity.progress { self.stuck + 1 } else { 0 };
        self.since_ping = self.since_ping.map(|ticks| ticks.saturating_add(1));
        if activity.received {
            self.silent = 0;
        } else if !activity.not_reading {
            self.silent += 1;
        }
        if !activity.not_reading {
            self.unanswered = self.unanswered.map(|ticks| ticks.saturating_add(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Activity = Activity {
        received: false,
        pong: false,
        sent: false,
        progress: false,
        unsent: false,
        not_reading: false,
        closing: false,
    };

    /// Ticks every second, until the action is neither to wait nor to ping. Returns the seconds of the pings, and the end.
    fn watch(seconds: u8, mut activity: impl FnMut(u8) -> Activity) -> (Vec<u8>, Option<(u8, Action)>) {
        let (mut keepalive, mut pings) = (Keepalive::default(), vec![]);
        for second in 0..seconds {
            match keepalive.tick(activity(second)) {
                Action::Wait => {}
                Action::Ping => pings.push(second),
                end => return (pings, Some((second, end))),
            }
        }
        (pings, None)
    }

    #[test]
    fn a_peer_that_answers_is_pinged_every_5_seconds_while_frames_are_sent_and_every_20_otherwise() {
        let healthy = |second: u8| Activity { received: true, pong: true, sent: second < 20, ..QUIET };
        assert_eq!(watch(61, healthy), (vec![0, 5, 10, 15, 20, 40, 60], None));
    }

    #[test]
    fn a_peer_that_is_sent_frames_and_answers_no_ping_is_dropped_after_10_seconds() {
        let (pings, end) = watch(60, |_| Activity { received: true, sent: true, ..QUIET });
        assert_eq!((pings[0], end), (0, Some((10, Action::Drop))));
    }

    #[test]
    fn a_peer_that_is_sent_nothing_has_60_seconds() {
        let (_, end) = watch(100, |second| Activity { sent: second == 0, ..QUIET });
        assert_eq!(end, Some((59, Action::Drop)));
        let (_, end) = watch(200, |second| Activity { received: second % 50 == 0, ..QUIET });
        assert_eq!(end, None);
    }

    #[test]
    fn unsent_bytes_must_make_progress_within_10_seconds_and_no_ping_is_sent_behind_them() {
        let stuck = |second| Activity {
            unsent: second >= 1,
            progress: second == 20,
            sent: true,
            received: true,
            pong: true,
            ..QUIET
        };
        assert_eq!(watch(60, |second| stuck(second.max(1))), (vec![], Some((9, Action::Drop))));
        let slow = |second: u8| Activity { progress: second.is_multiple_of(9), ..stuck(1) };
        assert_eq!(watch(100, slow), (vec![], None));
    }

    #[test]
    fn a_peer_is_not_dropped_for_silence_while_this_side_does_not_read() {
        let not_reading = |second: u8| Activity { sent: true, not_reading: second > 0, ..QUIET };
        assert_eq!(watch(100, not_reading).1, None);
    }

    #[test]
    fn closing_takes_3_seconds_at_most() {
        assert_eq!(watch(60, |_| Activity { closing: true, ..QUIET }), (vec![], Some((3, Action::Finish))));
    }
}
