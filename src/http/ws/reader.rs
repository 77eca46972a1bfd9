//! The reading half of a socket: from the wire through the validator to the session's codec.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;

use super::codec_backlog::CodecBacklog;
use super::frame_validator::FrameValidator;
use super::read_ahead::{MAX_READ_BYTES, ReadAhead};
use crate::actors::InFlightCast;

/// Bytes of a peer that may still arrive after this side has ended: what can be on the way. A peer that sends more will
/// not stop by itself.
const MAX_LATE_BYTES: usize = 16 * 1024;

thread_local! {
    /// One for all sockets of the thread: no byte stays in it between two calls.
    static SCRATCH: RefCell<[u8; MAX_READ_BYTES]> = const { RefCell::new([0; MAX_READ_BYTES]) };
}

/// See [module](self).
pub struct Reader {
    /// What arrived right behind the handshake, in the same segment.
    first_bytes: Bytes,
    pub(super) validator: FrameValidator,
    backlog: CodecBacklog,
    read_ahead: ReadAhead,
    /// Bytes that arrived after this side has ended.
    late_bytes: usize,
}

impl Reader {
    pub(super) fn new(first_bytes: Bytes, in_flight: Rc<InFlightCast>) -> Self {
        Self {
            first_bytes,
            validator: FrameValidator::new(),
            backlog: CodecBacklog::default(),
            read_ahead: ReadAhead::new(in_flight),
            late_bytes: 0,
        }
    }

    /// True while reading waits for the reply to a cast.
    pub(super) fn is_paused(&self) -> bool {
        self.read_ahead.is_paused()
    }

    /// True if reading waited for a reply that has arrived: then the session must be polled once more.
    pub(super) fn may_resume(&self) -> bool {
        self.read_ahead.may_resume()
    }

    /// The next bytes for the codec; `None`: there will be no more. The codec gets bytes only when it holds no complete
    /// frame, so it never buffers more than one frame and one read.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        tcp: &mut TcpStream,
        on_bytes: impl Fn(bool),
    ) -> Poll<Option<Bytes>> {
        if self.backlog.decodes_a_frame() {
            return Poll::Pending;
        }
        loop {
            if self.validator.has_ended() {
                return Poll::Ready(None);
            }
            let Some(budget) = self.read_ahead.budget() else { return Poll::Pending };
            let accepted = SCRATCH.with_borrow_mut(|scratch| {
                let read = match ready!(self.poll_bytes(cx, tcp, &mut scratch[..budget])) {
                    Ok(read) if read > 0 => read,
                    _ => return Poll::Ready(None),
                };
                self.read_ahead.record(read);
                Poll::Ready(Some(self.validator.accept(&scratch[..read], Instant::now())))
            });
            let Some(accepted) = ready!(accepted) else { return Poll::Ready(None) };
            on_bytes(accepted.pong);
            self.backlog.add(accepted.frames);
            if !accepted.bytes.is_empty() {
                return Poll::Ready(Some(accepted.bytes));
            }
        }
    }

    fn poll_bytes(&mut self, cx: &mut Context<'_>, tcp: &mut TcpStream, into: &mut [u8]) -> Poll<io::Result<usize>> {
        if !self.first_bytes.is_empty() {
            let taken = self.first_bytes.len().min(into.len());
            self.first_bytes.copy_to_slice(&mut into[..taken]);
            if self.first_bytes.is_empty() {
                // frees the buffer
                self.first_bytes = Bytes::new();
            }
            return Poll::Ready(Ok(taken));
        }
        let mut into = ReadBuf::new(into);
        ready!(Pin::new(tcp).poll_read(cx, &mut into))?;
        Poll::Ready(Ok(into.filled().len()))
    }

    /// Reads on after this side has ended, until the peer's close frame, and discards everything. Ready when that has
    /// arrived, when the peer is gone, or when it does not stop.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>, tcp: &mut TcpStream) -> Poll<()> {
        SCRATCH.with_borrow_mut(|scratch| {
            while !self.validator.has_close_frame() && self.late_bytes < MAX_LATE_BYTES {
                match ready!(self.poll_bytes(cx, tcp, scratch)) {
                    Ok(read) if read > 0 => {
                        self.late_bytes += read;
                        self.validator.accept(&scratch[..read], Instant::now());
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

    /// Reads as session and codec do, until reading pauses or ends. Returns all bytes, and the most that came at once.
    async fn read_until_paused(reader: &mut Reader, tcp: &mut TcpStream) -> (usize, usize) {
        let (mut all, mut most) = (0, 0);
        poll_fn(|cx| {
            loop {
                let codec_decodes = !reader.backlog.is_empty();
                match reader.poll(cx, tcp, |_| {}) {
                    Poll::Ready(Some(bytes)) => (all, most) = (all + bytes.len(), most.max(bytes.len())),
                    Poll::Ready(None) => return Poll::Ready((all, most)),
                    Poll::Pending if codec_decodes => {}
                    Poll::Pending if reader.is_paused() => return Poll::Ready((all, most)),
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
        let behind_the_handshake = frames(100).into();
        let mut reader = Reader::new(behind_the_handshake, in_flight.clone());
        assert_eq!(read_until_paused(&mut reader, &mut tcp).await.0, MAX_READ_BYTES);
        assert_eq!(read_until_paused(&mut reader, &mut tcp).await.0, 0, "still paused");
        assert!(!reader.may_resume());
        in_flight.answer(number, CastOutcome::Busy, || 10);
        assert!(reader.may_resume());
        let (rest, most) = read_until_paused(&mut reader, &mut tcp).await;
        assert_eq!(MAX_READ_BYTES + rest, 300 * 100);
        assert!(most <= MAX_READ_BYTES);
    }
}
