//! The task behind a feed: connects, subscribes, receives, and reconnects.
//!
//! A pub/sub connection whose peer is gone without a reset just falls silent. So a connection that was silent for
//! [`PING_AFTER`] is pinged, and given up if nothing was received [`PING_TIMEOUT`] later. A pod whose own messages do
//! not come back orders another connection.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt, OptionFuture};
use redis::RedisResult;
use redis::aio::{PubSub, PubSubSink};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::connections::Connections;
use super::gate_codec;
use super::keys::{beacons_channel, control_channel, gates_channel, is_beacons_channel, is_control_channel};
use super::lossy_sender::LossySender;
use crate::domain::ids::RoomId;
use crate::ledger::FeedEvent;

/// Silence after which the connection is pinged.
const PING_AFTER: Duration = Duration::from_secs(1);
/// How long the reply to a ping may take. Also the timeout of a subscription.
const PING_TIMEOUT: Duration = Duration::from_secs(3);
/// First pause before another attempt to connect; doubled each time, up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// See [`FIRST_PAUSE`]. A random jitter of up to a quarter is added, so that pods do not reconnect all at once.
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// A command of the feed to its task.
pub(super) enum FeedCommand {
    /// Follow these rooms instead of those before.
    Follow {
        /// The rooms.
        rooms: BTreeSet<RoomId>,
        /// Gets the outcome.
        reply: oneshot::Sender<FollowOutcome>,
    },
    /// Drop the connection and make another.
    Reconnect,
}

/// The outcome of [`FeedCommand::Follow`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FollowOutcome {
    /// The connection is subscribed to the rooms.
    Following,
    /// There is no connection at the moment; the next one follows the rooms.
    Disconnected,
}

/// Why a connection ended.
enum Disconnect {
    /// It failed, or fell silent.
    Lost,
    /// The feed has ordered another one.
    Ordered,
    /// The feed was dropped.
    FeedDropped,
}

/// See the [module](self).
pub(super) struct FeedTask {
    connections: Connections,
    /// The rooms to follow.
    rooms: BTreeSet<RoomId>,
    commands: mpsc::UnboundedReceiver<FeedCommand>,
    /// Follow commands that wait for the connection that is being made.
    waiting: Vec<oneshot::Sender<FollowOutcome>>,
    events: LossySender,
    /// [`FeedEvent::Lost`] was sent since the task was last connected.
    has_reported_lost: bool,
}

impl FeedTask {
    pub(super) fn new(
        connections: Connections,
        rooms: BTreeSet<RoomId>,
        commands: mpsc::UnboundedReceiver<FeedCommand>,
        events: LossySender,
    ) -> Self {
        Self { connections, rooms, commands, waiting: vec![], events, has_reported_lost: false }
    }

    /// Runs until the feed is dropped.
    pub(super) async fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        loop {
            let followed = self.rooms.clone();
            let connections = self.connections.clone();
            let shared = [control_channel(connections.database()), beacons_channel(connections.database())];
            let channels: Vec<String> = followed.iter().map(gates_channel).chain(shared).collect();
            let Some(connected) = self.until_done(connections.subscribe(&channels), true).await else { return };
            match connected {
                Ok(messages) => {
                    match self.receive(messages, followed).await {
                        Disconnect::FeedDropped => return,
                        Disconnect::Lost => tracing::warn!("feed connection lost"),
                        Disconnect::Ordered => tracing::warn!("feed connection dropped, because messages are missing"),
                    }
                    pause = FIRST_PAUSE;
                }
                Err(error) => tracing::debug!(%error, "feed connection could not be made"),
            }
            self.reply_to_waiting(FollowOutcome::Disconnected);
            if !std::mem::replace(&mut self.has_reported_lost, true) {
                self.events.send(FeedEvent::Lost);
            }
            let pausing = sleep(pause.mul_f64(1.0 + rand::random::<f64>() / 4.0));
            if self.until_done(pausing, false).await.is_none() {
                return;
            }
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }

