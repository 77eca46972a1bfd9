//! The floor, as a client sees it: what is measured against must do what it says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bench::measuring::{Crowd, Dialect};
use client::frame;

/// A floor of its own, killed at the end.
struct Floor {
    child: Child,
    port: u16,
}

impl Floor {
    fn start(payload: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_floor"))
            .args(["--port", "0", "--payload", payload])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
        let port = address.trim().rsplit_once(':').unwrap().1.parse().unwrap();
        Self { child, port }
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A socket after the handshake, and what the server answered to it.
fn shake_hands(port: u16) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    // the example of RFC 6455, 1.3
    let request = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = vec![];
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    (stream, String::from_utf8(answer).unwrap())
}

fn text(stream: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut wire = vec![0; frame::from_server(frame::TEXT, &vec![0; length]).len()];
    stream.read_exact(&mut wire).unwrap();
    let found = frame::first(&wire).unwrap();
    assert_eq!((found.opcode, found.end), (frame::TEXT, wire.len()));
    wire[found.start..].to_vec()
}

#[test]
fn the_floor_shakes_hands_and_answers_a_vote() {
    let floor = Floor::start("100");
    let (mut stream, answer) = shake_hands(floor.port);
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    assert!(answer.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{answer}");
    stream.write_all(&frame::from_client(frame::TEXT, b"v1234")).unwrap();
    assert_eq!(text(&mut stream, 5), b"a1234");
}

#[test]
fn a_masked_vote_in_two_pieces_is_unmasked() {
    let floor = Floor::start("100");
    let (mut stream, _) = shake_hands(floor.port);
    let mask = [1, 2, 3, 4];
    let masked: Vec<u8> = b"v12345".iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    let wire = [&[0x81, 0x86][..], &mask, &masked].concat();
    let (head, tail) = wire.split_at(5);
    stream.write_all(head).unwrap();
    // a frame that is whole tells that what came before it was read
    let (mut other, _) = shake_hands(floor.port);
    other.write_all(&frame::from_client(frame::TEXT, b"v")).unwrap();
    assert_eq!(text(&mut other, 1), b"a");
    stream.write_all(tail).unwrap();
    assert_eq!(text(&mut stream, 6), b"a12345");
}

#[test]
fn a_crowd_hears_every_broadcast_and_gets_every_answer() {
    let floor = Floor::start("200");
    let mut crowd = Crowd::connect(&[floor.port], Dialect::floor(), 50).unwrap();
    let fan = crowd.fan_out(Duration::from_millis(20), Duration::from_millis(200)).unwrap();
    assert_eq!((fan.frames, fan.text_bytes), (10 * 50, 10 * 50 * 200));
    assert_eq!((fan.spreads.len(), fan.partial), (10, 0));
    let votes = crowd.closed_loop(7).unwrap();
    assert_eq!((votes.count, votes.latency.len()), (350, 350));
    assert!(votes.ms(99.0) > 0.0);
}

#[test]
fn paced_votes_come_at_their_rate() {
    let floor = Floor::start("100");
    let mut crowd = Crowd::connect(&[floor.port], Dialect::floor(), 20).unwrap();
    let mut asked = 0;
    let began = std::time::Instant::now();
    let votes = crowd
        .paced(10, Duration::from_millis(100), || {
            asked += 1;
            began.elapsed() < Duration::from_millis(300)
        })
        .unwrap();
    // ten casters, ten times a second each, for 0.3 s; the machine may be late, but never early
    assert!((10..=31).contains(&votes.count), "{} after {asked} looks", votes.count);
}

#[test]
fn a_server_that_goes_away_is_an_error() {
    let floor = Floor::start("100");
    let mut crowd = Crowd::connect(&[floor.port], Dialect::floor(), 3).unwrap();
    drop(floor);
    assert!(crowd.listen(Duration::from_secs(10)).is_err());
}
