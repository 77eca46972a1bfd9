//! `Subscriber`: one for each process. It owns the ledger's feed, and each second compares the boards with the ledger.
//!
//! In: events of the feed; [`Rooms::activated`]. Out: newer gates and rooms to the boards, [`CloseSessions`] to the
//! registry, messages to sessions, this process's beacon to all processes. Nobody sends to its mailbox but itself.
//!
//! The feed may lose messages without a trace, so nothing relies on it: every second the `seq` and the gates' versions of
//! all active rooms are read, and what differs is put on the boards. If this process's own beacon does not come back
//! within three seconds, the feed is connected anew.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use tokio::sync::mpsc;

use super::active_room::ActiveRoom;
use super::messages::CloseSessions;
use super::pod::{AbortOnPanic, die};
use super::registry_handle::RegistryHandle;
use super::rooms::Rooms;
use super::worker::raise_alarm;
use crate::domain::ids::RoomId;
use crate::ledger::{Beacon, DeskSeen, Feed, FeedEvent, StageSeen};
use crate::wire::server::{ByeReason, DeskView, DeviceView, LedgerView, PodView, StageView};

/// Between two comparisons of the boards with the ledger.
const TICK: Duration = Duration::from_secs(1);
/// Between two checks that the ledger stores durably.
const CHECK: Duration = Duration::from_secs(30);
/// Between two checks while the last one found that it does not.
const CHECK_AGAIN: Duration = Duration::from_secs(2);
/// Between two scans for rooms that have something due and that nobody here uses.
const SCAN: Duration = Duration::from_secs(30);
/// A process whose last beacon is older than this counts as gone.
const BEACON_LIFE: Duration = Duration::from_secs(3);
/// A vote that was not shown for this long raises an alarm.
const UNSHOWN: Duration = Duration::from_secs(5);
/// A room that nobody has used for this long is deactivated.
const RETIRE: Duration = Duration::from_secs(60);

mod compare;

use compare::{compare, refresh};

/// Commands to the task that owns the feed's connection.
enum FeedCommand {
    Follow(Vec<RoomId>),
    Reconnect,
}

/// See [module](self).
pub struct Subscriber {
    rooms: Arc<Rooms>,
    registry: Arc<RegistryHandle>,
    commands: mpsc::UnboundedSender<FeedCommand>,
    followed: Vec<RoomId>,
    beacons: HashMap<String, (Instant, Beacon)>,
    /// When this process's own beacon last came back.
    heard: Instant,
    checked: Option<Instant>,
    scanned: Option<Instant>,
    comparing: bool,
    /// By room: slips stored one tick ago, and since when nobody here uses the room.
    last: HashMap<RoomId, (u64, Option<Instant>)>,
    _abort_on_panic: AbortOnPanic,
}

impl Subscriber {
    /// Starts it on the calling thread.
    pub fn begin(rooms: Arc<Rooms>, registry: Arc<RegistryHandle>) -> Addr<Self> {
        Self::create(|ctx: &mut Context<Self>| {
            let (commands, inbox) = mpsc::unbounded_channel();
            let (events, outbox) = mpsc::channel(1_024);
            actix::spawn(run_feed(rooms.pod.ledger.feed(), inbox, events));
            let events =
                futures_util::stream::unfold(outbox, |mut outbox| async { Some((outbox.recv().await?, outbox)) });
            ctx.add_stream(events);
            let watched = rooms.clone();
            ctx.add_message_stream(futures_util::stream::unfold(watched, |rooms| async {
                rooms.activated().await;
                Some((RoomActivated, rooms))
            }));
            Self {
                rooms,
                registry,
                commands,
                followed: vec![],
                beacons: HashMap::new(),
                heard: Instant::now(),
                checked: None,
                scanned: None,
                comparing: false,
                last: HashMap::new(),
                _abort_on_panic: AbortOnPanic("subscriber"),
            }
        })
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        let rooms = self.rooms.all();
        self.follow(&rooms);
        self.send_beacon(&rooms);
        self.update_desks(&rooms);
        self.rooms.measure();
        self.retire(rooms);
        if !self.comparing {
            self.comparing = true;
            let pause = if self.rooms.pod.health.is_durable() { CHECK } else { CHECK_AGAIN };
            let check = self.rooms.pod.health.take_doubt() || self.is_due(self.checked, pause);
            let scan = self.is_due(self.scanned, SCAN);
            let comparison = compare(self.rooms.clone(), check, scan);
            ctx.spawn(comparison.into_actor(self).map(move |scanned, subscriber, _| {
                subscriber.comparing = false;
                let now = Some(Instant::now());
                subscriber.checked = if check { now } else { subscriber.checked };
                subscriber.scanned = if scanned { now } else { subscriber.scanned };
            }));
        }
    }

    fn is_due(&self, last: Option<Instant>, every: Duration) -> bool {
        last.is_none_or(|last| last.elapsed() >= every)
    }

    fn command_feed(&self, command: FeedCommand) {
        // the task lives as long as this actor
        let _ = self.commands.send(command);
    }

