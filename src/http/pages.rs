//! The pages and the files that they load, served from the binary.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, guard, web};
use rust_embed::{EmbeddedFile, RustEmbed};

use super::app_state::AppState;
use super::error::{ApiError, ApiResult};

#[derive(RustEmbed)]
#[folder = "assets/"]
#[exclude = "jsconfig.json"]
struct Assets;

/// The pages may load and connect to this server only.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; \
    frame-ancestors 'none'";

/// Adds the pages, and `/assets/…`.
pub fn routes(service: &mut web::ServiceConfig, emcee: bool) {
    let read = || web::route().guard(guard::Any(guard::Get()).or(guard::Head()));
    service
        .route("/", read().to(voter))
        .route("/r/{room}", read().to(voter))
        .route("/stage/{room}", read().to(stage))
        .route("/assets/{path:.*}", read().to(asset));
    if emcee {
        service.route("/emcee", read().to(desk));
    }
}

async fn voter(request: HttpRequest) -> ApiResult {
    serve(&request, "index.html")
}

async fn stage(request: HttpRequest) -> ApiResult {
    serve(&request, "stage.html")
}

/// Nothing of the emcee's stays on a device.
async fn desk() -> ApiResult {
    let file = Assets::get("emcee.html").ok_or_else(not_found)?;
    let mut response = HttpResponse::Ok();
    response.insert_header((header::CACHE_CONTROL, "no-store"));
    Ok(response.content_type(file.metadata.mimetype()).body(file.data.into_owned()))
}

async fn asset(request: HttpRequest, path: web::Path<String>, state: web::Data<AppState>) -> ApiResult {
    let is_for_emcee = path.contains("emcee");
    if is_for_emcee && !state.port.emcee {
        return Err(not_found());
    }
    serve(&request, &path)
}

fn not_found() -> ApiError {
    ApiError::not_found("not_found", "there is nothing here")
}

/// Serves a file with a tag of its content. Browsers ask each time, and load only what has changed.
fn serve(request: &HttpRequest, path: &str) -> ApiResult {
    let file: EmbeddedFile = Assets::get(path).ok_or_else(not_found)?;
    let hash: String = file.metadata.sha256_hash().iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    let tag = format!("\"{hash}\"");
    let mut response = HttpResponse::Ok();
    response.insert_header((header::ETAG, tag.clone())).insert_header((header::CACHE_CONTROL, "no-cache"));
    let known = request.headers().get(header::IF_NONE_MATCH).and_then(|known| known.to_str().ok());
    if known.is_some_and(|known| known.split(',').any(|known| known.trim() == tag)) {
        response.status(actix_web::http::StatusCode::NOT_MODIFIED);
        return Ok(response.finish());
    }
    Ok(response.content_type(file.metadata.mimetype()).body(file.data.into_owned()))
}
