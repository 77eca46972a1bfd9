//! The description of the API, generated from the handlers, and a viewer that needs no internet.

use actix_web::http::header;
use actix_web::middleware::DefaultHeaders;
use actix_web::web;
use utoipa::openapi::{InfoBuilder, OpenApi};
use utoipa_swagger_ui::SwaggerUi;

/// The viewer has inline styles; the rest is as strict as on the other pages.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Adds the description at `/api/v1/openapi.json` and the viewer at `/api/v1/docs/`.
pub fn routes(service: &mut web::ServiceConfig, mut description: OpenApi) {
    description.info = InfoBuilder::new()
        .title("Tallycast")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("Live audience voting. The socket and all rules: docs/protocol.md."))
        .build();
    let own = DefaultHeaders::new().add((header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY));
    let json = description.to_json().unwrap_or_default();
    service
        .route(
            "/api/v1/openapi.json",
            web::get().to(move || {
                let json = json.clone();
                async move { actix_web::HttpResponse::Ok().content_type("application/json").body(json) }
            }),
        )
        .service(
            web::scope("/api/v1/docs")
                .wrap(own)
                .service(SwaggerUi::new("/{_:.*}").config(utoipa_swagger_ui::Config::from("/api/v1/openapi.json"))),
        );
}
