//! Traces: they show where the time of a vote, a command or a job goes. They are off unless `traces.endpoint` is set. Then
//! every command and job, and a share of the casts, becomes spans, which go to a collector by OTLP over HTTP.
//!
//! A cast is a trace: `cast` from its frame to its reply, in it `wait` until its batch is formed and `commit` until the
//! ledger has replied. A batch is a trace of its own, `batch`, since it has many causes and none of them is its parent. It
//! is linked with its traced casts, and each `commit` is linked with its batch.
//!
//! Nothing waits for the collector. Ended spans go through a queue of [`MAX_QUEUED`] to a thread of their own; when it is
//! full they are dropped. Attributes come from closed sets, except the room's id. They hold no voter, name, token or key.

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

/// Spans that wait for the collector, of some 500 bytes each.
const MAX_QUEUED: usize = 4_096;
/// Spans in one request.
const MAX_SPANS_PER_REQUEST: usize = 512;
/// Between two requests.
const EXPORT_INTERVAL: Duration = Duration::from_secs(2);
/// For the collector's response.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);
/// For sending the last spans when the process ends.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);
/// The rest of a longer response is not read.
const MAX_RESPONSE_BYTES: u64 = 64 * 1024;

/// See [module](self).
pub struct Traces(Option<Enabled>);

struct Enabled {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    /// The share of casts that are traced, 0 to 1.
    sample: f64,
}

/// A span that has begun. It ends at the latest when it is dropped.
#[derive(Debug)]
pub struct ActiveSpan(Box<(Span, SystemTime)>);

/// The trace of a cast, for the batch that commits it.
#[derive(Debug)]
pub struct CastTrace(Box<(SpanContext, SystemTime)>);

/// The trace of a batch, with its traced casts.
pub struct BatchTrace {
    span: Span,
    formed: SystemTime,
    casts: Vec<CastTrace>,
}

impl Traces {
    /// Starts tracing if it is set. Spans name this `pod` and `role`; `failed` counts requests that the collector did not
    /// accept.
    ///
    /// # Errors
    /// The endpoint is not valid, or the HTTP client cannot be made.
    pub fn start(settings: &TraceSettings, pod: &str, role: &'static str, failed: IntCounter) -> anyhow::Result<Self> {
        if settings.endpoint.is_empty() {
            return Ok(Self(None));
        }
        let collector = Collector { client: client()?, failed, failing: AtomicBool::new(false) };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(collector)
            .with_endpoint(format!("{}/v1/traces", settings.endpoint.trim_end_matches('/')))
            .with_timeout(EXPORT_TIMEOUT)
            .build()
            .context("settings: traces.endpoint")?;
        let queue = BatchConfigBuilder::default()
            .with_max_queue_size(MAX_QUEUED)
            .with_max_export_batch_size(MAX_SPANS_PER_REQUEST)
            .with_scheduled_delay(EXPORT_INTERVAL)
            .build();
        let who = Resource::builder_empty().with_attributes([
            KeyValue::new("service.name", "tallycast"),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", pod.to_owned()),
            KeyValue::new("tallycast.role", role),
        ]);
        let provider = SdkTracerProvider::builder()
            .with_span_processor(BatchSpanProcessor::builder(exporter).with_batch_config(queue).build())
            // sampling is done before a span is made
            .with_sampler(Sampler::AlwaysOn)
            .with_max_links_per_span(MAX_CASTS as u32)
            .with_resource(who.build())
            .build();
        let tracer = provider.tracer("tallycast");
        Ok(Self(Some(Enabled { provider, tracer, sample: settings.sample })))
    }

    /// Begins the span of a cast whose frame has arrived; `None`: it is not traced.
    pub fn cast(&self, room: &RoomId, round: u16, take: u16) -> Option<ActiveSpan> {
        let enabled = self.0.as_ref()?;
        rand::random_bool(enabled.sample).then(|| {
            let more = [number("tallycast.round", round), number("tallycast.take", take)];
            enabled.begin("cast", SpanKind::Server, room, more)
        })
    }

    /// Begins the span of a command; `None`: traces are off.
    pub fn command(&self, room: &RoomId, command: &Command) -> Option<ActiveSpan> {
        let enabled = self.0.as_ref()?;
        Some(enabled.begin(
            "command",
            SpanKind::Server,
            room,
            [KeyValue::new("tallycast.command", command_name(command))],
        ))
    }

    /// Begins the span of an attempt at a job; `None`: traces are off.
    pub fn job(&self, room: &RoomId, kind: &'static str, attempt: u64) -> Option<ActiveSpan> {
        let enabled = self.0.as_ref()?;
        let more = [KeyValue::new("tallycast.job", kind), number("tallycast.attempt", attempt)];
        Some(enabled.begin("job", SpanKind::Consumer, room, more))
    }