    fn reply_to_waiting(&mut self, outcome: FollowOutcome) {
        for reply in self.waiting.drain(..) {
            // the feed may have stopped waiting
            let _ = reply.send(outcome);
        }
    }

    /// Waits for `done`, and handles commands while waiting. If `is_connecting`, follow commands wait for the
    /// connection. `None` if the feed was dropped.
    async fn until_done<T>(&mut self, done: impl Future<Output = T>, is_connecting: bool) -> Option<T> {
        tokio::pin!(done);
        loop {
            tokio::select! {
                done = &mut done => return Some(done),
                command = self.commands.recv() => match command? {
                    FeedCommand::Follow { rooms, reply } => {
                        self.rooms = rooms;
                        self.waiting.push(reply);
                        if !is_connecting {
                            self.reply_to_waiting(FollowOutcome::Disconnected);
                        }
                    }
                    FeedCommand::Reconnect => {}
                },
            }
        }
    }

    /// Receives messages and handles commands until the connection ends.
    async fn receive(&mut self, messages: PubSub, mut followed: BTreeSet<RoomId>) -> Disconnect {
        let (mut sink, mut stream) = messages.split();
        // the rooms may have changed while the connection was made
        if !change_subscriptions(&mut sink, &mut followed, self.rooms.clone()).await {
            return Disconnect::Lost;
        }
        self.events.send(FeedEvent::Resumed);
        self.has_reported_lost = false;
        self.reply_to_waiting(FollowOutcome::Following);

        let mut ticks = interval(PING_AFTER / 4);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last_received = Instant::now();
        let mut is_pinging = false;
        let mut pong: OptionFuture<BoxFuture<'static, bool>> = None.into();
        loop {
            tokio::select! {
                message = stream.next() => {
                    let Some(message) = message else { return Disconnect::Lost };
                    last_received = Instant::now();
                    let channel = message.get_channel_name();
                    match decode(message.get_payload_bytes()).filter(|event| belongs_to(event, channel)) {
                        Some(event) => self.events.send(event),
                        None => tracing::warn!(channel, "invalid feed message"),
                    }
                }
                Some(is_alive) = &mut pong => {
                    if !is_alive {
                        return Disconnect::Lost;
                    }
                    last_received = Instant::now();
                    (is_pinging, pong) = (false, None.into());
                }
                _ = ticks.tick() => {
                    self.events.report_dropped();
                    if last_received.elapsed() >= PING_AFTER + PING_TIMEOUT {
                        return Disconnect::Lost;
                    }
                    if last_received.elapsed() >= PING_AFTER && !is_pinging {
                        (is_pinging, pong) = (true, Some(ping(sink.clone()).boxed()).into());
                    }
                }
                command = self.commands.recv() => match command {
                    None => return Disconnect::FeedDropped,
                    Some(FeedCommand::Reconnect) => return Disconnect::Ordered,
                    Some(FeedCommand::Follow { rooms, reply }) => {
                        self.rooms.clone_from(&rooms);
                        self.waiting.push(reply);
                        if !change_subscriptions(&mut sink, &mut followed, rooms).await {
                            return Disconnect::Lost;
                        }
                        last_received = Instant::now();
                        self.reply_to_waiting(FollowOutcome::Following);
                    }
                },
            }
        }
    }
}

async fn ping(mut sink: PubSubSink) -> bool {
    sink.ping::<redis::Value>().await.is_ok()
}

/// Subscribes to `rooms` instead of those followed before. False if the connection does not confirm it in time.
async fn change_subscriptions(sink: &mut PubSubSink, followed: &mut BTreeSet<RoomId>, rooms: BTreeSet<RoomId>) -> bool {
    let more: Vec<String> = rooms.difference(followed).map(gates_channel).collect();
    let less: Vec<String> = followed.difference(&rooms).map(gates_channel).collect();
    *followed = rooms;
    let changing = async {
        if !more.is_empty() {
            sink.subscribe(&more).await?;
        }
        if !less.is_empty() {
            sink.unsubscribe(&less).await?;
        }
        RedisResult::Ok(())
    };
    matches!(timeout(PING_TIMEOUT, changing).await, Ok(Ok(())))
}

