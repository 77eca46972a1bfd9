//! Whether the evening may begin: what an operator would try by hand, tried from inside.

use std::future::Future;
use std::time::{Duration, Instant, SystemTime};

use actix_web::{HttpRequest, HttpResponse, get, web};
use reqwest::header::{CONNECTION, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use reqwest::{Client, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::Site;
use super::auth::Emcee;
use super::error::Answer;
use crate::actors::Pod;
use crate::ledger::Health;

/// For one question that goes out of the process. All are asked at once.
const WITHIN: Duration = Duration::from_secs(3);
/// Most redirects between the public link and the page.
const REDIRECTS: usize = 5;
/// A ledger slower than this delays every vote.
const LEDGER_WITHIN: Duration = Duration::from_millis(500);
/// Clocks that differ by more make times in logs and records hard to compare. Votes are judged by the ledger's alone.
const CLOCK_WITHIN_MS: u64 = 2_000;
/// Less room than one in so many places is too little.
const PLACES_SHARE: i64 = 10;
/// A key for a handshake that nobody goes on with (RFC 6455, 4.1: 16 bytes in base64).
const HANDSHAKE_KEY: &str = "dGFsbHljYXN0LWNoZWNrLQ==";

/// What a check has found.
#[derive(Debug, Serialize, ToSchema)]
pub struct CheckView {
    /// Every item is.
    ok: bool,
    /// One for each question.
    items: Vec<ItemView>,
}

/// One question.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ItemView {
    /// `public_link`, `socket`, `ledger`, `durable`, `clock`, `sessions` or `ready`.
    item: &'static str,
    /// All is well.
    ok: bool,
    /// How long the answer took.
    #[serde(skip_serializing_if = "Option::is_none")]
    ms: Option<u64>,
    /// A sentence: what was found, and what to do.
    detail: String,
}

impl ItemView {
    fn new(item: &'static str, finding: Result<String, String>) -> Self {
        let ok = finding.is_ok();
        let (Ok(detail) | Err(detail)) = finding;
        Self { item, ok, ms: None, detail }
    }

    fn took(mut self, time: Duration) -> Self {
        self.ms = Some(time.as_millis() as u64);
        self
    }
}

/// Asks the public link, a socket through it, the ledger, the clock, and this process whether the evening may begin.
#[utoipa::path(tag = "operations", responses((status = 200, body = CheckView, description = "also if something is wrong")))]
#[get("/check")]
pub async fn check(request: HttpRequest, site: web::Data<Site>, _emcee: Emcee) -> Answer {
    let base = site.base_url(&request);
    let base = base.trim_end_matches('/');
    let ((page, page_took), (socket, socket_took), (seen, ledger_took)) =
        tokio::join!(timed(public_link(base)), timed(socket_through(base)), timed(ask_ledger(&site.pod)));
    let mut link = ItemView::new("public_link", page).took(page_took);
    if site.public_url.is_empty() {
        link.detail += "; server.public_url is not set, so this address was assumed";
    }
    let items = vec![
        link,
        ItemView::new("socket", socket).took(socket_took),
        ItemView::new("ledger", ledger(&seen, ledger_took)).took(ledger_took),
        ItemView::new("durable", durable(&seen)),
        ItemView::new("clock", clock(&seen)),
        ItemView::new("sessions", sessions(&site.pod)),
        ItemView::new("ready", ready(&site.pod)),
    ];
    Ok(HttpResponse::Ok().json(CheckView { ok: items.iter().all(|item| item.ok), items }))
}

async fn timed<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let begun = Instant::now();
    let result = work.await;
    (result, begun.elapsed())
}

/// The ledger's answer, and what this process's clock said in the middle of the question.
struct Seen {
    health: Health,
    here_ms: u64,
}

async fn ask_ledger(pod: &Pod) -> Result<Seen, String> {
    let begun = Instant::now();
    let health = tokio::time::timeout(WITHIN, pod.ledger.check()).await.map_err(|_| too_late("the ledger"))?;
    let health = health.map_err(|error| {
        tracing::warn!(%error, "the check found a ledger that does not answer");
        "the ledger does not answer; the log says why".to_owned()
    })?;
    let middle = SystemTime::now() - begun.elapsed() / 2;
    let here_ms = middle.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
    Ok(Seen { health, here_ms })
}

fn too_late(what: &str) -> String {
    format!("{what} did not answer within {} s", WITHIN.as_secs())
}

fn client(redirects: usize) -> Result<Client, String> {
    let redirects = reqwest::redirect::Policy::limited(redirects);
    // an upgrade is a thing of HTTP/1.1
    Client::builder()
        .timeout(WITHIN)
        .redirect(redirects)
        .no_proxy()
        .http1_only()
        .build()
        .map_err(|error| format!("nothing can be asked from here: {error}"))
}

/// The page that voters would see first.
async fn public_link(base: &str) -> Result<String, String> {
    let answer = client(REDIRECTS)?.get(format!("{base}/")).send().await.map_err(|error| unreached(base, &error))?;
    let (status, url) = (answer.status(), answer.url().to_string());
    let page = answer.text().await.map_err(|error| unreached(base, &error))?;
    match status {
        StatusCode::OK if page.contains("Tallycast") => Ok(format!("voters reach {url}")),
        StatusCode::OK => Err(format!("{url} answers with a page that is not Tallycast's; check the load balancer")),
        status => Err(format!("{url} answers {status}; check the load balancer")),
    }
}

