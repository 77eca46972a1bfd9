//! Rooms that move to another installation, and rooms that go for good.

use super::operator::Operator;
use crate::support::cluster::Cluster;
use crate::support::emcee::{Emcee, plain_round};
use crate::support::server::Server;
use crate::support::voter::{Verdict, Voter};
use crate::support::{dice, free_port};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a purge may take: a worker looks each second.
const PURGED_WITHIN: Duration = Duration::from_secs(20);

/// One room with a closed round and three votes of Ann's.
async fn gala(cluster: &Cluster) -> String {
    let emcee = cluster.emcee();
    let room = emcee.create(json!({"title": "Gala", "ref": "gala-27", "rounds": [plain_round(), plain_round()]})).await;
    emcee.open(&room, 1).await;
    let mut ann = Voter::join(&emcee.http, &cluster.addresses(), &room, "Ann of the hall", dice(31, 0)).await;
    assert_eq!(ann.cast(1, 1, "aab").await, Verdict::Stored);
    emcee.close(&room, 1).await;
    room
}

async fn rooms(emcee: &Emcee, query: &str) -> Vec<Value> {
    emcee.get(&format!("/rooms{query}")).await["rooms"].as_array().expect("a list").clone()
}

/// Rooms with this `ref` that are not deleted.
async fn with_ref(emcee: &Emcee, reference: &str) -> Vec<Value> {
    rooms(emcee, "").await.into_iter().filter(|room| room["ref"] == reference).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exported_room_is_imported_elsewhere_with_its_code_and_all_its_data() {
    let (here, there) = (Cluster::embedded().await, Cluster::redis(1).await);
    let code = gala(&here).await;
    let (operator, mut other) = (Operator::at(&here), Operator::at(&there));
    operator.run(&["export", "gala-27", "--out", "gala.ndjson"]).await.expect(0, &[]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(operator.path("gala.ndjson")).expect("the file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "it lets voters in");
    }
    other.folder = operator.folder;
    for _ in 0..2 {
        other
            .run(&["import", "gala.ndjson"])
            .await
            .expect(0, &[&format!("gala.ndjson → {code}"), "Gala (ref gala-27)"]);
    }
    let (before, after) = (here.emcee().export(&code).await, there.emcee().export(&code).await);
    assert_eq!((&after["voters"], &after["rounds"]), (&before["voters"], &before["rounds"]));
    other.run(&["audit", &code]).await.expect(0, &["1 take with 3 votes recounted: exact"]);

    there.emcee().patch(&format!("/rooms/{code}"), json!({"title": "Ball"})).await;
    other.run(&["import", "gala.ndjson"]).await.expect(1, &["gala.ndjson was not imported", "--fresh"]);
    assert_eq!(there.emcee().room(&code).await["title"], "Ball");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_can_wait_for_a_starting_server_and_its_key() {
    let here = Cluster::embedded().await;
    let code = gala(&here).await;
    let port = free_port().to_string();
    let mut second = Operator::at_url(&format!("http://127.0.0.1:{port}"));
    second.key = String::new();
    Operator::at(&here)
        .run(&["export", &code, "--out", &second.path("gala.ndjson").display().to_string()])
        .await
        .expect(0, &[]);
    second.run(&["import", "gala.ndjson", "--wait", "300ms"]).await.expect(1, &["nothing answers", "start a server"]);

    let import = second.start(&["import", "gala.ndjson", "--wait", "60s"]);
    // it keeps its key where the command looks for it
    let ledger = format!("embedded:{}", second.path("data/tallycast.redb").display());
    let _server =
        Server::start(&[("SERVER_PORT", &port), ("TALLYCAST__EMCEE__KEY", ""), ("TALLYCAST__LEDGER__URL", &ledger)])
            .await;
    second.finish(import).await.expect(0, &[&format!("gala.ndjson → {code}")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn masked_rooms_can_be_imported_repeatedly() {
    let (here, there) = (Cluster::embedded().await, Cluster::embedded().await);
    let code = gala(&here).await;
    let (operator, mut staging) = (Operator::at(&here), Operator::at(&there));
    operator.run(&["export", "--all", "--mask", "--dir", "kept"]).await.expect(0, &["2 rooms in kept"]);
    let names = std::fs::read_dir(operator.path("kept")).expect("the folder");
    let names: Vec<String> =
        names.map(|name| format!("kept/{}", name.expect("an entry").file_name().to_string_lossy())).collect();
    staging.folder = operator.folder;
    let mut import = vec!["import", "--fresh", "--replace", "--json"];
    import.extend(names.iter().map(String::as_str));
    let mut codes = vec![];
    for _ in 0..3 {
        let output = staging.run(&import).await.expect(0, &[]).json();
        assert_eq!(output["rooms"].as_array().map(Vec::len), Some(2), "{output}");
        let copies = with_ref(&there.emcee(), "copy-of-gala-27").await;
        assert_eq!(copies.len(), 1, "the earlier one is gone");
        codes.push(copies[0]["room"].as_str().expect("a code").to_owned());
    }
    assert!(codes[0] != codes[1] && codes[1] != codes[2] && codes[2] != code, "{codes:?}");
    let copy = there.emcee().export(&codes[2]).await;
    assert_eq!(copy["voters"][0]["name"], "Voter 1");
    staging.run(&["audit", "copy-of-gala-27"]).await.expect(0, &["3 votes"]);
    staging.run(&["import", "--fresh", &format!("kept/{code}.ndjson")]).await.expect(1, &["--replace"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_replaces_a_copy_and_never_its_original() {
    let cluster = Cluster::embedded().await;
    let code = gala(&cluster).await;
    let (operator, emcee) = (Operator::at(&cluster), cluster.emcee());
    let before = emcee.export(&code).await;
    operator.run(&["export", &code, "--out", "gala.ndjson"]).await.expect(0, &[]);
    for _ in 0..2 {
        operator.run(&["import", "--fresh", "--replace", "gala.ndjson"]).await.expect(0, &["copy-of-gala-27"]);
    }
    assert_eq!(emcee.export(&code).await["rounds"], before["rounds"]);
    operator.run(&["import", "--replace", "gala.ndjson"]).await.expect(1, &["--fresh"]);
    assert_eq!(with_ref(&emcee, "gala-27").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_cannot_be_replaced_is_kept() {
    let cluster = Cluster::embedded().await;
    let code = gala(&cluster).await;
    let (operator, emcee) = (Operator::at(&cluster), cluster.emcee());
    operator.run(&["export", &code, "--out", "gala.ndjson"]).await.expect(0, &[]);
    operator.run(&["import", "--fresh", "gala.ndjson"]).await.expect(0, &[]);
    let copy = with_ref(&emcee, "copy-of-gala-27").await;
    let whole = operator.read("gala.ndjson");
    operator.write("gala.ndjson", &whole[..whole.len() / 2]);
    operator
        .run(&["import", "--fresh", "--replace", "gala.ndjson"])
        .await
        .expect(1, &["gala.ndjson was not imported", "line"]);
    let still = with_ref(&emcee, "copy-of-gala-27").await;
    assert_eq!(still.len(), 1);
    assert_eq!(still[0]["room"], copy[0]["room"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalid_file_does_not_stop_the_import_of_the_others() {
    let (here, there) = (Cluster::embedded().await, Cluster::embedded().await);
    let code = gala(&here).await;
    let (operator, mut other) = (Operator::at(&here), Operator::at(&there));
    operator.run(&["export", &code, "--out", "gala.ndjson"]).await.expect(0, &[]);
    other.folder = operator.folder;
    let says = ["party.toml was not imported", &format!("gala.ndjson → {code}")];
    other.run(&["import", "party.toml", "gala.ndjson"]).await.expect(1, &says);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_removes_deleted_rooms_and_only_when_confirmed() {
    let cluster = Cluster::embedded().await;
    let (operator, emcee) = (Operator::at(&cluster), cluster.emcee());
    let code = gala(&cluster).await;
    emcee.call(Method::DELETE, &format!("/rooms/{code}?title=Gala"), None).await.expect(204, "deleted");
    let is_kept = async || rooms(&emcee, "?deleted=true").await.iter().any(|room| room["room"] == code.as_str());
    operator.run(&["purge", "--older-than", "90d"]).await.expect(0, &["No room is that old."]);
    operator
        .run(&["purge", "--older-than", "0s", "--dry-run"])
        .await
        .expect(0, &[&code, "1 room would go", "Nothing was removed"]);
    assert!(is_kept().await);
    let output = operator.run(&["purge", "--older-than", "0s", "--json"]).await.expect(0, &[]).json();
    assert_eq!((&output["rooms"][0]["room"], output["jobs"].as_array().map(Vec::len)), (&json!(code), Some(1)));
    let since = Instant::now();
    while is_kept().await {
        assert!(since.elapsed() < PURGED_WITHIN, "{code} is still there");
        sleep(Duration::from_millis(50)).await;
    }
    assert!(!rooms(&emcee, "").await.is_empty(), "the other room is here");
}
