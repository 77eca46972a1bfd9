use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::fuzz;
use crate::wire::codes::CloseCode;

const MASK: [u8; 4] = [0x1F, 0x2E, 0x3D, 0x4C];

/// A frame as a client sends it; `payload` need not be as long as `length` says.
fn frame(first: u8, length: u64, payload: &[u8]) -> Vec<u8> {
    let mut wire = vec![first];
    match length {
        0..=125 => wire.push(0x80 | length as u8),
        126..=0xFFFF => {
            wire.push(0x80 | 126);
            wire.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            wire.push(0x80 | 127);
            wire.extend_from_slice(&length.to_be_bytes());
        }
    }
    wire.extend_from_slice(&MASK);
    wire.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    wire
}

fn whole(first: u8, payload: &[u8]) -> Vec<u8> {
    frame(first, payload.len() as u64, payload)
}

/// How a stream ended, and what passed before: the bytes and the number of frames in them.
#[derive(Debug, PartialEq)]
struct Outcome {
    passed: Vec<u8>,
    frames: usize,
    fault: Option<Fault>,
    close_frame: bool,
}

fn pass_in(chunks: &[&[u8]]) -> Outcome {
    let mut validator = FrameValidator::new();
    let now = Instant::now();
    let mut outcome = Outcome { passed: vec![], frames: 0, fault: None, close_frame: false };
    for chunk in chunks {
        let accepted = validator.accept(chunk, now);
        outcome.passed.extend_from_slice(&accepted.bytes);
        outcome.frames += accepted.frames;
    }
    outcome.fault = validator.fault();
    outcome.close_frame = validator.has_close_frame();
    outcome
}

/// The frames up to `bad` pass, and nothing of it or after it.
fn assert_fault(before: &[Vec<u8>], bad: &[u8], fault: Fault) {
    let after = whole(0x81, b"{}");
    let stream = [before.concat(), bad.to_vec(), after].concat();
    let expected = Outcome { passed: before.concat(), frames: before.len(), fault: Some(fault), close_frame: false };
    assert_eq!(pass_in(&[&stream]), expected);
    let bytes: Vec<&[u8]> = stream.chunks(1).collect();
    assert_eq!(pass_in(&bytes), expected, "one byte at a time");
}

#[test]
fn what_a_client_may_send_passes_unchanged() {
    let stream = [
        whole(0x81, b"{}"),
        whole(0x81, &[b' '; 4_096]),
        whole(0x89, &[7; 125]),
        whole(0x01, b""),
        whole(0x8A, b""),
        whole(0x00, &[b' '; 4_000]),
        whole(0x80, &[b' '; 96]),
        whole(0x82, &[0; 126]),
    ];
    let all = stream.concat();
    assert_eq!(pass_in(&[&all]), Outcome { passed: all, frames: 8, fault: None, close_frame: false });
}

#[test]
fn reserved_bits_unknown_opcodes_and_frames_that_are_not_masked_break_the_protocol() {
    for rsv in [0x10, 0x20, 0x40, 0x70] {
        assert_fault(&[whole(0x81, b"{}")], &whole(0x81 | rsv, b"{}"), Fault::ReservedBits);
    }
    for opcode in [0x3, 0x4, 0x5, 0x6, 0x7, 0xB, 0xC, 0xD, 0xE, 0xF] {
        assert_fault(&[], &whole(0x80 | opcode, b""), Fault::UnknownOpcode);
    }
    assert_fault(&[], &[0x81, 2, b'{', b'}'], Fault::NotMasked);
    for fault in [Fault::ReservedBits, Fault::UnknownOpcode, Fault::NotMasked] {
        assert_eq!(fault.code(), CloseCode::Protocol);
    }
}

#[test]
fn control_frames_are_short_and_not_fragmented() {
    for opcode in [0x8, 0x9, 0xA] {
        assert_fault(&[], &whole(opcode, b""), Fault::BadControl);
        assert_fault(&[], &frame(0x80 | opcode, 126, b""), Fault::BadControl);
        assert_fault(&[], &frame(0x80 | opcode, 1 << 40, b""), Fault::BadControl);
    }
}