/// A handshake, as a phone would begin it; the connection is dropped as soon as it is answered.
async fn socket_through(base: &str) -> Result<String, String> {
    let request = client(0)?
        .get(format!("{base}/ws"))
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_VERSION, "13")
        .header(SEC_WEBSOCKET_KEY, HANDSHAKE_KEY);
    match request.send().await.map_err(|error| unreached(base, &error))?.status() {
        StatusCode::SWITCHING_PROTOCOLS => Ok(format!("{base}/ws opens")),
        StatusCode::SERVICE_UNAVAILABLE => Err(format!("{base}/ws is full, or its server is being stopped")),
        status => Err(format!(
            "{base}/ws answers {status} and opens no socket; every proxy on the way must let upgrades through"
        )),
    }
}

fn unreached(base: &str, error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return too_late(base);
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    format!("{base} can not be reached from here: {cause}")
}

fn ledger(seen: &Result<Seen, String>, took: Duration) -> Result<String, String> {
    seen.as_ref().map_err(Clone::clone)?;
    match took <= LEDGER_WITHIN {
        true => Ok("it answers".to_owned()),
        false => Err("it answers, and so slowly that votes will wait; look at its disk and its load".to_owned()),
    }
}

fn durable(seen: &Result<Seen, String>) -> Result<String, String> {
    match &seen.as_ref().map_err(Clone::clone)?.health.unsafe_because {
        None => Ok("an acknowledged vote survives a power cut".to_owned()),
        Some(why) => Err(format!("an acknowledged vote may be lost in a power cut: {why}")),
    }
}

fn clock(seen: &Result<Seen, String>) -> Result<String, String> {
    let seen = seen.as_ref().map_err(Clone::clone)?;
    judge_clocks(seen.health.now, seen.here_ms)
}

fn judge_clocks(ledger_ms: u64, here_ms: u64) -> Result<String, String> {
    let (apart, side) = (ledger_ms.abs_diff(here_ms), if ledger_ms >= here_ms { "ahead of" } else { "behind" });
    let text = format!("the ledger's clock is {apart} ms {side} this process's");
    if apart <= CLOCK_WITHIN_MS { Ok(text) } else { Err(format!("{text}; let both follow the same time server")) }
}

fn sessions(pod: &Pod) -> Result<String, String> {
    judge_places(pod.metrics.sessions_capacity.get(), pod.metrics.sockets.get())
}

fn judge_places(capacity: i64, taken: i64) -> Result<String, String> {
    let free = (capacity - taken).max(0);
    let text = format!("{free} of {capacity} places for sockets are free on this pod");
    match free * PLACES_SHARE >= capacity && capacity > 0 {
        true => Ok(text),
        false => Err(format!("{text}; add pods, or raise the open-file limit or server.max_sockets")),
    }
}

fn ready(pod: &Pod) -> Result<String, String> {
    match pod.health.reasons() {
        reasons if reasons.is_empty() => Ok("this pod takes voters".to_owned()),
        reasons => Err(format!("this pod takes no voters: {}", reasons.join("; "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_may_differ_by_two_seconds_either_way() {
        assert!(judge_clocks(10_000, 12_000).is_ok() && judge_clocks(12_000, 10_000).is_ok());
        assert!(judge_clocks(10_000, 12_001).unwrap_err().contains("2001 ms behind"));
        assert!(judge_clocks(12_001, 10_000).unwrap_err().contains("2001 ms ahead"));
    }

    #[test]
    fn a_tenth_of_all_places_must_be_free() {
        assert!(judge_places(100, 90).is_ok());
        assert!(judge_places(100, 91).unwrap_err().contains("9 of 100"));
        assert!(judge_places(100, 120).is_err());
        assert!(judge_places(0, 0).is_err());
    }

    fn seen(why: Option<&str>) -> Result<Seen, String> {
        let unsafe_because = why.map(str::to_owned);
        Ok(Seen { health: Health { now: 0, unsafe_because, slow_log: None }, here_ms: 0 })
    }

    #[test]
    fn a_ledger_that_does_not_answer_fails_everything_that_is_asked_of_it() {
        let silent = || Err("it is away".to_owned());
        for finding in [ledger(&silent(), Duration::ZERO), durable(&silent()), clock(&silent())] {
            assert_eq!(finding, Err("it is away".to_owned()));
        }
    }

    #[test]
    fn a_ledger_that_is_slow_or_may_forget_is_not_ok() {
        assert!(ledger(&seen(None), LEDGER_WITHIN).is_ok());
        assert!(ledger(&seen(None), LEDGER_WITHIN + Duration::from_millis(1)).is_err());
        assert!(durable(&seen(None)).is_ok() && clock(&seen(None)).is_ok());
        assert!(durable(&seen(Some("appendfsync is everysec"))).unwrap_err().contains("everysec"));
    }
}
