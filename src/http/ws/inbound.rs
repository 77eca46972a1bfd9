//! What a session reads.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::error::PayloadError;
use bytes::Bytes;
use futures_util::Stream;

use super::socket::Socket;

/// What the session reads from.
pub struct Inbound(pub(super) Rc<Socket>);

impl Stream for Inbound {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_inbound(cx).map(|bytes| bytes.map(Ok))
    }
}
