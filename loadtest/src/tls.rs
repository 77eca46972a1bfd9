//! TLS: trusted roots, the same for HTTP calls, WebSockets and every pool.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::console::usage_error;

/// Root certificates as PEM, besides those that browsers trust.
pub type Roots = Vec<String>;

/// Reads the files of `--ca`.
///
/// # Errors
/// A file cannot be read, or holds no certificate.
pub fn read_roots(files: &[PathBuf]) -> anyhow::Result<Roots> {
    let read = |file: &PathBuf| {
        let wrong = |why: String| {
            usage_error(format!("--ca {}: {why}; name a file with root certificates as PEM", file.display()))
        };
        let pem = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
        config(std::slice::from_ref(&pem)).map_err(|error| wrong(error.to_string()))?;
        Ok(pem)
    };
    files.iter().map(read).collect()
}

/// The configuration of every connection of this program.
///
/// # Errors
/// A root is not a valid certificate.
pub fn config(roots: &[String]) -> anyhow::Result<ClientConfig> {
    let mut trusted = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for pem in roots {
        let certificates: Vec<_> =
            CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().context("this is not PEM")?;
        if certificates.is_empty() {
            return Err(anyhow!("there is no certificate in it"));
        }
        for certificate in certificates {
            trusted.add(certificate).context("this is not a certificate")?;
        }
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(trusted)
        .with_no_client_auth();
    // every phone makes a full handshake; none resumes another's session
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Why the other side's certificate was refused, if that is what failed.
pub fn refusal(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(refused) = error.downcast_ref::<rustls::Error>() {
            return Some(refused.to_string());
        }
        // an io::Error's source is not the error that it wraps, but that error's source
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        cause = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_certificate_is_refused() {
        assert!(config(&[]).is_ok());
        let empty = config(&["nothing here".to_owned()]).unwrap_err();
        assert!(empty.to_string().contains("no certificate in it"), "{empty}");
        let nonsense = "-----BEGIN CERTIFICATE-----\nbm9uc2Vuc2U=\n-----END CERTIFICATE-----\n";
        assert!(config(&[nonsense.to_owned()]).is_err());
    }
}