    /// Begins the span of a batch of `size` casts, of which `casts` are traced; `None`: none are.
    pub fn batch(&self, room: &RoomId, partition: u16, size: usize, casts: Vec<CastTrace>) -> Option<BatchTrace> {
        let enabled = self.0.as_ref().filter(|_| !casts.is_empty())?;
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
            .start_with_context(&enabled.tracer, &Context::new());
        Some(BatchTrace { span, formed, casts })
    }

    /// Ends the span of a batch, and those of its casts, when the ledger has replied. `took` is the latency of the commit.
    pub fn committed(&self, batch: BatchTrace, took: Duration, outcome: &'static str) {
        let Some(enabled) = &self.0 else { return };
        let BatchTrace { mut span, formed, casts } = batch;
        let replied = formed + took;
        let part = |name, parent: &SpanContext, from, to, links| {
            SpanBuilder::from_name(name)
                .with_start_time(from)
                .with_links(links)
                .start_with_context(&enabled.tracer, &Context::new().with_remote_span_context(parent.clone()))
                .end_with_timestamp(to);
        };
        for CastTrace(cast) in casts {
            let (context, since) = *cast;
            part("wait", &context, since, formed, vec![]);
            part("commit", &context, formed, replied, vec![Link::with_context(span.span_context().clone())]);
        }
        span.set_attribute(KeyValue::new("tallycast.outcome", outcome));
        span.end_with_timestamp(replied);
    }

    /// Sends the spans that are left. It blocks for [`SHUTDOWN_TIMEOUT`] at most.
    pub fn stop(&self) {
        if let Some(enabled) = &self.0
            && let Err(error) = enabled.provider.shutdown_with_timeout(SHUTDOWN_TIMEOUT)
        {
            tracing::debug!(%error, "the last spans were not sent");
        }
    }
}

impl Enabled {
    fn begin<const MORE: usize>(
        &self,
        name: &'static str,
        kind: SpanKind,
        room: &RoomId,
        more: [KeyValue; MORE],
    ) -> ActiveSpan {
        let since = SystemTime::now();
        let attributes = std::iter::once(KeyValue::new("tallycast.room", room.to_string())).chain(more);
        let span = SpanBuilder::from_name(name)
            .with_kind(kind)
            .with_start_time(since)
            .with_attributes(attributes)
            .start_with_context(&self.tracer, &Context::new());
        ActiveSpan(Box::new((span, since)))
    }
}

impl ActiveSpan {
    /// The context for spans that are a part of this one.
    pub fn trace(&self) -> CastTrace {
        CastTrace(Box::new((self.0.0.span_context().clone(), self.0.1)))
    }

    /// Ends the span with this outcome.
    pub fn end(mut self, outcome: &'static str) {
        self.0.0.set_attribute(KeyValue::new("tallycast.outcome", outcome));
        self.0.0.end();
    }
}

/// The name of a command, without its arguments.
fn command_name(command: &Command) -> &'static str {
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
        Command::Seal { .. } => "seal",
    }
}

fn number(name: &'static str, value: impl Into<u64>) -> KeyValue {
    KeyValue::new(name, value.into() as i64)
}

/// The HTTP client of the collector. Only the thread of the queue uses it.
#[derive(Debug)]
struct Collector {
    client: reqwest::blocking::Client,
    failed: IntCounter,
    /// The last request failed. It is logged once, not at every request.
    failing: AtomicBool,
}

/// Makes a blocking client, on a thread of its own: it cannot be made on a thread that runs async tasks.
fn client() -> anyhow::Result<reqwest::blocking::Client> {
    let make = || {
        let client = reqwest::blocking::Client::builder().timeout(EXPORT_TIMEOUT).no_proxy();
        client.redirect(reqwest::redirect::Policy::none()).build()
    };
    let made = std::thread::spawn(make).join().map_err(|_| anyhow::anyhow!("the client of the collector panicked"))?;
    made.context("the client of the collector cannot be made")
}

impl Collector {
    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let response = self.client.execute(request.try_into()?).map_err(reqwest::Error::without_url)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = vec![];
        response.take(MAX_RESPONSE_BYTES).read_to_end(&mut body)?;
        let mut result = Response::new(Bytes::from(body));
        (*result.status_mut(), *result.headers_mut()) = (status, headers);
        Ok(result)
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let result = self.send(request);
        let why = match &result {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(format!("it answers {}", response.status())),
            Err(error) => Some(error.to_string()),
        };
        let failed_before = self.failing.swap(why.is_some(), Ordering::Relaxed);
        if let Some(why) = why {
            self.failed.inc();
            if !failed_before {
                tracing::warn!(why, "the collector of traces does not accept spans; they are dropped until it does");
            }
        }
        result
    }
}
