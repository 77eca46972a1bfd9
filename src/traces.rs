//! Traces: where the time of a vote, a command or a job goes. Off unless `traces.endpoint` is set. Then every command and
//! job, and a share of the casts, becomes spans, which go to a collector by OTLP over HTTP.
//!
//! A cast is a trace: `cast` from its frame to its answer, in it `wait` until its batch is formed and `commit` until the
//! ledger has answered. A batch is a trace of its own, `batch`, linked with the casts in it that are traced, and each
//! `commit` with its batch: a batch has many causes, so none of them is its parent.
//!
//! Nobody waits for a collector. Ended spans go through a queue of [`MAX_QUEUED`] to a thread of their own; when it is
//! full they are dropped. Attributes come from closed sets, but for the room's id: no voter, name, token or key.

use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use async_trait::async_trait;
use opentelemetry::trace::{Link, Span as _, SpanBuilder, SpanContext, SpanKind, TraceContextExt, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider, Span};
use prometheus::IntCounter;

use crate::domain::command::Command;
use crate::domain::ids::RoomId;
use crate::ledger::MAX_CASTS;
use crate::settings::TraceSettings;

/// Most spans that wait for the collector, some 500 bytes each.
const MAX_QUEUED: usize = 4_096;
/// Most spans of one request.
const MAX_SENT: usize = 512;
/// Between two requests.
const EVERY: Duration = Duration::from_secs(2);
/// Longest wait for the collector's answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest wait, when the process ends, for the last spans to be taken.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// More of an answer is not read.
const MAX_ANSWER_BYTES: u64 = 64 * 1024;

/// See [module](self).
pub struct Traces(Option<On>);

struct On {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    /// The share of casts, 0 to 1.
    sample: f64,
}

/// A span under way. It ends when it is dropped, if not before.
#[derive(Debug)]
pub struct Running(Box<(Span, SystemTime)>);

/// A cast that is traced, for whoever commits it.
#[derive(Debug)]
pub struct CastTrace(Box<(SpanContext, SystemTime)>);

/// A batch with casts that are traced.
pub struct BatchTrace {
    span: Span,
    formed: SystemTime,
    casts: Vec<CastTrace>,
}

impl Traces {
    /// Traces as set. `pod` and `role` say who sends them; `failed` counts requests that the collector did not take.
    ///
    /// # Errors
    /// There is no TLS to be had.
    pub fn start(settings: &TraceSettings, pod: &str, role: &'static str, failed: IntCounter) -> anyhow::Result<Self> {
        if settings.endpoint.is_empty() {
            return Ok(Self(None));
        }
        let collector = Collector { client: client()?, failed, failing: AtomicBool::new(false) };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(collector)
            .with_endpoint(format!("{}/v1/traces", settings.endpoint.trim_end_matches('/')))
            .with_timeout(PATIENCE)
            .build()
            .context("settings: traces.endpoint")?;
        let queue = BatchConfigBuilder::default()
            .with_max_queue_size(MAX_QUEUED)
            .with_max_export_batch_size(MAX_SENT)
            .with_scheduled_delay(EVERY)
            .build();
        let who = Resource::builder_empty().with_attributes([
            KeyValue::new("service.name", "tallycast"),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", pod.to_owned()),
            KeyValue::new("tallycast.role", role),
        ]);
        let provider = SdkTracerProvider::builder()
            .with_span_processor(BatchSpanProcessor::builder(exporter).with_batch_config(queue).build())
            // what is not to be traced makes no span
            .with_sampler(Sampler::AlwaysOn)
            .with_max_links_per_span(MAX_CASTS as u32)
            .with_resource(who.build())
            .build();
        let tracer = provider.tracer("tallycast");
        Ok(Self(Some(On { provider, tracer, sample: settings.sample })))
    }

    /// A cast whose frame has come; `None`: it is not traced.
    pub fn cast(&self, room: &RoomId, round: u16, take: u16) -> Option<Running> {
        let on = self.0.as_ref()?;
        rand::random_bool(on.sample).then(|| {
            let more = [number("tallycast.round", round), number("tallycast.take", take)];
            on.begin("cast", SpanKind::Server, room, more)
        })
    }

    /// A command of an emcee.
    pub fn command(&self, room: &RoomId, command: &Command) -> Option<Running> {
        let on = self.0.as_ref()?;
        Some(on.begin("command", SpanKind::Server, room, [KeyValue::new("tallycast.command", word(command))]))
    }

    /// A try at a job.
    pub fn job(&self, room: &RoomId, kind: &'static str, attempt: u64) -> Option<Running> {
        let on = self.0.as_ref()?;
        let more = [KeyValue::new("tallycast.job", kind), number("tallycast.attempt", attempt)];
        Some(on.begin("job", SpanKind::Consumer, room, more))
    }

