//! Requests to a cluster, and what its refusals mean.

use super::ElasticsearchLogin;
use crate::SourceError;
use crate::tls::Trust;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use ureq::Agent;
use ureq::tls::{PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};
use zeroize::Zeroizing;

/// The longest answer, in bytes; a page that is longer is asked for in parts.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// Speaks to one cluster.
#[derive(Clone)]
pub(super) struct Client {
    url: Arc<str>,
    authorization: Option<Arc<Zeroizing<String>>>,
    agent: Agent,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client(…)")
    }
}

/// What a cluster answered.
pub(super) enum Answer {
    /// As it was asked for.
    Good(Vec<u8>),
    /// It does not know the request, or the parameters of it.
    Unknown,
    /// More than is taken in one go.
    TooLong,
}

impl Client {
    pub(super) fn new(
        url: &str,
        login: Option<&ElasticsearchLogin>,
        trust: &Trust,
    ) -> Result<Client, SourceError> {
        let mut certificates = Vec::new();
        for item in parse_pem(trust.pem()).flatten() {
            if let PemItem::Certificate(certificate) = item {
                certificates.push(certificate);
            }
        }
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .root_certs(RootCerts::new_with_certs(&certificates))
            .unversioned_rustls_crypto_provider(Arc::new(
                rustls::crypto::aws_lc_rs::default_provider(),
            ))
            .build();
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .tls_config(tls)
            .timeout_connect(Some(Duration::from_secs(10)))
            .timeout_global(Some(Duration::from_secs(120)))
            .user_agent("clerestory")
            .build()
            .new_agent();
        let authorization = login.map(|login| {
            Arc::new(Zeroizing::new(match login {
                ElasticsearchLogin::Password { user, password } => {
                    let both = Zeroizing::new(format!("{user}:{}", password.as_str()));
                    format!("Basic {}", STANDARD.encode(both.as_bytes()))
                }
                ElasticsearchLogin::ApiKey(key) => format!("ApiKey {}", key.as_str()),
            }))
        });
        Ok(Client { url: url.into(), authorization, agent })
    }

    /// Asks for something; the answer has to be there.
    pub(super) fn get(&self, path: &str) -> Result<Value, SourceError> {
        match self.send("GET", path, None)? {
            Answer::Good(body) => parse(&body),
            Answer::Unknown => Err(SourceError::Refused(
                "the cluster does not know a request: it is too old, or no cluster".to_owned(),
            )),
            Answer::TooLong => Err(SourceError::Broken("an answer is too long".to_owned())),
        }
    }

    /// Asks for something that not every cluster knows.
    pub(super) fn get_if_known(&self, path: &str) -> Result<Option<Value>, SourceError> {
        match self.send("GET", path, None)? {
            Answer::Good(body) => parse(&body).map(Some),
            Answer::Unknown => Ok(None),
            Answer::TooLong => Err(SourceError::Broken("an answer is too long".to_owned())),
        }
    }

    /// Sends a request.
    pub(super) fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, SourceError> {
        let mut request =
            ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.url));
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization.as_str());
        }
        let sent = match body {
            None => request.body(()).map(|request| self.agent.run(request)),
            Some(body) => request
                .header("content-type", "application/json")
                .body(body.to_string())
                .map(|request| self.agent.run(request)),
        };
        let refused = |_| SourceError::Refused("the URL of the cluster is none".to_owned());
        let mut answer = sent.map_err(refused)?.map_err(|error| unreached(&error))?;
        match answer.status().as_u16() {
            200..=299 => {}
            401 | 403 => {
                return Err(SourceError::Refused(
                    "the cluster refuses the login: it needs `read` and `view_index_metadata`"
                        .to_owned(),
                ));
            }
            400 | 404 | 405 => return Ok(Answer::Unknown),
            429 | 502..=504 => {
                return Err(SourceError::Unreachable("the cluster is busy".to_owned()));
            }
            status => {
                return Err(SourceError::Unreachable(format!("the cluster answered {status}")));
            }
        }
        let read = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        match read {
            Ok(body) => Ok(Answer::Good(body)),
            Err(ureq::Error::BodyExceedsLimit(_)) => Ok(Answer::TooLong),
            Err(error) => Err(unreached(&error)),
        }
    }
}

fn unreached(error: &ureq::Error) -> SourceError {
    match error {
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) => {
            SourceError::Refused("the cluster shows a certificate that is not trusted".to_owned())
        }
        _ => SourceError::Unreachable("the cluster cannot be reached".to_owned()),
    }
}

fn parse(body: &[u8]) -> Result<Value, SourceError> {
    serde_json::from_slice(body)
        .map_err(|_| SourceError::Broken("the cluster's answer is no JSON".to_owned()))
}

/// A name as a part of a path.
pub(super) fn encoded(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => text.push(byte.into()),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}
