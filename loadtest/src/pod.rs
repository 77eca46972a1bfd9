//! A pod of the server, as voters reach it.

use std::net::SocketAddr;

use anyhow::Context;
use reqwest::Url;
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

/// See [module](self).
#[derive(Clone)]
pub struct Pod {
    /// Its IP address and port.
    pub address: SocketAddr,
    /// Value of the Host header.
    pub host: String,
    /// How to encrypt, and the name that the certificate must carry; `None`: plain HTTP.
    pub tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Pod {
    /// Resolves the pod at an http or https URL.
    ///
    /// # Errors
    /// It cannot be resolved, or a certificate cannot carry its name.
    pub async fn resolve(url: &str, connector: &TlsConnector) -> anyhow::Result<Self> {
        let url = Url::parse(url)?;
        let name = url.host_str().context("an address has a host")?;
        let host = format!("{name}:{}", url.port_or_known_default().context("an address has a port")?);
        let found = tokio::net::lookup_host(&host).await.map(|mut found| found.next());
        let address = found.with_context(|| format!("{host} cannot be resolved"))?;
        let address = address.with_context(|| format!("{host} has no address"))?;
        let mut tls = None;
        if url.scheme() == "https" {
            let name = ServerName::try_from(name.trim_matches(['[', ']']).to_owned());
            let name = name.with_context(|| format!("{host} is not a valid name for a certificate"))?;
            tls = Some((connector.clone(), name));
        }
        Ok(Self { address, host, tls })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pod_is_found_by_its_url() {
        let connector = TlsConnector::from(std::sync::Arc::new(crate::tls::config(&[]).unwrap()));
        let plain = Pod::resolve("http://127.0.0.1:8080/", &connector).await.unwrap();
        assert_eq!((plain.host.as_str(), plain.tls.is_none()), ("127.0.0.1:8080", true));
        let encrypted = Pod::resolve("https://[::1]", &connector).await.unwrap();
        let (_, name) = encrypted.tls.unwrap();
        assert!(matches!(name, ServerName::IpAddress(_)), "{name:?}");
        assert_eq!((encrypted.host.as_str(), encrypted.address.port()), ("[::1]:443", 443));
    }
}
