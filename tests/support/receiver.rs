//! An HTTP server of the test's own: it keeps the requests that it gets, and answers them as the test says.

use actix_web::dev::ServerHandle;
use actix_web::http::{KeepAlive, StatusCode, header};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

/// Larger than anything that is sent here.
const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;

/// A request, whole.
#[derive(Debug, Clone)]
pub struct Received {
    pub method: String,
    /// With the query.
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Received {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// How requests are answered.
enum Answers {
    /// With a status and no body; `None`: not until there is one.
    Status(watch::Sender<Option<u16>>),
    /// GET of these paths with 200 and a body, everything else with 404.
    Bodies(Vec<(String, String)>),
    /// With 301 to this address.
    Redirect(String),
}

/// Ends with the test.
pub struct Receiver {
    pub address: SocketAddr,
    state: web::Data<State>,
    server: ServerHandle,
}

struct State {
    answers: Answers,
    received: Mutex<Vec<Received>>,
    arrived: Notify,
    /// Requests that were answered with 200.
    accepted: watch::Sender<usize>,
}

impl Receiver {
    /// Answers every request with this status; `None`: holds every answer back until `answer_with` gives one.
    pub fn start(status: Option<u16>) -> Receiver {
        Receiver::with(Answers::Status(watch::channel(status).0))
    }

    /// Answers GET of each of these paths with 200 and its body, everything else with an empty 404.
    pub fn serving(bodies: &[(&str, Value)]) -> Receiver {
        let bodies = bodies.iter().map(|(path, body)| ((*path).to_owned(), body.to_string()));
        Receiver::with(Answers::Bodies(bodies.collect()))
    }

    /// Redirects every request to another address.
    pub fn redirecting(to: &str) -> Receiver {
        Receiver::with(Answers::Redirect(to.to_owned()))
    }

    fn with(answers: Answers) -> Receiver {
        let accepted = watch::channel(0).0;
        let state = State { answers, received: Mutex::default(), arrived: Notify::new(), accepted };
        let state = web::Data::new(state);
        let shared = state.clone();
        let app = move || App::new().app_data(shared.clone()).default_service(web::to(receive));
        let server = HttpServer::new(app)
            .workers(1)
            .keep_alive(KeepAlive::Disabled)
            .shutdown_timeout(0)
            .disable_signals()
            .bind(("127.0.0.1", 0))
            .expect("a free port");
        let address = server.addrs()[0];
        let server = server.run();
        let handle = server.handle();
        tokio::spawn(server);
        Receiver { address, state, server: handle }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers with this status from now on, also what was held back.
    pub fn answer_with(&self, status: u16) {
        match &self.state.answers {
            Answers::Status(statuses) => statuses.send_replace(Some(status)),
            _ => panic!("this receiver's answers are set"),
        };
    }

    /// All requests so far.
    pub fn received(&self) -> Vec<Received> {
        self.state.received.lock().expect("no panic").clone()
    }

    /// Waits until enough requests have arrived; `None` if they do not in time.
    pub async fn wait_until(&self, within: Duration, enough: impl Fn(&[Received]) -> bool) -> Option<Vec<Received>> {
        let waiting = async {
            loop {
                let arrived = self.state.arrived.notified();
                let received = self.received();
                if enough(&received) {
                    return received;
                }
                arrived.await;
            }
        };
        timeout(within, waiting).await.ok()
    }

    /// Waits until some request was answered with 200; false if none is in time.
    pub async fn accepts_within(&self, within: Duration) -> bool {
        let mut accepted = self.state.accepted.subscribe();
        let waiting = accepted.wait_for(|accepted| *accepted > 0);
        timeout(within, waiting).await.is_ok_and(|waited| waited.is_ok())
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // the order is given at once, whoever waits for it to be carried out
        drop(self.server.stop(false));
    }
}

async fn receive(request: HttpRequest, payload: web::Payload, state: web::Data<State>) -> HttpResponse {
    // what follows an upgrade has no end, and no length
    let has_body = request.headers().contains_key(header::CONTENT_LENGTH);
    let body = if has_body { payload.to_bytes_limited(MAX_BODY_BYTES).await } else { Ok(Ok(web::Bytes::new())) };
    let body = body.expect("a body within the limit").expect("a whole body");
    let text = |value: &header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = request.headers().iter().map(|(name, value)| (name.as_str().to_owned(), text(value)));
    let received = Received {
        method: request.method().to_string(),
        path: request.uri().to_string(),
        headers: headers.collect(),
        body: body.to_vec(),
    };
    let (is_get, path) = (received.method == "GET", received.path.clone());
    state.received.lock().expect("no panic").push(received);
    state.arrived.notify_waiters();
    let answer = match &state.answers {
        Answers::Status(statuses) => {
            let mut statuses = statuses.subscribe();
            let status = statuses.wait_for(Option::is_some).await.ok().and_then(|status| *status);
            let status = status.and_then(|status| StatusCode::from_u16(status).ok());
            HttpResponse::new(status.expect("a status, from a sender that lives as long as this"))
        }
        Answers::Bodies(bodies) => match bodies.iter().find(|(known, _)| is_get && *known == path) {
            Some((_, body)) => HttpResponse::Ok().body(body.clone()),
            None => HttpResponse::NotFound().finish(),
        },
        Answers::Redirect(to) => {
            HttpResponse::MovedPermanently().insert_header((header::LOCATION, to.as_str())).finish()
        }
    };
    state.accepted.send_modify(|accepted| *accepted += usize::from(answer.status() == StatusCode::OK));
    answer
}
