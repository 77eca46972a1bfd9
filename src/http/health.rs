//! Probes and metrics.

use actix_web::{HttpResponse, route, web};
use serde_json::json;

use super::app_state::AppState;

/// 200 while the process lives.
#[route("/healthz", method = "GET", method = "HEAD")]
pub async fn healthz() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain").body("alive\n")
}

/// 200 when this process can take voters, else 503 with the reasons.
#[route("/readyz", method = "GET", method = "HEAD")]
pub async fn readyz(state: web::Data<AppState>) -> HttpResponse {
    readiness(&state)
}

/// The same, under the name that the first version of Tallycast used.
#[route("/health", method = "GET", method = "HEAD")]
pub async fn health(state: web::Data<AppState>) -> HttpResponse {
    readiness(&state)
}

fn readiness(state: &AppState) -> HttpResponse {
    let ready = state.pod.is_ready();
    let mut response = if ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    let warnings: Vec<_> = state.pod.health.warning().into_iter().collect();
    response.json(json!({
        "ready": ready,
        "reasons": state.pod.health.reasons(),
        "warnings": warnings,
        "ledger": state.pod.ledger.kind(),
    }))
}

/// Prometheus text.
#[route("/metrics", method = "GET", method = "HEAD")]
pub async fn metrics(state: web::Data<AppState>) -> HttpResponse {
    state.rooms.measure();
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(state.pod.metrics.encode())
}

/// The paths of probes and metrics.
pub const PATHS: [&str; 4] = ["/healthz", "/readyz", "/health", "/metrics"];

/// Adds the probes, and the metrics if `with_metrics`: on a port for the audience they would tell strangers how busy it is.
pub fn routes(service: &mut web::ServiceConfig, with_metrics: bool) {
    service.service(healthz).service(readyz).service(health);
    if with_metrics {
        service.service(metrics);
    }
}
