//! The report for people who are not at this machine: put where others can read it, and told as a link.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use reqwest::{Client, Url};

use crate::misuse::misuse;

/// Tries of an upload. The same again replaces it.
const TRIES: u32 = 3;
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two tries.
const PAUSE: Duration = Duration::from_secs(1);

/// Where the report goes, and where it is read.
pub struct Publisher {
    http: Client,
    /// Takes a PUT. It may hold a signature or a password, so it is never said.
    upload: Option<Url>,
    link: Option<Url>,
}

impl Publisher {
    /// As asked for. An address that ends with `/` is a folder: the report's file name comes behind it. Empty ones are
    /// none, as in a Secret that lacks the key. Without a link of its own the report is read where it was put.
    ///
    /// # Errors
    /// One is no address, or is a link and nothing is written that it could lead to.
    pub fn wanted(
        http: &Client,
        upload: Option<&str>,
        report_url: Option<&str>,
        file: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let name = file.and_then(Path::file_name).and_then(|name| name.to_str());
        let name = name.map_or_else(made_up_name, str::to_owned);
        let upload = address("--upload", upload, &name)?;
        let link = address("--report-url", report_url, &name)?;
        if link.is_some() && upload.is_none() && file.is_none() {
            return Err(misuse(
                "--report-url is a link to the report; say with --html or --upload where the report goes",
            ));
        }
        let link = link.or_else(|| upload.clone().map(without_secrets));
        Ok(Self { http: http.clone(), upload, link })
    }

    /// Puts the report where it was asked for, and gives the link to it; none if none was asked for.
    ///
    /// # Errors
    /// Nobody takes it: says why, without the address.
    pub async fn publish(&self, page: &str) -> anyhow::Result<Option<&Url>> {
        if let Some(url) = &self.upload {
            self.put(url, page).await.context("the report could not be uploaded")?;
        }
        Ok(self.link.as_ref())
    }

    async fn put(&self, url: &Url, page: &str) -> anyhow::Result<()> {
        let mut tried = 1;
        loop {
            let put = self.http.put(url.clone()).timeout(PATIENCE).header("Content-Type", "text/html; charset=utf-8");
            let answer = put.body(page.to_owned()).send().await.and_then(reqwest::Response::error_for_status);
            let answer = answer.map(drop).map_err(reqwest::Error::without_url);
            if answer.is_ok() || tried == TRIES {
                return Ok(answer?);
            }
            tried += 1;
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn made_up_name() -> String {
    let now = humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string();
    format!("loadtest-{}.html", now.replace(':', ""))
}

fn address(option: &str, text: Option<&str>, name: &str) -> anyhow::Result<Option<Url>> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else { return Ok(None) };
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    // not said: it may hold a signature or a password
    let mut url = url.ok_or_else(|| misuse(format!("{option} is no address; write https://…")))?;
    if url.path().ends_with('/') {
        let path = format!("{}{name}", url.path());
        url.set_path(&path);
    }
    Ok(Some(url))
}

/// A link that others may see: without password, signature and fragment.
fn without_secrets(mut url: Url) -> Url {
    url.set_query(None);
    url.set_fragment(None);
    // a URL with a host takes both
    let _ = url.set_username("").and_then(|()| url.set_password(None));
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(upload: Option<&str>, link: Option<&str>, file: Option<&str>) -> (Option<String>, Option<String>) {
        let wanted = Publisher::wanted(&Client::new(), upload, link, file.map(Path::new)).unwrap();
        (wanted.upload.map(String::from), wanted.link.map(String::from))
    }

    #[test]
    fn a_link_tells_neither_password_nor_signature() {
        let (upload, link) = links(Some("https://me:pass@s3.example.org/b/r.html?X-Amz-Signature=abc#x"), None, None);
        assert!(upload.is_some_and(|url| url.contains("Signature=abc") && url.contains("me:pass")));
        assert_eq!(link.as_deref(), Some("https://s3.example.org/b/r.html"));
    }

    #[test]
    fn a_folder_takes_the_reports_own_name() {
        let (upload, link) = links(
            Some("https://in.example.org/put/?token=t"),
            Some("https://out.example.org/"),
            Some("/reports/pod-1.html"),
        );
        assert_eq!(upload.as_deref(), Some("https://in.example.org/put/pod-1.html?token=t"));
        assert_eq!(link.as_deref(), Some("https://out.example.org/pod-1.html"));
        let (upload, _) = links(Some("https://in.example.org/"), None, None);
        assert!(upload.is_some_and(|url| url.starts_with("https://in.example.org/loadtest-2")));
    }

    #[test]
    fn nothing_asked_for_is_nothing_told() {
        assert_eq!(links(Some(" "), Some(""), Some("r.html")), (None, None));
    }
}
