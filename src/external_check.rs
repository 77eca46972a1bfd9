//! Checks a server from outside: the voters' page, and a socket. A server does this to itself for `GET /check`, and the
//! command line does it from where it runs.

use std::time::{Duration, Instant};

use reqwest::header::{CONNECTION, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use reqwest::{Certificate, Client, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// For one request, from the connection to the end of the response.
pub const TIMEOUT: Duration = Duration::from_secs(3);
/// For the connection alone. It is shorter, so that a missing connection can be told from a missing response.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Redirects that are followed between the public link and the page.
const MAX_REDIRECTS: usize = 5;
/// A key for a handshake that is not continued (RFC 6455, 4.1: 16 bytes in base64).
const HANDSHAKE_KEY: &str = "dGFsbHljYXN0LWNoZWNrLQ==";

/// Where voters are told to go.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PublicLink {
    /// As in `https://vote.example.org`.
    pub url: String,
    /// True if `server.public_url` is not set, so that this is a guess.
    pub assumed: bool,
}

/// What a check found, as a sentence that says what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// It is as it should be.
    Good(String),
    /// It answers, but not as it should.
    Wrong(String),
    /// It cannot be reached from here. People elsewhere may reach it nevertheless.
    Unreachable(String),
}

/// The result of one check.
#[derive(Debug)]
pub struct ExternalCheck {
    /// `public_link` or `socket`.
    pub item: &'static str,
    /// What it found.
    pub finding: Finding,
    /// How long it took.
    pub took: Duration,
}

/// Checks the page and the socket of a server at the same time. `roots` are trusted besides the certificates that
/// browsers know.
pub async fn run(link: &PublicLink, roots: &[Certificate]) -> [ExternalCheck; 2] {
    let base = link.url.trim_end_matches('/');
    let (page, socket) = tokio::join!(timed(page(base, roots)), timed(socket(base, roots)));
    let check = |item, (result, took)| {
        let (Ok(finding) | Err(finding)): Result<Finding, Finding> = result;
        ExternalCheck { item, finding, took }
    };
    let mut page = check("public_link", page);
    let (Finding::Good(detail) | Finding::Wrong(detail) | Finding::Unreachable(detail)) = &mut page.finding;
    if link.assumed {
        detail.push_str("; server.public_url is not set, so this address was assumed");
    }
    [page, check("socket", socket)]
}

async fn timed<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let started = Instant::now();
    let result = work.await;
    (result, started.elapsed())
}

fn client(max_redirects: usize, roots: &[Certificate]) -> Result<Client, Finding> {
    let client = Client::builder()
        .timeout(TIMEOUT)
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(reqwest::redirect::Policy::limited(max_redirects))
        // phones use no proxy
        .no_proxy()
        // only HTTP/1.1 has upgrades
        .http1_only();
    let client = roots.iter().cloned().fold(client, reqwest::ClientBuilder::add_root_certificate);
    client.build().map_err(|error| Finding::Unreachable(format!("nothing can be asked from here: {error}")))
}

/// The page that voters see first. An error ends the check early.
async fn page(base: &str, roots: &[Certificate]) -> Result<Finding, Finding> {
    let response = client(MAX_REDIRECTS, roots)?.get(format!("{base}/")).send().await;
    let response = response.map_err(|error| no_response(base, &error))?;
    let (status, url) = (response.status(), response.url().to_string());
    let page = response.text().await.map_err(|error| no_response(base, &error))?;
    Ok(match status {
        StatusCode::OK if page.contains("Tallycast") => Finding::Good(format!("voters reach {url}")),
        StatusCode::OK => {
            Finding::Wrong(format!("{url} answers with a page that is not Tallycast's; check the load balancer"))
        }
        status => Finding::Wrong(format!("{url} answers {status}; check the load balancer")),
    })
}

/// A handshake as phones begin it. The connection is dropped when it is answered. An error ends the check early.
async fn socket(base: &str, roots: &[Certificate]) -> Result<Finding, Finding> {
    let request = client(0, roots)?
        .get(format!("{base}/ws"))
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_VERSION, "13")
        .header(SEC_WEBSOCKET_KEY, HANDSHAKE_KEY);
    Ok(match request.send().await.map_err(|error| no_response(base, &error))?.status() {
        StatusCode::SWITCHING_PROTOCOLS => Finding::Good(format!("{base}/ws opens")),
        StatusCode::SERVICE_UNAVAILABLE => Finding::Wrong(format!("{base}/ws is full, or its server is being stopped")),
        status => Finding::Wrong(format!(
            "{base}/ws answers {status} and opens no socket; every proxy on the way must let upgrades through"
        )),
    })
}

fn no_response(base: &str, error: &reqwest::Error) -> Finding {
    let mut cause: &dyn std::error::Error = error;
    let mut is_certificate = false;
    while let Some(deeper) = cause.source() {
        cause = deeper;
        is_certificate |= cause.to_string().contains("certificate");
    }
    match error {
        _ if is_certificate => {
            Finding::Wrong(format!("the certificate of {base} is not trusted here, nor by phones: {cause}"))
        }
        // the name has no address, nothing listens there, or there is no route
        error if error.is_connect() => Finding::Unreachable(format!("{base} cannot be reached from here: {cause}")),
        error if error.is_timeout() => Finding::Wrong(format!("{base} did not answer within {} s", TIMEOUT.as_secs())),
        _ => Finding::Wrong(format!("{base} broke off: {cause}")),
    }
}
