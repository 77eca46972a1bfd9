//! Calls to a server, and the error texts when one fails.

use std::error::Error as _;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use reqwest::{Certificate, Method, RequestBuilder, Response, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::arguments::Connection;

/// For a server to accept the connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For the next bytes of a response. Exports and imports of the largest rooms take minutes before the first ones.
const READ_TIMEOUT: Duration = Duration::from_secs(300);
/// For a response of a server that is starting, and between two requests to it.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
const PROBE_INTERVAL: Duration = Duration::from_millis(100);
/// Where `serve` keeps the key that it generates.
const OWN_KEY: &str = "data/emcee.key";

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The server refused it.
    #[error("{detail}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The stable code of the problem document; empty if there was none.
        code: String,
        /// A sentence for people.
        detail: String,
    },
    /// There is no response, or it is not Tallycast's. The sentence says what to do.
    #[error("{0}")]
    NoAnswer(String),
}

impl CallError {
    /// The stable code of a refusal; empty for anything else.
    pub fn code(&self) -> &str {
        match self {
            Self::Refused { code, .. } => code,
            Self::NoAnswer(_) => "",
        }
    }
}

/// The result of a call.
pub type CallResult<T> = Result<T, CallError>;

/// Calls a server on behalf of the emcee.
pub struct Client {
    http: reqwest::Client,
    base: Url,
    key: Option<SecretString>,
}

impl Client {
    /// A client for the server that the arguments name. It waits for that server if they say so.
    ///
    /// # Errors
    /// The address is not valid, or a file cannot be read.
    pub async fn new(connection: &Connection) -> anyhow::Result<Self> {
        let base = base_url(&connection.url)?;
        let roots = roots(connection)?;
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("tallycast/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            // the key must go only to the server that was named
            .redirect(reqwest::redirect::Policy::none());
        if is_this_machine(&base) {
            http = http.no_proxy();
        }
        let http = roots.into_iter().fold(http, reqwest::ClientBuilder::add_root_certificate).build()?;
        if let Some(timeout) = connection.wait {
            wait_for(&http, &base, timeout).await;
        }
        // an empty variable counts as not set; the file is read only now, since a server that is starting may create it
        let key = connection.key.as_ref().filter(|key| !key.expose_secret().is_empty());
        let file = connection.key_file.as_ref().filter(|file| !file.as_os_str().is_empty());
        let key = match (key, file) {
            (Some(key), _) => Some(key.clone()),
            (None, Some(file)) => Some(key_in(file).with_context(|| format!("the key file {}", file.display()))?),
            (None, None) if is_this_machine(&base) => key_in(Path::new(OWN_KEY)).ok(),
            (None, None) => None,
        };
        Ok(Self { http, base, key })
    }

    /// The URL of the server, without a slash at the end.
    pub fn base(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// A call. Each piece of `path` is one segment below `/api/v1`, not encoded.
    pub fn call(&self, method: Method, path: &[&str]) -> Call<'_> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        let mut request = self.http.request(method, url);
        if let Some(key) = &self.key {
            request = request.bearer_auth(key.expose_secret());
        }
        Call { client: self, request }
    }

    /// The error for a refusal.
    fn refusal(&self, status: StatusCode, text: &str) -> CallError {
        let document: Value = serde_json::from_str(text).unwrap_or_default();
        let code = document["code"].as_str().unwrap_or_default().to_owned();
        let base = self.base();
        let detail = match (code.as_str(), document["detail"].as_str()) {
            ("bad_key", _) if self.key.is_none() => no_key(base),
            ("no_key", _) => no_key(base),
            ("bad_key", _) => format!("{base} does not take this emcee key; {WHERE_THE_KEY_GOES}"),
            ("not_found", _) => format!(
                "{base} has no such call: it may be an audience pod, which takes none of the emcee's, or an older \
                 server; name another with --url or TALLYCAST_URL"
            ),
            (_, Some(detail)) if !code.is_empty() => detail.to_owned(),
            _ => format!("{base} answers {status}, and not as Tallycast does; check --url"),
        };
        CallError::Refused { status: status.as_u16(), code, detail }
    }

    /// The error for a redirect: none is followed.
    fn redirected(&self, answer: &Response) -> CallError {
        let to = answer.headers().get(reqwest::header::LOCATION).and_then(|to| to.to_str().ok());
        let to = to.and_then(|to| self.base.join(to).ok()).map(|to| to.origin().ascii_serialization());
        let to = to.unwrap_or_else(|| "another address".to_owned());
        CallError::NoAnswer(format!("{} leads on to {to}; name the address behind it with --url", self.base()))
    }

    /// The error for a call without a response.
    fn no_response(&self, error: &reqwest::Error) -> CallError {
        let base = self.base();
        let mut causes = vec![];
        let mut cause = error.source();
        while let Some(deeper) = cause {
            causes.push(deeper.to_string());
            cause = deeper.source();
        }
        let why = causes.last().cloned().unwrap_or_else(|| error.to_string());
        CallError::NoAnswer(match error {
            _ if causes.iter().any(|cause| cause.contains("certificate")) => {
                format!("the certificate of {base} is not trusted ({why}); name the root that signed it with --ca")
            }
            error if error.is_connect() => format!(
                "nothing answers at {base} ({why}); start a server with `tallycast`, or name another with --url or \
                 TALLYCAST_URL"
            ),
            error if error.is_timeout() => format!("{base} did not answer in time; try again"),
            _ => format!("{base} closed the connection ({why}); try again"),
        })
    }
}

/// A call that is being built.
pub struct Call<'c> {
    client: &'c Client,
    request: RequestBuilder,
}

