//! Spans, as a collector gets them by OTLP over HTTP.

use crate::support::cluster::Cluster;
use crate::support::dice;
use crate::support::receiver::Receiver;
use crate::support::voter::{Verdict, Voter};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Attribute;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::Instant;

/// How long something may take that must come.
const SOON: Duration = Duration::from_secs(20);

/// A collector of spans.
struct Collector(Receiver);

impl Collector {
    fn start() -> Collector {
        Collector(Receiver::start(Some(200)))
    }

    fn spans(&self) -> Vec<Span> {
        let received = self.0.received();
        let exports = received.iter().filter(|request| request.method == "POST" && request.path == "/v1/traces");
        let requests = exports.map(|export| ExportTraceServiceRequest::decode(&export.body[..]).expect("OTLP"));
        let resources = requests.flat_map(|request| request.resource_spans);
        resources.flat_map(|spans| spans.scope_spans).flat_map(|spans| spans.spans).collect()
    }

    /// Waits until there are this many spans with these names.
    async fn until(&self, wanted: &[(&str, usize)]) -> Vec<Span> {
        let has_all = |spans: &[Span]| wanted.iter().all(|(name, count)| named(spans, name).len() >= *count);
        let names = || self.spans().into_iter().map(|span| span.name).collect::<Vec<_>>();
        let received = self.0.wait_until(SOON, |_| has_all(&self.spans())).await;
        assert!(received.is_some(), "wanted {wanted:?}, have {:?}", names());
        self.spans()
    }
}

fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

/// The value of an attribute, as text.
fn says(span: &Span, key: &str) -> String {
    let found = span.attributes.iter().find(|attribute| attribute.key == key);
    let value = found.and_then(|attribute| attribute.value.as_ref()?.value.as_ref());
    match value {
        Some(Attribute::StringValue(text)) => text.clone(),
        Some(Attribute::IntValue(number)) => number.to_string(),
        other => panic!("{key} of {}: {other:?}", span.name),
    }
}

/// True if the part lies within the whole.
fn within(part: &Span, whole: &Span) -> bool {
    whole.start_time_unix_nano <= part.start_time_unix_nano
        && part.start_time_unix_nano <= part.end_time_unix_nano
        && part.end_time_unix_nano <= whole.end_time_unix_nano
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn casts_commands_and_jobs_are_traced_with_their_parts_and_without_personal_data() {
    let collector = Collector::start();
    let endpoint = collector.0.url();
    let settings = [("TALLYCAST__TRACES__ENDPOINT", endpoint.as_str()), ("TALLYCAST__TRACES__SAMPLE", "1")];
    let cluster = Cluster::redis_with(&[settings.to_vec()]).await;
    let emcee = cluster.emcee();
    let room = emcee.create_plain("Traced", 1).await;
    emcee.open(&room, 1).await;
    let mut ann = Voter::join(&emcee.http, &cluster.addresses(), &room, "Annabella", dice(131, 0)).await;
    for letters in ["a", "ab"] {
        assert_eq!(ann.cast(1, 1, letters).await, Verdict::Stored);
    }
    let body = serde_json::json!({"round": 1, "take": 1, "slip": 4, "votes": "b"});
    ann.http(&emcee.http, reqwest::Method::POST, "/votes", Some(&body)).await.expect(200, "a cast over HTTP");
    emcee.close(&room, 1).await;
    let wanted = [("cast", 3), ("wait", 3), ("commit", 3), ("batch", 3), ("command", 2), ("job", 1)];
    let spans = collector.until(&wanted).await;

    for cast in named(&spans, "cast") {
        assert!(cast.parent_span_id.is_empty(), "a cast is the root of its trace");
        assert_eq!(
            ["tallycast.round", "tallycast.take", "tallycast.outcome"].map(|key| says(cast, key)),
            ["1", "1", "stored"]
        );
        let parts: Vec<_> = spans.iter().filter(|span| span.parent_span_id == cast.span_id).collect();
        let mut names: Vec<_> = parts.iter().map(|part| part.name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["commit", "wait"]);
        assert!(parts.iter().all(|part| part.trace_id == cast.trace_id && within(part, cast)));
        let commit = parts.iter().find(|part| part.name == "commit").expect("see above");
        let batch = spans.iter().find(|span| span.span_id == commit.links[0].span_id).expect("its batch");
        assert_eq!(batch.name, "batch");
        assert!(
            batch.parent_span_id.is_empty() && batch.trace_id != cast.trace_id,
            "a batch does not belong to one cast"
        );
        assert!(batch.links.iter().any(|link| link.span_id == cast.span_id), "it is linked with its casts");
        assert_eq!(
            (says(batch, "tallycast.casts"), says(batch, "tallycast.outcome")),
            ("1".into(), "committed".into())
        );
    }
    let commands: Vec<_> = named(&spans, "command").iter().map(|span| says(span, "tallycast.command")).collect();
    assert_eq!(commands, ["open", "close"]);
    let job = named(&spans, "job")[0];
    assert_eq!((says(job, "tallycast.job"), says(job, "tallycast.outcome")), ("message".into(), "done".into()));
    let rooms: Vec<_> =
        ["cast", "batch", "command", "job"].map(|name| says(named(&spans, name)[0], "tallycast.room")).into();
    assert!(rooms.iter().all(|id| *id == rooms[0]), "{rooms:?}");

    for request in collector.0.received() {
        let text = String::from_utf8_lossy(&request.body);
        for secret in [ann.id.as_str(), &ann.name, &ann.token, &ann.card, crate::support::server::EMCEE_KEY] {
            assert!(!text.contains(secret), "{secret} was sent");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_does_not_answer_loses_no_vote() {
    // one takes connections and never answers, the other is not there
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let silent_url = format!("http://{}", silent.local_addr().expect("an address"));
    let nowhere = format!("http://127.0.0.1:{}", crate::support::free_port());
    for url in [silent_url, nowhere] {
        let settings = [("TALLYCAST__TRACES__ENDPOINT", url.as_str()), ("TALLYCAST__TRACES__SAMPLE", "1")];
        let mut cluster = Cluster::embedded_with(&settings).await;
        let emcee = cluster.emcee();
        let mut round = crate::support::emcee::plain_round();
        round["title"] = "Untraced".into();
        let room = emcee.create(serde_json::json!({"title": "Exact", "votes_per_round": 100, "rounds": [round]})).await;
        emcee.open(&room, 1).await;
        let mut crowd = vec![];
        for number in 0..20 {
            let name = format!("Voter {number}");
            let mut voter = Voter::join(&emcee.http, &cluster.addresses(), &room, &name, dice(132, number)).await;
            crowd.push(tokio::spawn(async move {
                // more spans than wait for a collector: the rest is dropped
                for _ in 0..100 {
                    assert_eq!(voter.cast(1, 1, "a").await, Verdict::Stored);
                }
            }));
        }
        for voter in crowd {
            voter.await.expect("the voter votes");
        }
        let closed = emcee.close(&room, 1).await;
        assert_eq!(closed["rounds"][0]["tally"]["votes"], serde_json::json!([2_000, 0]));
        let since = Instant::now();
        cluster.pods[0].signal("TERM");
        assert!(cluster.pods[0].exit().await.success());
        assert!(since.elapsed() < Duration::from_secs(10), "it ends after {:?}", since.elapsed());
    }
    drop(silent);
}
