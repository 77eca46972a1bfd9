//! Whether the evening may begin: the checks that an operator would do by hand, done by the server.

use std::time::{Duration, Instant, SystemTime};

use actix_web::{HttpResponse, get, web};
use serde::Serialize;
use utoipa::ToSchema;

use super::app_state::AppState;
use super::auth::Emcee;
use super::error::ApiResult;
use crate::actors::Pod;
use crate::external_check::{self, ExternalCheck, Finding, PublicLink};
use crate::ledger::Health;

/// A ledger slower than this delays every vote.
const MAX_LEDGER_LATENCY: Duration = Duration::from_millis(500);
/// Clocks that differ by more make times in logs and records hard to compare. Deadlines depend on the ledger's clock only.
const MAX_CLOCK_SKEW_MS: u64 = 2_000;
/// At least one in so many sockets must be free.
const MIN_FREE_SHARE: i64 = 10;

/// The result of all checks.
#[derive(Debug, Serialize, ToSchema)]
pub struct CheckView {
    /// True if every item is ok.
    ok: bool,
    /// The URL that was checked, so that somebody outside can check it too.
    public_link: PublicLink,
    /// The URL for the emcee's calls.
    admin_url: String,
    /// One for each check.
    items: Vec<ItemView>,
}

/// One check.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ItemView {
    /// `public_link`, `socket`, `ledger`, `durable`, `clock`, `sessions` or `ready`.
    item: &'static str,
    /// True if nothing is wrong.
    ok: bool,
    /// False if this process could not check it; people outside may reach it nevertheless. Left out otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    seen: Option<bool>,
    /// How long the check took, in ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    ms: Option<u64>,
    /// What was found and what to do, as a sentence.
    detail: String,
}

impl ItemView {
    fn new(item: &'static str, finding: Result<String, String>) -> Self {
        let ok = finding.is_ok();
        let (Ok(detail) | Err(detail)) = finding;
        Self { item, ok, seen: None, ms: None, detail }
    }

    fn external(ExternalCheck { item, finding, took }: ExternalCheck) -> Self {
        let seen = matches!(finding, Finding::Unreachable(_)).then_some(false);
        let finding = match finding {
            Finding::Good(detail) => Ok(detail),
            Finding::Wrong(detail) | Finding::Unreachable(detail) => Err(detail),
        };
        Self { seen, ..Self::new(item, finding).took(took) }
    }

    fn took(mut self, time: Duration) -> Self {
        self.ms = Some(time.as_millis() as u64);
        self
    }
}

/// Checks the public link, a socket through it, the ledger, the clock and this process: may the evening begin?
#[utoipa::path(tag = "operations", responses((status = 200, body = CheckView, description = "also if something is wrong")))]
#[get("/check")]
pub async fn check(state: web::Data<AppState>, _emcee: Emcee) -> ApiResult {
    // never an address from the request: it would make this server call whomever the caller likes
    let public_link = PublicLink { url: state.found_url.clone(), assumed: state.public_url.is_empty() };
    let (external, (answer, ledger_took)) =
        tokio::join!(external_check::run(&public_link, &[]), timed_ledger(&state.pod));
    let mut items: Vec<_> = external.into_iter().map(ItemView::external).collect();
    items.extend([
        ItemView::new("ledger", ledger(&answer, ledger_took)).took(ledger_took),
        ItemView::new("durable", durable(&answer)),
        ItemView::new("clock", clock(&answer)),
        ItemView::new("sessions", free_sockets(&state.pod)),
        ItemView::new("ready", ready(&state.pod)),
    ]);
    let (ok, admin_url) = (items.iter().all(|item| item.ok), state.admin_url.clone());
    Ok(HttpResponse::Ok().json(CheckView { ok, public_link, admin_url, items }))
}

async fn timed_ledger(pod: &Pod) -> (Result<LedgerAnswer, String>, Duration) {
    let started = Instant::now();
    (ask_ledger(pod).await, started.elapsed())
}

/// The ledger's answer, with the time of this process halfway between question and answer.
struct LedgerAnswer {
    health: Health,
    local_ms: u64,
}