impl Call<'_> {
    /// Adds a query parameter.
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.query(&[(name, value)]);
        self
    }

    /// Sets a JSON body.
    pub fn json(mut self, body: &Value) -> Self {
        self.request = self.request.json(body);
        self
    }

    /// Sets a body of this media type.
    pub fn bytes(mut self, kind: &'static str, body: Vec<u8>) -> Self {
        self.request = self.request.header(reqwest::header::CONTENT_TYPE, kind).body(body);
        self
    }

    /// Makes the call. The body of the response is not read yet.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn send(self) -> CallResult<Response> {
        let answer = self.request.send().await.map_err(|error| self.client.no_response(&error))?;
        match answer.status() {
            status if status.is_success() => Ok(answer),
            status if status.is_redirection() => Err(self.client.redirected(&answer)),
            status => Err(self.client.refusal(status, &answer.text().await.unwrap_or_default())),
        }
    }

    /// Makes the call and parses the JSON of the response.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn read<T: DeserializeOwned>(self) -> CallResult<T> {
        let client = self.client;
        let text = self.send().await?.text().await.map_err(|error| client.no_response(&error))?;
        serde_json::from_str(&text).map_err(|error| {
            CallError::NoAnswer(format!("{} does not answer as Tallycast does ({error}); check --url", client.base()))
        })
    }
}

/// For every error about the key.
const WHERE_THE_KEY_GOES: &str = "give the right one with --key-file, TALLYCAST__EMCEE__KEY or --key";

fn no_key(base: &str) -> String {
    format!("{base} asks for the emcee key; {WHERE_THE_KEY_GOES}")
}

/// The root certificates that the arguments add.
///
/// # Errors
/// The file cannot be read, or holds no certificate.
pub fn roots(connection: &Connection) -> anyhow::Result<Vec<Certificate>> {
    let Some(file) = &connection.ca else { return Ok(vec![]) };
    let named = || format!("the root certificate {}", file.display());
    let roots = Certificate::from_pem_bundle(&std::fs::read(file).with_context(named)?).with_context(named)?;
    anyhow::ensure!(!roots.is_empty(), "{} holds no certificate; it must be PEM", named());
    Ok(roots)
}

/// Waits until the server answers, at most for `timeout`. If it does not, the next call reports why. A server with its probes
/// on another port answers 404 here, which is an answer too.
async fn wait_for(http: &reqwest::Client, base: &Url, timeout: Duration) {
    let deadline = Instant::now() + timeout;
    let mut probe = base.clone();
    probe.set_path("/readyz");
    while Instant::now() < deadline {
        let answered = http.get(probe.clone()).timeout(PROBE_TIMEOUT).send().await;
        if answered.is_ok_and(|answer| !answer.status().is_server_error()) {
            return;
        }
        tokio::time::sleep(PROBE_INTERVAL).await;
    }
}

fn base_url(text: &str) -> anyhow::Result<Url> {
    let url = Url::parse(text).ok().filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host());
    url.with_context(|| format!("--url must be like http://127.0.0.1:8080 or https://vote.example.org, not {text}"))
}

fn key_in(file: &Path) -> anyhow::Result<SecretString> {
    let text = std::fs::read_to_string(file)?;
    anyhow::ensure!(!text.trim().is_empty(), "it is empty");
    Ok(text.trim().to_owned().into())
}

fn is_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_this_machine_is_for_servers_on_this_machine() {
        for here in ["http://127.0.0.1:8080", "http://localhost", "https://[::1]:8443/"] {
            assert!(is_this_machine(&base_url(here).unwrap()), "{here}");
        }
        for elsewhere in ["http://10.0.0.1:8080", "https://vote.example.org", "http://localhost.example.org"] {
            assert!(!is_this_machine(&base_url(elsewhere).unwrap()), "{elsewhere}");
        }
    }

    #[test]
    fn an_invalid_address_is_refused() {
        for text in ["", "vote.example.org", "127.0.0.1:8080", "ftp://x", "http://"] {
            assert!(base_url(text).is_err(), "{text:?}");
        }
    }
}