/// True if such a message is sent on this channel. Who may send on a channel is a matter of rights in Redis, so a message
/// counts only where it belongs. Beacons on the control channel are those of earlier versions.
fn belongs_to(event: &FeedEvent, channel: &str) -> bool {
    match event {
        FeedEvent::Gate { room, .. } => channel == gates_channel(room),
        FeedEvent::Beacon(_) => is_beacons_channel(channel) || is_control_channel(channel),
        _ => is_control_channel(channel),
    }
}

/// Decodes a message: a gate is a line of words, everything else is JSON. `None` if it is neither.
fn decode(payload: &[u8]) -> Option<FeedEvent> {
    if payload.starts_with(b"{") {
        return serde_json::from_slice(payload).ok();
    }
    let (room, rest) = std::str::from_utf8(payload).ok()?.split_once(' ')?;
    let (partition, line) = rest.split_once(' ')?;
    Some(FeedEvent::Gate {
        room: RoomId::parse(room).ok()?,
        partition: partition.parse().ok()?,
        gate: Box::new(gate_codec::from_line(line)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::gate::Gate;
    use crate::ledger::Beacon;

    #[test]
    fn a_gate_message_holds_room_partition_and_gate() {
        let gate = Gate { stored: 3, ..Gate::default() };
        let event = decode(format!("abcdefghijklmnop 7 {}", gate_codec::to_line(&gate)).as_bytes());
        assert_eq!(
            event,
            Some(FeedEvent::Gate { room: RoomId::parse("abcdefghijklmnop").unwrap(), partition: 7, gate: gate.into() })
        );
    }

    #[test]
    fn the_message_of_the_script_that_replaces_a_room_is_decoded() {
        let event = decode(br#"{"room_changed":{"room":"abcdefghijklmnop","seq":1700000000000}}"#);
        assert_eq!(
            event,
            Some(FeedEvent::RoomChanged { room: RoomId::parse("abcdefghijklmnop").unwrap(), seq: 1_700_000_000_000 })
        );
    }

    /// Otherwise a pod that may only send beacons could end the emcee's sign-in.
    #[test]
    fn a_message_counts_only_on_the_channel_where_it_belongs() {
        let room = RoomId::parse("abcdefghijklmnop").unwrap();
        let gate = FeedEvent::Gate { room: room.clone(), partition: 0, gate: Box::default() };
        let beacon = Beacon { pod: "p".into(), ready: true, sessions: 0, commit_p99_ms: 0.0, rooms: vec![] };
        let signed_out = FeedEvent::SignedOut { sign_in: "s".into() };
        let other = gates_channel(&RoomId::parse("ponmlkjihgfedcba").unwrap());
        let channels = [gates_channel(&room), beacons_channel(0), control_channel(0), other];
        let counts = |event: &FeedEvent| channels.each_ref().map(|channel| belongs_to(event, channel));
        assert_eq!(counts(&gate), [true, false, false, false]);
        assert_eq!(counts(&FeedEvent::Beacon(beacon)), [false, true, true, false]);
        assert_eq!(counts(&signed_out), [false, false, true, false]);
        assert_eq!(counts(&FeedEvent::RoomChanged { room, seq: 1 }), [false, false, true, false]);
    }

    #[test]
    fn an_invalid_message_is_not_decoded() {
        for noise in ["", "x", "{}", "\"resumed\"", "abcdefghijklmnop 1 2", "{ 1 0", "\u{0}"] {
            assert_eq!(decode(noise.as_bytes()), None, "{noise:?}");
        }
    }
}
