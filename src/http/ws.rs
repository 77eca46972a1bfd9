//! The socket's way in.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;
use std::time::Instant;

use actix::prelude::*;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use actix_web_actors::ws::WsResponseBuilder;

use super::Site;
use super::auth::{Origin, cross_origin};
use crate::actors::Session;
use crate::actors::registry::{Frame, Outlet, Shard};
use crate::actors::session::{Deliver, Guest};
use crate::wire::client::MOST_FRAME_BYTES;

/// `GET /ws`.
pub fn routes(service: &mut web::ServiceConfig) {
    service.route("/ws", web::get().to(connect));
}

/// Frames reach the socket through its session's mailbox.
#[derive(Default)]
struct Mail(OnceCell<Recipient<Deliver>>);

impl Outlet for Mail {
    fn offer(&self, frame: &Frame) -> bool {
        self.0.get().is_some_and(|session| session.try_send(Deliver(frame.text())).is_ok())
    }

    fn sweep(&self, _: Instant) -> bool {
        false
    }
}

async fn connect(
    request: HttpRequest,
    payload: web::Payload,
    site: web::Data<Site>,
    shard: web::Data<Shard>,
) -> Result<HttpResponse, actix_web::Error> {
    let origin = Origin::of(request.headers(), &site.own_urls());
    if origin == Origin::Foreign {
        return Err(cross_origin().into());
    }
    let cookies = request.headers().get(header::COOKIE).and_then(|cookies| cookies.to_str().ok());
    let guest = Guest { cookies: cookies.filter(|_| origin == Origin::Own).map(str::to_owned) };
    let mail = Rc::new(Mail::default());
    let session = Session::new(site.pod.clone(), Shard::clone(&shard), mail.clone(), guest, Rc::new(Cell::new(false)));
    let (address, response) = WsResponseBuilder::new(session, &request, payload)
        .protocols(&["tallycast.v1"])
        .frame_size(MOST_FRAME_BYTES)
        .start_with_addr()?;
    let _ = mail.0.set(address.recipient());
    Ok(response)
}
