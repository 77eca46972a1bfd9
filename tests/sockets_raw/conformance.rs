//! The frames of RFC 6455, in the order of the Autobahn test suite's categories 1 to 7, re-created for a protocol whose
//! messages are JSON texts: `ping` with a text as its id is the echo.

use crate::raw::{CLOSE, Frame, Got, PING, PONG, Raw, TEXT, close, frame, header};
use crate::support::cluster::Cluster;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

/// What a case sends, on a socket that has said hello.
enum Part {
    /// At once.
    Bytes(Vec<u8>),
    /// In segments of one byte.
    Chopped(Vec<u8>),
}
use Part::{Bytes, Chopped};

/// What must come back, in this order and nothing else; pings of the server aside.
#[derive(Debug)]
enum Due {
    /// The echo of this text.
    Echo(String),
    /// A pong with this payload.
    Pong(Vec<u8>),
    /// An `error`: a text that is no message.
    Error,
    /// A close frame with this payload, and the end.
    Closed(Vec<u8>),
}
use Due::{Closed, Echo, Error, Pong};

/// A case that does not end by a close is asked for one more echo.
struct Case {
    what: String,
    send: Vec<Part>,
    due: Vec<Due>,
}

fn case(what: impl Into<String>, send: Vec<Part>, due: Vec<Due>) -> Case {
    Case { what: what.into(), send, due }
}

fn code(code: u16) -> Due {
    Closed(code.to_be_bytes().to_vec())
}

fn echo(id: &str) -> Due {
    Echo(id.to_owned())
}

/// The text of a ping whose id comes back.
fn ping(id: &str) -> String {
    json!({"ping": {"id": id}}).to_string()
}

fn text(text: &str) -> Vec<u8> {
    frame(TEXT, text.as_bytes())
}

/// A ping's text, filled up to a length.
fn padded(id: &str, length: usize) -> Vec<u8> {
    let mut text = ping(id).into_bytes();
    text.resize(length, b' ');
    text
}

/// A text in pieces of these lengths; the last piece holds the rest.
fn pieces(text: &[u8], lengths: &[usize]) -> Vec<Vec<u8>> {
    let (mut rest, mut frames) = (text, vec![]);
    for (index, length) in lengths.iter().enumerate() {
        let (piece, after) = rest.split_at(*length);
        frames.push(frame(if index == 0 { 0x01 } else { 0x00 }, piece));
        rest = after;
    }
    frames.push(frame(0x80, rest));
    frames
}

/// A text in pieces of one byte.
fn crumbs(text: &str) -> Vec<u8> {
    pieces(text.as_bytes(), &vec![1; text.len() - 1]).concat()
}

fn texts() -> Vec<Case> {
    let mut cases = vec![case("1.1.1 an empty text", vec![Bytes(text(""))], vec![Error])];
    for length in [125, 126, 127, 128, 4_095, 4_096] {
        let whole = frame(TEXT, &padded("x", length));
        cases.push(case(format!("1.1 a text of {length}"), vec![Bytes(whole.clone())], vec![echo("x")]));
        if length < 4_095 {
            cases.push(case(format!("1.1 a text of {length} in bytes"), vec![Chopped(whole)], vec![echo("x")]));
        }
    }
    for length in [4_097, 65_535, 65_536] {
        let big = frame(TEXT, &padded("x", length));
        cases.push(case(format!("1.1 a text of {length}"), vec![Bytes(big)], vec![code(1009)]));
    }
    for length in [0, 125, 126, 4_096] {
        let binary = frame(0x82, &vec![0xFE; length]);
        cases.push(case(format!("1.2 a binary frame of {length}"), vec![Bytes(binary)], vec![code(1003)]));
    }
    cases
}

