//! Whether the evening may begin: what an operator would try by hand, tried from inside.

use std::time::{Duration, Instant, SystemTime};

use actix_web::{HttpRequest, HttpResponse, get, web};
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::Emcee;
use super::error::Answer;
use super::site::Site;
use crate::actors::Pod;
use crate::ledger::Health;
use crate::outside::{Look, PublicLink, Sight, WITHIN, look_at};

/// A ledger slower than this delays every vote.
const LEDGER_WITHIN: Duration = Duration::from_millis(500);
/// Clocks that differ by more make times in logs and records hard to compare. Votes are judged by the ledger's alone.
const CLOCK_WITHIN_MS: u64 = 2_000;
/// Less room than one in so many connection_limit is too little.
const PLACES_SHARE: i64 = 10;

/// What a check has found.
#[derive(Debug, Serialize, ToSchema)]
pub struct CheckView {
    /// Every item is.
    ok: bool,
    /// What was looked at, so that somebody outside can look too.
    public_link: PublicLink,
    /// Where the emcee's calls are answered.
    admin_url: String,
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
    /// False if this process could not look, which says nothing of people outside. Left out otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    seen: Option<bool>,
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
        Self { item, ok, seen: None, ms: None, detail }
    }

    fn of_look(Look { item, sight, took }: Look) -> Self {
        let seen = matches!(sight, Sight::Unseen(_)).then_some(false);
        let finding = match sight {
            Sight::Well(detail) => Ok(detail),
            Sight::Wrong(detail) | Sight::Unseen(detail) => Err(detail),
        };
        Self { seen, ..Self::new(item, finding).took(took) }
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
    let public_link = PublicLink { url: site.base_url(&request), assumed: site.public_url.is_empty() };
    let (looks, (seen, ledger_took)) = tokio::join!(look_at(&public_link, &[]), timed_ledger(&site.pod));
    let mut items: Vec<_> = looks.into_iter().map(ItemView::of_look).collect();
    items.extend([
        ItemView::new("ledger", ledger(&seen, ledger_took)).took(ledger_took),
        ItemView::new("durable", durable(&seen)),
        ItemView::new("clock", clock(&seen)),
        ItemView::new("sessions", sessions(&site.pod)),
        ItemView::new("ready", ready(&site.pod)),
    ]);
    let admin_url = if site.admin_url.is_empty() { &public_link.url } else { &site.admin_url }.clone();
    Ok(HttpResponse::Ok().json(CheckView { ok: items.iter().all(|item| item.ok), public_link, admin_url, items }))
}

async fn timed_ledger(pod: &Pod) -> (Result<Seen, String>, Duration) {
    let begun = Instant::now();
    (ask_ledger(pod).await, begun.elapsed())
}

/// The ledger's answer, and what this process's clock said in the middle of the question.
struct Seen {
    health: Health,
    here_ms: u64,
}

async fn ask_ledger(pod: &Pod) -> Result<Seen, String> {
    let begun = Instant::now();
    let health = tokio::time::timeout(WITHIN, pod.ledger.check())
        .await
        .map_err(|_| format!("the ledger did not answer within {} s", WITHIN.as_secs()))?;
    let health = health.map_err(|error| {
        tracing::warn!(%error, "the check found a ledger that does not answer");
        "the ledger does not answer; the log says why".to_owned()
    })?;
    let middle = SystemTime::now() - begun.elapsed() / 2;
    let here_ms = middle.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
    Ok(Seen { health, here_ms })
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
    let text = format!("{free} of {capacity} connection_limit for sockets are free on this pod");
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
