//! A socket: the connection, as its driver, its session and the registry of its thread share it.
//!
//! # Invariants
//! Frames stay whole, although the session's output and the frames that the registry writes directly come from two
//! sides:
//!
//! - The registry writes directly only while nothing is unsent. What the kernel does not take of such a frame goes out
//!   before anything else.
//! - It writes nothing before the first `state` is queued: the subscription that it writes to is made in the same turn.
//! - It writes nothing behind a close frame: the session, and its subscription with it, is gone before one is queued.
//!   See [`super::drive`].

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use socket2::SockRef;
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;

use super::frame_validator::Fault;
use super::keepalive::{Action, Activity, Keepalive};
use super::lifecycle::Lifecycle;
use super::options;
use super::reader::Reader;
use super::send_queue::SendQueue;
use crate::actors::registry::{CatchUp, FrameSink};
use crate::board::Frame;
use crate::wire::codes::CloseCode;

/// Seconds in which a hello must arrive and be given a subscription.
const HELLO_TIMEOUT_SECS: u8 = 10;
/// An empty ping, final and not masked.
const PING: &[u8] = &[0x89, 0];

/// See [module](self).
pub struct Socket {
    tcp: RefCell<TcpStream>,
    reader: RefCell<Reader>,
    unsent: SendQueue,
    /// The registry wanted to write a frame and could not. When all is sent, the newest frames must follow.
    skipped: Cell<bool>,
    /// Writes the newest frames; set once the session has a subscription.
    catch_up: RefCell<Option<CatchUp>>,
    /// Wakes the driver.
    driver: RefCell<Option<Waker>>,
    lifecycle: Cell<Lifecycle>,
    keepalive: RefCell<Keepalive>,
    /// Ticks so far without a subscription.
    ticks_before_hello: Cell<u8>,
    /// Since the last tick.
    activity: Cell<Activity>,
}

impl Socket {
    /// A socket on `tcp`, which writes `response_head` first.
    pub fn new(tcp: TcpStream, response_head: Bytes, reader: Reader) -> Rc<Self> {
        options::tune(&tcp);
        let socket = Self {
            tcp: RefCell::new(tcp),
            reader: RefCell::new(reader),
            unsent: SendQueue::default(),
            skipped: Cell::new(false),
            catch_up: RefCell::default(),
            driver: RefCell::default(),
            lifecycle: Cell::new(Lifecycle::Open),
            keepalive: RefCell::default(),
            ticks_before_hello: Cell::new(0),
            activity: Cell::default(),
        };
        socket.queue(response_head);
        Rc::new(socket)
    }

    pub fn lifecycle(&self) -> Lifecycle {
        self.lifecycle.get()
    }

    fn is_open(&self) -> bool {
        self.lifecycle() == Lifecycle::Open
    }

    /// The rule that the peer broke, if it did.
    pub fn fault(&self) -> Option<Fault> {
        self.reader.borrow().validator.fault()
    }

    /// Registers the driver, to be woken when others write to this socket.
    pub fn register(&self, waker: &Waker) {
        let mut driver = self.driver.borrow_mut();
        match &mut *driver {
            Some(driver) => driver.clone_from(waker),
            None => *driver = Some(waker.clone()),
        }
    }

    fn wake_driver(&self) {
        if let Some(driver) = &*self.driver.borrow() {
            driver.wake_by_ref();
        }
    }

    fn record(&self, change: impl FnOnce(&mut Activity)) {
        let mut activity = self.activity.get();
        change(&mut activity);
        self.activity.set(activity);
    }

    /// Queues whole frames behind what is unsent.
    pub fn queue(&self, frames: Bytes) {
        self.unsent.push(frames);
        self.record(|activity| activity.sent = true);
    }

    /// True while so much is unsent that the session must wait.
    pub fn is_full(&self) -> bool {
        self.unsent.is_full()
    }

    /// Writes all that is unsent, then the newest frames if some were skipped.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let on_progress = || self.record(|activity| activity.progress = true);
            ready!(self.unsent.poll_flush(cx, &self.tcp, on_progress))?;
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

    /// Writes a whole frame now, or a part of it now and the rest later, or nothing. False: nothing.
    fn write_now(&self, frame: &Bytes) -> bool {
        if !self.is_clear() {
            return false;
        }
        let Some(written) = self.try_write(frame) else { return false };
        if written < frame.len() {
            self.unsent.push(frame.slice(written..));
            self.wake_driver();
        }
        true
    }

