//! A socket: the connection as its driver, its session and the registry of its thread share it.
//!
//! # Invariants
//! Frames stay whole. The session's output and the frames that the registry writes directly come from two sides, so:
//! a direct write happens only while nothing is unsent, and what of it the kernel does not take goes out before
//! anything else. Nothing is written directly before the first `state` is queued, for the seat that does it is taken
//! in the same turn, nor after a close frame, for the seat is gone with the session.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes};
use socket2::SockRef;
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;

use super::frame_validator::Fault;
use super::keepalive::{Action, Activity, Keepalive};
use super::options;
use super::reader::Reader;
use crate::actors::registry::{CatchUp, FrameSink};
use crate::board::Frame;
use crate::wire::codes::CloseCode;

/// Unsent bytes from which on the session is not run: it would only add to them.
const MAX_UNSENT_BYTES: usize = 8 * 1024;
/// Seconds until a hello must have come and found a seat.
const HELLO_WITHIN: u8 = 10;
/// An empty ping, final and not masked.
const PING: &[u8] = &[0x89, 0];

/// See [module](self).
pub struct Socket {
    tcp: RefCell<TcpStream>,
    reader: RefCell<Reader>,
    /// In the action in which it goes out; the first may be the rest of a frame.
    unsent: RefCell<VecDeque<Bytes>>,
    unsent_bytes: Cell<usize>,
    /// A direct write was refused: when all is sent, the newest must follow.
    skipped: Cell<bool>,
    catch_up: RefCell<Option<CatchUp>>,
    /// The driver.
    task: RefCell<Option<Waker>>,
    stage: Cell<Stage>,
    keepalive: RefCell<Keepalive>,
    /// Looks at it while it had no seat.
    looks_before_hello: Cell<u8>,
    /// Since the last look.
    activity: Cell<Activity>,
}

/// How far a socket has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The session runs.
    Talking,
    /// The session is told nothing more: it has no seat and gets none, or is stuck.
    Disconnecting(CloseCode),
    /// The session is over; the last bytes go out.
    Closing,
    /// Given up.
    Dropped,
}

impl Socket {
    /// A socket on `tcp`, which writes `response_head` first.
    pub fn new(tcp: TcpStream, response_head: Bytes, reader: Reader) -> Rc<Self> {
        options::tune(&tcp);
        let socket = Self {
            tcp: RefCell::new(tcp),
            reader: RefCell::new(reader),
            unsent: RefCell::default(),
            unsent_bytes: Cell::new(0),
            skipped: Cell::new(false),
            catch_up: RefCell::default(),
            task: RefCell::default(),
            stage: Cell::new(Stage::Talking),
            keepalive: RefCell::default(),
            looks_before_hello: Cell::new(0),
            activity: Cell::default(),
        };
        socket.queue(response_head);
        Rc::new(socket)
    }

    /// See [`Stage`].
    pub fn stage(&self) -> Stage {
        self.stage.get()
    }

    /// Why the validator lets nothing pass any more.
    pub fn fault(&self) -> Option<Fault> {
        self.reader.borrow().validator.fault()
    }

    /// Whoever polls this socket, to be woken when others write to it.
    pub fn remember(&self, waker: &Waker) {
        let mut task = self.task.borrow_mut();
        match &mut *task {
            Some(task) => task.clone_from(waker),
            None => *task = Some(waker.clone()),
        }
    }

    fn wake(&self) {
        if let Some(task) = &*self.task.borrow() {
            task.wake_by_ref();
        }
    }

    fn note(&self, sign: impl FnOnce(&mut Activity)) {
        let mut activity = self.activity.get();
        sign(&mut activity);
        self.activity.set(activity);
    }

    /// Queues whole frames behind what is unsent.
    pub fn queue(&self, frames: Bytes) {
        self.unsent_bytes.set(self.unsent_bytes.get() + frames.len());
        self.unsent.borrow_mut().push_back(frames);
        self.note(|activity| activity.sent = true);
    }

    /// True while so much is unsent that the session has to wait.
    pub fn is_full(&self) -> bool {
        self.unsent_bytes.get() >= MAX_UNSENT_BYTES
    }