fn pings() -> Vec<Case> {
    let long: Vec<u8> = (0..125).collect();
    let ten: Vec<Vec<u8>> = (0..10).map(|n| vec![n; usize::from(n)]).collect();
    let at_once: Vec<u8> = ten.iter().flat_map(|payload| frame(PING, payload)).collect();
    let pongs = || ten.iter().cloned().map(Pong).collect();
    let pong_then_ping = [frame(PONG, b"x"), frame(PING, b"y")].concat();
    vec![
        case("2.1 an empty ping", vec![Bytes(frame(PING, b""))], vec![Pong(vec![])]),
        case("2.2 a ping with a text", vec![Bytes(frame(PING, b"Hello"))], vec![Pong(b"Hello".to_vec())]),
        case("2.3 a ping with bytes", vec![Bytes(frame(PING, b"\x00\xff\xfe"))], vec![Pong(b"\x00\xff\xfe".to_vec())]),
        case("2.4 a ping of 125 bytes", vec![Bytes(frame(PING, &long))], vec![Pong(long.clone())]),
        case("2.5 a ping of 126 bytes", vec![Bytes(frame(PING, &[0; 126]))], vec![code(1002)]),
        case("2.6 a ping of 125 bytes in bytes", vec![Chopped(frame(PING, &long))], vec![Pong(long)]),
        case("2.7 a pong that nobody asked for", vec![Bytes(frame(PONG, b""))], vec![]),
        case("2.8 one with a payload", vec![Bytes(frame(PONG, b"unasked"))], vec![]),
        case("2.9 one before a ping", vec![Bytes(pong_then_ping)], vec![Pong(b"y".to_vec())]),
        case("2.10 ten pings", vec![Bytes(at_once.clone())], pongs()),
        case("2.11 ten pings in bytes", vec![Chopped(at_once)], pongs()),
    ]
}

fn headers() -> Vec<Case> {
    let mut cases = vec![];
    let good = || text(&ping("good"));
    let due = || vec![echo("good"), code(1002)];
    for rsv in [0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70] {
        for first in [TEXT, PING, CLOSE] {
            let both = [good(), frame(first | rsv, b"")].concat();
            cases.push(case(format!("3 reserved bits {:#x}", first | rsv), vec![Bytes(both.clone())], due()));
            cases.push(case(format!("3 {:#x} in bytes", first | rsv), vec![Chopped(both)], due()));
        }
    }
    for opcode in [3, 4, 5, 6, 7, 0xB, 0xC, 0xD, 0xE, 0xF] {
        for payload in [&b""[..], b"reserved"] {
            let three = [good(), frame(0x80 | opcode, payload), frame(PING, b"")].concat();
            cases.push(case(format!("4 opcode {opcode:#x}, {} bytes", payload.len()), vec![Bytes(three)], due()));
        }
    }
    let unmasked = [&[TEXT, ping("x").len() as u8], ping("x").as_bytes()].concat();
    cases.push(case("RFC 6455, 5.1: not masked", vec![Bytes(unmasked)], vec![code(1002)]));
    for (bits, length) in [(16, &[0x80 | 126, 0, 5][..]), (64, &[0x80 | 127, 0, 0, 0, 0, 0, 0, 1, 0])] {
        let long = [&[TEXT], length, &[0; 9]].concat();
        cases.push(case(format!("5.2: a short length in {bits} bits"), vec![Bytes(long)], vec![code(1002)]));
    }
    cases
}

