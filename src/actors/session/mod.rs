//! `Session`: one for each socket, on the thread of its worker. It parses messages of the client, forwards one cast at a
//! time, and sends what concerns this socket alone. Everything else reaches the socket through its subscription in the
//! registry.
//!
//! In: frames of the client, [`SessionMessage`]s. Out: casts to the registry shard of its thread, frames. Mailbox: 16
//! messages, actix's default. When it is full the session is stuck, and the registry closes its socket within a second,
//! see [`SessionHandle`].
//!
//! It decides nothing about votes. While a cast is unanswered, further casts wait here in order; the socket's reader
//! stops at 4 KiB of them. The answer goes from the registry shard straight to the socket, see [`super::in_flight`].

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use actix_http::ws::Item;
use actix_web_actors::ws::{self, CloseReason, Message, ProtocolError, WebsocketContext};

use super::active_room::{ActiveRoom, DeskSocket, StageSocket};
use super::in_flight::InFlightCast;
use super::messages::{Cast, ReplyTo, SessionMessage};
use super::pod::Pod;
use super::registry::{FrameSink, Subscribers, Subscription, SubscriptionGuard};
use super::rooms::Rooms;
use super::session_handle::SessionHandle;
use crate::board::STATE;
use crate::domain::ids::VoterId;
use crate::rate_limit::{Limit, RateLimit};
use crate::traces::ActiveSpan;
use crate::wire::client::{self, CastMessage, ClientMessage, Hello, MAX_FRAME_BYTES, Ping, Role};
use crate::wire::codes::CloseCode;
use crate::wire::server::{ByeReason, ServerMessage};

mod hello;

use hello::Admission;
pub use hello::{COOKIE_PREFIX, EMCEE_COOKIE, HandshakeContext, VOTER_COOKIE};

/// Invalid messages after which a socket is closed.
const MAX_STRIKES: u8 = 5;
/// `ping` messages of a client.
const PINGS: Limit = Limit { burst: 5, interval: Duration::from_secs(1) };
/// Casts that may wait behind an unanswered one.
const MAX_WAITING: usize = 64;
/// Longest screen name of a stage, in characters; the rest is cut off.
const MAX_SCREEN_CHARS: usize = 32;

/// See [module](self).
pub struct Session {
    rooms: Arc<Rooms>,
    shard: Subscribers,
    sink: Rc<dyn FrameSink>,
    context: HandshakeContext,
    id: u64,
    subscribed: Option<Subscribed>,
    strikes: u8,
    pings: RateLimit,
    /// The fragments so far of a message that is not complete.
    partial: Option<Vec<u8>>,
    /// The cast in flight, shared with the socket's reader and its subscription.
    in_flight: Rc<InFlightCast>,
    waiting: VecDeque<CastMessage>,
    /// Set if the session must leave once the cast in flight is answered.
    leaving: Option<(ByeReason, Option<u64>)>,
}

/// What a session has from its hello on. Dropping it releases everything, whichever way the session ends.
struct Subscribed {
    room: Arc<ActiveRoom>,
    role: Role,
    id: u64,
    voter: Option<VoterId>,
    desk: Option<DeskSocket>,
    pod: Arc<Pod>,
    _subscription: SubscriptionGuard,
}

impl Drop for Subscribed {
    fn drop(&mut self) {
        self.pod.metrics.sessions.with_label_values(&[self.role.as_str()]).dec();
        match &self.voter {
            Some(voter) => self.room.voter_left(voter, self.id),
            None => self.room.left(self.id),
        }
    }
}

type Ctx = WebsocketContext<Session>;

impl Session {
    /// A session for a socket. `sink` is the socket's writing end; `in_flight` tells its reader whether a cast is unanswered.
    pub fn new(
        rooms: Arc<Rooms>,
        shard: Subscribers,
        sink: Rc<dyn FrameSink>,
        context: HandshakeContext,
        in_flight: Rc<InFlightCast>,
    ) -> Self {
        let id = rooms.pod.next_session.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Self {
            rooms,
            shard,
            sink,
            context,
            id,
            subscribed: None,
            strikes: 0,
            pings: RateLimit::new(PINGS),
            partial: None,
            in_flight,
            waiting: VecDeque::new(),
            leaving: None,
        }
    }

    fn close(&mut self, code: CloseCode, ctx: &mut Ctx) {
        self.waiting.clear();
        self.rooms.pod.metrics.closes.with_label_values(&[(code as u16).to_string().as_str()]).inc();
        ctx.close(Some(CloseReason { code: ws::CloseCode::from(code as u16), description: None }));
        ctx.stop();
    }

