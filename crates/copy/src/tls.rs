//! Which certificates of sources are trusted, and when a source may be spoken to without TLS.

use crate::SourceError;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::net::IpAddr;
use std::sync::Arc;

/// Where systems keep the certificates that they trust.
const SYSTEM_CERTIFICATES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
];

/// The authorities whose certificates a source may show.
#[derive(Clone, Debug)]
pub struct Trust {
    config: Arc<ClientConfig>,
    pem: Arc<[u8]>,
}

impl Trust {
    /// Trusts the certificates of a PEM text.
    ///
    /// # Errors
    /// If there is none in it.
    pub fn of_pem(pem: &[u8]) -> Result<Trust, SourceError> {
        let mut roots = RootCertStore::empty();
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem).flatten().collect();
        let (added, _) = roots.add_parsable_certificates(certificates);
        if added == 0 {
            let reason = "the file of trusted certificates holds none";
            return Err(SourceError::Refused(reason.to_owned()));
        }
        Trust::of_roots(roots, pem)
    }

    /// Trusts what the system trusts; nothing if it has no certificates.
    ///
    /// # Errors
    /// If TLS itself cannot be set up.
    pub fn of_system() -> Result<Trust, SourceError> {
        let pem = SYSTEM_CERTIFICATES.iter().find_map(|file| std::fs::read(file).ok());
        match pem {
            Some(pem) => Trust::of_pem(&pem),
            None => Trust::of_roots(RootCertStore::empty(), &[]),
        }
    }

    fn of_roots(roots: RootCertStore, pem: &[u8]) -> Result<Trust, SourceError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|_| SourceError::Broken("TLS cannot be set up".to_owned()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Trust { config: Arc::new(config), pem: pem.into() })
    }

    /// The certificates, for libraries that build their own settings.
    pub(crate) fn pem(&self) -> &[u8] {
        &self.pem
    }

    /// For rustls.
    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }
}

/// Refuses to speak to another machine without TLS: passwords and rows would be read on the way.
pub(crate) fn check_plain(host: &str) -> Result<(), SourceError> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()) {
        return Ok(());
    }
    Err(SourceError::Refused(format!("`{host}` is another machine: set `tls: true` for it")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_tls_only_this_machine_is_spoken_to() {
        for here in ["127.0.0.1", "localhost", "::1", "[::1]"] {
            assert!(check_plain(here).is_ok(), "{here}");
        }
        for elsewhere in ["10.0.0.1", "broker.example", "localhost.example", ""] {
            assert!(check_plain(elsewhere).is_err(), "{elsewhere}");
        }
    }

    #[test]
    fn a_file_without_certificates_is_refused() {
        assert!(matches!(Trust::of_pem(b"hello"), Err(SourceError::Refused(_))));
    }
}
