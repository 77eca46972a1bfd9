//! Errors as clients see them: RFC 9457 problem documents, for every refusal and failure.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError};
use serde_json::{Map, Value, json};

use crate::actors::rooms::RoomUnavailable;
use crate::domain::{Invalid, Refused};
use crate::ledger::LedgerError;
use crate::ledger::execute::ExecuteError;

/// A refusal or a failure, as clients see it. The cause of a 5xx goes to the log, never to a client.
#[derive(Debug, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    detail: String,
    /// Further members of the document.
    more: Map<String, Value>,
    retry_after_secs: Option<u32>,
}

/// The result of a handler.
pub type ApiResult<T = HttpResponse> = Result<T, ApiError>;

impl ApiError {
    /// An error with a stable code for programs and a sentence for people.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), more: Map::new(), retry_after_secs: None }
    }

    /// 401.
    pub fn unauthorized(code: &'static str, detail: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, code, detail)
    }

    /// 403.
    pub fn forbidden(code: &'static str, detail: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, detail)
    }

    /// 404.
    pub fn not_found(code: &'static str, detail: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, detail)
    }

    /// 409.
    pub fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    /// 404 `no_such_room`.
    pub fn no_such_room() -> Self {
        Self::not_found("no_such_room", "there is no such room")
    }

    /// 403 `removed`.
    pub fn removed() -> Self {
        Self::forbidden("removed", "this voter was removed from the room")
    }

    /// 503 `busy`: try again in a second.
    pub fn busy() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "too much to do at once; try again").retry_after(1)
    }

    /// Adds a member to the document.
    pub fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.more.insert(member.to_owned(), value.into());
        self
    }

    /// Adds a Retry-After header.
    pub fn retry_after(mut self, secs: u32) -> Self {
        self.retry_after_secs = Some(secs);
        self
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        if let Some(secs) = self.retry_after_secs {
            response.insert_header((header::RETRY_AFTER, secs.to_string()));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
        }
        let mut document = json!({
            "type": format!("about:blank#{}", self.code),
            "title": self.status.canonical_reason().unwrap_or("error"),
            "status": self.status.as_u16(),
            "detail": self.detail,
            "code": self.code,
        });
        if let Value::Object(members) = &mut document {
            members.extend(self.more.clone());
        }
        response.content_type("application/problem+json").body(document.to_string())
    }
}

impl From<Invalid> for ApiError {
    fn from(invalid: Invalid) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "bad_request", invalid.to_string()).with("field", invalid.field)
    }
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        let code = match &refused {
            Refused::AnotherRoundOpen => "another_round_open",
            Refused::AlreadyClosed => "already_closed",
            Refused::OtherTake => "other_take",
            Refused::RankingShown => "ranking_shown",
            Refused::NotOpen => "not_open",
            Refused::NotClosed => "not_closed",
            Refused::RoundOpen => "round_open",
            Refused::NothingClosed => "nothing_closed",
            Refused::NotShown => "not_shown",
            Refused::Purging => "purging",
            Refused::NotPurgeable => "not_purgeable",
            Refused::NotChangeable(field) => {
                return Self::conflict("not_changeable", refused.to_string()).with("field", field.as_str());
            }
            Refused::NoSuchRound(_) => return Self::not_found("no_such_round", &refused.to_string()),
            Refused::Invalid(invalid) => return invalid.clone().into(),
        };
        Self::conflict(code, refused.to_string())
    }
}

impl From<LedgerError> for ApiError {
    fn from(error: LedgerError) -> Self {
        tracing::warn!(%error, "the ledger did not answer a request");
        let detail = match error {
            LedgerError::Corrupt(_) => {
                "the stored data cannot be read and is left as it is; the server's log says more"
            }
            _ => "the ledger did not answer, so the outcome is unknown; try again",
        };
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "ledger_unavailable", detail).retry_after(1)
    }
}

impl From<ExecuteError> for ApiError {
    fn from(error: ExecuteError) -> Self {
        match error {
            ExecuteError::Refused(refused) => refused.into(),
            ExecuteError::NoSuchRoom => Self::no_such_room(),
            ExecuteError::Closing => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "closing", error.to_string()).retry_after(1)
            }
            ExecuteError::Contended => Self::busy(),
            ExecuteError::Ledger(error) => error.into(),
        }
    }
}

impl From<RoomUnavailable> for ApiError {
    fn from(error: RoomUnavailable) -> Self {
        match error {
            RoomUnavailable::NoSuchRoom => Self::no_such_room(),
            RoomUnavailable::Ledger(error) => error.into(),
        }
    }
}

impl From<actix::MailboxError> for ApiError {
    fn from(_: actix::MailboxError) -> Self {
        Self::busy()
    }
}
