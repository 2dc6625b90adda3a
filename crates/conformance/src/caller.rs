use serde_json::Value;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use ureq::http::Request;

/// Somebody who speaks to the server. Remembers everything it said, so that it can be searched for
/// values in the clear.
#[derive(Clone, Debug)]
pub struct Caller {
    agent: ureq::Agent,
    url: String,
    authorization: Option<String>,
    heard: Arc<Mutex<Vec<u8>>>,
}

/// What the server said.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers, in lower case.
    pub headers: Vec<(String, String)>,
    /// The body as it came.
    pub body: Vec<u8>,
    asked: String,
}

impl Caller {
    /// Nobody.
    pub fn anonymous(url: &str) -> Caller {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_global(Some(Duration::from_secs(300)))
            .build()
            .new_agent();
        Caller { agent, url: url.to_owned(), authorization: None, heard: Arc::default() }
    }

    /// A program with an API key, as `encoded`.
    pub fn with_key(url: &str, key: &str) -> Caller {
        Caller { authorization: Some(format!("ApiKey {key}")), ..Caller::anonymous(url) }
    }

    /// A person with a password.
    pub fn with_password(url: &str, name: &str, password: &str) -> Caller {
        let authorization =
            Some(format!("Basic {}", base64(format!("{name}:{password}").as_bytes())));
        Caller { authorization, ..Caller::anonymous(url) }
    }

    /// Any `Authorization` header.
    pub fn with_authorization(url: &str, header: &str) -> Caller {
        Caller { authorization: Some(header.to_owned()), ..Caller::anonymous(url) }
    }

    /// Where the server is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The API key, encoded.
    ///
    /// # Panics
    /// If this caller has none.
    pub fn api_key(&self) -> &str {
        let header = self.authorization.as_deref().unwrap_or("");
        header.strip_prefix("ApiKey ").expect("a caller with an API key")
    }

    /// Every byte of every body that this caller was given.
    pub fn heard(&self) -> Vec<u8> {
        self.heard.lock().expect("no thread panicked").clone()
    }

    /// Sends a request. `None`: the connection ended without an answer.
    pub fn try_send(&self, method: &str, path: &str, content: &str, body: &[u8]) -> Option<Answer> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        let sent = if body.is_empty() {
            self.agent.run(request.body(()).expect("a request"))
        } else {
            let request = request.header("content-type", content);
            self.agent.run(request.body(body).expect("a request"))
        };
        let mut response = sent.ok()?;
        let body = response.body_mut().with_config().limit(1 << 30).read_to_vec().ok()?;
        self.heard.lock().expect("no thread panicked").extend_from_slice(&body);
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| {
                (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
            })
            .collect();
        let asked = format!("{method} {path}");
        Some(Answer { status: response.status().as_u16(), headers, body, asked })
    }

    /// Sends a request.
    ///
    /// # Panics
    /// If there is no answer.
    #[track_caller]
    pub fn send(&self, method: &str, path: &str, content: &str, body: &[u8]) -> Answer {
        let answer = self.try_send(method, path, content, body);
        answer.unwrap_or_else(|| panic!("{method} {path}: no answer"))
    }

    /// `GET`.
    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "", &[])
    }

    /// `POST` of JSON.
    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, "application/json", body.to_string().as_bytes())
    }

    /// `PUT` of JSON.
    #[track_caller]
    pub fn put(&self, path: &str, body: &Value) -> Answer {
        self.send("PUT", path, "application/json", body.to_string().as_bytes())
    }

    /// `POST` of lines to `_bulk`.
    #[track_caller]
    pub fn bulk(&self, path: &str, body: &[u8]) -> Answer {
        self.send("POST", path, "application/x-ndjson", body)
    }
}

impl Answer {
    /// The body as JSON; the status must be `status`.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}: {}", self.asked, String::from_utf8_lossy(&self.body));
        self.json()
    }

    /// The body as JSON, whatever the status; null if there is none.
    #[track_caller]
    pub fn json(&self) -> Value {
        if self.body.is_empty() {
            return Value::Null;
        }
        let parsed = serde_json::from_slice(&self.body);
        parsed.unwrap_or_else(|error| {
            panic!("{}: no JSON ({error}): {}", self.asked, String::from_utf8_lossy(&self.body))
        })
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let padded = [group[0], *group.get(1).unwrap_or(&0), *group.get(2).unwrap_or(&0)];
        let bits = padded.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place)) as usize & 63];
            out.push(if place <= group.len() { char::from(digit) } else { '=' });
        }
    }
    out
}
