//! What somebody outside sees of a server: the voters' page, and a socket. A server looks so at itself for `GET /check`,
//! and the command line looks from where it runs.

use std::time::{Duration, Instant};

use reqwest::header::{CONNECTION, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use reqwest::{Certificate, Client, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// For one question, from the connection to the end of the answer.
pub const WITHIN: Duration = Duration::from_secs(3);
/// For the connection alone: one that does not come about is told from an answer that does not come.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// Most redirects between the public link and the page.
const REDIRECTS: usize = 5;
/// A key for a handshake that nobody goes on with (RFC 6455, 4.1: 16 bytes in base64).
const HANDSHAKE_KEY: &str = "dGFsbHljYXN0LWNoZWNrLQ==";

/// Where voters are told to go.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PublicLink {
    /// As in `https://vote.example.org`.
    pub url: String,
    /// True if `server.public_url` is not set, so that this is a guess.
    pub assumed: bool,
}

/// What a look has shown, as a sentence that says what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sight {
    /// It is as it should be.
    Well(String),
    /// It answers, and not as it should.
    Wrong(String),
    /// It cannot be reached from here, which says nothing of people elsewhere.
    Unseen(String),
}

/// One look.
#[derive(Debug)]
pub struct Look {
    /// `public_link` or `socket`.
    pub item: &'static str,
    /// What it has shown.
    pub sight: Sight,
    /// How long that took.
    pub took: Duration,
}

/// Looks at the page and the socket of a server, both at once, trusting these roots beside those that browsers know.
pub async fn look_at(link: &PublicLink, roots: &[Certificate]) -> [Look; 2] {
    let base = link.url.trim_end_matches('/');
    let (page, socket) = tokio::join!(timed(page(base, roots)), timed(socket(base, roots)));
    let look = |item, (sight, took)| Look { item, sight: either(sight), took };
    let mut page = look("public_link", page);
    let (Sight::Well(detail) | Sight::Wrong(detail) | Sight::Unseen(detail)) = &mut page.sight;
    if link.assumed {
        detail.push_str("; server.public_url is not set, so this address was assumed");
    }
    [page, look("socket", socket)]
}

/// A look that came to its end, or one that was given up.
type Looked = Result<Sight, Sight>;

fn either(looked: Looked) -> Sight {
    let (Ok(sight) | Err(sight)) = looked;
    sight
}

async fn timed<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let begun = Instant::now();
    let result = work.await;
    (result, begun.elapsed())
}

fn client(redirects: usize, roots: &[Certificate]) -> Result<Client, Sight> {
    let client = Client::builder()
        .timeout(WITHIN)
        .connect_timeout(CONNECT_WITHIN)
        .redirect(reqwest::redirect::Policy::limited(redirects))
        // phones go straight
        .no_proxy()
        // an upgrade is a thing of HTTP/1.1
        .http1_only();
    let client = roots.iter().cloned().fold(client, reqwest::ClientBuilder::add_root_certificate);
    client.build().map_err(|error| Sight::Unseen(format!("nothing can be asked from here: {error}")))
}

/// The page that voters would see first.
async fn page(base: &str, roots: &[Certificate]) -> Looked {
    let asked = client(REDIRECTS, roots)?.get(format!("{base}/")).send().await;
    let answer = asked.map_err(|error| unreached(base, &error))?;
    let (status, url) = (answer.status(), answer.url().to_string());
    let page = answer.text().await.map_err(|error| unreached(base, &error))?;
    Ok(match status {
        StatusCode::OK if page.contains("Tallycast") => Sight::Well(format!("voters reach {url}")),
        StatusCode::OK => {
            Sight::Wrong(format!("{url} answers with a page that is not Tallycast's; check the load balancer"))
        }
        status => Sight::Wrong(format!("{url} answers {status}; check the load balancer")),
    })
}

/// A handshake, as a phone would begin it; the connection is dropped as soon as it is answered.
async fn socket(base: &str, roots: &[Certificate]) -> Looked {
    let request = client(0, roots)?
        .get(format!("{base}/ws"))
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_VERSION, "13")
        .header(SEC_WEBSOCKET_KEY, HANDSHAKE_KEY);
    Ok(match request.send().await.map_err(|error| unreached(base, &error))?.status() {
        StatusCode::SWITCHING_PROTOCOLS => Sight::Well(format!("{base}/ws opens")),
        StatusCode::SERVICE_UNAVAILABLE => Sight::Wrong(format!("{base}/ws is full, or its server is being stopped")),
        status => Sight::Wrong(format!(
            "{base}/ws answers {status} and opens no socket; every proxy on the way must let upgrades through"
        )),
    })
}

fn unreached(base: &str, error: &reqwest::Error) -> Sight {
    let mut cause: &dyn std::error::Error = error;
    let mut is_certificate = false;
    while let Some(deeper) = cause.source() {
        cause = deeper;
        is_certificate |= cause.to_string().contains("certificate");
    }
    match error {
        _ if is_certificate => {
            Sight::Wrong(format!("the certificate of {base} is not trusted here, nor by phones: {cause}"))
        }
        // no address, nobody there, no way
        error if error.is_connect() => Sight::Unseen(format!("{base} cannot be reached from here: {cause}")),
        error if error.is_timeout() => Sight::Wrong(format!("{base} did not answer within {} s", WITHIN.as_secs())),
        _ => Sight::Wrong(format!("{base} broke off: {cause}")),
    }
}
