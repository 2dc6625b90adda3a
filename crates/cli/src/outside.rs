//! The only way out: requests to key services and identity providers, and notices, to whom somebody
//! named.

use crate::environment;
use crate::failure::{Failure, Result};
use crate::mail::Mailer;
use engine::outside::{Letter, NoReply, Outside, REPLY_BYTES_MAX, Reply, Request};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use ureq::Agent;
use ureq::tls::{PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};
use zeroize::Zeroizing;

const CONNECT_WAIT: Duration = Duration::from_secs(5);
const WHOLE_WAIT: Duration = Duration::from_secs(15);

/// Where systems keep the certificates that they trust.
const SYSTEM_CERTIFICATES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
];

/// Sends requests over HTTP and HTTPS, and letters. Trusts the certificates of one file, follows no redirect,
/// asks no proxy.
#[derive(Debug)]
pub(crate) struct HttpOutside {
    agent: Agent,
    mailer: Mailer,
}

impl HttpOutside {
    /// Trusts the certificates in `ca`; without it those of `SSL_CERT_FILE` or the system. Without
    /// any, no `https` answer is believed.
    pub(crate) fn trusting(ca: Option<&Path>) -> Result<HttpOutside> {
        let named = ca.map(Path::to_owned).or_else(environment::trusted_certificates);
        let certificates = match named {
            Some(file) => read_certificates(&file)?,
            None => system_certificates(),
        };
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .root_certs(RootCerts::new_with_certs(&certificates))
            .unversioned_rustls_crypto_provider(Arc::new(
                rustls::crypto::aws_lc_rs::default_provider(),
            ))
            .build();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .tls_config(tls)
            .timeout_connect(Some(CONNECT_WAIT))
            .timeout_global(Some(WHOLE_WAIT))
            .user_agent(concat!("clerestory/", env!("CARGO_PKG_VERSION")))
            .build();
        let trusted = certificates.iter().map(|certificate| certificate.der().to_vec()).collect();
        Ok(HttpOutside { agent: config.new_agent(), mailer: Mailer::trusting(trusted) })
    }
}

impl Outside for HttpOutside {
    fn send(&self, request: &Request) -> std::result::Result<Reply, NoReply> {
        let host = host_of(&request.url);
        let unsent =
            |error: &dyn std::fmt::Display| NoReply(format!("no answer from {host}: {error}"));
        let mut built = ureq::http::Request::builder().method(request.method).uri(&request.url);
        for (name, value) in &request.headers {
            built = built.header(*name, value.as_str());
        }
        let sent = match request.method {
            "GET" => built.body(()).map(|request| self.agent.run(request)),
            _ => built.body(request.body.as_slice()).map(|request| self.agent.run(request)),
        };
        let mut answer = sent.map_err(|error| unsent(&error))?.map_err(|error| unsent(&error))?;
        let status = answer.status().as_u16();
        let body = answer
            .body_mut()
            .with_config()
            .limit(REPLY_BYTES_MAX as u64)
            .read_to_vec()
            .map_err(|error| unsent(&error))?;
        Ok(Reply { status, body: Zeroizing::new(body) })
    }

    fn mail(&self, letter: &Letter) -> std::result::Result<(), NoReply> {
        self.mailer.send(letter)
    }
}

/// What may be said of an address: parameters can be secrets.
fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or("")
}

fn system_certificates() -> Vec<ureq::tls::Certificate<'static>> {
    let files = SYSTEM_CERTIFICATES.iter().map(PathBuf::from);
    files.into_iter().find_map(|file| read_certificates(&file).ok()).unwrap_or_default()
}

/// The certificates of a PEM file.
pub(crate) fn read_certificates(file: &Path) -> Result<Vec<ureq::tls::Certificate<'static>>> {
    use crate::failure::Doing;
    let bytes = std::fs::read(file).doing(|| format!("cannot read `{}`", file.display()))?;
    let mut certificates = Vec::new();
    for item in parse_pem(&bytes) {
        let item = item.doing(|| format!("`{}` is no PEM file", file.display()))?;
        if let PemItem::Certificate(certificate) = item {
            certificates.push(certificate);
        }
    }
    if certificates.is_empty() {
        return Err(Failure::wrong_use(format!("`{}` holds no certificate", file.display())));
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_there_is_said_without_the_parameters() {
        let outside = HttpOutside::trusting(None).unwrap();
        let error = outside.send(&Request::get("http://127.0.0.1:1/p?code=secret")).unwrap_err();
        assert!(error.0.starts_with("no answer from 127.0.0.1:1"), "{error}");
        assert!(!error.0.contains("secret"), "{error}");
        assert_eq!(host_of("https://vault.example.org:8200/v1/x?y"), "vault.example.org:8200");
    }
}
