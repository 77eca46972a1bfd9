//! The bytes that a session's codec reads.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::error::PayloadError;
use bytes::Bytes;
use futures_util::Stream;

use super::socket::Socket;

/// A socket's valid frames as a stream of bytes. It never fails: a fault of the peer is the end of the stream. How many
/// bytes come at once is the subject of [`super::reader`].
pub struct Inbound(pub(super) Rc<Socket>);

impl Stream for Inbound {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_inbound(cx).map(|bytes| bytes.map(Ok))
    }
}
