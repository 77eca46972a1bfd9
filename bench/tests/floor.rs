//! The floor and the measuring client against each other: what is measured against must do what it says.

use std::io::Write;
use std::net::TcpStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bench::measuring::{Crowd, Dialect};
use bench::server::{BOTH_CORES, Server};
use client::frame;
use client::tungstenite::{self, Message, WebSocket};

fn floor(payload: &str) -> Server {
    let program = env!("CARGO_BIN_EXE_floor");
    let arguments = |port: &str| ["--port", port, "--payload", payload].map(str::to_owned);
    Server::start(env!("CARGO_TARGET_TMPDIR"), "floor", BOTH_CORES, program, |command, port, _| {
        command.args(arguments(port));
    })
    .unwrap()
}

/// A client that checks the handshake, and masks its frames.
fn connect(floor: &Server) -> WebSocket<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", floor.port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    tungstenite::client(floor.url("ws"), stream).unwrap().0
}

fn crowd(floor: &Server, count: usize) -> Crowd {
    Crowd::connect(&[floor.port], Rc::new(Dialect::floor()), count).unwrap()
}

#[test]
fn the_floor_shakes_hands_and_answers_a_vote() {
    let floor = floor("100");
    let mut socket = connect(&floor);
    socket.send(Message::text("v1234")).unwrap();
    assert_eq!(socket.read().unwrap(), Message::text("a1234"));
}

#[test]
fn a_vote_in_two_pieces_is_answered_once_it_is_complete() {
    let floor = floor("100");
    let (mut socket, mut other) = (connect(&floor), connect(&floor));
    let wire = frame::from_client(frame::TEXT, b"v12345");
    let stream = socket.get_mut();
    stream.set_nodelay(true).unwrap();
    stream.write_all(&wire[..8]).unwrap();
    // the answer to another client proves that the first piece was read
    other.send(Message::text("v")).unwrap();
    assert_eq!(other.read().unwrap(), Message::text("a"));
    stream.write_all(&wire[8..]).unwrap();
    assert_eq!(socket.read().unwrap(), Message::text("a12345"));
}

#[test]
fn a_crowd_receives_every_broadcast_and_every_answer() {
    let floor = floor("200");
    let mut crowd = crowd(&floor, 50);
    let fan = crowd.fan_out(Duration::from_millis(20), Duration::from_millis(200)).unwrap();
    assert_eq!((fan.frames, fan.text_bytes), (10 * 50, 10 * 50 * 200));
    assert_eq!((fan.spreads.len(), fan.partial), (10, 0));
    let votes = crowd.closed_loop(7).unwrap();
    assert_eq!(votes.latency.len(), 350);
    assert!(votes.ms(99.0) > 0.0);
}

#[test]
fn paced_votes_come_at_their_rate() {
    let floor = floor("100");
    let mut crowd = crowd(&floor, 20);
    let began = Instant::now();
    let go_on = || began.elapsed() < Duration::from_millis(300);
    let votes = crowd.paced(10, Duration::from_millis(100), go_on).unwrap().latency.len();
    // ten casters, ten times a second each, for 0.3 s; the machine may be late, but never early
    assert!((10..=31).contains(&votes), "{votes}");
}

#[test]
fn a_server_that_goes_away_is_an_error() {
    let floor = floor("100");
    let mut crowd = crowd(&floor, 3);
    drop(floor);
    assert!(crowd.listen(Duration::from_secs(10)).is_err());
}
