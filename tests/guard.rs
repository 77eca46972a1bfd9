//! The project's own rules, checked over its sources and documents.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[path = "guard/imports.rs"]
mod imports;

use imports::Imports;

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    files(folder, &["rs", "lua"])
}

/// The files below a folder with one of these extensions, and their text.
fn files(folder: &str, extensions: &[&str]) -> Vec<(PathBuf, String)> {
    let mut found = vec![];
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| extensions.iter().any(|wanted| found == *wanted)) {
                found.push((path.clone(), fs::read_to_string(path).unwrap()));
            }
        }
    }
    assert!(!found.is_empty(), "{folder} has no such files");
    found
}

/// Lines of code of a file, without comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.starts_with("//"))
}

fn assert_free_of(folder: &str, words: &[&str]) {
    for (path, text) in sources(folder) {
        for line in code(&text) {
            for word in words {
                assert!(!line.contains(word), "{}: {word} is not allowed here: {line}", path.display());
            }
        }
    }
}

#[test]
fn the_domain_is_pure() {
    let impure = ["actix", "tokio::", "redis::", "redb", "std::time", "rand::", "SystemTime", "Instant", "std::env"];
    assert_free_of("src/domain", &impure);
}

#[test]
fn dependencies_point_one_way() {
    let layers = ["domain", "wire", "ledger", "board", "actors", "http", "startup"];
    for (index, layer) in layers.iter().enumerate() {
        let above: Vec<_> = layers[index + 1..].iter().map(|above| format!("crate::{above}")).collect();
        assert_free_of(&format!("src/{layer}"), &above.iter().map(String::as_str).collect::<Vec<_>>());
    }
    // the store does not depend on the protocol
    assert_free_of("src/ledger", &["crate::wire"]);
}

#[test]
fn imports_have_no_circles() {
    for folder in ["src", "client/src", "loadtest/src", "bench/src"] {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let imports = Imports::of(&sources(folder), &root);
        assert_eq!(imports.circles(), BTreeSet::new(), "in {folder}");
    }
}

#[test]
fn clients_share_nothing_with_the_server() {
    for folder in ["client/src", "loadtest/src"] {
        assert_free_of(folder, &["tallycast::"]);
    }
}

#[test]
fn only_sessions_and_the_websocket_module_use_actix_web_actors() {
    for (path, text) in sources("src") {
        let shown = path.to_string_lossy().replace('\\', "/");
        let allowed = shown.contains("src/actors/session") || shown.contains("src/http/ws");
        let knows = code(&text).any(|line| line.contains("actix_web_actors"));
        assert!(allowed || !knows, "{shown} uses actix_web_actors");
    }
}

#[test]
fn only_one_file_depends_on_the_operating_system() {
    for folder in ["src", "loadtest/src"] {
        for (path, text) in sources(folder) {
            if path.ends_with("platform.rs") || path.ends_with("tests.rs") {
                continue;
            }
            for line in code(&text) {
                for word in ["/proc/", "target_os", "std::os::", "signal::unix"] {
                    assert!(!line.contains(word), "{}: {word} belongs in platform.rs: {line}", path.display());
                }
            }
        }
    }
}

#[test]
fn key_names_are_written_in_one_file() {
    for (path, text) in sources("src/ledger/redis") {
        if path.ends_with("keys.rs") {
            continue;
        }
        for line in code(&text) {
            assert!(!line.contains("\"tc:"), "{}: a key name outside keys.rs: {line}", path.display());
        }
    }
}

#[test]
fn there_is_one_redis_client() {
    let lock = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock")).unwrap();
    assert_eq!(lock.matches("name = \"redis\"\n").count(), 1);
}

#[test]
fn files_stay_small_enough_to_read() {
    for folder in ["src", "tests", "client", "loadtest", "bench/src"] {
        for (path, text) in sources(folder) {
            let lines = text.lines().count();
            assert!(lines <= 500, "{} has {lines} lines: split it by responsibility", path.display());
        }
    }
}

/// Words that an earlier design used for things that have a standard name, and an archaic one. `docs/glossary.md` has
/// the words that stay.
const REPLACED_WORDS: [(&str, &str); 14] = [
    ("conduct", "execute"),
    ("gallery", "subscribers"),
    ("greeter", "hello batcher"),
    ("lane", "partition writer"),
    ("lanes", "partition writers"),
    ("nudge", "BoardChanged"),
    ("nudges", "BoardChanged"),
    ("seat", "subscription"),
    ("seated", "subscribed"),
    ("seats", "subscriptions"),
    ("shall", "must, or will"),
    ("vigil", "keepalive"),
    ("whisper", "session message"),
    ("whispers", "session messages"),
];

/// The replaced words of a text, with their lines.
fn replaced_words(text: &str) -> Vec<String> {
    let mut found = vec![];
    for line in text.lines() {
        let words = line.split(|character: char| !character.is_ascii_alphabetic());
        for word in words.flat_map(parts_of_camel_case) {
            let replaced = REPLACED_WORDS.iter().find(|(old, _)| word.eq_ignore_ascii_case(old));
            found.extend(replaced.map(|(old, new)| format!("{old}: write {new}: {}", line.trim())));
        }
    }
    found
}

/// `SeatGuard` is `Seat` and `Guard`.
fn parts_of_camel_case(word: &str) -> Vec<&str> {
    let is_start = |(index, character): (usize, char)| (index > 0 && character.is_ascii_uppercase()).then_some(index);
    let mut starts: Vec<_> = [0].into_iter().chain(word.char_indices().filter_map(is_start)).collect();
    starts.push(word.len());
    starts.windows(2).map(|pair| &word[pair[0]..pair[1]]).collect()
}

#[test]
fn replaced_words_are_not_used() {
    assert_eq!(replaced_words("let seat_guard = SeatGuard::new(\"planes\");").len(), 2, "the check finds them");
    let files = files("src", &["rs", "lua"]).into_iter().chain(files("docs", &["md"]));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = files.flat_map(|(path, text)| {
        let path = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        replaced_words(&text).into_iter().map(move |found| format!("{path}: {found}"))
    });
    assert_eq!(found.collect::<Vec<_>>(), [] as [String; 0]);
}