fn fragments() -> Vec<Case> {
    let whole = ping("in pieces");
    let two = pieces(whole.as_bytes(), &[5]);
    let between = [two[0].clone(), frame(PING, b"between"), two[1].clone()];
    let empties = pieces(whole.as_bytes(), &[0, 0, 4, 0, 0]).concat();
    let echoed = || vec![echo("in pieces")];
    let both = || vec![Pong(b"between".to_vec()), echo("in pieces")];
    let bad = |frames: &[Vec<u8>]| vec![Bytes([&[text(&ping("good"))], frames].concat().concat())];
    let good_then = |closed| vec![echo("good"), code(closed)];
    vec![
        case("5.1 a ping in pieces", bad(&[frame(0x09, b"a"), frame(0x80, b"b")]), good_then(1002)),
        case("5.2 a pong in pieces", bad(&[frame(0x0A, b"a"), frame(0x80, b"b")]), good_then(1002)),
        case("5.3 a text in two pieces", vec![Bytes(two.concat())], echoed()),
        case("5.4 in segments of their own", two.iter().cloned().map(Bytes).collect(), echoed()),
        case("5.5 in bytes", vec![Chopped(two.concat())], echoed()),
        case("5.6 with a ping between", vec![Bytes(between.concat())], both()),
        case("5.7 in segments of their own", between.iter().cloned().map(Bytes).collect(), both()),
        case("5.8 in bytes", vec![Chopped(between.concat())], both()),
        case("5.9 a last piece of nothing", bad(&[frame(0x80, b"x")]), good_then(1002)),
        case("5.12 a piece of nothing", bad(&[frame(0x00, b"x")]), good_then(1002)),
        case("5.18 a text inside a text", bad(&[frame(0x01, b"{"), text("}")]), good_then(1002)),
        case("5.18 a binary frame inside a text", bad(&[frame(0x01, b"{"), frame(0x82, b"}")]), good_then(1002)),
        case("5.19 a piece for each byte", vec![Bytes(crumbs(&whole))], echoed()),
        case("5.20 in bytes", vec![Chopped(crumbs(&whole))], echoed()),
        case("empty pieces", vec![Bytes(empties)], echoed()),
        case("a binary message in pieces", bad(&[frame(0x02, b"a"), frame(0x80, b"b")]), good_then(1003)),
        case("an empty text in pieces", bad(&[frame(0x01, b""), frame(0x80, b"")]), vec![echo("good"), Error]),
        case("pieces of 4 KiB together", vec![Bytes(pieces(&padded("x", 4_096), &[4_000]).concat())], vec![echo("x")]),
        case("one byte more", bad(&pieces(&padded("x", 4_097), &[4_000])), good_then(1009)),
    ]
}

fn utf8() -> Vec<Case> {
    let mut cases = vec![];
    let valid = [
        "Hello-µ@ßöäüàá-UTF-8!!",
        "κόσμε",
        "\u{80}\u{7ff}\u{800}\u{ffff}",
        "\u{10000}\u{10ffff}\u{fffd}",
        "\u{feff}\u{fdd0}",
        "😀🎉",
    ];
    for id in valid {
        // the crumbs are cut inside of characters too
        cases.push(case(format!("6.2 {id:?}"), vec![Bytes(text(&ping(id)))], vec![echo(id)]));
        cases.push(case(format!("6.2 {id:?} in pieces"), vec![Bytes(crumbs(&ping(id)))], vec![echo(id)]));
        cases.push(case(format!("6.2 {id:?} in bytes"), vec![Chopped(text(&ping(id)))], vec![echo(id)]));
    }
    let invalid: [&[u8]; 22] = [
        b"\x80",
        b"\xbf",
        b"\x80\xbf\x80",
        b"\xc0\xaf",
        b"\xc1\xbf",
        b"\xc2",
        b"\xe0\x80\xaf",
        b"\xe0\x9f\xbf",
        b"\xe2\x82",
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
        b"\xed\xa0\x80\xed\xb0\x80",
        b"\xf0\x80\x80\xaf",
        b"\xf0\x8f\xbf\xbf",
        b"\xf0\x9f\x98",
        b"\xf4\x90\x80\x80",
        b"\xf5\x80\x80\x80",
        b"\xf8\x88\x80\x80\x80",
        b"\xfc\x84\x80\x80\x80\x80",
        b"\xfe",
        b"\xff",
        b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80",
    ];
    for bad in invalid {
        let whole = [&br#"{"ping":{"id":""#[..], bad, br#""}}"#].concat();
        let cut = pieces(&whole, &[16]).concat();
        cases.push(case(format!("6.3 {bad:x?}"), vec![Bytes(frame(TEXT, &whole))], vec![code(1007)]));
        cases.push(case(format!("6.3 {bad:x?} in pieces"), vec![Bytes(cut)], vec![code(1007)]));
    }
    cases
}

fn closes() -> Vec<Case> {
    let mut cases = vec![];
    for valid in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 3999, 4000, 4999] {
        cases.push(case(format!("7.7 close code {valid}"), vec![Bytes(close(valid, b""))], vec![code(valid)]));
    }
    for invalid in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        cases.push(case(format!("7.9 close code {invalid}"), vec![Bytes(close(invalid, b""))], vec![code(1002)]));
        cases.push(case(format!("7.9 {invalid} and why"), vec![Bytes(close(invalid, b"why"))], vec![code(1002)]));
    }
    let not_utf8 = close(1000, b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited");
    let reason = close(1000, "wegen Umbau geschlossen: κόσμε".as_bytes());
    let one = |bytes: Vec<u8>| vec![Bytes(bytes)];
    let and = |more: Vec<u8>| vec![Bytes([close(1000, b""), more].concat())];
    let normal = || vec![code(1000)];
    cases.extend([
        case(
            "7.1.1 a close behind a text",
            one([text(&ping("x")), close(1000, b"")].concat()),
            vec![echo("x"), code(1000)],
        ),
        case("7.1.2 two closes", and(close(1001, b"")), normal()),
        case("7.1.3 a ping behind a close", and(frame(PING, b"late")), normal()),
        case("7.1.4 a text behind a close", and(text(&ping("late"))), normal()),
        case("7.1.5 a close behind a piece", one([frame(0x01, b"{"), close(1000, b"")].concat()), normal()),
        case("7.1.6 rubbish behind a close", and(vec![0xFF; 2_000]), normal()),
        case("7.3.1 an empty close", one(frame(CLOSE, b"")), vec![Closed(vec![])]),
        case("7.3.2 half a code", one(frame(CLOSE, b"\x03")), vec![code(1002)]),
        case("7.3.3 a code alone, in bytes", vec![Chopped(close(1000, b""))], normal()),
        case("7.3.4 a reason", one(reason), normal()),
        case("7.3.5 the longest reason", one(close(1000, &[b'x'; 123])), normal()),
        case("7.3.6 a longer one", one(close(1000, &[b'x'; 124])), vec![code(1002)]),
        case("7.5.1 a reason that is not UTF-8", one(not_utf8), vec![code(1007)]),
        case("a close in pieces", one(frame(0x08, b"")), vec![code(1002)]),
        case("a close that never ends", one(header(CLOSE, 1 << 40)), vec![code(1002)]),
    ]);
    cases
}