    /// Subscribes the feed to the active rooms.
    fn follow(&mut self, rooms: &[Arc<ActiveRoom>]) {
        let mut ids: Vec<_> = rooms.iter().map(|room| room.board.id.clone()).collect();
        ids.sort();
        if ids != self.followed {
            self.followed.clone_from(&ids);
            self.command_feed(FeedCommand::Follow(ids));
        }
    }

    /// Sends this process's beacon, and reconnects the feed if the beacons before did not come back.
    fn send_beacon(&mut self, rooms: &[Arc<ActiveRoom>]) {
        if self.heard.elapsed() > BEACON_LIFE {
            self.rooms.pod.health.set_feed(false);
            self.command_feed(FeedCommand::Reconnect);
            self.heard = Instant::now();
        }
        self.beacons.retain(|_, (heard, _)| heard.elapsed() < BEACON_LIFE);
        let beacon = Beacon {
            pod: self.rooms.pod.name.clone(),
            ready: self.rooms.pod.is_ready(),
            sessions: self.rooms.pod.metrics.sockets.get().max(0) as u64,
            commit_p99_ms: self.rooms.pod.metrics.recent_commits.p99_ms(Instant::now()),
            rooms: rooms.iter().filter_map(|room| room.beacon()).collect(),
        };
        // known without the feed
        self.beacons.insert(beacon.pod.clone(), (Instant::now(), beacon.clone()));
        let pod = self.rooms.pod.clone();
        actix::spawn(async move {
            if let Err(error) = pod.ledger.announce(&FeedEvent::Beacon(beacon)).await {
                pod.note_ledger_error(&error);
            }
        });
        for room in rooms {
            let (came, left) = room.presence_changes();
            let (here, id) = (self.rooms.clone(), room.board.id.clone());
            actix::spawn(async move {
                let pod = &here.pod;
                if let Err(error) = pod.ledger.note_present(&id, &pod.name, &came, &left).await {
                    pod.note_ledger_error(&error);
                    // some may not be stored: the next tick stores all of them again
                    if let Some(room) = here.get(&id) {
                        room.mark_all_changed();
                    }
                }
            });
        }
    }

    /// Puts presence and the figures of the emcee's page on the boards.
    fn update_desks(&mut self, rooms: &[Arc<ActiveRoom>]) {
        let mut pods: Vec<_> = self.beacons.values().map(|(_, beacon)| beacon).collect();
        pods.sort_by(|a, b| a.pod.cmp(&b.pod));
        let mut names: Vec<_> = pods.iter().map(|pod| pod.pod.clone()).collect();
        if !names.contains(&self.rooms.pod.name) {
            names.push(self.rooms.pod.name.clone());
        }
        *self.rooms.pod.peers.write().expect("the lock is never poisoned") = names;
        let pod_views: Vec<_> = pods
            .iter()
            .map(|pod| PodView { name: pod.pod.clone(), ready: pod.ready, sessions: pod.sessions })
            .collect();
        let commit_p99_ms = pods.iter().map(|pod| pod.commit_p99_ms).fold(0.0, f64::max);
        let unreadable = self.rooms.pod.quarantine.views();
        for room in rooms {
            let beacons: Vec<_> = pods.iter().flat_map(|pod| &pod.rooms).filter(|r| r.room == room.board.id).collect();
            let connected = beacons.iter().map(|beacon| beacon.connected).sum();
            let counts = room.board.counts();
            let last = self.last.entry(room.board.id.clone()).or_insert((counts.stored, None));
            let votes_per_s = counts.stored.saturating_sub(last.0);
            last.0 = counts.stored;
            let now = self.rooms.pod.clock.now();
            room.board.put_connected(connected, now);
            let shown = beacons.iter().map(|beacon| beacon.shown).min().unwrap_or(counts.stored);
            let oldest_unshown_ms = beacons.iter().map(|beacon| beacon.oldest_unshown_ms).max().unwrap_or(0);
            if self.rooms.pod.keeps_records {
                self.watch_numbers(room, counts.acknowledged, counts.stored, Duration::from_millis(oldest_unshown_ms));
            }
            room.board.put_desk(
                DeskView {
                    connected,
                    voters: counts.voters,
                    votes_per_s,
                    acknowledged: counts.acknowledged,
                    stored: counts.stored,
                    shown: shown.min(counts.stored),
                    oldest_unshown_ms,
                    stages: beacons.iter().flat_map(|beacon| &beacon.stages).map(stage_view).collect(),
                    desks: beacons.iter().flat_map(|beacon| &beacon.desks).map(device_view).collect(),
                    pods: pod_views.clone(),
                    ledger: LedgerView {
                        state: self.rooms.pod.health.ledger(),
                        commit_p99_ms,
                        durable: self.rooms.pod.health.is_durable(),
                    },
                    unreadable: unreadable.clone(),
                },
                room.has_desks(),
                now,
            );
        }
    }