async fn ask_ledger(pod: &Pod) -> Result<LedgerAnswer, String> {
    let started = Instant::now();
    let health = tokio::time::timeout(external_check::TIMEOUT, pod.ledger.check())
        .await
        .map_err(|_| format!("the ledger did not answer within {} s", external_check::TIMEOUT.as_secs()))?;
    let health = health.map_err(|error| {
        tracing::warn!(%error, "the check found a ledger that does not answer");
        "the ledger does not answer; the log says why".to_owned()
    })?;
    let middle = SystemTime::now() - started.elapsed() / 2;
    let local_ms = middle.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
    Ok(LedgerAnswer { health, local_ms })
}

fn ledger(answer: &Result<LedgerAnswer, String>, took: Duration) -> Result<String, String> {
    answer.as_ref().map_err(Clone::clone)?;
    match took <= MAX_LEDGER_LATENCY {
        true => Ok("it answers".to_owned()),
        false => Err("it answers, and so slowly that votes will wait; look at its disk and its load".to_owned()),
    }
}

fn durable(answer: &Result<LedgerAnswer, String>) -> Result<String, String> {
    match &answer.as_ref().map_err(Clone::clone)?.health.unsafe_because {
        None => Ok("an acknowledged vote survives a power cut".to_owned()),
        Some(why) => Err(format!("an acknowledged vote may be lost in a power cut: {why}")),
    }
}

fn clock(answer: &Result<LedgerAnswer, String>) -> Result<String, String> {
    let answer = answer.as_ref().map_err(Clone::clone)?;
    check_clocks(answer.health.now, answer.local_ms)
}

fn check_clocks(ledger_ms: u64, local_ms: u64) -> Result<String, String> {
    let (skew, side) = (ledger_ms.abs_diff(local_ms), if ledger_ms >= local_ms { "ahead of" } else { "behind" });
    let text = format!("the ledger's clock is {skew} ms {side} this process's");
    if skew <= MAX_CLOCK_SKEW_MS { Ok(text) } else { Err(format!("{text}; let both follow the same time server")) }
}

fn free_sockets(pod: &Pod) -> Result<String, String> {
    check_capacity(pod.metrics.sessions_capacity.get(), pod.metrics.sockets.get())
}

fn check_capacity(capacity: i64, taken: i64) -> Result<String, String> {
    let free = (capacity - taken).max(0);
    let text = format!("{free} of {capacity} places for sockets are free on this pod");
    match free * MIN_FREE_SHARE >= capacity && capacity > 0 {
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
        assert!(check_clocks(10_000, 12_000).is_ok() && check_clocks(12_000, 10_000).is_ok());
        assert!(check_clocks(10_000, 12_001).unwrap_err().contains("2001 ms behind"));
        assert!(check_clocks(12_001, 10_000).unwrap_err().contains("2001 ms ahead"));
    }

    #[test]
    fn a_tenth_of_all_sockets_must_be_free() {
        assert!(check_capacity(100, 90).is_ok());
        assert!(check_capacity(100, 91).unwrap_err().contains("9 of 100"));
        assert!(check_capacity(100, 120).is_err());
        assert!(check_capacity(0, 0).is_err());
    }

    fn answer(why: Option<&str>) -> Result<LedgerAnswer, String> {
        let unsafe_because = why.map(str::to_owned);
        Ok(LedgerAnswer { health: Health { now: 0, unsafe_because, slow_log: None }, local_ms: 0 })
    }

    #[test]
    fn every_check_of_a_ledger_that_does_not_answer_fails() {
        let silent = || Err("it is away".to_owned());
        for finding in [ledger(&silent(), Duration::ZERO), durable(&silent()), clock(&silent())] {
            assert_eq!(finding, Err("it is away".to_owned()));
        }
    }

    #[test]
    fn a_ledger_that_is_slow_or_not_durable_is_not_ok() {
        assert!(ledger(&answer(None), MAX_LEDGER_LATENCY).is_ok());
        assert!(ledger(&answer(None), MAX_LEDGER_LATENCY + Duration::from_millis(1)).is_err());
        assert!(durable(&answer(None)).is_ok() && clock(&answer(None)).is_ok());
        assert!(durable(&answer(Some("appendfsync is everysec"))).unwrap_err().contains("everysec"));
    }
}
