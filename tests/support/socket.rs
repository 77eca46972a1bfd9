//! One WebSocket to one process. Every frame that arrives passes the `Watch`.

use super::server::EMCEE_KEY;
use super::watch::Watch;
use client::protocol::ClientMessage;
use client::socket::{Incoming, Socket as Connection};
use client::tungstenite::{Error, Message};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

/// How long a test waits for a frame that must come.
pub const PATIENCE: Duration = Duration::from_secs(10);

pub struct Socket {
    connection: Connection<TcpStream>,
    watch: Watch,
    recording: bool,
    pinged: Option<Instant>,
    /// The frames as they came, in order, once `record` was called.
    pub recorded: Vec<String>,
}

/// What a socket brings.
#[derive(Debug)]
pub enum Heard {
    /// A message: its name and its fields.
    Frame(String, Value),
    /// The other side ended: with this close code, or without a close frame.
    Gone(Option<u16>),
}

impl Socket {
    /// Opens a socket. `who` is named in failures.
    pub async fn open(pod: SocketAddr, who: &str) -> Result<Socket, String> {
        Socket::open_with(pod, who, &[]).await.map_err(|error| error.to_string())
    }

    /// As `open`, with further request headers.
    pub async fn open_with(pod: SocketAddr, who: &str, headers: &[(&str, &str)]) -> Result<Socket, Error> {
        let tcp = TcpStream::connect(pod).await?;
        tcp.set_nodelay(true)?;
        let connection = Connection::open(tcp, &pod.to_string(), headers).await?;
        Ok(Socket { connection, watch: Watch::new(who), recording: false, pinged: None, recorded: Vec::new() })
    }

    /// Opens a socket, says hello in `role` and gives what `state` answers.
    pub async fn hello(pod: SocketAddr, room: &str, role: &str, token: Option<&str>) -> (Socket, Value) {
        let mut socket = Socket::open(pod, role).await.unwrap_or_else(|error| panic!("{role} at {pod}: {error}"));
        socket.say_hello(room, role, token).await;
        let state = socket.expect("state").await;
        (socket, state)
    }

    /// A stage's socket, recorded from its first frame.
    pub async fn stage(pod: SocketAddr, room: &str) -> Socket {
        let mut socket = Socket::open(pod, "stage").await.expect("a stage may connect");
        socket.recording = true;
        socket.say_hello(room, "stage", None).await;
        socket.expect("state").await;
        socket
    }

    /// An emcee's socket.
    pub async fn emcee(pod: SocketAddr, room: &str) -> Socket {
        Socket::hello(pod, room, "emcee", Some(EMCEE_KEY)).await.0
    }

    pub fn record(&mut self) {
        self.recording = true;
    }

    pub async fn say_hello(&mut self, room: &str, role: &str, token: Option<&str>) {
        self.send_text(&ClientMessage::Hello { room, role, token }.text()).await;
    }

    /// Sends a message. A socket that is gone already shows when it is read next.
    pub async fn send(&mut self, name: &str, fields: Value) {
        self.send_text(&json!({ name: fields }).to_string()).await;
    }

    pub async fn send_text(&mut self, text: &str) {
        self.send_message(Message::text(text)).await;
    }

    pub async fn send_message(&mut self, message: Message) {
        let _ = self.connection.send_message(message).await;
    }

    /// Sends several messages back to back in one write, so that they reach the server in one read.
    pub async fn send_together(&mut self, texts: &[String]) {
        let _ = self.connection.send_all(texts).await;
    }

    /// The next message or the end. Pings are answered on the way.
    pub async fn next(&mut self) -> Heard {
        match self.connection.next().await {
            Incoming::Text(text) => {
                if self.recording {
                    self.recorded.push(text.as_str().to_owned());
                }
                let (name, body) = self.watch.read(text.as_str());
                Heard::Frame(name, body)
            }
            Incoming::Closed(code) => Heard::Gone(code),
            Incoming::Invalid(what) => panic!("the server sent what it must not: {what}"),
        }
    }

    /// The next message or the end; `None` if neither comes before `until`.
    pub async fn next_before(&mut self, until: Instant) -> Option<Heard> {
        timeout_at(until, self.next()).await.ok()
    }

    /// Waits for a message `wanted` accepts, skipping others, and gives its fields.
    pub async fn wait_for(&mut self, what: &str, mut wanted: impl FnMut(&str, &Value) -> bool) -> Value {
        let until = Instant::now() + PATIENCE;
        let mut skipped = Vec::new();
        loop {
            match self.next_before(until).await {
                Some(Heard::Frame(name, body)) if wanted(&name, &body) => return body,
                Some(Heard::Frame(name, body)) => skipped.push(format!("{name} {body}")),
                other => panic!("waited for {what}, got {other:?}, before it {skipped:#?}"),
            }
        }
    }

    /// The fields of the next message of this name.
    pub async fn expect(&mut self, name: &str) -> Value {
        self.wait_for(name, |heard, _| heard == name).await
    }

    /// Waits for the end and gives its close code, with the messages before it.
    pub async fn closed(&mut self) -> (Option<u16>, Vec<(String, Value)>) {
        self.closed_within(PATIENCE).await
    }

    pub async fn closed_within(&mut self, patience: Duration) -> (Option<u16>, Vec<(String, Value)>) {
        let until = Instant::now() + patience;
        let mut before = Vec::new();
        loop {
            match self.next_before(until).await {
                Some(Heard::Frame(name, body)) => before.push((name, body)),
                Some(Heard::Gone(code)) => return (code, before),
                None => panic!("the socket stays open; heard {before:#?}"),
            }
        }
    }

    /// Proves that the socket is alive and all that was sent before has been read: a ping is
    /// answered in order. Gives the messages that came before the pong.
    pub async fn sync(&mut self) -> Vec<(String, Value)> {
        if let Some(last) = self.pinged.replace(Instant::now()) {
            // the contract allows one ping a second
            tokio::time::sleep_until(last + Duration::from_millis(1_050)).await;
            self.pinged = Some(Instant::now());
        }
        let id: u32 = rand::random();
        self.send_text(&ClientMessage::Ping { id: id.into() }.text()).await;
        let until = Instant::now() + PATIENCE;
        let mut before = Vec::new();
        loop {
            match self.next_before(until).await {
                Some(Heard::Frame(name, body)) if name == "pong" && body["id"] == id => return before,
                Some(Heard::Frame(name, body)) => before.push((name, body)),
                other => panic!("waited for pong {id}, got {other:?}, before it {before:#?}"),
            }
        }
    }

    /// Drops the connection without a goodbye, as a phone that loses its network does.
    pub fn vanish(self) {
        let _ = self.connection.stream().set_zero_linger();
    }
}