    fn leave(&mut self, reason: ByeReason, retry_ms: Option<u64>, ctx: &mut Ctx) {
        if self.in_flight.is_open() {
            self.leaving = Some((reason, retry_ms));
            self.in_flight.set_session_waits();
            return;
        }
        ctx.text(ServerMessage::Bye { reason, retry_ms }.encode());
        let code = match reason {
            ByeReason::Draining => CloseCode::Restart,
            ByeReason::Replaced => CloseCode::Replaced,
            ByeReason::Removed => CloseCode::Removed,
            ByeReason::RoomDeleted => CloseCode::NoSuchRoom,
            ByeReason::SignedOut => CloseCode::BadToken,
        };
        self.close(code, ctx);
    }

    /// Answers an invalid message. The fifth one closes the socket.
    fn strike(&mut self, code: &'static str, detail: String, ctx: &mut Ctx) {
        self.rooms.pod.metrics.frame_errors.inc();
        ctx.text(ServerMessage::Error { code, detail }.encode());
        self.strikes += 1;
        if self.strikes >= MAX_STRIKES {
            self.close(CloseCode::Policy, ctx);
        }
    }

    fn text(&mut self, text: &str, ctx: &mut Ctx) {
        match client::parse(text) {
            Err(error) => self.strike("bad_request", error.to_string(), ctx),
            Ok(ClientMessage::Hello(hello)) if self.subscribed.is_none() => self.hello(hello, ctx),
            Ok(ClientMessage::Hello(_)) => self.strike("bad_request", "hello was said already".into(), ctx),
            Ok(_) if self.subscribed.is_none() => self.strike("bad_request", "hello comes first".into(), ctx),
            Ok(ClientMessage::Ping(ping)) => self.ping(ping, ctx),
            Ok(ClientMessage::Cast(cast)) => self.cast(cast, ctx),
        }
    }

    fn hello(&mut self, hello: Hello, ctx: &mut Ctx) {
        let admission = hello::admit(self.rooms.clone(), self.context.clone(), hello);
        ctx.wait(admission.into_actor(self).map(|admission, session, ctx| match admission {
            // the drain has told the subscriptions that were there; nobody would tell this one
            Ok(_) if session.rooms.pod.health.is_draining() => session.leave(ByeReason::Draining, None, ctx),
            Ok(admission) => session.subscribe(admission, ctx),
            Err(code) => session.close(code, ctx),
        }));
    }

    fn subscribe(&mut self, admission: Admission, ctx: &mut Ctx) {
        let Admission { room, role, you, voter, desk } = admission;
        let session = SessionHandle::new(ctx.address().recipient(), &self.rooms.pod);
        let (sink, in_flight) = (self.sink.clone(), self.in_flight.clone());
        let subscription = Subscription::new(self.id, role, voter.clone(), sink, session.clone(), in_flight);
        let frames = room.board.frames(subscription.audience(), self.rooms.pod.clock.now());
        if let Some(ballot) = you.as_ref().and_then(|you| you.ballot.as_ref()) {
            self.in_flight.note_ballot(ballot);
        }
        // read after the frames, so never older than what they are marked with
        let view = room.board.view(subscription.audience(), self.rooms.pod.clock.now());
        ctx.text(ServerMessage::State { room: &view, you }.encode());
        subscription.mark(&frames, STATE);
        subscription.catch_up(&room.board, &frames, |frame| {
            ctx.text(frame.text());
            true
        });
        if let Some(voter) = &voter {
            room.voter_came(voter, self.id, session.clone());
        }
        let desk = desk.map(|(sign_in, device)| DeskSocket { sign_in, device, seen: Instant::now(), session });
        if let Some(desk) = desk.clone() {
            room.desk_seen(self.id, desk);
        }
        self.rooms.pod.metrics.sessions.with_label_values(&[role.as_str()]).inc();
        let guard = self.shard.subscribe(&self.rooms.pod, &room, subscription, &frames);
        self.subscribed = Some(Subscribed {
            room,
            role,
            id: self.id,
            voter,
            desk,
            pod: self.rooms.pod.clone(),
            _subscription: guard,
        });
    }

    fn ping(&mut self, ping: Ping, ctx: &mut Ctx) {
        if !self.pings.allows(Instant::now()) {
            self.strike("too_many", "at most one ping a second".into(), ctx);
            return;
        }
        let Some(subscribed) = &self.subscribed else { return };
        if let Some(desk) = &subscribed.desk {
            subscribed.room.desk_seen(self.id, DeskSocket { seen: Instant::now(), ..desk.clone() });
        }
        if let (Role::Stage, Some(showing)) = (subscribed.role, ping.showing) {
            let screen = showing.screen.chars().filter(|c| !c.is_control()).take(MAX_SCREEN_CHARS).collect();
            subscribed.room.stage_seen(self.id, StageSocket { screen, seq: showing.seq, seen: Instant::now() });
        }
        let pong = ServerMessage::Pong {
            id: ping.id,
            now: self.rooms.pod.clock.now(),
            seq: subscribed.room.board.room().seq,
            ledger: self.rooms.pod.health.ledger(),
        };
        ctx.text(pong.encode());
    }

