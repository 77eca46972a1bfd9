//! Posts to a chat: Slack-compatible incoming webhooks.

use std::time::Duration;

use anyhow::{Context, bail};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A chat's incoming webhook.
#[derive(Clone)]
pub struct Webhook {
    url: SecretString,
    client: reqwest::Client,
}

impl Webhook {
    /// The webhook at `url`, which is a secret.
    ///
    /// # Errors
    /// The TLS library cannot be set up.
    pub fn new(url: SecretString) -> anyhow::Result<Self> {
        // a redirect would send the message to an address that nobody has set
        let client = reqwest::Client::builder().timeout(TIMEOUT).redirect(reqwest::redirect::Policy::none()).build();
        Ok(Self { url, client: client.context("the webhook's client cannot be made")? })
    }

    /// Posts a message. `id` is sent as `Idempotency-Key` and stays the same over all attempts.
    ///
    /// # Errors
    /// No answer, or a status other than 2xx. The error never contains the URL.
    pub async fn post(&self, id: &str, text: &str) -> anyhow::Result<()> {
        let request = self.client.post(self.url.expose_secret()).header("Idempotency-Key", id);
        let answer = request.json(&json!({ "text": text })).send().await.map_err(reqwest::Error::without_url)?;
        if !answer.status().is_success() {
            bail!("the webhook answered {}", answer.status());
        }
        Ok(())
    }
}
