//! HTTP: the route table.
//!
//! | file | holds |
//! | --- | --- |
//! | `app_state` | the state that all handlers share |
//! | [`auth`], `wrong_keys` | who sends a request: emcee or voter |
//! | [`network`], [`origin`], `cookies` | from where and how it came: address, scheme, host, page; and the cookies |
//! | `entrance` | what every request passes: the check of the host, and headers |
//! | [`body`] | JSON and CSV bodies with errors that name the field |
//! | [`error`] | problem documents, for every refusal and failure |
//! | `rooms`, `rounds`, `reveal`, `joining`, `voters`, `records`, `proofs`, `export`, `archives`, `sign_in`, `ledger`, `check` | the API, by resource |
//! | `trees` | the ballots of sealed takes, hashed once for all proofs |
//! | `openapi` | the description of the API |
//! | `pages`, `no_script` | the pages, and the page for browsers without script |
//! | `health` | probes and metrics |
//! | [`ws`] | sockets |

use actix_web::dev::{ServiceFactory, ServiceRequest};
use actix_web::middleware::from_fn;
use actix_web::{App, HttpRequest, HttpResponse, web};
use utoipa_actix_web::AppExt;

use crate::domain::Invalid;

mod app_state;
mod archives;
pub mod auth;
pub mod body;
mod check;
mod cookies;
mod entrance;
pub mod error;
mod export;
mod health;
mod joining;
mod ledger;
pub mod network;
mod no_script;
mod openapi;
pub mod origin;
mod pages;
mod proofs;
mod records;
mod reveal;
mod rooms;
mod rounds;
mod sign_in;
mod trees;
mod voters;
mod wrong_keys;
pub mod ws;

pub use app_state::{AppState, Port};
use error::{ApiError, ApiResult};
pub use network::Network;
pub use trees::Trees;
pub use wrong_keys::WrongKeys;

/// The application of a worker thread.
pub fn app(
    state: web::Data<AppState>,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = actix_web::dev::ServiceResponse<impl actix_web::body::MessageBody>,
        Error = actix_web::Error,
        InitError = (),
    >,
> {
    let Port { emcee, probes, .. } = state.port;
    let calls = move || {
        utoipa_actix_web::scope::scope("/api/v1").configure(audience).configure(move |service| {
            if emcee {
                desk(service);
            }
        })
    };
    // the scope answers every path below it, so the routes of its description and viewer must come first
    let (_, description) = App::new().into_utoipa_app().service(calls()).split_for_parts();
    App::new()
        .configure(|service| {
            if emcee {
                openapi::routes(service, description);
            }
        })
        .into_utoipa_app()
        .service(calls())
        .into_app()
        .app_data(state)
        .app_data(
            web::QueryConfig::default()
                .error_handler(|error, _| ApiError::from(Invalid::new("query", error.to_string())).into()),
        )
        .app_data(
            web::FormConfig::default()
                .error_handler(|error, _| ApiError::from(Invalid::new("form", error.to_string())).into()),
        )
        .configure(|service| pages::routes(service, emcee))
        .configure(no_script::routes)
        .configure(ws::routes)
        .configure(move |service| {
            if probes {
                health::routes(service, emcee);
            }
        })
        .default_service(web::to(nothing_here))
        .wrap(from_fn(entrance::check))
        .wrap(entrance::default_headers())
}

/// The application of the metrics port: probes and metrics only.
pub fn metrics_app(
    state: web::Data<AppState>,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = actix_web::dev::ServiceResponse<impl actix_web::body::MessageBody>,
        Error = actix_web::Error,
        InitError = (),
    >,
> {
    App::new().app_data(state).configure(|service| health::routes(service, true)).default_service(web::to(nothing_here))
}

/// API calls of every port.
fn audience(service: &mut utoipa_actix_web::service_config::ServiceConfig<'_>) {
    service
        .service(rooms::get)
        .service(rooms::qr)
        .service(joining::join)
        .service(joining::me)
        .service(joining::rename)
        .service(voters::vote)
        .service(records::records)
        .service(proofs::proof);
}

/// API calls of the emcee. They do not exist on ports for the audience.
fn desk(service: &mut utoipa_actix_web::service_config::ServiceConfig<'_>) {
    service
        .service(sign_in::begin_session)
        .service(sign_in::end_session)
        .service(rooms::create)
        .service(rooms::list)
        .service(rooms::patch)
        .service(rooms::delete)
        .service(rooms::undelete)
        .service(rooms::stage)
        .service(rounds::open_round)
        .service(rounds::set_deadline)
        .service(rounds::close_round)
        .service(rounds::set_take)
        .service(rounds::show_result)
        .service(rounds::decide_winner)
        .service(reveal::put_reveal)
        .service(reveal::get_ranking)
        .service(voters::list)
        .service(voters::patch)
        .service(voters::invite)
        .service(voters::invited)
        .service(export::export)
        .service(archives::import)
        .service(archives::purge)
        .service(records::audit)
        .service(ledger::slow_log)
        .service(check::check);
}

async fn nothing_here(request: HttpRequest) -> ApiResult<HttpResponse> {
    Err(ApiError::not_found("not_found", &format!("there is nothing at {}", request.path())))
}
