//! The description of the API, made from the handlers, and a viewer that needs no internet.

use actix_web::web;
use utoipa::openapi::{InfoBuilder, OpenApi};
use utoipa_swagger_ui::SwaggerUi;

/// Where the description lies.
pub const PATH: &str = "/api/v1/openapi.json";

/// The description at [`PATH`], the viewer at `/api/v1/docs/`.
pub fn routes(service: &mut web::ServiceConfig, mut description: OpenApi) {
    description.info = InfoBuilder::new()
        .title("Tallycast")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("Live audience voting. The socket and all rules: docs/protocol.md."))
        .build();
    service.service(SwaggerUi::new("/api/v1/docs/{_:.*}").url(PATH, description));
}
