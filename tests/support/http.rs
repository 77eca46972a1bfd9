//! HTTP as a client of the API sees it: a status, headers, a JSON body.

use reqwest::header::HeaderMap;
use reqwest::{Client, Method, redirect};
use serde_json::Value;
use std::time::Duration;

#[derive(Clone)]
pub struct Http {
    client: Client,
}

/// An answer. `body` is null if the body is not JSON; `text` always has it as sent.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
    pub body: Value,
}

impl Http {
    pub fn new() -> Http {
        let client = Client::builder()
            .timeout(Duration::from_secs(20))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .build()
            .expect("an HTTP client");
        Http { client }
    }

    pub async fn get(&self, url: &str) -> reqwest::Result<Answer> {
        self.send(Method::GET, url, &[], None).await
    }

    /// Sends a request with these headers and, if given, this JSON body.
    pub async fn send(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> reqwest::Result<Answer> {
        let text = body.map(Value::to_string);
        let headers: Vec<(&str, &str)> = match text {
            Some(_) => headers.iter().copied().chain([("content-type", "application/json")]).collect(),
            None => headers.to_vec(),
        };
        self.send_bytes(method, url, &headers, text.unwrap_or_default().into_bytes()).await
    }

    /// Sends a request with exactly these headers and bytes.
    pub async fn send_bytes(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> reqwest::Result<Answer> {
        let mut request = self.client.request(method, url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !body.is_empty() {
            request = request.body(body);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(Answer { status, headers, text, body })
    }
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    /// The body of an answer that must be a success with this status.
    #[track_caller]
    pub fn expect(self, status: u16, what: &str) -> Value {
        assert_eq!(self.status, status, "{what}: {}", self.text);
        self.body
    }

    /// Checks a refusal: the status, the stable code, and that the body is a whole RFC 9457 problem.
    #[track_caller]
    pub fn expect_problem(self, status: u16, code: &str, what: &str) -> Value {
        assert_eq!((self.status, self.body["code"].as_str()), (status, Some(code)), "{what}: {}", self.text);
        let kind = self.header("content-type");
        assert!(kind.starts_with("application/problem+json"), "{what}: a problem of type {kind}");
        for member in ["type", "title", "detail"] {
            assert!(self.body[member].is_string(), "{what}: the problem lacks {member}: {}", self.text);
        }
        assert_eq!(self.body["status"], status, "{what}: the problem's own status: {}", self.text);
        self.body
    }
}
