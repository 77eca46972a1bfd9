//! The bytes of a socket that the kernel has not taken yet.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;

/// Unsent bytes from which on the session must wait: it would only add to them.
const MAX_UNSENT_BYTES: usize = 8 * 1024;

/// Bytes in the order in which they go out. The first piece may be the rest of a frame, the others are whole frames.
#[derive(Default)]
pub struct SendQueue {
    pieces: RefCell<VecDeque<Bytes>>,
    bytes: Cell<usize>,
}

impl SendQueue {
    /// Adds bytes behind the others.
    pub fn push(&self, piece: Bytes) {
        self.bytes.set(self.bytes.get() + piece.len());
        self.pieces.borrow_mut().push_back(piece);
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.get() == 0
    }

    /// True while so much is unsent that the session must wait.
    pub fn is_full(&self) -> bool {
        self.bytes.get() >= MAX_UNSENT_BYTES
    }

    /// Writes all that is unsent. Calls `on_progress` whenever the kernel takes some of it.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn poll_flush(
        &self,
        cx: &mut Context<'_>,
        tcp: &RefCell<TcpStream>,
        on_progress: impl Fn(),
    ) -> Poll<io::Result<()>> {
        let mut pieces = self.pieces.borrow_mut();
        while let Some(first) = pieces.front_mut() {
            let written = ready!(Pin::new(&mut *tcp.borrow_mut()).poll_write(cx, first))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            on_progress();
            self.bytes.set(self.bytes.get() - written);
            first.advance(written);
            if first.is_empty() {
                pieces.pop_front();
            }
        }
        // most sockets have nothing unsent most of the time, so they keep no memory for it
        if pieces.capacity() > 0 {
            *pieces = VecDeque::new();
        }
        Poll::Ready(Ok(()))
    }
}
