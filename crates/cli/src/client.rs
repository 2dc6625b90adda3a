use crate::arguments::Connection;
use crate::failure::{Doing, Failure, Result};
use crate::key_place::first_line;
use crate::outside::read_certificates;
use serde_json::Value;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use ureq::Agent;
use ureq::http::{Request, Response};
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};
use zeroize::Zeroizing;

/// The header of a second factor.
const CODE: &str = "x-clerestory-code";
/// Longest answer that is read into memory.
const ANSWER_BYTES_MAX: u64 = 1 << 30;
const CONNECT_WAIT: Duration = Duration::from_secs(10);
/// Questions have limits of their own on the server; this is for a server that hangs.
const ANSWER_WAIT: Duration = Duration::from_secs(600);

/// Speaks HTTP to a server, as any other client does.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    agent: Agent,
    base: String,
    authorization: Option<Secret>,
    /// What the answers are for.
    purpose: Option<String>,
}

/// An `Authorization` header: wiped when dropped, never printed.
#[derive(Clone)]
struct Secret(Zeroizing<String>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A body and what it is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Body<'a> {
    /// No body.
    Nothing,
    /// One JSON value.
    Json(&'a Value),
    /// JSON, one value a line.
    Lines(&'a [u8]),
    /// YAML.
    Yaml(&'a str),
}

/// What the server said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Client {
    /// A client for what was typed; asks for a password if `--login` wants one.
    pub(crate) fn connect(connection: &Connection) -> Result<Client> {
        let mut client = Client::anonymous(&connection.url, connection.ca.as_deref())?;
        let mut code = None;
        client.purpose.clone_from(&connection.purpose);
        client.authorization = match (&connection.api_key, &connection.login) {
            (Some(key), _) => Some(Secret(Zeroizing::new(format!("ApiKey {}", key.trim())))),
            (None, Some(name)) => {
                let password = match &connection.login_password_file {
                    Some(file) => first_line(file)?,
                    None => {
                        Zeroizing::new(rpassword::prompt_password(format!("Password of {name}: "))?)
                    }
                };
                code = connection.login_code.as_deref().map(typed_code).transpose()?;
                Some(Secret(basic(name, &password)))
            }
            (None, None) => {
                return Err(Failure::wrong_use(
                    "no identity: the server answers nobody without one",
                )
                .hint("set CLERESTORY_API_KEY, or give --login NAME"));
            }
        };
        match code {
            Some(code) => client.into_session(&code),
            None => Ok(client),
        }
    }

    /// A code counts once, so it is changed for a session.
    fn into_session(self, code: &str) -> Result<Client> {
        let url = format!("{}/_clerestory/session", self.base);
        let mut request = Request::builder().method("POST").uri(url).header(CODE, code);
        if let Some(Secret(authorization)) = &self.authorization {
            request = request.header("authorization", authorization.as_str());
        }
        let request = request.body(()).map_err(|error| Failure::wrong_use(error.to_string()))?;
        let answer = self.read(self.agent.run(request))?.success()?;
        let body: Value =
            serde_json::from_slice(&answer.body).doing(|| "the answer is no JSON".to_owned())?;
        let token = body["token"].as_str().unwrap_or("");
        let header = Zeroizing::new(format!("Bearer {token}"));
        Ok(Client { authorization: Some(Secret(header)), ..self })
    }

    /// A client that says nothing about who asks.
    pub(crate) fn anonymous(url: &str, ca: Option<&Path>) -> Result<Client> {
        let base = url.trim_end_matches('/');
        let roots = match (base.split_once("://"), ca) {
            (Some(("http", _)), _) => Vec::new(),
            (Some(("https", _)), Some(file)) => read_certificates(file)?,
            (Some(("https", _)), None) => {
                return Err(Failure::wrong_use("which certificate is to be trusted is not known")
                    .hint("set CLERESTORY_CA (or --ca) to the server's tls/certificate.pem"));
            }
            _ => {
                return Err(Failure::wrong_use(format!("`{url}` is no http or https address"))
                    .hint("CLERESTORY_URL=http://127.0.0.1:9200"));
            }
        };
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .root_certs(RootCerts::new_with_certs(&roots))
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
            .timeout_recv_response(Some(ANSWER_WAIT))
            .user_agent(concat!("clerestory/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Client {
            agent: config.new_agent(),
            base: base.to_owned(),
            authorization: None,
            purpose: None,
        })
    }

    /// The same server as somebody else.
    pub(crate) fn with_password(&self, name: &str, password: &str) -> Client {
        Client { authorization: Some(Secret(basic(name, password))), ..self.clone() }
    }

    /// The same server with an API key.
    pub(crate) fn with_key(&self, encoded: &str) -> Client {
        let header = Zeroizing::new(format!("ApiKey {encoded}"));
        Client { authorization: Some(Secret(header)), ..self.clone() }
    }

    /// Sends a request and gives the answer, whatever its status.
    pub(crate) fn send(&self, method: &str, path: &str, body: Body<'_>) -> Result<Answer> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        if let Some(Secret(authorization)) = &self.authorization {
            request = request.header("authorization", authorization.as_str());
        }
        if let Some(purpose) = &self.purpose {
            request = request.header("x-clerestory-purpose", purpose);
        }
        let unsent = |error: ureq::http::Error| Failure::wrong_use(error.to_string());
        let sent = match body {
            Body::Nothing => self.agent.run(request.body(()).map_err(unsent)?),
            Body::Json(value) => {
                let request = request.header("content-type", "application/json");
                self.agent.run(request.body(value.to_string()).map_err(unsent)?)
            }
            Body::Lines(bytes) => {
                let request = request.header("content-type", "application/x-ndjson");
                self.agent.run(request.body(bytes).map_err(unsent)?)
            }
            Body::Yaml(text) => {
                let request = request.header("content-type", "application/yaml");
                self.agent.run(request.body(text).map_err(unsent)?)
            }
        };
        self.read(sent)
    }

    fn read(&self, sent: std::result::Result<Response<ureq::Body>, ureq::Error>) -> Result<Answer> {
        let mut response = sent.map_err(|error| self.no_answer(&error))?;
        let status = response.status().as_u16();
        let body = response
            .body_mut()
            .with_config()
            .limit(ANSWER_BYTES_MAX)
            .read_to_vec()
            .map_err(|error| self.no_answer(&error))?;
        Ok(Answer { status, body })
    }

    fn no_answer(&self, error: &ureq::Error) -> Failure {
        let failure = Failure::new(format!("no answer from {}: {error}", self.base));
        match error {
            ureq::Error::Io(cause) if cause.kind() == io::ErrorKind::ConnectionRefused => {
                failure.hint("is the server running? `clerestory serve --dir D` starts it")
            }
            ureq::Error::Rustls(_) | ureq::Error::Tls(_) => {
                failure.hint("CLERESTORY_CA must be the server's tls/certificate.pem")
            }
            _ => failure,
        }
    }

    /// Sends a request and reads JSON; any status but 2xx is a failure with the server's reason.
    pub(crate) fn json(&self, method: &str, path: &str, body: Body<'_>) -> Result<Value> {
        let answer = self.send(method, path, body)?.success()?;
        serde_json::from_slice(&answer.body).doing(|| "the answer is no JSON".to_owned())
    }
}

impl Answer {
    /// The answer, if it is a good one; otherwise a failure with the server's reason.
    pub(crate) fn success(self) -> Result<Answer> {
        if (200..300).contains(&self.status) { Ok(self) } else { Err(self.failure()) }
    }

    fn failure(&self) -> Failure {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or(Value::Null);
        let reason = body["error"]["reason"].as_str().or_else(|| body["error"].as_str());
        let reason =
            reason.map_or_else(|| format!("status {}", self.status), crate::table::visible);
        let failure = Failure::new(reason);
        match self.status {
            401 => failure.hint(
                "check CLERESTORY_API_KEY; `clerestory key create NAME` makes a key. With --login \
                     and an app for codes: give --login-code",
            ),
            403 => {
                failure.hint("another role may do this; `clerestory user list` shows who has which")
            }
            429 => failure.hint("the server is busy; try again, or send less at once"),
            503 => failure.hint("nothing was released; look at the server's log, then try again"),
            _ => failure,
        }
    }
}

/// A path segment or query value, percent-encoded.
pub(crate) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b',' | b'*' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// The code itself, or what somebody types.
fn typed_code(code: &str) -> Result<Zeroizing<String>> {
    match code {
        "-" => Ok(Zeroizing::new(rpassword::prompt_password("Code of your app: ")?)),
        code => Ok(Zeroizing::new(code.to_owned())),
    }
}

fn basic(name: &str, password: &str) -> Zeroizing<String> {
    let plain = Zeroizing::new(format!("{name}:{password}"));
    Zeroizing::new(format!("Basic {}", base64(plain.as_bytes())))
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte))
            << (8 * (3 - group.len()));
        for place in 0..4 {
            if place <= group.len() {
                out.push(char::from(DIGITS[(bits >> (18 - 6 * place)) as usize & 63]));
            } else {
                out.push('=');
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_standard() {
        let pairs =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (plain, encoded) in pairs {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
    }

    #[test]
    fn paths_are_encoded() {
        assert_eq!(encoded("a b/ü"), "a%20b%2F%C3%BC");
        assert_eq!(encoded("logs-*,x.y_z"), "logs-*,x.y_z");
    }

    #[test]
    fn an_address_must_be_one() {
        for url in ["127.0.0.1:9200", "ftp://x", "https://127.0.0.1:9200"] {
            assert_eq!(Client::anonymous(url, None).unwrap_err().exit_code(), 2, "{url}");
        }
        assert!(Client::anonymous("http://127.0.0.1:9200/", None).is_ok());
    }

    #[test]
    fn the_servers_reason_is_told() {
        let body = br#"{"error":{"type":"x","reason":"no such index [a]"},"status":404}"#.to_vec();
        let failure = Answer { status: 404, body }.success().unwrap_err();
        assert_eq!(failure.message(), "no such index [a]");
        let failure = Answer { status: 500, body: b"<html>".to_vec() }.success().unwrap_err();
        assert_eq!(failure.message(), "status 500");
    }
}
