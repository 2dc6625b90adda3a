//! What leaves the process: requests to key services and identity providers, notices.
//!
//! This crate has no network. Whoever opens it hands in something that sends; what is sent, and
//! what is believed of the answer, is decided here.

#[cfg(test)]
pub(crate) mod testing;

use serde::{Deserialize, Deserializer};
use std::fmt;
use std::str::FromStr;
use zeroize::Zeroizing;

/// Longest answer that may be read, in bytes: what we ask for is a few kilobytes.
pub const REPLY_BYTES_MAX: usize = 1024 * 1024;

/// Sends requests to services outside. The only implementation with a network is the program's.
pub trait Outside: Send + Sync + fmt::Debug {
    /// Sends one request and reads the whole answer, whatever its status. Blocks for some seconds
    /// at most; follows no redirect; `https` only with a certificate that is trusted.
    ///
    /// # Errors
    /// If there is no answer, in words that name the host and hold no secret.
    fn send(&self, request: &Request) -> Result<Reply, NoReply>;

    /// Hands a letter to its mail server. Blocks for some seconds at most; speaks TLS as the server
    /// asks for it, only with a certificate that is trusted.
    ///
    /// # Errors
    /// If the server does not take it, in words that name the host and hold no secret.
    fn mail(&self, letter: &Letter) -> Result<(), NoReply> {
        Err(NoReply(format!("no way to {}: nothing here sends mail", letter.server.host)))
    }
}

/// A letter. `Debug` shows the server only.
pub struct Letter {
    /// Who takes it.
    pub server: MailServer,
    /// Of the server's user; wiped.
    pub password: Option<Zeroizing<String>>,
    /// One address.
    pub from: String,
    /// One address.
    pub to: String,
    /// `Message-ID` without brackets: equal ones are one letter.
    pub id: String,
    /// One line of ASCII.
    pub subject: String,
    /// Plain text.
    pub text: String,
}

impl fmt::Debug for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Letter({})", self.server.host)
    }
}

/// A server that takes letters. As text: `smtps://USER@HOST:PORT` (TLS from the start),
/// `starttls://…` (TLS before anything is said), `smtp://…` (in the clear: this machine only).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailServer {
    /// Its name, which its certificate has to bear.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Who logs in there; `None`: nobody.
    pub user: Option<String>,
    /// What is spoken.
    pub security: MailSecurity,
}

/// What is spoken with a mail server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailSecurity {
    /// TLS from the start.
    Tls,
    /// TLS before anything else is said.
    StartTls,
    /// In the clear, to this machine.
    Loopback,
}

impl FromStr for MailServer {
    type Err = NoReply;

    fn from_str(text: &str) -> Result<MailServer, NoReply> {
        let wrong = || NoReply("a mail server is smtps://USER@HOST or starttls://USER@HOST".into());
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let (security, port) = match scheme {
            "smtps" => (MailSecurity::Tls, 465),
            "starttls" => (MailSecurity::StartTls, 587),
            "smtp" => (MailSecurity::Loopback, 25),
            _ => return Err(wrong()),
        };
        let (user, place) = match rest.rsplit_once('@') {
            Some((user, place)) => (Some(user.to_owned()), place),
            None => (None, rest),
        };
        // The same bounds as those of an address on the web.
        let origin = Origin::of(&format!("http://{place}")).ok_or_else(wrong)?;
        let in_the_clear = security == MailSecurity::Loopback && !origin.is_private();
        if in_the_clear || origin.authority != place || user.as_deref() == Some("") {
            return Err(wrong());
        }
        let behind = origin.authority.rsplit(']').next().unwrap_or("");
        let port = match behind.rsplit_once(':') {
            Some((_, port)) => port.parse().map_err(|_| wrong())?,
            None => port,
        };
        Ok(MailServer { host: origin.host, port, user, security })
    }
}

