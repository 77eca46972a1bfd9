//! The reading half of a socket: from the wire through the validator to the session.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;

use super::frame_validator::FrameValidator;
use crate::actors::InFlightCast;

/// Bytes read at once, and at most while a cast is unanswered.
const READ_BYTES: usize = 4 * 1024;
/// Bytes of a peer that may come after the end, before it is taken for one that will not stop: what can be under way.
const MAX_LATE_BYTES: usize = 16 * 1024;

thread_local! {
    /// One for all sockets of the thread: what is read leaves it at once.
    static SCRATCH: RefCell<[u8; READ_BYTES]> = const { RefCell::new([0; READ_BYTES]) };
}

/// See [module](self).
pub struct Reader {
    /// What came right behind the handshake, in the same segment.
    first: Bytes,
    pub(super) validator: FrameValidator,
    /// Whole frames that the codec holds and has not taken yet.
    held_by_codec: usize,
    /// The session waits for the answer to a cast.
    in_flight: Rc<InFlightCast>,
    /// Bytes read since it does.
    ahead: usize,
    /// Not reading, for that reason.
    pausing: bool,
    /// Bytes that came after the end.
    late: usize,
}

impl Reader {
    pub(super) fn new(first: Bytes, in_flight: Rc<InFlightCast>) -> Self {
        Self {
            first,
            validator: FrameValidator::new(Instant::now()),
            held_by_codec: 0,
            in_flight,
            ahead: 0,
            pausing: false,
            late: 0,
        }
    }

    /// True while reading waits for the answer to a cast.
    pub(super) fn is_pausing(&self) -> bool {
        self.pausing
    }

    /// True if reading waited for an answer that has come: whoever polls must do so once more.
    pub(super) fn may_go_on(&self) -> bool {
        self.pausing && !self.in_flight.is_open()
    }

    /// The next bytes for the codec; `None`: there will be no more.
    ///
    /// The codec is handed bytes only when it holds no whole frame, so what waits in it stays below one frame and one
    /// read. It polls here until it hears `Pending`, and takes one frame after that: that is how its frames are counted.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        tcp: &mut TcpStream,
        heard: impl Fn(bool),
    ) -> Poll<Option<Bytes>> {
        if self.held_by_codec > 0 {
            self.held_by_codec -= 1;
            return Poll::Pending;
        }
        if !self.in_flight.is_open() {
            self.ahead = 0;
        }
        loop {
            if self.validator.has_ended() {
                return Poll::Ready(None);
            }
            self.pausing = self.ahead == READ_BYTES;
            if self.pausing {
                return Poll::Pending;
            }
            let passed = SCRATCH.with_borrow_mut(|scratch| {
                let room = READ_BYTES - self.ahead;
                let Ok(read) = ready!(self.poll_bytes(cx, tcp, &mut scratch[..room])) else { return Poll::Ready(None) };
                if read == 0 {
                    return Poll::Ready(None);
                }
                if self.in_flight.is_open() {
                    self.ahead += read;
                }
                Poll::Ready(Some(self.validator.pass(&scratch[..read], Instant::now())))
            });
            let Some(passed) = ready!(passed) else { return Poll::Ready(None) };
            heard(passed.pong);
            self.held_by_codec = passed.frames;
            if !passed.bytes.is_empty() {
                return Poll::Ready(Some(passed.bytes));
            }
        }
    }

    fn poll_bytes(&mut self, cx: &mut Context<'_>, tcp: &mut TcpStream, into: &mut [u8]) -> Poll<io::Result<usize>> {
        if !self.first.is_empty() {
            let taken = self.first.len().min(into.len());
            self.first.copy_to_slice(&mut into[..taken]);
            if self.first.is_empty() {
                self.first = Bytes::new();
            }
            return Poll::Ready(Ok(taken));
        }
        let mut into = ReadBuf::new(into);
        ready!(Pin::new(tcp).poll_read(cx, &mut into))?;
        Poll::Ready(Ok(into.filled().len()))
    }

    /// Reads on after the end, for the peer's close frame, and throws it all away. Ready when that has come, when the
    /// peer is gone, or when it will not stop.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>, tcp: &mut TcpStream) -> Poll<()> {
        SCRATCH.with_borrow_mut(|scratch| {
            while !self.validator.said_goodbye() && self.late < MAX_LATE_BYTES {
                match ready!(self.poll_bytes(cx, tcp, scratch)) {
                    Ok(read) if read > 0 => {
                        self.late += read;
                        self.validator.pass(&scratch[..read], Instant::now());
                    }
                    _ => break,
                }
            }
            Poll::Ready(())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;
    use crate::actors::messages::CastOutcome;

    /// Texts in frames of 100 bytes each.
    fn frames(count: usize) -> Vec<u8> {
        let mut frame = vec![0x81, 0x80 | 94, 1, 2, 3, 4];
        frame.resize(100, b' ');
        frame.repeat(count)
    }

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (listener.accept().await.unwrap().0, peer)
    }

    /// Reads as session and codec do, until reading pauses or ends: how many bytes, and the most that came at once.
    async fn read_on(reader: &mut Reader, tcp: &mut TcpStream) -> (usize, usize) {
        let (mut all, mut most) = (0, 0);
        poll_fn(|cx| {
            loop {
                let taken_by_codec = reader.held_by_codec > 0;
                match reader.poll(cx, tcp, |_| {}) {
                    Poll::Ready(Some(bytes)) => (all, most) = (all + bytes.len(), most.max(bytes.len())),
                    Poll::Ready(None) => return Poll::Ready((all, most)),
                    Poll::Pending if taken_by_codec => {}
                    Poll::Pending if reader.is_pausing() => return Poll::Ready((all, most)),
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await
    }

    #[tokio::test]
    async fn while_a_cast_is_unanswered_no_more_than_4_kib_are_read_and_then_the_rest() {
        let (mut tcp, mut peer) = pair().await;
        peer.write_all(&frames(200)).await.unwrap();
        peer.shutdown().await.unwrap();
        let in_flight = Rc::new(InFlightCast::default());
        let number = in_flight.start(1, 1);
        let came_with_the_handshake = frames(100).into();
        let mut reader = Reader::new(came_with_the_handshake, in_flight.clone());
        assert_eq!(read_on(&mut reader, &mut tcp).await.0, READ_BYTES);
        assert_eq!(read_on(&mut reader, &mut tcp).await.0, 0, "asked again");
        assert!(!reader.may_go_on());
        in_flight.answer(number, CastOutcome::Busy, || 10);
        assert!(reader.may_go_on());
        let (rest, most) = read_on(&mut reader, &mut tcp).await;
        assert_eq!(READ_BYTES + rest, 300 * 100);
        assert!(most <= READ_BYTES);
    }
}
