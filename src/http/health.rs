//! Probes and metrics.

use actix_web::{HttpResponse, route, web};
use serde_json::json;

use super::site::Site;

/// 200 while the process lives.
#[route("/healthz", method = "GET", method = "HEAD")]
pub async fn healthz() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain").body("alive\n")
}

/// 200 when this process can take voters, else 503 with the reasons.
#[route("/readyz", method = "GET", method = "HEAD")]
pub async fn readyz(site: web::Data<Site>) -> HttpResponse {
    readiness(&site)
}

/// The same, under the name that the first Tallycast had.
#[route("/health", method = "GET", method = "HEAD")]
pub async fn health(site: web::Data<Site>) -> HttpResponse {
    readiness(&site)
}

fn readiness(site: &Site) -> HttpResponse {
    let ready = site.pod.is_ready();
    let mut response = if ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    let warnings: Vec<_> = site.pod.health.warning().into_iter().collect();
    response.json(json!({
        "ready": ready,
        "reasons": site.pod.health.reasons(),
        "warnings": warnings,
        "ledger": site.pod.ledger.kind(),
    }))
}

/// Prometheus text.
#[route("/metrics", method = "GET", method = "HEAD")]
pub async fn metrics(site: web::Data<Site>) -> HttpResponse {
    site.rooms.measure();
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(site.pod.metrics.encode())
}

/// The three probes and the metrics.
pub fn routes(service: &mut web::ServiceConfig) {
    service.service(healthz).service(readyz).service(health).service(metrics);
}