    fn cast(&mut self, cast: CastMessage, ctx: &mut Ctx) {
        if self.waiting.len() == MAX_WAITING {
            self.strike("too_many", "one cast may be unanswered at a time".into(), ctx);
            return;
        }
        self.waiting.push_back(cast);
        self.forward(ctx);
    }

    /// Forwards waiting casts until one is in flight. Invalid ones are answered here.
    fn forward(&mut self, ctx: &mut Ctx) {
        while !self.in_flight.is_open()
            && let Some(cast) = self.waiting.pop_front()
        {
            self.forward_one(cast, ctx);
        }
        if !self.waiting.is_empty() {
            self.in_flight.set_session_waits();
        }
    }

    fn forward_one(&mut self, cast: CastMessage, ctx: &mut Ctx) {
        let Some(Subscribed { room, voter: Some(voter), .. }) = &self.subscribed else {
            self.strike("bad_request", "only a voter casts".into(), ctx);
            return;
        };
        let (round, take, votes) = match cast.into_cast() {
            Ok(cast) => cast,
            Err(error) => {
                self.strike("bad_request", format!("cast.{error}"), ctx);
                return;
            }
        };
        let number = self.in_flight.start(round, take);
        let reply_to = ReplyTo::Socket { shard: self.shard.index, subscription: self.id, number };
        let span = self.rooms.pod.traces.cast(&room.board.id, round, take);
        let trace = span.as_ref().map(ActiveSpan::trace);
        self.in_flight.set_span(span);
        let cast = Cast { voter: voter.clone(), round, take, votes, reply_to, asked_at: Instant::now(), trace };
        self.shard.forward(&self.rooms.pod, room, cast);
    }

    fn fragment(&mut self, item: Item, ctx: &mut Ctx) {
        let (bytes, last) = match item {
            Item::FirstBinary(_) => return self.close(CloseCode::NotText, ctx),
            Item::FirstText(bytes) => {
                self.partial = Some(vec![]);
                (bytes, false)
            }
            Item::Continue(bytes) => (bytes, false),
            Item::Last(bytes) => (bytes, true),
        };
        let Some(partial) = &mut self.partial else { return self.close(CloseCode::Protocol, ctx) };
        partial.extend_from_slice(&bytes);
        if partial.len() > MAX_FRAME_BYTES {
            return self.close(CloseCode::TooBig, ctx);
        }
        if last && let Some(message) = self.partial.take() {
            match String::from_utf8(message) {
                Ok(text) => self.text(&text, ctx),
                Err(_) => self.close(CloseCode::NotUtf8, ctx),
            }
        }
    }
}

impl Actor for Session {
    type Context = Ctx;

    fn stopped(&mut self, _: &mut Self::Context) {
        self.subscribed = None;
    }
}

impl StreamHandler<Result<Message, ProtocolError>> for Session {
    fn handle(&mut self, message: Result<Message, ProtocolError>, ctx: &mut Self::Context) {
        match message {
            Ok(Message::Text(text)) => self.text(&text, ctx),
            Ok(Message::Continuation(item)) => self.fragment(item, ctx),
            Ok(Message::Ping(payload)) => ctx.pong(&payload),
            Ok(Message::Pong(_) | Message::Nop) => {}
            Ok(Message::Binary(_)) => self.close(CloseCode::NotText, ctx),
            Ok(Message::Close(reason)) => {
                ctx.close(reason.map(|reason| CloseReason { description: None, ..reason }));
                ctx.stop();
            }
            Err(ProtocolError::Overflow) => self.close(CloseCode::TooBig, ctx),
            // the reader tells no errors, so this one comes from the codec: a text that is none
            Err(ProtocolError::Io(_)) => self.close(CloseCode::NotUtf8, ctx),
            Err(_) => self.close(CloseCode::Protocol, ctx),
        }
    }
}

impl Handler<SessionMessage> for Session {
    type Result = ();

    fn handle(&mut self, message: SessionMessage, ctx: &mut Self::Context) {
        match message {
            SessionMessage::Answered => match self.leaving.take() {
                Some((reason, retry_ms)) => self.leave(reason, retry_ms, ctx),
                None => self.forward(ctx),
            },
            SessionMessage::Leave { reason, retry_ms } => self.leave(reason, retry_ms, ctx),
            SessionMessage::Mine(view) => {
                if self.in_flight.note_ballot(&view) {
                    ctx.text(ServerMessage::Mine(view).encode());
                }
            }
        }
    }
}
