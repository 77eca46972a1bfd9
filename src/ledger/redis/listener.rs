//! The task behind a feed: connects, subscribes, listens, and begins again.
//!
//! Pub/sub falls silent without a word when a peer is gone without a reset. So a connection that was silent for
//! [`PROBE`] is pinged, and given up if [`DEAD`] later there is still no sound. Whoever knows better, because its own
//! messages do not come back, orders another connection.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt, OptionFuture};
use redis::RedisResult;
use redis::aio::{PubSub, PubSubSink};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::gate_codec;
use super::keys::{control_channel, gates_channel};
use super::link::Link;
use super::outbox::Outbox;
use crate::domain::ids::RoomId;
use crate::ledger::FeedEvent;

/// Silence after which the connection is asked whether it lives.
const PROBE: Duration = Duration::from_secs(1);
/// How long the answer may take. Also the longest wait for a subscription.
const DEAD: Duration = Duration::from_secs(3);
/// First pause before another attempt to connect; doubled each time, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// See [`FIRST_PAUSE`]. Up to a quarter comes on top, by chance, so that pods do not return all at once.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What the feed wants.
pub(super) enum Order {
    /// Follow these rooms, and drop the sender when they are followed, or cannot be for now.
    Follow(BTreeSet<RoomId>, oneshot::Sender<()>),
    /// Drop the connection and make another.
    Reconnect,
}

/// Why a connection is not listened to any more.
enum End {
    Lost,
    Reconnect,
    /// The feed itself is gone.
    Dropped,
}

/// See the [module](self).
pub(super) struct Listener {
    link: Link,
    /// What shall be followed.
    rooms: BTreeSet<RoomId>,
    orders: mpsc::UnboundedReceiver<Order>,
    /// Dropped, which is an answer, once the rooms are followed or the attempt to connect has failed.
    waiting: Vec<oneshot::Sender<()>>,
    outbox: Outbox,
    /// Said since it was last connected.
    told_lost: bool,
}

impl Listener {
    pub(super) fn new(
        link: Link,
        rooms: BTreeSet<RoomId>,
        orders: mpsc::UnboundedReceiver<Order>,
        outbox: Outbox,
    ) -> Self {
        Self { link, rooms, orders, waiting: vec![], outbox, told_lost: false }
    }

    /// Runs until the feed is dropped.
    pub(super) async fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        loop {
            let followed = self.rooms.clone();
            let link = self.link.clone();
            let channels: Vec<String> =
                followed.iter().map(gates_channel).chain([control_channel(link.database())]).collect();
            let Some(connected) = self.meanwhile(link.subscribe(&channels), true).await else { return };
            match connected {
                Ok(messages) => {
                    match self.listen(messages, followed).await {
                        End::Dropped => return,
                        End::Lost => tracing::warn!("feed connection lost"),
                        End::Reconnect => tracing::warn!("feed connection given up on order"),
                    }
                    pause = FIRST_PAUSE;
                }
                Err(error) => tracing::debug!(%error, "feed connection not made"),
            }
            self.waiting.clear();
            if !std::mem::replace(&mut self.told_lost, true) {
                self.outbox.push(FeedEvent::Lost);
            }
            let pausing = sleep(pause.mul_f64(1.0 + rand::random::<f64>() / 4.0));
            if self.meanwhile(pausing, false).await.is_none() {
                return;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Waits for `done`, and takes orders meanwhile. A feed that asks for rooms waits only if a connection `is_coming`.
    /// `None`: the feed is gone.
    async fn meanwhile<T>(&mut self, done: impl Future<Output = T>, is_coming: bool) -> Option<T> {
        tokio::pin!(done);
        loop {
            tokio::select! {
                done = &mut done => return Some(done),
                order = self.orders.recv() => match order? {
                    Order::Follow(rooms, done) => {
                        self.rooms = rooms;
                        self.waiting.extend(is_coming.then_some(done));
                    }
                    Order::Reconnect => {}
                },
            }
        }
    }

    async fn listen(&mut self, messages: PubSub, mut followed: BTreeSet<RoomId>) -> End {
        let (mut sink, mut stream) = messages.split();
        // orders may have come while it was being made
        if !change(&mut sink, &mut followed, self.rooms.clone()).await {
            return End::Lost;
        }
        self.outbox.push(FeedEvent::Resumed);
        self.told_lost = false;
        self.waiting.clear();

        let mut ticks = interval(PROBE / 4);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        let mut is_probing = false;
        let mut probe: OptionFuture<BoxFuture<'static, bool>> = None.into();
        loop {
            tokio::select! {
                message = stream.next() => {
                    let Some(message) = message else { return End::Lost };
                    heard = Instant::now();
                    match read(message.get_payload_bytes()) {
                        Some(event) => self.outbox.push(event),
                        None => tracing::warn!(channel = message.get_channel_name(), "message that is none"),
                    }
                }
                Some(is_alive) = &mut probe => {
                    if !is_alive {
                        return End::Lost;
                    }
                    heard = Instant::now();
                    (is_probing, probe) = (false, None.into());
                }
                _ = ticks.tick() => {
                    self.outbox.catch_up();
                    if heard.elapsed() >= PROBE + DEAD {
                        return End::Lost;
                    }
                    if heard.elapsed() >= PROBE && !is_probing {
                        (is_probing, probe) = (true, Some(ping(sink.clone()).boxed()).into());
                    }
                }
                order = self.orders.recv() => match order {
                    None => return End::Dropped,
                    Some(Order::Reconnect) => return End::Reconnect,
                    Some(Order::Follow(rooms, done)) => {
                        self.rooms.clone_from(&rooms);
                        if !change(&mut sink, &mut followed, rooms).await {
                            return End::Lost;
                        }
                        heard = Instant::now();
                        drop(done);
                    }
                },
            }
        }
    }
}

async fn ping(mut sink: PubSubSink) -> bool {
    sink.ping::<redis::Value>().await.is_ok()
}

/// Follows `rooms` instead of those followed so far; false if the connection does not do it in time.
async fn change(sink: &mut PubSubSink, followed: &mut BTreeSet<RoomId>, rooms: BTreeSet<RoomId>) -> bool {
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
    matches!(timeout(DEAD, changing).await, Ok(Ok(())))
}

/// A gate is a line of words, whatever else is JSON. `None`: neither.
fn read(payload: &[u8]) -> Option<FeedEvent> {
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

    #[test]
    fn a_gate_is_read_from_its_line_with_room_and_partition() {
        let gate = Gate { stored: 3, ..Gate::default() };
        let event = read(format!("abcdefghijklmnop 7 {}", gate_codec::to_line(&gate)).as_bytes());
        assert_eq!(
            event,
            Some(FeedEvent::Gate { room: RoomId::parse("abcdefghijklmnop").unwrap(), partition: 7, gate: gate.into() })
        );
    }

    #[test]
    fn what_the_script_says_of_a_changed_room_is_read() {
        let event = read(br#"{"room_changed":{"room":"abcdefghijklmnop","seq":1700000000000}}"#);
        assert_eq!(
            event,
            Some(FeedEvent::RoomChanged { room: RoomId::parse("abcdefghijklmnop").unwrap(), seq: 1_700_000_000_000 })
        );
    }

    #[test]
    fn noise_is_no_message() {
        for noise in ["", "x", "{}", "\"resumed\"", "abcdefghijklmnop 1 2", "{ 1 0", "\u{0}"] {
            assert_eq!(read(noise.as_bytes()), None, "{noise:?}");
        }
    }
}
