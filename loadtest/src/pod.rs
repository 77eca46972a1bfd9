//! A pod of the server, as voters reach it: its address, its name, and whether connections are encrypted.

use std::net::SocketAddr;

use anyhow::Context;
use rustls::pki_types::ServerName;
use serde::{Deserialize, Serialize};
use tokio_rustls::TlsConnector;

/// The address in a URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// Name or IP address; an IPv6 address in brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// True for https.
    pub encrypted: bool,
}

/// A pod with a resolved address.
#[derive(Clone)]
pub struct Pod {
    /// Its IP address and port.
    pub address: SocketAddr,
    /// Value of the Host header.
    pub host: String,
    /// How to encrypt; `None`: plain HTTP.
    pub encryption: Option<Encryption>,
}

/// How to encrypt a connection.
#[derive(Clone)]
pub struct Encryption {
    /// Knows the trusted roots.
    pub connector: TlsConnector,
    /// The name that the certificate must carry.
    pub name: ServerName<'static>,
}

impl Address {
    /// From a URL; `None` if it has no host, or another scheme than http and https.
    pub fn of(url: &reqwest::Url) -> Option<Self> {
        let encrypted = match url.scheme() {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        Some(Self { host: url.host_str()?.to_owned(), port: url.port_or_known_default()?, encrypted })
    }

    /// Resolves the address.
    ///
    /// # Errors
    /// It cannot be resolved, or a certificate cannot carry this name.
    pub async fn resolve(&self, connector: &TlsConnector) -> anyhow::Result<Pod> {
        let host = format!("{}:{}", self.host, self.port);
        let found = tokio::net::lookup_host(&host).await.map(|mut found| found.next());
        let address = found.with_context(|| format!("{host} cannot be resolved"))?;
        let address = address.with_context(|| format!("{host} has no address"))?;
        let encryption = match self.encrypted {
            false => None,
            true => {
                let name = self.host.trim_matches(['[', ']']).to_owned();
                let name = ServerName::try_from(name)
                    .with_context(|| format!("{host} is not a valid name for a certificate"))?;
                Some(Encryption { connector: connector.clone(), name })
            }
        };
        Ok(Pod { address, host, encryption })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_from_a_url() {
        let of = |url| Address::of(&reqwest::Url::parse(url).unwrap());
        let address = |host: &str, port, encrypted| Some(Address { host: host.to_owned(), port, encrypted });
        assert_eq!(of("http://10.0.0.5:8080"), address("10.0.0.5", 8080, false));
        assert_eq!(of("https://vote.example.org/"), address("vote.example.org", 443, true));
        assert_eq!(of("https://[::1]:8443"), address("[::1]", 8443, true));
        assert_eq!(of("ftp://vote.example.org"), None);
    }

    #[tokio::test]
    async fn a_certificate_may_carry_a_name_or_an_address() {
        let connector = TlsConnector::from(std::sync::Arc::new(crate::tls::config(&[]).unwrap()));
        let pod = Address { host: "[::1]".to_owned(), port: 8443, encrypted: true }.resolve(&connector).await.unwrap();
        let name = pod.encryption.unwrap().name;
        assert!(matches!(name, ServerName::IpAddress(_)), "{name:?}");
        assert_eq!(pod.host, "[::1]:8443");
    }
}