    /// Writes all that is unsent, and then what was skipped meanwhile.
    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_unsent(cx))?;
            if !self.skipped.get() {
                return Poll::Ready(Ok(()));
            }
            ready!(self.tcp.borrow().poll_write_ready(cx))?;
            self.skipped.set(false);
            if let Some(catch_up) = &*self.catch_up.borrow() {
                catch_up.run();
            }
        }
    }

    fn poll_unsent(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut unsent = self.unsent.borrow_mut();
        while let Some(first) = unsent.front_mut() {
            let written = ready!(Pin::new(&mut *self.tcp.borrow_mut()).poll_write(cx, first))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.note(|activity| activity.moved = true);
            self.unsent_bytes.set(self.unsent_bytes.get() - written);
            first.advance(written);
            if first.is_empty() {
                unsent.pop_front();
            }
        }
        if unsent.capacity() > 0 {
            *unsent = VecDeque::new();
        }
        Poll::Ready(Ok(()))
    }

    /// Writes a whole frame at once, or the part of it that the kernel takes and the rest later, or nothing.
    fn write_now(&self, frame: &Bytes) -> bool {
        if !self.is_clear() {
            return false;
        }
        let Some(written) = self.try_write(frame) else { return false };
        if written < frame.len() {
            self.unsent_bytes.set(frame.len() - written);
            self.unsent.borrow_mut().push_back(frame.slice(written..));
            self.wake();
        }
        true
    }

    /// Writes what the kernel takes at once; `None`: nothing, and if that is for good the socket is given up.
    fn try_write(&self, frames: &[u8]) -> Option<usize> {
        let tcp = self.tcp.borrow();
        // straight to the kernel, for tokio's own record of each socket is one more thing to fetch from memory; only
        // when the kernel takes nothing must it hear of that, so that the driver can wait
        let sent = SockRef::from(&*tcp).send(frames);
        let sent = match sent {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => tcp.try_write(frames),
            sent => sent,
        };
        match sent {
            Ok(written) => Some(written),
            Err(error) => {
                if error.kind() != io::ErrorKind::WouldBlock {
                    self.end(Stage::Dropped);
                }
                None
            }
        }
    }

    /// The session is over: what is queued goes out, then a close frame if a rule was broken, then nothing more.
    pub fn begin_closing(&self, code: Option<CloseCode>) {
        if let Some(code) = code {
            let [high, low] = (code as u16).to_be_bytes();
            self.queue(Bytes::copy_from_slice(&[0x88, 2, high, low]));
        }
        self.catch_up.take();
        self.skipped.set(false);
        self.stage.set(Stage::Closing);
    }

    /// Says that nothing more will be written, and waits for the peer's own end.
    pub fn poll_end(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut tcp = self.tcp.borrow_mut();
        let _ = ready!(Pin::new(&mut *tcp).poll_shutdown(cx));
        self.reader.borrow_mut().poll_end(cx, &mut tcp)
    }

    /// What the session reads; see [`Reader`].
    pub(super) fn poll_inbound(&self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let heard = |pong| {
            self.note(|activity| {
                activity.heard = true;
                activity.pong |= pong;
            });
        };
        self.reader.borrow_mut().poll(cx, &mut self.tcp.borrow_mut(), heard)
    }

    /// True if the session must be polled once more, for reading paused and may go on.
    pub fn may_read_on(&self) -> bool {
        self.reader.borrow().may_go_on()
    }

    /// Looks after the socket, once a second. True if its peer was given up now.
    pub fn look(&self, draining: bool) -> bool {
        if self.stage.get() == Stage::Dropped {
            return false;
        }
        if self.stage.get() == Stage::Talking && self.catch_up.borrow().is_none() {
            let looks = self.looks_before_hello.get() + 1;
            self.looks_before_hello.set(looks);
            let late = (looks > HELLO_WITHIN).then_some(CloseCode::NoHello);
            if let Some(code) = draining.then_some(CloseCode::Restart).or(late) {
                self.end(Stage::Disconnecting(code));
                return false;
            }
        }
        let activity = Activity {
            unsent: self.unsent_bytes.get() > 0 || self.skipped.get(),
            deaf: self.is_full() || self.reader.borrow().is_pausing(),
            closing: self.stage.get() == Stage::Closing,
            ..self.activity.take()
        };
        let action = self.keepalive.borrow_mut().look(activity);
        match action {
            Action::Wait => {}
            Action::Ping => drop(self.write_now(&Bytes::from_static(PING))),
            Action::Drop | Action::Finish => {
                options::forget_unsent(&self.tcp.borrow());
                self.end(Stage::Dropped);
            }
        }
        action == Action::Drop
    }

    fn end(&self, stage: Stage) {
        self.stage.set(stage);
        self.wake();
    }
}

impl FrameSink for Socket {
    fn try_send(&self, frame: &Frame) -> bool {
        let written = self.write_now(frame.wire());
        if written {
            self.note(|activity| activity.sent = true);
        } else if self.stage.get() == Stage::Talking && !self.skipped.replace(true) {
            // when nothing is unsent here, only the driver can wait for the kernel
            self.wake();
        }
        written
    }

    fn is_clear(&self) -> bool {
        self.stage.get() == Stage::Talking && self.unsent_bytes.get() == 0 && !self.skipped.get()
    }

    fn enqueue(&self, frames: &[u8]) {
        if self.stage.get() != Stage::Talking {
            return;
        }
        let written = if self.is_clear() { self.try_write(frames).unwrap_or(0) } else { 0 };
        if written < frames.len() {
            self.queue(Bytes::copy_from_slice(&frames[written..]));
            self.wake();
        }
        self.note(|activity| activity.sent = true);
        // reading may have stopped at the answer that was just given
        if self.reader.borrow().may_go_on() {
            self.wake();
        }
    }

    fn disconnect(&self) {
        if self.stage.get() == Stage::Talking {
            self.end(Stage::Disconnecting(CloseCode::Restart));
        }
    }

    fn on_drained(&self, catch_up: CatchUp) {
        self.catch_up.replace(Some(catch_up));
    }
}