    /// A batch of so many casts, of which these are traced; `None`: none is.
    pub fn batch(&self, room: &RoomId, partition: u16, size: usize, casts: Vec<CastTrace>) -> Option<BatchTrace> {
        let on = self.0.as_ref().filter(|_| !casts.is_empty())?;
        let formed = SystemTime::now();
        let attributes = [
            KeyValue::new("tallycast.room", room.to_string()),
            number("tallycast.partition", partition),
            number("tallycast.casts", size as u64),
        ];
        let span = SpanBuilder::from_name("batch")
            .with_kind(SpanKind::Client)
            .with_start_time(formed)
            .with_attributes(attributes)
            .with_links(casts.iter().map(|cast| Link::with_context(cast.0.0.clone())).collect())
            .start_with_context(&on.tracer, &Context::new());
        Some(BatchTrace { span, formed, casts })
    }

    /// The ledger has answered to a batch after this time.
    pub fn committed(&self, batch: BatchTrace, took: Duration, outcome: &'static str) {
        let Some(on) = &self.0 else { return };
        let BatchTrace { mut span, formed, casts } = batch;
        let answered = formed + took;
        let part = |name, parent: &SpanContext, from, to, links| {
            SpanBuilder::from_name(name)
                .with_start_time(from)
                .with_links(links)
                .start_with_context(&on.tracer, &Context::new().with_remote_span_context(parent.clone()))
                .end_with_timestamp(to);
        };
        for CastTrace(cast) in casts {
            let (context, since) = *cast;
            part("wait", &context, since, formed, vec![]);
            part("commit", &context, formed, answered, vec![Link::with_context(span.span_context().clone())]);
        }
        span.set_attribute(KeyValue::new("tallycast.outcome", outcome));
        span.end_with_timestamp(answered);
    }

    /// Sends what is left, for a second at most. Blocks.
    pub fn stop(&self) {
        if let Some(on) = &self.0
            && let Err(error) = on.provider.shutdown_with_timeout(LAST_WORDS)
        {
            tracing::debug!(%error, "the last spans were not sent");
        }
    }
}

impl On {
    fn begin<const MORE: usize>(
        &self,
        name: &'static str,
        kind: SpanKind,
        room: &RoomId,
        more: [KeyValue; MORE],
    ) -> Running {
        let since = SystemTime::now();
        let attributes = std::iter::once(KeyValue::new("tallycast.room", room.to_string())).chain(more);
        let span = SpanBuilder::from_name(name)
            .with_kind(kind)
            .with_start_time(since)
            .with_attributes(attributes)
            .start_with_context(&self.tracer, &Context::new());
        Running(Box::new((span, since)))
    }
}

impl Running {
    /// For whoever does a part of it.
    pub fn trace(&self) -> CastTrace {
        CastTrace(Box::new((self.0.0.span_context().clone(), self.0.1)))
    }

    /// It is over, and this came of it.
    pub fn end(mut self, outcome: &'static str) {
        self.0.0.set_attribute(KeyValue::new("tallycast.outcome", outcome));
        self.0.0.end();
    }
}

/// A command without what it says.
fn word(command: &Command) -> &'static str {
    match command {
        Command::Open { .. } => "open",
        Command::Deadline { .. } => "deadline",
        Command::Close { .. } => "close",
        Command::Take { .. } => "take",
        Command::Show { .. } => "show",
        Command::Decide { .. } => "decide",
        Command::Reveal { .. } => "reveal",
        Command::RevealNext { .. } => "reveal_next",
        Command::Stage(_) => "stage",
        Command::Edit(_) => "edit",
        Command::Delete { .. } => "delete",
        Command::Undelete => "undelete",
        Command::BeginPurge { .. } => "begin_purge",
    }
}

fn number(name: &'static str, value: impl Into<u64>) -> KeyValue {
    KeyValue::new(name, value.into() as i64)
}

/// The way to the collector, taken by the thread of the queue alone.
#[derive(Debug)]
struct Collector {
    client: reqwest::blocking::Client,
    failed: IntCounter,
    /// The last request failed: told once, not at each.
    failing: AtomicBool,
}

/// A client that blocks cannot be made on a thread that must not.
fn client() -> anyhow::Result<reqwest::blocking::Client> {
    let make = || {
        let client = reqwest::blocking::Client::builder().timeout(PATIENCE).no_proxy();
        client.redirect(reqwest::redirect::Policy::none()).build()
    };
    let made = std::thread::spawn(make).join().map_err(|_| anyhow::anyhow!("the client of the collector panicked"))?;
    made.context("the client of the collector cannot be made")
}

impl Collector {
    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.client.execute(request.try_into()?).map_err(reqwest::Error::without_url)?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let mut body = vec![];
        answer.take(MAX_ANSWER_BYTES).read_to_end(&mut body)?;
        let mut response = Response::new(Bytes::from(body));
        (*response.status_mut(), *response.headers_mut()) = (status, headers);
        Ok(response)
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.send(request);
        let why = match &answer {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(format!("it answers {}", response.status())),
            Err(error) => Some(error.to_string()),
        };
        let failed_before = self.failing.swap(why.is_some(), Ordering::Relaxed);
        if let Some(why) = why {
            self.failed.inc();
            if !failed_before {
                tracing::warn!(why, "the collector of traces takes no spans; they are dropped until it does");
            }
        }
        answer
    }
}