    /// Writes what the kernel takes now. `None`: nothing; if the connection is broken, the socket is dropped.
    fn try_write(&self, frames: &[u8]) -> Option<usize> {
        let tcp = self.tcp.borrow();
        // straight to the kernel, since tokio's own record of each socket is one more thing to fetch from memory; tokio
        // must know only when the kernel takes nothing, so that the driver can wait
        let sent = SockRef::from(&*tcp).send(frames);
        let sent = match sent {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => tcp.try_write(frames),
            sent => sent,
        };
        match sent {
            Ok(written) => Some(written),
            Err(error) => {
                if error.kind() != io::ErrorKind::WouldBlock {
                    self.enter(Lifecycle::Dropped);
                }
                None
            }
        }
    }

    /// Begins to close the connection, when the session has ended: what is queued goes out, then a close frame if there
    /// is a code, then nothing more.
    pub fn begin_closing(&self, code: Option<CloseCode>) {
        if let Some(code) = code {
            let [high, low] = (code as u16).to_be_bytes();
            self.queue(Bytes::copy_from_slice(&[0x88, 2, high, low]));
        }
        self.catch_up.take();
        self.skipped.set(false);
        self.lifecycle.set(self.lifecycle().close());
    }

    /// Says that nothing more will be written, and waits until the peer ends its side.
    pub fn poll_end(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut tcp = self.tcp.borrow_mut();
        let _ = ready!(Pin::new(&mut *tcp).poll_shutdown(cx));
        self.reader.borrow_mut().poll_end(cx, &mut tcp)
    }

    /// The next bytes for the session's codec; see [`Reader`].
    pub(super) fn poll_inbound(&self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let on_bytes = |pong| {
            self.record(|activity| {
                activity.received = true;
                activity.pong |= pong;
            });
        };
        self.reader.borrow_mut().poll(cx, &mut self.tcp.borrow_mut(), on_bytes)
    }

    /// True if reading was paused and may resume: then the session must be polled once more.
    pub fn may_resume_reading(&self) -> bool {
        self.reader.borrow().may_resume()
    }

    /// What is due once a second: the limit for a hello, pings, and giving up a peer that does not read or answer. True
    /// if the peer is given up now.
    pub fn tick(&self, draining: bool) -> bool {
        if self.lifecycle() == Lifecycle::Dropped {
            return false;
        }
        if self.is_open() && self.catch_up.borrow().is_none() {
            let ticks = self.ticks_before_hello.get() + 1;
            self.ticks_before_hello.set(ticks);
            let late = (ticks > HELLO_TIMEOUT_SECS).then_some(CloseCode::NoHello);
            if let Some(code) = draining.then_some(CloseCode::Restart).or(late) {
                self.enter(self.lifecycle().disconnect(code));
                return false;
            }
        }
        let activity = Activity {
            unsent: !self.unsent.is_empty() || self.skipped.get(),
            not_reading: self.is_full() || self.reader.borrow().is_paused(),
            closing: self.lifecycle() == Lifecycle::Closing,
            ..self.activity.take()
        };
        let action = self.keepalive.borrow_mut().tick(activity);
        match action {
            Action::Wait => {}
            Action::Ping => drop(self.write_now(&Bytes::from_static(PING))),
            Action::Drop | Action::Finish => {
                options::discard_unsent(&self.tcp.borrow());
                self.enter(Lifecycle::Dropped);
            }
        }
        action == Action::Drop
    }

    /// Enters a state and lets the driver see it.
    fn enter(&self, lifecycle: Lifecycle) {
        self.lifecycle.set(lifecycle);
        self.wake_driver();
    }
}

impl FrameSink for Socket {
    fn try_send(&self, frame: &Frame) -> bool {
        let written = self.write_now(frame.wire());
        if written {
            self.record(|activity| activity.sent = true);
        } else if self.is_open() && !self.skipped.replace(true) {
            // when nothing is unsent here, only the driver can wait for the kernel
            self.wake_driver();
        }
        written
    }

    fn is_clear(&self) -> bool {
        self.is_open() && self.unsent.is_empty() && !self.skipped.get()
    }

    fn enqueue(&self, frames: &[u8]) {
        if !self.is_open() {
            return;
        }
        let written = if self.is_clear() { self.try_write(frames).unwrap_or(0) } else { 0 };
        if written < frames.len() {
            self.queue(Bytes::copy_from_slice(&frames[written..]));
            self.wake_driver();
        }
        self.record(|activity| activity.sent = true);
        // reading may have paused until this answer
        if self.may_resume_reading() {
            self.wake_driver();
        }
    }

    fn disconnect(&self) {
        if self.is_open() {
            self.enter(self.lifecycle().disconnect(CloseCode::Restart));
        }
    }

    fn on_drained(&self, catch_up: CatchUp) {
        self.catch_up.replace(Some(catch_up));
    }
}
