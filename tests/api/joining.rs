//! Joining: names, cards, invites, and the ways back in.

use crate::support::cluster::Cluster;
use crate::support::dice;
use crate::support::emcee::{Emcee, plain_round};
use crate::support::http::{Answer, Http};
use crate::support::reference::{array, text};
use crate::support::socket::Socket;
use crate::support::voter::{Verdict, Voter, card, join};
use reqwest::Method;
use serde_json::{Value, json};

struct UpgradeService {
    cluster: Cluster,
    emcee: Emcee,
    http: Http,
    room: String,
}

impl UpgradeService {
    async fn new(extra: Value) -> UpgradeService {
        let cluster = Cluster::embedded().await;
        let emcee = cluster.emcee();
        let mut body = json!({"title": "UpgradeService", "rounds": [plain_round()]});
        for (key, value) in extra.as_object().expect("fields") {
            body[key] = value.clone();
        }
        let room = emcee.create(body).await;
        UpgradeService { http: Http::new(), cluster, emcee, room }
    }

    async fn join(&self, body: Value) -> Answer {
        join(&self.http, self.cluster.addresses()[0], &self.room, &body).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_gives_a_voter_a_token_a_card_and_a_cookie() {
    let door = UpgradeService::new(json!({})).await;
    let answer = door.join(json!({"name": "Ann"})).await;
    let cookie = answer.header("set-cookie").to_owned();
    let joined = answer.expect(201, "a first join");
    let voter = text(&joined, "voter");
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    assert!((1..=32).contains(&voter.len()) && voter.chars().all(allowed), "the voter's id: {joined}");
    let card = text(&joined, "card");
    let alphabet = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    assert!(card.len() == 12 && card.chars().all(|c| alphabet.contains(c)), "the server makes a card: {joined}");
    assert_eq!(joined["name"], "Ann");
    assert!(cookie.contains("HttpOnly"), "{cookie}");
    let cookie = cookie.split(';').next().expect("name=value").to_owned();
    let url = format!("http://{}/api/v1/rooms/{}/me", door.cluster.addresses()[0], door.room);
    let me = door.http.send(Method::GET, &url, &[("cookie", &cookie)], None).await.expect("an answer");
    assert_eq!(me.expect(200, "the cookie is as good as the token")["voter"], voter);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_known_card_or_a_valid_token_is_the_same_voter() {
    let door = UpgradeService::new(json!({})).await;
    let mine = card(&mut dice(40, 0));
    let first = door.join(json!({"name": "Ann", "card": mine})).await.expect(201, "a first join");
    assert_eq!(first["card"], mine.as_str(), "the client's own card is kept");
    let again = door.join(json!({"name": "Ann", "card": mine})).await.expect(200, "the same card");
    assert_eq!((&again["voter"], &again["card"]), (&first["voter"], &first["card"]));
    let other_name = door.join(json!({"name": "Somebody", "card": mine})).await.expect(200, "the card decides");
    assert_eq!((&other_name["voter"], &other_name["name"]), (&first["voter"], &json!("Ann")));
    let bearer = format!("Bearer {}", text(&first, "token"));
    let url = format!("http://{}/api/v1/rooms/{}/join", door.cluster.addresses()[0], door.room);
    let body = json!({"name": "Ann"});
    let by_token = door.http.send(Method::POST, &url, &[("authorization", &bearer)], Some(&body)).await;
    let by_token = by_token.expect("an answer").expect(200, "a valid token of this room");
    assert_eq!(by_token["voter"], first["voter"]);
    for token in [text(&again, "token"), text(&by_token, "token")] {
        let (_, state) = Socket::hello(door.cluster.addresses()[0], &door.room, "voter", Some(&token)).await;
        assert_eq!(state["you"]["voter"], first["voter"], "a fresh token works");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_are_trimmed_normalised_and_counted_in_graphemes() {
    let door = UpgradeService::new(json!({})).await;
    let family = "👨‍👩‍👧‍👦".repeat(24);
    let cases = [
        ("  Ann  ", "Ann"),
        ("Zoe\u{301}", "Zo\u{e9}"),
        ("ABCDEFGHIJKLMNOPQRSTUVWX", "ABCDEFGHIJKLMNOPQRSTUVWX"),
        (family.as_str(), family.as_str()),
        ("山田 太郎", "山田 太郎"),
        ("<b>O'Neil & \"Co\"</b>", "<b>O'Neil & \"Co\"</b>"),
        ("x", "x"),
    ];
    for (sent, kept) in cases {
        let joined = door.join(json!({"name": sent})).await.expect(201, sent);
        assert_eq!(joined["name"], kept, "{sent:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalid_names_are_refused_and_the_field_is_named() {
    let door = UpgradeService::new(json!({})).await;
    let long = "ABCDEFGHIJKLMNOPQRSTUVWXY";
    let names = [
        json!(""),
        json!("   "),
        json!("\u{3000}\u{a0}"),
        json!(long),
        json!("e\u{301}".repeat(25)),
        json!("A\nB"),
        json!("A\u{0}B"),
        json!("A\u{7f}"),
        json!("A\u{1b}[31m"),
        json!("A\u{85}B"),
        json!("A\u{202e}B"),
        json!("\u{2066}A\u{2069}"),
        json!("A\u{200f}B"),
        json!("\u{200e}A"),
        json!("A\u{61c}B"),
        Value::Null,
        json!(7),
        json!(["Ann"]),
        json!({"name": "Ann"}),
        json!(true),
    ];
    for name in names {
        let problem = door.join(json!({"name": name})).await.expect_problem(422, "bad_request", &format!("{name}"));
        assert!(text(&problem, "detail").contains("name"), "the field is named: {problem}");
    }
    door.join(json!({})).await.expect_problem(422, "bad_request", "no name at all");
    let voters = door.emcee.get(&format!("/rooms/{}/voters", door.room)).await;
    assert_eq!(array(&voters, "voters").len(), 0, "nobody joined: {voters}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_taken_name_is_refused_without_regard_to_case_with_a_suggestion_that_is_free() {
    let door = UpgradeService::new(json!({})).await;
    door.join(json!({"name": "Zo\u{e9}"})).await.expect(201, "the first");
    let widest = "ABCDEFGHIJKLMNOPQRSTUVWX";
    door.join(json!({"name": widest})).await.expect(201, "as long as a name may be");
    for taken in ["Zo\u{e9}", "zO\u{c9}", "zoe\u{301}", " ZO\u{c9} ", widest] {
        let problem = door.join(json!({"name": taken})).await.expect_problem(409, "name_taken", taken);
        let suggestion = text(&problem, "suggestion");
        door.join(json!({"name": suggestion})).await.expect(201, &format!("the suggestion for {taken:?}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalid_cards_are_refused() {
    let door = UpgradeService::new(json!({})).await;
    for card in
        [json!("SHORT"), json!("ABCDEFGHJKL0"), json!("ABCDEFGHJKLMN"), json!(""), json!(12), json!("ABCDEFGHJKL!")]
    {
        let problem = door.join(json!({"name": "Ann", "card": card})).await;
        let problem = problem.expect_problem(422, "bad_request", &format!("card {card}"));
        assert!(text(&problem, "detail").contains("card"), "the field is named: {problem}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_room_refuses_new_voters_and_admits_known_ones() {
    let door = UpgradeService::new(json!({})).await;
    let mine = card(&mut dice(41, 0));
    door.join(json!({"name": "Ann", "card": mine})).await.expect(201, "before");
    door.emcee.patch(&format!("/rooms/{}", door.room), json!({"join": "closed"})).await;
    door.join(json!({"name": "Bea"})).await.expect_problem(403, "join_closed", "a new voter");
    door.join(json!({"name": "Ann", "card": mine})).await.expect(200, "a voter who comes back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invite_admits_one_voter() {
    let door = UpgradeService::new(json!({"join": "invite"})).await;
    let path = format!("/rooms/{}/invites", door.room);
    let body = json!({"names": ["Ann", "Bea"]});
    let made = door.emcee.call(Method::POST, &path, Some(&body)).await.expect(201, "POST invites");
    let invites = array(&made, "invites");
    assert_eq!(invites.iter().map(|i| text(i, "name")).collect::<Vec<_>>(), ["Ann", "Bea"]);
    for invite in invites {
        let (url, word) = (text(invite, "url"), text(invite, "invite"));
        assert!(
            url.contains(&format!("/r/{}", door.room)) && url.split('#').nth(1).is_some_and(|f| f.contains(&word)),
            "{url}"
        );
    }
    let ann = text(&invites[0], "invite");
    door.join(json!({"name": "Ann"})).await.expect_problem(403, "invite_needed", "no invite");
    door.join(json!({"name": "Ann", "invite": "nonsense"})).await.expect_problem(403, "bad_invite", "a wrong invite");
    let first = door.join(json!({"name": "Ann", "invite": ann})).await.expect(201, "the first use");
    let again = door.join(json!({"name": "Ann", "invite": ann})).await.expect(200, "a used invite");
    assert_eq!(again["voter"], first["voter"], "a used invite is the same voter");

    let body = json!({"names": ["Bea", "Cyn", "Ann"]});
    let more = door.emcee.call(Method::POST, &path, Some(&body)).await.expect(201, "POST invites again");
    let by_name = |made: &Value, name: &str| {
        let found = array(made, "invites").iter().find(|i| i["name"] == name).map(|i| text(i, "invite"));
        found.unwrap_or_else(|| panic!("{name} in {made}"))
    };
    assert_eq!(by_name(&more, "Bea"), by_name(&made, "Bea"), "a name invited before keeps its invite");
    assert_eq!(by_name(&more, "Ann"), ann, "also when it was used");
    assert_ne!(by_name(&more, "Cyn"), by_name(&more, "Bea"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invites_are_read_from_csv_as_spreadsheets_export_it() {
    let door = UpgradeService::new(json!({"join": "invite"})).await;
    let send = async |csv: &[u8]| {
        let key = format!("Bearer {}", crate::support::server::EMCEE_KEY);
        let url = format!("http://{}/api/v1/rooms/{}/invites", door.cluster.addresses()[0], door.room);
        let headers = [("authorization", key.as_str()), ("content-type", "text/csv")];
        door.http.send_bytes(Method::POST, &url, &headers, csv.to_vec()).await.expect("an answer")
    };
    let cases: [(&str, &[&str]); 6] = [
        ("name\nAnn\nBea\n", &["Ann", "Bea"]),
        ("\u{feff}name\r\nCyn\r\nDee\r\n", &["Cyn", "Dee"]),
        ("dept,name,desk\nIT,Eve,1\nHR,Fay,2\n", &["Eve", "Fay"]),
        ("name\n\"Gil, Sr.\"\n\"Hal \"\"H\"\" Hill\"\n", &["Gil, Sr.", "Hal \"H\" Hill"]),
        ("name\nIda", &["Ida"]),
        ("name\r\n\r\nJon\r\n\r\n", &["Jon"]),
    ];
    for (csv, names) in cases {
        let made = send(csv.as_bytes()).await.expect(201, csv);
        assert_eq!(array(&made, "invites").iter().map(|i| text(i, "name")).collect::<Vec<_>>(), names, "{csv:?}");
    }
    for bad in ["nom\nAnn\n", "", "name\n\"unclosed\nAnn\n", "Ann\nBea\n"] {
        let problem = send(bad.as_bytes()).await.expect_problem(422, "bad_request", &format!("{bad:?}"));
        assert!(!text(&problem, "detail").is_empty());
    }
    let missing = send(b"nom\nAnn\n").await.expect_problem(422, "bad_request", "a missing column");
    assert!(text(&missing, "detail").contains("name"), "the missing column is named: {missing}");
    send(b"name\nAnn\xff\n").await.expect_problem(422, "bad_request", "no UTF-8");
    // one bad row and nobody of that file is invited
    let row = send(b"name\nNew One\nA name that is far too long for this\n").await;
    row.expect_problem(422, "bad_request", "a name too long in row 3");

    let mut large = String::from("\u{feff}name\r\n");
    for number in 0..10_000 {
        large.push_str(&format!("\"HandshakeContext, {number}\"\r\n"));
    }
    let made = send(large.as_bytes()).await.expect(201, "10,000 rows");
    assert_eq!(array(&made, "invites").len(), 10_000);
    let again = send(large.as_bytes()).await.expect(201, "10,000 rows again");
    let last = |made: &Value| text(&array(made, "invites")[9_999], "invite");
    assert_eq!(last(&again), last(&made), "and each keeps its invite");
    door.join(json!({"name": "HandshakeContext, 9999", "invite": last(&made)}))
        .await
        .expect(201, "the last of them joins");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voter_may_change_the_name_until_the_first_vote() {
    let door = UpgradeService::new(json!({})).await;
    let pods = door.cluster.addresses();
    let mut ann = Voter::join(&door.http, &pods, &door.room, "Ann", dice(42, 0)).await;
    Voter::join(&door.http, &pods, &door.room, "Bea", dice(42, 1)).await;
    let body = json!({"name": "Anna"});
    let renamed = ann.http(&door.http, Method::PATCH, "/me", Some(&body)).await.expect(200, "PATCH /me");
    assert_eq!(renamed["name"], "Anna", "{renamed}");
    let taken = json!({"name": "bea"});
    ann.http(&door.http, Method::PATCH, "/me", Some(&taken)).await.expect_problem(409, "name_taken", "PATCH /me");
    let bad = json!({"name": ""});
    ann.http(&door.http, Method::PATCH, "/me", Some(&bad)).await.expect_problem(422, "bad_request", "PATCH /me");
    door.join(json!({"name": "Ann"})).await.expect(201, "the old name is free again");
    door.emcee.open(&door.room, 1).await;
    assert_eq!(ann.cast(1, 1, "a").await, Verdict::Stored);
    let late = json!({"name": "Anne"});
    let late = ann.http(&door.http, Method::PATCH, "/me", Some(&late)).await;
    assert_eq!(late.status, 409, "after the first vote: {}", late.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_not_valid_in_another_room() {
    let door = UpgradeService::new(json!({})).await;
    let other = door.emcee.create_plain("Other", 1).await;
    let mut ann = Voter::join(&door.http, &door.cluster.addresses(), &door.room, "Ann", dice(43, 0)).await;
    ann.room = other.clone();
    for (method, path, body) in
        [(Method::GET, "/me", Value::Null), (Method::POST, "/votes", json!({"round": 1, "slip": 1, "votes": "a"}))]
    {
        let body = Some(&body).filter(|body| !body.is_null());
        let answer = ann.http(&door.http, method, path, body).await;
        assert_eq!(answer.status, 401, "{path}: {}", answer.text);
    }
    let mut socket = Socket::open(door.cluster.addresses()[0], "Ann").await.expect("a socket");
    socket.say_hello(&other, "voter", Some(&ann.token)).await;
    assert_eq!(socket.closed().await.0, Some(4401));
}
