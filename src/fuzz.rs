//! Input that nobody means to send: the files of a corpus, and what comes of changing them at random.
//!
//! A target is a unit test beside the code that reads the input: it names its corpus and says what happened to an input, as
//! a few words. An input with an outcome that was not seen before is changed further, so mutations get past the first
//! checks. With `FUZZ_SECONDS` (`make fuzz`) each target goes on for that long.
//!
//! What breaks a target is written to `target/fuzz`. With the fault mended, the file belongs into the corpus, where every
//! later run tries it first.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sha2::{Digest, Sha256};

/// Most inputs that are kept to be changed further.
const MAX_POOL: usize = 2_000;
/// Most bytes of an input.
const MAX_BYTES: usize = 64 * 1024;
/// Most changes of one mutation.
const MAX_CHANGES: u32 = 6;
/// Bytes at the ends of ranges, and those with a meaning in the formats that are read.
const BYTES: &[u8] = b"\x00\x01\x7e\x7f\x80\xc0\xfe\xff\n\r\t ,:;\"'\\/{}[]()<>=#-+.09azAZ_";
/// Words at the ends of ranges, and texts that are easily mistaken for others.
const WORDS: &[&str] = &[
    "null",
    "true",
    "[]",
    "{}",
    "\"\"",
    "-1",
    "0",
    "1",
    "65535",
    "65536",
    "4294967296",
    "18446744073709551616",
    "1e999",
    "0.5",
    "\u{feff}",
    "\u{200d}",
    "\u{202e}",
    "\u{fe0f}",
    "\u{301}",
    "ß",
    "İ",
    "ﬀ",
    "\u{1f469}\u{200d}\u{1f680}",
    "\r\n",
    "\"\"\"",
    "\\u0000",
    "\\ud800",
];

/// Runs `target` with each file of `tests/corpus/CORPUS`, and with `mutations` of them.
///
/// # Panics
/// The target panicked. The message names the file with the input.
pub fn run(corpus: &str, mutations: u32, target: impl Fn(&[u8]) -> String) {
    let Some(input) = search(corpus, mutations, target) else { return };
    let hash: String = Sha256::digest(&input).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/fuzz");
    let file = folder.join(format!("{corpus}-{hash}"));
    std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&file, input)).expect("target/fuzz can be written");
    panic!("an input broke {corpus}: it is in {}", file.display());
}

/// The first input that makes the target panic.
fn search(corpus: &str, mutations: u32, target: impl Fn(&[u8]) -> String) -> Option<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(corpus);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = files.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{} has no file", folder.display());
    let outcome = |input: &[u8]| catch_unwind(AssertUnwindSafe(|| target(input))).ok();

    let (mut pool, mut seen): (Vec<Vec<u8>>, HashSet<String>) = Default::default();
    for file in &files {
        let input = std::fs::read(file).expect("a file");
        let Some(happened) = outcome(&input) else { return Some(input) };
        seen.insert(happened);
        pool.push(input);
    }
    let seed = std::env::var("TALLYCAST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    let seconds = std::env::var("FUZZ_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    println!("{corpus}: {} files, TALLYCAST_SEED={seed}", files.len());
    let mut dice = StdRng::seed_from_u64(seed);
    let (started, mut tried) = (Instant::now(), 0_u64);
    let goes_on = |tried: u64| match seconds {
        Some(seconds) => started.elapsed() < Duration::from_secs(seconds),
        None => tried < u64::from(mutations),
    };
    while goes_on(tried) {
        tried += 1;
        let input = mutate(&pool, &mut dice);
        let Some(happened) = outcome(&input) else { return Some(input) };
        if seen.insert(happened) && pool.len() < MAX_POOL {
            pool.push(input);
        }
    }
    println!("{corpus}: {tried} mutations, {} outcomes", seen.len());
    None
}

/// One of the inputs, changed in a few places.
fn mutate(pool: &[Vec<u8>], dice: &mut StdRng) -> Vec<u8> {
    let mut input = pool[dice.random_range(0..pool.len())].clone();
    for _ in 0..dice.random_range(1..=MAX_CHANGES) {
        let at = dice.random_range(0..=input.len());
        let end = dice.random_range(at..=input.len().min(at + 64));
        let other = &pool[dice.random_range(0..pool.len())];
        match dice.random_range(0..8) {
            0 if at < input.len() => input[at] ^= 1 << dice.random_range(0..8),
            1 if at < input.len() => input[at] = BYTES[dice.random_range(0..BYTES.len())],
            2 => input.insert(at, BYTES[dice.random_range(0..BYTES.len())]),
            3 => drop(input.drain(at..end)),
            4 => drop(input.splice(at..at, input[at..end].to_vec())),
            5 => {
                let from = dice.random_range(0..=other.len());
                let piece = &other[from..other.len().min(from + 64)];
                drop(input.splice(at..end, piece.iter().copied()));
            }
            6 => drop(input.splice(at..end, WORDS[dice.random_range(0..WORDS.len())].bytes())),
            _ => drop(input.splice(at..at, std::iter::repeat_n(b'a', 1 << dice.random_range(0..13)))),
        }
        input.truncate(MAX_BYTES);
    }
    input
}

/// A message without what differs from input to input: numbers, and what it quotes.
pub fn shape(message: &str) -> String {
    let unquoted: String = message.split(['"', '`', '\'']).step_by(2).collect();
    unquoted.chars().filter(|c| !c.is_ascii_digit()).take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A fault that only an input with two things changed reaches, one after the other.
    #[test]
    fn a_fault_behind_two_checks_is_found() {
        let found = search("names", 200_000, |input| {
            let (zero, joiner) = (input.contains(&0), input.windows(3).any(|bytes| bytes == "\u{200d}".as_bytes()));
            assert!(!(zero && joiner), "the planted fault");
            format!("{zero} {joiner}")
        });
        assert!(found.is_some_and(|input| input.contains(&0)));
    }
}