#[test]
fn fragments_must_be_in_order() {
    assert_fault(&[], &whole(0x80, b"{}"), Fault::OutOfOrder);
    assert_fault(&[whole(0x81, b"{}")], &whole(0x00, b"{}"), Fault::OutOfOrder);
    for opcode in [0x01, 0x81, 0x02, 0x82] {
        assert_fault(&[whole(0x01, b"{"), whole(0x89, b"")], &whole(opcode, b"}"), Fault::OutOfOrder);
    }
}

#[test]
fn a_length_is_checked_before_the_payload_and_before_the_mask() {
    for length in [4_097, 0xFFFF, 1 << 16, 1 << 31, 1 << 40, i64::MAX as u64] {
        let bad = frame(0x81, length, b"");
        assert_fault(&[whole(0x81, b"{}")], &bad, Fault::TooBig);
        assert_eq!(pass_in(&[&bad[..bad.len() - 4]]).fault, Some(Fault::TooBig), "{length}");
    }
    assert_fault(&[], &frame(0x81, u64::MAX, b""), Fault::BadLength);
    assert_fault(&[], &[0x81, 0x80 | 126, 0, 125], Fault::BadLength);
    assert_fault(&[], &[0x81, 0x80 | 127, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF], Fault::BadLength);
    assert_eq!(Fault::TooBig.code(), CloseCode::TooBig);
}

#[test]
fn fragments_may_be_too_big_together_or_too_many() {
    let pieces = [whole(0x01, &[b' '; 3_000]), whole(0x00, &[b' '; 1_096])];
    assert_fault(&pieces, &whole(0x80, b" "), Fault::TooBig);
    let mut empty = vec![whole(0x01, b"")];
    empty.resize(usize::from(MAX_FRAGMENTS), whole(0x00, b""));
    assert_fault(&empty, &whole(0x00, b""), Fault::TooBig);
}

#[test]
fn after_a_valid_close_frame_nothing_passes() {
    for payload in [&b""[..], b"\x03\xe8", b"\x03\xf3bye", b"\x0f\xa0\xc2\xa0", b"\x13\x87"] {
        let close = whole(0x88, payload);
        let stream = [close.clone(), whole(0x81, b"{}"), vec![0xFF; 9]].concat();
        let expected = Outcome { passed: close, frames: 1, fault: None, close_frame: true };
        assert_eq!(pass_in(&[&stream]), expected, "{payload:x?}");
    }
}

#[test]
fn an_invalid_close_frame_does_not_pass() {
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, u16::MAX] {
        assert_fault(&[whole(0x81, b"{}")], &whole(0x88, &code.to_be_bytes()), Fault::BadCloseCode);
    }
    assert_fault(&[], &whole(0x88, &[3]), Fault::BadCloseCode);
    assert_fault(&[], &whole(0x88, b"\x03\xe8\xce\xba\xed\xa0\x80"), Fault::BadCloseReason);
    assert_eq!(Fault::BadCloseReason.code(), CloseCode::NotUtf8);
}

#[test]
fn a_flood_ends_the_stream_and_a_usual_rate_does_not() {
    for (frame, limit) in [(whole(0x89, b""), CONTROL_FRAMES), (whole(0x81, b"{}"), FRAMES)] {
        let mut validator = FrameValidator::new();
        let start = Instant::now();
        for _ in 0..limit.burst {
            assert_eq!(validator.accept(&frame, start).frames, 1);
        }
        assert_eq!(validator.accept(&frame, start + limit.interval).frames, 1, "one more is allowed");
        assert_eq!(validator.accept(&frame, start + limit.interval).frames, 0);
        assert_eq!(validator.fault().map(Fault::code), Some(CloseCode::Policy));
    }
    let mut validator = FrameValidator::new();
    let start = Instant::now();
    for second in 0..3_600 {
        let now = start + Duration::from_secs(second);
        for _ in 0..20 {
            validator.accept(&whole(0x8A, b""), now);
            validator.accept(&whole(0x81, b"{}"), now);
        }
    }
    assert_eq!(validator.fault(), None);
}

fn some_frame() -> impl Strategy<Value = Vec<u8>> {
    let payload = || vec(any::<u8>(), 0..300);
    prop_oneof![
        4 => payload().prop_map(|payload| whole(0x81, &payload)),
        1 => vec(any::<u8>(), 3_900..4_200).prop_map(|payload| whole(0x81, &payload)),
        1 => vec(any::<u8>(), 0..=125).prop_map(|payload| whole(0x89, &payload)),
        2 => payload().prop_map(|payload| whole(0x01, &payload)),
        2 => payload().prop_map(|payload| whole(0x00, &payload)),
        2 => payload().prop_map(|payload| whole(0x80, &payload)),
        1 => vec(any::<u8>(), 0..16).prop_map(|payload| whole(0x88, &payload)),
        1 => vec(any::<u8>(), 1..16),
    ]
}

