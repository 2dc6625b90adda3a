//! Who asks: from headers to what the engine's directory can check.

use crate::request::{Peer, Verb};
use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use engine::Caller;
use hyper::header::{AUTHORIZATION, COOKIE, HOST, HeaderName, HeaderValue, ORIGIN};
use hyper::{HeaderMap, Uri};

/// The cookie of a browser's session.
pub(crate) const SESSION_COOKIE: &str = "clerestory_session";

/// A second factor beside a Basic header.
const CODE: HeaderName = HeaderName::from_static("x-clerestory-code");

/// What the web UI sends along when its scripts change something.
const OWN_SCRIPT: HeaderName = HeaderName::from_static("x-clerestory-request");

/// Base64 as clients write it, with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What the answer is for, in the caller's words.
const PURPOSE: HeaderName = HeaderName::from_static("x-clerestory-purpose");
/// A longer one is cut: it stands in every audit record.
const PURPOSE_CHARS_MAX: usize = 200;

/// The caller with the purpose that the request states.
pub(crate) fn with_purpose(caller: Caller, headers: &HeaderMap) -> Caller {
    let stated = headers.get(PURPOSE).and_then(|value| std::str::from_utf8(value.as_bytes()).ok());
    match stated.map(str::trim).filter(|stated| !stated.is_empty()) {
        Some(stated) => {
            caller.for_purpose(&stated.chars().take(PURPOSE_CHARS_MAX).collect::<String>())
        }
        None => caller,
    }
}

/// Credentials as a request carries them. Not `Debug`: they are secrets.
pub(crate) enum Sent {
    /// Name and password.
    Basic {
        /// The account.
        name: String,
        /// The password.
        password: String,
        /// A code of an app, for accounts that have one.
        code: Option<String>,
    },
    /// An API key, as `Authorization: ApiKey` carries it.
    ApiKey(String),
    /// A bearer token.
    Bearer(String),
    /// The session cookie of a browser.
    Session(String),
}

impl Sent {
    /// Whether a browser sends these credentials by itself, also for a page of somebody else.
    pub(crate) fn comes_by_itself(&self) -> bool {
        matches!(self, Sent::Session(_))
    }
}

/// The credentials of a request. A header wins over the cookie; a header that cannot be read is
/// no credential, and neither are two.
pub(crate) fn sent(headers: &HeaderMap) -> Option<Sent> {
    let mut authorizations = headers.get_all(AUTHORIZATION).iter();
    match (authorizations.next(), authorizations.next()) {
        (Some(value), None) => match authorization(value)? {
            Sent::Basic { name, password, .. } => {
                let code = headers.get(CODE).and_then(|code| code.to_str().ok());
                Some(Sent::Basic { name, password, code: code.map(str::to_owned) })
            }
            other => Some(other),
        },
        (Some(_), Some(_)) => None,
        (None, _) => session(headers).map(Sent::Session),
    }
}

fn authorization(value: &HeaderValue) -> Option<Sent> {
    let (scheme, rest) = value.to_str().ok()?.trim().split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("basic") {
        let decoded = String::from_utf8(BASE64.decode(rest).ok()?).ok()?;
        let (name, password) = decoded.split_once(':')?;
        let (name, password) = (name.to_owned(), password.to_owned());
        return Some(Sent::Basic { name, password, code: None });
    }
    if scheme.eq_ignore_ascii_case("apikey") {
        return Some(Sent::ApiKey(rest.to_owned()));
    }
    scheme.eq_ignore_ascii_case("bearer").then(|| Sent::Bearer(rest.to_owned()))
}

/// The session token of the cookie.
pub(crate) fn session(headers: &HeaderMap) -> Option<String> {
    cookie(headers, SESSION_COOKIE)
}

/// The value of a cookie, if there is one that is not empty.
pub(crate) fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let mut cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let value = cookies.find_map(|line| {
        line.split(';').find_map(|pair| {
            let (key, value) = pair.trim().split_once('=')?;
            (key == name).then_some(value)
        })
    })?;
    (!value.is_empty()).then(|| value.to_owned())
}

/// The `Set-Cookie` that gives a browser its session. The token is made of cookie characters.
pub(crate) fn session_cookie(token: &str, peer: Peer) -> Option<HeaderValue> {
    let secure = if peer.secure { "; Secure" } else { "" };
    let text = format!("{SESSION_COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict{secure}");
    HeaderValue::from_str(&text).ok()
}

/// The `Set-Cookie` that takes the session away again.
pub(crate) fn no_session_cookie() -> HeaderValue {
    HeaderValue::from_static("clerestory_session=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0")
}