fn fits(due: &Due, got: &Got) -> bool {
    let Got::Frame(Frame { first, payload }) = got else { return false };
    match due {
        Echo(id) => {
            let echoed = |message: Value| message["pong"]["id"] == *id;
            *first == TEXT && serde_json::from_slice(payload).is_ok_and(echoed)
        }
        Pong(due) => *first == PONG && payload == due,
        Error => *first == TEXT && payload.starts_with(br#"{"error":"#),
        Closed(due) => *first == CLOSE && payload == due,
    }
}

/// Runs a case on a socket of its own; what went wrong, if anything did.
async fn run(raw: &mut Raw, case: Case) -> Option<String> {
    let Case { what, send, due } = case;
    let ends = due.iter().any(|due| matches!(due, Closed(_)));
    for part in send {
        match part {
            Bytes(bytes) => raw.send(&bytes).await,
            Chopped(bytes) => raw.send_chopped(&bytes).await,
        }
    }
    let more = if ends { None } else { Some(echo("one more")) };
    if !ends {
        raw.send(&text(&ping("one more"))).await;
    }
    for due in due.into_iter().chain(more) {
        let got = raw.next_but_pings().await;
        if !fits(&due, &got) {
            return Some(format!("{what}: {due:?} was due, {got:?} came"));
        }
    }
    let goes_on = ends && raw.next().await != Got::End;
    goes_on.then(|| format!("{what}: frames came behind the close frame"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_frame_is_answered_as_rfc_6455_says() {
    let cluster = Cluster::embedded().await;
    let server = cluster.addresses()[0];
    let room = &cluster.emcee().create_plain("Conformance", 1).await;
    let cases = [texts(), pings(), headers(), fragments(), utf8(), closes()].into_iter().flatten();
    let cases: Vec<Case> = cases.collect();
    let count = cases.len();
    let runs = stream::iter(cases).map(async |case| run(&mut Raw::stage(server, room).await, case).await);
    let wrong: Vec<String> = runs.buffer_unordered(8).filter_map(async |wrong| wrong).collect().await;
    assert!(wrong.is_empty(), "{} of {count} cases:\n{}", wrong.len(), wrong.join("\n"));
}