/// `stream`, split at `cuts`.
fn split<'s>(mut stream: &'s [u8], cuts: &[usize]) -> Vec<&'s [u8]> {
    let mut chunks = vec![];
    for cut in cuts.iter().cycle().take_while(|_| !cuts.is_empty()) {
        if stream.len() <= *cut {
            break;
        }
        let (chunk, rest) = stream.split_at(*cut);
        chunks.push(chunk);
        stream = rest;
    }
    chunks.push(stream);
    chunks
}

proptest! {
    #[test]
    fn how_a_stream_is_split_changes_nothing(frames in vec(some_frame(), 0..30), cuts in vec(1usize..700, 0..20)) {
        let stream = frames.concat();
        let expected = pass_in(&[&stream]);
        prop_assert_eq!(&pass_in(&split(&stream, &cuts)), &expected);
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        prop_assert_eq!(&pass_in(&bytes), &expected);
    }

    #[test]
    fn a_prefix_of_every_stream_passes(stream in vec(any::<u8>(), 0..2_000), cuts in vec(1usize..50, 0..20)) {
        let outcome = pass_in(&split(&stream, &cuts));
        prop_assert!(stream.starts_with(&outcome.passed));
        prop_assert_eq!(pass_in(&[&stream]), outcome);
    }

    /// The reader relies on this: the codec decodes what passes without an error, frame by frame.
    #[test]
    fn the_codec_takes_every_frame_that_passed(frames in vec(some_frame(), 0..30)) {
        use actix_codec::Decoder;
        let outcome = pass_in(&[&frames.concat()]);
        let mut codec = actix_http::ws::Codec::new();
        let mut passed = BytesMut::from(&outcome.passed[..]);
        for _ in 0..outcome.frames {
            prop_assert!(matches!(codec.decode(&mut passed), Ok(Some(_))));
        }
        prop_assert!(matches!(codec.decode(&mut passed), Ok(None)));
    }
}

/// The headers of frames, read once more by somebody else: first byte, announced length, and where the payload begins.
fn headers(mut stream: &[u8]) -> Vec<(u8, u64)> {
    let mut found = vec![];
    while let [first, second, rest @ ..] = stream {
        let (bytes, announced) = match second & 0x7F {
            126 => (2, rest.get(..2).map(|length| u64::from(u16::from_be_bytes(length.try_into().unwrap())))),
            127 => (8, rest.get(..8).map(|length| u64::from_be_bytes(length.try_into().unwrap()))),
            short => (0, Some(u64::from(short))),
        };
        let Some(length) = announced else { break };
        found.push((*first, length));
        stream = rest.get(bytes + 4..).and_then(|rest| rest.get(length as usize..)).unwrap_or_default();
    }
    found
}

#[test]
fn fuzz_frame_validator() {
    fuzz::run("frame_validator", 5_000, |stream| {
        let whole = pass_in(&[stream]);
        assert!(stream.starts_with(&whole.passed), "what passes is what came");
        // where the stream is split follows from its bytes, so that an input always does the same
        let step = stream.iter().fold(1, |sum: usize, byte| sum.wrapping_mul(31) + usize::from(*byte)) % 7 + 1;
        let chunks: Vec<&[u8]> = stream.chunks(step).collect();
        assert_eq!(pass_in(&chunks), whole, "split after each {step} bytes");
        let mut message = 0;
        for (first, length) in headers(&whole.passed) {
            let is_control = first & 0x08 != 0;
            message = if is_control || first & 0x0F != 0 { message } else { message + length };
            let most = if is_control { 125 } else { MAX_FRAME_BYTES as u64 };
            assert!(first & 0x70 == 0 && length <= most && message <= MAX_FRAME_BYTES as u64, "{first:#x} {length}");
            message = if !is_control && first & 0x0F != 0 { length } else { message };
        }
        format!("{:?} {} {}", whole.fault, whole.frames.min(20), whole.close_frame)
    });
}