/// Whether a request with a session cookie can be trusted to come from our own pages: it only
/// reads, or says where it comes from, or carries a header that a foreign page cannot send.
pub(crate) fn is_from_our_pages(verb: Verb, headers: &HeaderMap) -> bool {
    matches!(verb, Verb::Get | Verb::Head)
        || origin(headers).unwrap_or_else(|| headers.contains_key(OWN_SCRIPT))
}

/// Whether a browser says that a request which changes something comes from a page of somebody
/// else.
pub(crate) fn is_from_foreign_pages(verb: Verb, headers: &HeaderMap) -> bool {
    !matches!(verb, Verb::Get | Verb::Head) && origin(headers) == Some(false)
}

/// Whether a browser says that a request comes from our pages; `None` if nothing is said.
fn origin(headers: &HeaderMap) -> Option<bool> {
    if let Some(origin) = headers.get(ORIGIN) {
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        let from = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
        return Some(from.is_some_and(|(_, from)| Some(from) == host));
    }
    headers.get("sec-fetch-site").map(|site| site == "same-origin")
}

/// HTTP/2 carries the host outside the headers; puts it where HTTP/1 has it.
pub(crate) fn keep_host(uri: &Uri, headers: &mut HeaderMap) {
    if let Some(authority) = uri.authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        headers.insert(HOST, host);
    }
}

/// Whether the request is a browser's that looks for a page.
pub(crate) fn looks_for_a_page(verb: Option<Verb>, path: &str, headers: &HeaderMap) -> bool {
    let is_ui = path == "/" || path == "/_ui" || path.starts_with("/_ui/");
    verb == Some(Verb::Get) && is_ui && crate::media::wants_page(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn read(lines: &[(&'static str, &'static str)]) -> String {
        match sent(&headers(lines)) {
            None => "nobody".to_owned(),
            Some(Sent::Basic { name, password, code }) => {
                format!("basic {name} {password}{}", code.unwrap_or_default())
            }
            Some(Sent::ApiKey(key)) => format!("key {key}"),
            Some(Sent::Bearer(token)) => format!("bearer {token}"),
            Some(Sent::Session(token)) => format!("session {token}"),
        }
    }

    #[test]
    fn credentials() {
        assert_eq!(read(&[]), "nobody");
        assert_eq!(read(&[("authorization", "Basic YWRhOnA6dw==")]), "basic ada p:w");
        assert_eq!(read(&[("authorization", "basic YWRhOnA6dw")]), "basic ada p:w");
        let with_code = [("authorization", "Basic YWRhOnA6dw=="), ("x-clerestory-code", "123456")];
        assert_eq!(read(&with_code), "basic ada p:w123456");
        assert_eq!(read(&[("authorization", "Basic ???")]), "nobody");
        assert_eq!(read(&[("authorization", "Basic YWRh")]), "nobody", "no colon");
        assert_eq!(read(&[("authorization", "ApiKey abc=")]), "key abc=");
        assert_eq!(read(&[("authorization", "Bearer t")]), "bearer t");
        assert_eq!(read(&[("authorization", "Digest t")]), "nobody");
        assert_eq!(read(&[("cookie", "a=b; clerestory_session=s1")]), "session s1");
        assert_eq!(read(&[("cookie", "clerestory_session=")]), "nobody");
        let both = [("authorization", "junk"), ("cookie", "clerestory_session=s1")];
        assert_eq!(read(&both), "nobody", "a header that cannot be read is not passed over");
        let twice = [("authorization", "ApiKey a"), ("authorization", "ApiKey b")];
        assert_eq!(read(&twice), "nobody");
    }

    #[test]
    fn foreign_pages_change_nothing() {
        let check =
            |verb, lines: &[(&'static str, &'static str)]| is_from_our_pages(verb, &headers(lines));
        assert!(check(Verb::Get, &[("origin", "https://evil.example")]));
        assert!(!check(Verb::Post, &[]));
        let host = ("host", "localhost:9200");
        assert!(check(Verb::Post, &[host, ("origin", "http://localhost:9200")]));
        assert!(!check(Verb::Post, &[host, ("origin", "http://localhost:9201")]));
        assert!(!check(Verb::Post, &[host, ("origin", "null")]));
        assert!(!check(Verb::Delete, &[("sec-fetch-site", "cross-site")]));
        assert!(check(Verb::Delete, &[("sec-fetch-site", "same-origin")]));
        assert!(check(Verb::Put, &[("x-clerestory-request", "1")]));

        let foreign = |lines: &[(&'static str, &'static str)]| {
            is_from_foreign_pages(Verb::Post, &headers(lines))
        };
        assert!(foreign(&[host, ("origin", "https://evil.example")]) && !foreign(&[host]));
    }
}