    /// Raises an alarm where acknowledged, stored and shown disagree: if more votes were acknowledged than are stored, or a
    /// vote was not shown for [`UNSHOWN`] on the screens of some process. At most once an hour for each room, over all
    /// processes.
    fn watch_numbers(&self, room: &ActiveRoom, acknowledged: u64, stored: u64, oldest_unshown: Duration) {
        let what = if acknowledged > stored {
            format!("{acknowledged} votes were acknowledged and {stored} are stored")
        } else if oldest_unshown > UNSHOWN {
            format!("a vote was not shown for {} s", oldest_unshown.as_secs())
        } else {
            return;
        };
        let record = room.board.room();
        let occasion = format!("numbers-{}", self.rooms.pod.clock.now() / 3_600_000);
        let pod = self.rooms.pod.clone();
        actix::spawn(async move { raise_alarm(&pod, &record, &occasion, &what).await });
    }

    /// Deactivates rooms that nobody has used for [`RETIRE`].
    fn retire(&mut self, rooms: Vec<Arc<ActiveRoom>>) {
        for room in rooms {
            let Some((_, empty_since)) = self.last.get_mut(&room.board.id) else { continue };
            let idle = room.is_empty() && room.board.next_due().is_none();
            if !idle {
                *empty_since = None;
            } else if empty_since.get_or_insert_with(Instant::now).elapsed() > RETIRE {
                self.last.remove(&room.board.id);
                self.rooms.retire(&room);
            }
        }
    }

    fn handle_event(&mut self, event: FeedEvent, ctx: &mut Context<Self>) {
        let rooms = self.rooms.clone();
        let pod = &rooms.pod;
        match event {
            FeedEvent::Gate { room, partition, gate } => {
                if let Some(room) = rooms.get(&room) {
                    let change = room.board.put_gate(partition, *gate, pod.clock.now());
                    room.board.notify(change);
                }
            }
            FeedEvent::RoomChanged { room, seq } => {
                let known = rooms.get(&room).is_some_and(|active| active.board.room().seq >= seq);
                if !known {
                    ctx.spawn(async move { refresh(&rooms, &room).await }.into_actor(self).map(|deleted, act, _| {
                        if let Some(room) = deleted {
                            act.close_sessions(room);
                        }
                    }));
                } else if rooms.get(&room).is_some_and(|active| active.board.room().deleted_at.is_some()) {
                    self.close_sessions(room);
                }
            }
            FeedEvent::VoterRemoved { room, voter } => {
                if let Some(room) = rooms.get(&room) {
                    room.close_sessions_of_voter(&voter);
                }
            }
            FeedEvent::SignedOut { sign_in } => {
                for room in rooms.all() {
                    room.close_sessions_of_sign_in(&sign_in);
                }
            }
            FeedEvent::Beacon(beacon) => {
                if beacon.pod == pod.name {
                    self.heard = Instant::now();
                    pod.health.set_feed(true);
                }
                self.beacons.insert(beacon.pod.clone(), (Instant::now(), beacon));
            }
            FeedEvent::Lost => pod.health.set_feed(false),
            FeedEvent::Resumed => {
                pod.metrics.feed_resyncs.inc();
                pod.health.doubt();
                self.heard = Instant::now();
                self.scanned = None;
                for room in rooms.all() {
                    room.mark_all_changed();
                }
            }
        }
    }

    /// Closes the sockets of a deleted room.
    fn close_sessions(&self, room: RoomId) {
        self.registry.close_sessions(&CloseSessions {
            room: Some(room),
            reason: ByeReason::RoomDeleted,
            within: Duration::ZERO,
        });
    }
}

fn stage_view(stage: &StageSeen) -> StageView {
    StageView { screen: stage.screen.clone(), seq: stage.seq, seen_ms: stage.seen_ms }
}

fn device_view(desk: &DeskSeen) -> DeviceView {
    DeviceView { device: desk.device.clone(), seen_ms: desk.seen_ms }
}

/// Owns the feed. Events and commands never wait for each other.
async fn run_feed(
    mut feed: Box<dyn Feed>,
    mut commands: mpsc::UnboundedReceiver<FeedCommand>,
    events: mpsc::Sender<FeedEvent>,
) {
    loop {
        tokio::select! {
            command = commands.recv() => match command {
                None => return,
                Some(FeedCommand::Follow(rooms)) => feed.follow(rooms).await,
                Some(FeedCommand::Reconnect) => feed.reconnect().await,
            },
            event = feed.next() => {
                if events.send(event).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// A room became active.
#[derive(Message)]
#[rtype(result = "()")]
struct RoomActivated;

impl Handler<RoomActivated> for Subscriber {
    type Result = ();

    fn handle(&mut self, _: RoomActivated, _: &mut Self::Context) {
        self.follow(&self.rooms.all());
    }
}

impl Actor for Subscriber {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.tick(ctx);
        ctx.run_interval(TICK, Self::tick);
    }
}

impl StreamHandler<FeedEvent> for Subscriber {
    fn handle(&mut self, event: FeedEvent, ctx: &mut Self::Context) {
        self.handle_event(event, ctx);
    }

    fn finished(&mut self, _: &mut Self::Context) {
        // the feed never ends by itself: its task has panicked
        if !self.rooms.pod.health.is_draining() {
            die("feed");
        }
    }
}