/// A request to a service outside. `Debug` shows method and address only.
pub struct Request {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// The whole address.
    pub url: String,
    /// Names in lower case; values are wiped, because tokens are among them.
    pub headers: Vec<(&'static str, Zeroizing<String>)>,
    /// Wiped, because keys are in it.
    pub body: Zeroizing<Vec<u8>>,
}

impl Request {
    /// A request without headers and body.
    pub fn get(url: impl Into<String>) -> Request {
        Request {
            method: "GET",
            url: url.into(),
            headers: Vec::new(),
            body: Zeroizing::new(Vec::new()),
        }
    }

    /// A request with a body.
    pub fn post(url: impl Into<String>, body: Zeroizing<Vec<u8>>) -> Request {
        Request { method: "POST", url: url.into(), headers: Vec::new(), body }
    }

    /// The same request with one header more.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Request {
        self.headers.push((name, Zeroizing::new(value.into())));
        self
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.url.split('?').next().unwrap_or("");
        write!(f, "{} {place}", self.method)
    }
}

/// What a service answered.
pub struct Reply {
    /// The status.
    pub status: u16,
    /// At most [`REPLY_BYTES_MAX`] bytes.
    pub body: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reply({}, {} bytes)", self.status, self.body.len())
    }
}

/// A service did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoReply(pub String);

/// Reads a secret out of an answer, to be wiped: `#[serde(deserialize_with = "wiped")]`.
pub(crate) fn wiped<'de, D: Deserializer<'de>>(input: D) -> Result<Zeroizing<String>, D::Error> {
    String::deserialize(input).map(Zeroizing::new)
}

/// Scheme, host and port of an address: what may be shown of it and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// Host and port as they stand in the address.
    pub(crate) authority: String,
    /// Without brackets and port.
    pub(crate) host: String,
    pub(crate) is_https: bool,
}

impl Origin {
    /// Reads the origin of an `http` or `https` address without user information.
    pub(crate) fn of(url: &str) -> Option<Origin> {
        let (is_https, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return None,
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
        if authority.is_empty() || !authority.chars().all(is_plain) {
            return None;
        }
        let host = match authority.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or(""),
            None => authority.split(':').next().unwrap_or(""),
        };
        if host.is_empty() {
            return None;
        }
        Some(Origin { authority: authority.to_owned(), host: host.to_owned(), is_https })
    }

    /// Whether secrets may be sent there: encrypted, or not leaving this machine.
    pub(crate) fn is_private(&self) -> bool {
        let loops = self.host.parse().is_ok_and(|host: std::net::IpAddr| host.is_loopback());
        self.is_https || loops || self.host == "localhost"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_to_https_and_to_this_machine() {
        let private = |url: &str| Origin::of(url).map(|origin| origin.is_private());
        for (url, expected) in [
            ("https://vault.example.org:8200/v1", Some(true)),
            ("http://127.0.0.1:8200", Some(true)),
            ("http://[::1]:8200/x", Some(true)),
            ("http://localhost", Some(true)),
            ("http://vault.example.org", Some(false)),
            ("http://localhost.example.org", Some(false)),
            ("http://127.0.0.1@evil.example/", None),
            ("ftp://x", None),
            ("https://", None),
            ("https:///path", None),
        ] {
            assert_eq!(private(url), expected, "{url}");
        }
        assert_eq!(Origin::of("https://a.b:8/c?d").unwrap().authority, "a.b:8");
    }

    #[test]
    fn a_mail_server_has_a_name_a_port_and_a_language() {
        let read = |text: &str| text.parse::<MailServer>().map(|server| (server.host, server.port));
        assert_eq!(read("smtps://u@h.example"), Ok(("h.example".into(), 465)));
        assert_eq!(read("starttls://a@b@h.example:2525"), Ok(("h.example".into(), 2525)));
        assert_eq!(read("smtp://[::1]:1025"), Ok(("::1".into(), 1025)));
        for text in ["smtp://h.example", "smtps://", "imap://h", "h", "smtps://h/x", "smtps://@h"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let request = Request::post("https://h/p?code=secret", Zeroizing::new(b"secret".to_vec()))
            .with("authorization", "secret");
        assert_eq!(format!("{request:?}"), "POST https://h/p");
        let reply = Reply { status: 200, body: Zeroizing::new(b"secret".to_vec()) };
        assert_eq!(format!("{reply:?}"), "Reply(200, 6 bytes)");
    }
}
