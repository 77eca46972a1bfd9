//! The voter's page without script.

use actix_web::web;

/// `/r/{room}/plain`.
pub fn routes(_service: &mut web::ServiceConfig) {}
