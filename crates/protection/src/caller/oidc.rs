//! Logging in with the company's identity provider: OpenID Connect, authorization code with PKCE
//! (OpenID Connect Core 3.1, RFC 7636). What is believed of the provider's answers is decided here;
//! requests go through [`Outside`].

use super::Role;
use super::jwt::{self, ProviderKey, TokenError};
use crate::outside::{NoReply, Origin, Outside, Request, wiped};
use crate::records::RecordError;
use aws_lc_rs::{digest, rand};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use model::Timestamp;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Who the provider is and what its words mean here. Stands in the policy, so that nobody changes
/// it alone: entries of the form `KEY=VALUE`.
///
/// | entry | meaning |
/// |---|---|
/// | `issuer=URL` | the provider, as its tokens name it |
/// | `client_id=ID` | what it calls us |
/// | `name=CLAIM` | which claim is the account; `preferred_username` if absent, `email` only where verified |
/// | `roles=CLAIM` | which claim lists groups; `groups` if absent |
/// | `role:GROUP=ROLE` | what a group is here; may come several times |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OidcSettings {
    issuer: String,
    client_id: String,
    name_claim: String,
    roles_claim: String,
    roles: BTreeMap<String, Vec<Role>>,
}

/// Why settings of a provider are not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "[{0}] is no setting of an identity provider; there are issuer=URL (https), client_id=ID, \
     name=CLAIM, roles=CLAIM, role:GROUP=ROLE, and the first two are needed"
)]
pub struct OidcSettingsError(String);

impl OidcSettings {
    /// Reads the entries; `None` if there are none.
    ///
    /// # Errors
    /// If an entry is unknown, comes twice, or issuer or client are missing.
    pub fn parse<'a>(
        entries: impl IntoIterator<Item = &'a str>,
    ) -> Result<Option<OidcSettings>, OidcSettingsError> {
        let mut single: HashMap<&str, &str> = HashMap::new();
        let mut roles: BTreeMap<String, Vec<Role>> = BTreeMap::new();
        let mut is_empty = true;
        for entry in entries {
            is_empty = false;
            let wrong = || OidcSettingsError(entry.to_owned());
            let (key, value) =
                entry.split_once('=').filter(|(_, v)| !v.is_empty()).ok_or_else(wrong)?;
            // A group may have `=` in its name; a role has not.
            if let Some(mapping) = entry.strip_prefix("role:") {
                let (group, role) = mapping.rsplit_once('=').ok_or_else(wrong)?;
                let role = role.parse().map_err(|_| wrong())?;
                roles.entry(group.to_owned()).or_default().push(role);
                continue;
            }
            let is_known = ["issuer", "client_id", "name", "roles"].contains(&key);
            if !is_known || single.insert(key, value).is_some() {
                return Err(wrong());
            }
        }
        if is_empty {
            return Ok(None);
        }
        let missing = |key: &str| OidcSettingsError(format!("{key}="));
        let issuer = single.get("issuer").ok_or_else(|| missing("issuer"))?;
        if !Origin::of(issuer).is_some_and(|origin| origin.is_private()) {
            return Err(OidcSettingsError(format!("issuer={issuer}")));
        }
        Ok(Some(OidcSettings {
            issuer: (*issuer).to_owned(),
            client_id: (*single.get("client_id").ok_or_else(|| missing("client_id"))?).to_owned(),
            name_claim: (*single.get("name").unwrap_or(&"preferred_username")).to_owned(),
            roles_claim: (*single.get("roles").unwrap_or(&"groups")).to_owned(),
            roles,
        }))
    }

    /// The provider, as its tokens name it.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }
}

/// Who the provider says somebody is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) name: String,
    /// The provider's own name for the person, which never changes.
    pub(super) subject: String,
    /// What the groups are here; none: nobody to let in, and roles of before are gone.
    pub(super) roles: Vec<Role>,
}

/// Where a browser is to be sent.
#[derive(Debug)]
pub struct OidcBegun {
    /// The provider's page.
    pub url: String,
    /// Comes back with the answer, and must come from the same browser: keep it in a cookie.
    pub state: String,
}

/// Why a log-in with a provider came to nothing. For the log and, in general words, the browser.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OidcError {
    /// None is set up, or its settings are wrong.
    #[error("no identity provider is set up; set [oidc] in the policy")]
    NotSetUp,
    /// It could not be asked.
    #[error("the identity provider cannot be asked: {0}")]
    Unreachable(#[from] NoReply),
    /// It answered with something else.
    #[error("the identity provider's {what} cannot be used: {why}")]
    Answer {
        /// Of which of its answers.
        what: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The browser came back with something that we did not begin, too late, or twice.
    #[error("this log-in was not begun here, or took too long; begin again")]
    State,
    /// The token lacks a claim or has one that is not for us.
    #[error("the identity provider's token is not for us: its claim `{0}` is wrong or missing")]
    Claim(String),
    /// No account can have this name.
    #[error(
        "the identity provider's name for the person is no account name: 1 to 64 of a-z, 0-9, `.`, `_`, `-`, `@`"
    )]
    Name,
    /// Another person of the provider, or an account of our own, has this name.
    #[error("there is an account of this name that is not the provider's; ask an administrator")]
    OtherAccount,
    /// None of the groups is a role here.
    #[error("none of the person's groups is a role here")]
    NoRole,
    /// The account may not be used.
    #[error("the account is disabled; ask an administrator")]
    Disabled,
    /// The catalog failed.
    #[error(transparent)]
    Records(#[from] RecordError),
}

/// Log-ins under way with a provider, and what is known of it.
#[derive(Debug)]
pub(super) struct Oidc {
    outside: Arc<dyn Outside>,
    known: Mutex<Option<Known>>,
    /// By state.
    begun: Mutex<HashMap<String, Begun>>,
}

struct Begun {
    nonce: String,
    verifier: Zeroizing<String>,
    redirect: String,
    at: Timestamp,
}

impl std::fmt::Debug for Begun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Begun(…)")
    }
}

struct Known {
    issuer: String,
    endpoints: Endpoints,
    keys: Arc<Vec<ProviderKey>>,
    at: Timestamp,
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Known({}, {} keys)", self.issuer, self.keys.len())
    }
}

#[derive(Clone, Deserialize)]
struct Endpoints {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(deserialize_with = "wiped")]
    id_token: Zeroizing<String>,
}

/// A person takes this long at the provider at most.
const BEGUN_MS: i64 = 10 * 60_000;
const BEGUN_MAX: usize = 1000;
/// Keys and endpoints are asked for again after this long.
const KNOWN_MS: i64 = 60 * 60_000;
/// And after this long for a key that is not among them.
const KNOWN_MS_MIN: i64 = 10_000;
/// Clocks may be off by this much.
const SKEW_S: i64 = 60;
/// A token is for the log-in that asked for it, not for later.
const TOKEN_AGE_S_MAX: i64 = 10 * 60;

impl Oidc {
    pub(super) fn new(outside: Arc<dyn Outside>) -> Oidc {
        Oidc { outside, known: Mutex::default(), begun: Mutex::default() }
    }

    /// Sends somebody to the provider, who sends them back to `redirect`.
    pub(super) fn begin(
        &self,
        settings: &OidcSettings,
        redirect: &str,
        now: Timestamp,
    ) -> Result<OidcBegun, OidcError> {
        let (endpoints, _) = self.known(settings, now, KNOWN_MS)?;
        let (state, nonce) = (random(), random());
        let verifier = Zeroizing::new(random());
        let hash = digest::digest(&digest::SHA256, verifier.as_bytes());
        let parameters = [
            ("response_type", "code"),
            ("client_id", settings.client_id.as_str()),
            ("redirect_uri", redirect),
            ("scope", "openid profile email"),
            ("state", state.as_str()),
            ("nonce", nonce.as_str()),
            ("code_challenge", &URL_SAFE_NO_PAD.encode(hash)),
            ("code_challenge_method", "S256"),
        ];
        let joint = if endpoints.authorization_endpoint.contains('?') { '&' } else { '?' };
        let url = format!("{}{joint}{}", endpoints.authorization_endpoint, form(&parameters));
        let mut begun = self.begun.lock();
        begun.retain(|_, begun| is_within(begun.at, now, BEGUN_MS));
        if begun.len() >= BEGUN_MAX {
            let oldest = begun.iter().min_by_key(|(_, begun)| begun.at).map(|(state, _)| state);
            if let Some(oldest) = oldest.cloned() {
                begun.remove(&oldest);
            }
        }
        let redirect = redirect.to_owned();
        begun.insert(state.clone(), Begun { nonce, verifier, redirect, at: now });
        Ok(OidcBegun { url, state })
    }

    /// Who came back with this state and code.
    pub(super) fn finish(
        &self,
        settings: &OidcSettings,
        secret: Option<&str>,
        state: &str,
        code: &str,
        now: Timestamp,
    ) -> Result<Identity, OidcError> {
        // Taken out: it works once, whatever comes of it.
        let begun = self.begun.lock().remove(state).ok_or(OidcError::State)?;
        if !is_within(begun.at, now, BEGUN_MS) {
            return Err(OidcError::State);
        }
        let (endpoints, keys) = self.known(settings, now, KNOWN_MS)?;
        let token = self.token(settings, secret, &endpoints, &begun, code)?;
        let claims = match jwt::verified(&token, &keys) {
            Err(TokenError::UnknownKey) => {
                let (_, keys) = self.known(settings, now, KNOWN_MS_MIN)?;
                jwt::verified(&token, &keys)
            }
            verified => verified,
        };
        let claims = claims.map_err(|error| OidcError::Answer {
            what: "token",
            why: match error {
                TokenError::Unreadable => "it is no signed token",
                TokenError::UnknownKey => "none of its keys has signed it with RS256 or ES256",
                TokenError::Signature => "its signature is wrong",
            },
        })?;
        check_claims(settings, &claims, &begun.nonce, now)?;
        identity(settings, &claims)
    }

    /// What the provider publishes of itself, not older than `age_ms`.
    fn known(
        &self,
        settings: &OidcSettings,
        now: Timestamp,
        age_ms: i64,
    ) -> Result<(Endpoints, Arc<Vec<ProviderKey>>), OidcError> {
        // Held while the provider is asked: all others want the same answer.
        let mut known = self.known.lock();
        let is_current =
            |known: &&Known| known.issuer == settings.issuer && is_within(known.at, now, age_ms);
        if let Some(known) = known.as_ref().filter(is_current) {
            return Ok((known.endpoints.clone(), Arc::clone(&known.keys)));
        }
        let issuer = settings.issuer.trim_end_matches('/');
        let what = "discovery document";
        let found = self.get(&format!("{issuer}/.well-known/openid-configuration"), what)?;
        let endpoints: Endpoints = serde_json::from_slice(&found)
            .map_err(|_| OidcError::Answer { what, why: "a member is missing" })?;
        if endpoints.issuer != settings.issuer {
            return Err(OidcError::Answer { what, why: "it names another issuer" });
        }
        let all =
            [&endpoints.authorization_endpoint, &endpoints.token_endpoint, &endpoints.jwks_uri];
        if !all.iter().all(|url| Origin::of(url).is_some_and(|origin| origin.is_private())) {
            return Err(OidcError::Answer { what, why: "an endpoint is not https" });
        }
        let what = "key set";
        let keys = jwt::read_keys(&self.get(&endpoints.jwks_uri, what)?)
            .ok_or(OidcError::Answer { what, why: "it is no JSON Web Key Set" })?;
        let keys = Arc::new(keys);
        *known = Some(Known {
            issuer: settings.issuer.clone(),
            endpoints: endpoints.clone(),
            keys: Arc::clone(&keys),
            at: now,
        });
        Ok((endpoints, keys))
    }

    fn get(&self, url: &str, what: &'static str) -> Result<Zeroizing<Vec<u8>>, OidcError> {
        let reply = self.outside.send(&Request::get(url).with("accept", "application/json"))?;
        if reply.status != 200 {
            return Err(OidcError::Answer { what, why: "it is not there" });
        }
        Ok(reply.body)
    }

    fn token(
        &self,
        settings: &OidcSettings,
        secret: Option<&str>,
        endpoints: &Endpoints,
        begun: &Begun,
        code: &str,
    ) -> Result<Zeroizing<String>, OidcError> {
        let body = form(&[
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &begun.redirect),
            ("client_id", &settings.client_id),
            ("code_verifier", &begun.verifier),
        ]);
        let body = Zeroizing::new(body.into_bytes());
        let mut request = Request::post(endpoints.token_endpoint.clone(), body)
            .with("content-type", "application/x-www-form-urlencoded")
            .with("accept", "application/json");
        if let Some(secret) = secret {
            // RFC 6749, 2.3.1: both are form-encoded first.
            let pair =
                Zeroizing::new(format!("{}:{}", encoded(&settings.client_id), encoded(secret)));
            let header = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
            request = request.with("authorization", header.as_str());
        }
        let what = "answer to the code";
        let reply = self.outside.send(&request)?;
        if reply.status != 200 {
            return Err(OidcError::Answer {
                what,
                why: "it refused the code, or our client secret",
            });
        }
        let answer: TokenAnswer = serde_json::from_slice(&reply.body)
            .map_err(|_| OidcError::Answer { what, why: "it holds no id token" })?;
        Ok(answer.id_token)
    }
}

/// OpenID Connect Core, 3.1.3.7.
fn check_claims(
    settings: &OidcSettings,
    claims: &Value,
    nonce: &str,
    now: Timestamp,
) -> Result<(), OidcError> {
    let wrong = |claim: &str| Err(OidcError::Claim(claim.to_owned()));
    let text = |name: &str| claims[name].as_str();
    if text("iss") != Some(settings.issuer.as_str()) {
        return wrong("iss");
    }
    let client = settings.client_id.as_str();
    let azp_is_ours = claims["azp"].is_null() || text("azp") == Some(client);
    match &claims["aud"] {
        Value::String(audience) if audience == client => {}
        Value::Array(all) if all.iter().any(|one| one == client) => {
            // Among several it must say that it was made for us.
            if all.len() > 1 && text("azp") != Some(client) {
                return wrong("azp");
            }
        }
        _ => return wrong("aud"),
    }
    if !azp_is_ours {
        return wrong("azp");
    }
    let seconds = now.0.div_euclid(1000);
    let time = |name: &str| claims[name].as_f64().map(|time| time as i64);
    if time("exp").is_none_or(|until| seconds >= until.saturating_add(SKEW_S)) {
        return wrong("exp");
    }
    let made = time("iat").map(|made| seconds.saturating_sub(made));
    if !made.is_some_and(|age| (-SKEW_S..=TOKEN_AGE_S_MAX).contains(&age)) {
        return wrong("iat");
    }
    if time("nbf").is_some_and(|from| seconds.saturating_add(SKEW_S) < from) {
        return wrong("nbf");
    }
    if text("nonce") != Some(nonce) {
        return wrong("nonce");
    }
    Ok(())
}

fn identity(settings: &OidcSettings, claims: &Value) -> Result<Identity, OidcError> {
    let claim = |name: &str| {
        let text = claims[name].as_str().filter(|text| !text.is_empty());
        text.ok_or_else(|| OidcError::Claim(name.to_owned()))
    };
    // Whoever may choose the address at the provider would choose the account here.
    if settings.name_claim == "email" && claims["email_verified"] != Value::Bool(true) {
        return Err(OidcError::Claim("email_verified".to_owned()));
    }
    let name = claim(&settings.name_claim)?.to_ascii_lowercase();
    if !super::accounts::is_account_name(&name) {
        return Err(OidcError::Name);
    }
    let groups: Vec<&str> = match &claims[settings.roles_claim.as_str()] {
        Value::String(group) => vec![group],
        Value::Array(groups) => groups.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let mapped = groups.iter().filter_map(|group| settings.roles.get(*group));
    let mut roles: Vec<Role> = mapped.flatten().copied().collect();
    roles.sort();
    roles.dedup();
    Ok(Identity { name, subject: claim("sub")?.to_owned(), roles })
}

fn is_within(at: Timestamp, now: Timestamp, age_ms: i64) -> bool {
    (0..age_ms).contains(&now.0.saturating_sub(at.0))
}

/// 256 random bits.
fn random() -> String {
    let mut bytes = Zeroizing::new([0; 32]);
    rand::fill(bytes.as_mut_slice()).expect("the system gives random bytes");
    URL_SAFE_NO_PAD.encode(bytes.as_slice())
}

/// `application/x-www-form-urlencoded`.
fn form(parameters: &[(&str, &str)]) -> String {
    let pairs = parameters.iter().map(|(name, value)| format!("{name}={}", encoded(value)));
    pairs.collect::<Vec<_>>().join("&")
}

fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::jwt::signer::Signer;
    use super::*;
    use crate::outside::testing::{Heard, Loopback, PlainClient};
    use serde_json::json;

    /// A provider on loopback: gives what `claims` makes of the usual claims for any code.
    pub(crate) struct Provider {
        pub(crate) server: Loopback,
        shared: Arc<Mutex<Shared>>,
    }

    struct Shared {
        url: String,
        signer: Signer,
        published: Vec<Value>,
        nonce: String,
        challenge: String,
        change: Value,
        now: i64,
    }

    impl Provider {
        pub(crate) fn new(now: Timestamp) -> Provider {
            let signer = Signer::rsa("first");
            let shared = Arc::new(Mutex::new(Shared {
                url: String::new(),
                published: vec![signer.jwk()],
                signer,
                nonce: String::new(),
                challenge: String::new(),
                change: json!({}),
                now: now.0 / 1000,
            }));
            let of_server = Arc::clone(&shared);
            let server = Loopback::serve(move |heard| answer(&mut of_server.lock(), heard));
            shared.lock().url = server.url();
            Provider { server, shared }
        }

        pub(crate) fn entries(&self) -> Vec<String> {
            [
                &format!("issuer={}", self.server.url()),
                "client_id=clerestory",
                "role:data team=analyst",
                "role:cn=ops,dc=example=engineer",
            ]
            .map(str::to_owned)
            .to_vec()
        }

        pub(crate) fn settings(&self) -> OidcSettings {
            let entries = self.entries();
            OidcSettings::parse(entries.iter().map(String::as_str)).unwrap().unwrap()
        }

        /// What the browser does: goes to the page, and comes back with state and code.
        pub(crate) fn visit(&self, begun: &OidcBegun) {
            let parameter = |name: &str| {
                let (_, query) = begun.url.split_once('?').unwrap();
                let prefix = format!("{name}=");
                query.split('&').find_map(|pair| pair.strip_prefix(&prefix)).unwrap().to_owned()
            };
            let mut shared = self.shared.lock();
            shared.nonce = parameter("nonce");
            shared.challenge = parameter("code_challenge");
            assert_eq!(parameter("code_challenge_method"), "S256");
            assert_eq!(parameter("response_type"), "code");
        }

        /// Members that replace claims of the next tokens; null takes a claim away.
        pub(crate) fn change(&self, change: Value) {
            self.shared.lock().change = change;
        }

        fn rotate(&self, publish: bool) {
            let mut shared = self.shared.lock();
            shared.signer = Signer::ec("second");
            if publish {
                shared.published = vec![shared.signer.jwk()];
            }
        }
    }

    fn answer(shared: &mut Shared, heard: &Heard) -> (u16, String) {
        let url = &shared.url;
        match heard.path() {
            "/.well-known/openid-configuration" => {
                let document = json!({
                    "issuer": url,
                    "authorization_endpoint": format!("{url}/authorize"),
                    "token_endpoint": format!("{url}/token"),
                    "jwks_uri": format!("{url}/keys"),
                });
                (200, document.to_string())
            }
            "/keys" => (200, json!({ "keys": shared.published }).to_string()),
            "/token" => {
                let body = String::from_utf8(heard.body.clone()).unwrap();
                let part = |name: &str| {
                    let prefix = format!("{name}=");
                    body.split('&').find_map(|pair| pair.strip_prefix(&prefix)).unwrap_or("")
                };
                let hash = digest::digest(&digest::SHA256, part("code_verifier").as_bytes());
                let proves = URL_SAFE_NO_PAD.encode(hash) == shared.challenge;
                let secret = format!("Basic {}", STANDARD.encode("clerestory:the%20secret"));
                let is_us = heard.header("authorization") == Some(&secret);
                if !proves || !is_us || part("code") != "right" {
                    return (400, r#"{"error":"invalid_grant"}"#.to_owned());
                }
                let mut claims = json!({
                    "iss": url,
                    "aud": "clerestory",
                    "sub": "1234",
                    "exp": shared.now + 300,
                    "iat": shared.now,
                    "nonce": shared.nonce,
                    "preferred_username": "Ada",
                    "email": "ada@example.org",
                    "groups": ["data team", "football"],
                });
                for (name, value) in shared.change.as_object().unwrap() {
                    match value {
                        Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
                        value => claims[name] = value.clone(),
                    }
                }
                let token = shared.signer.sign(&claims);
                (200, json!({ "id_token": token, "token_type": "Bearer" }).to_string())
            }
            _ => (404, String::new()),
        }
    }

    const NOW: Timestamp = Timestamp(1_795_000_000_000);
    const SECRET: Option<&str> = Some("the secret");
    const REDIRECT: &str = "https://data.example.org/_ui/oidc/callback";

    fn oidc() -> Oidc {
        Oidc::new(Arc::new(PlainClient))
    }

    fn log_in(oidc: &Oidc, provider: &Provider, now: Timestamp) -> Result<Identity, OidcError> {
        let settings = provider.settings();
        let begun = oidc.begin(&settings, REDIRECT, now)?;
        provider.visit(&begun);
        oidc.finish(&settings, SECRET, &begun.state, "right", now)
    }

    #[test]
    fn the_provider_says_who_it_is() {
        let provider = Provider::new(NOW);
        let identity = log_in(&oidc(), &provider, NOW).unwrap();
        assert_eq!(
            identity,
            Identity { name: "ada".into(), subject: "1234".into(), roles: vec![Role::Analyst] }
        );
        provider
            .change(json!({ "groups": ["cn=ops,dc=example", "data team"], "aud": ["clerestory"] }));
        let identity = log_in(&oidc(), &provider, NOW).unwrap();
        assert_eq!(identity.roles, [Role::Analyst, Role::Engineer]);
    }

    #[test]
    fn every_wrong_claim_is_named() {
        let provider = Provider::new(NOW);
        let seconds = NOW.0 / 1000;
        for (change, expected) in [
            (json!({ "iss": "https://evil.example" }), "iss"),
            (json!({ "aud": "another" }), "aud"),
            (json!({ "aud": null }), "aud"),
            (json!({ "aud": ["clerestory", "another"] }), "azp"),
            (json!({ "azp": "another" }), "azp"),
            (json!({ "exp": seconds - 61 }), "exp"),
            (json!({ "exp": null }), "exp"),
            (json!({ "exp": "tomorrow" }), "exp"),
            (json!({ "iat": seconds + 61 }), "iat"),
            (json!({ "iat": seconds - 601 }), "iat"),
            (json!({ "nbf": seconds + 61 }), "nbf"),
            (json!({ "nonce": "another" }), "nonce"),
            (json!({ "nonce": null }), "nonce"),
            (json!({ "sub": null }), "sub"),
            (json!({ "preferred_username": null }), "preferred_username"),
        ] {
            provider.change(change.clone());
            let error = log_in(&oidc(), &provider, NOW).unwrap_err();
            assert!(
                matches!(&error, OidcError::Claim(claim) if claim == expected),
                "{change}: {error}"
            );
        }
        provider.change(json!({ "preferred_username": "Ada Lovelace" }));
        assert!(matches!(log_in(&oidc(), &provider, NOW), Err(OidcError::Name)));
        for change in [json!({ "groups": ["football"] }), json!({ "groups": null })] {
            provider.change(change);
            assert_eq!(log_in(&oidc(), &provider, NOW).unwrap().roles, []);
        }
    }

    #[test]
    fn an_address_is_a_name_only_where_the_provider_verified_it() {
        let provider = Provider::new(NOW);
        let mut entries = provider.entries();
        entries.push("name=email".to_owned());
        let settings = OidcSettings::parse(entries.iter().map(String::as_str)).unwrap().unwrap();
        let log_in = |change: Value| {
            provider.change(change);
            let oidc = oidc();
            let begun = oidc.begin(&settings, REDIRECT, NOW).unwrap();
            provider.visit(&begun);
            oidc.finish(&settings, SECRET, &begun.state, "right", NOW)
        };
        let error = log_in(json!({})).unwrap_err();
        assert!(matches!(&error, OidcError::Claim(claim) if claim == "email_verified"), "{error}");
        assert!(log_in(json!({ "email_verified": "true" })).is_err());
        assert_eq!(log_in(json!({ "email_verified": true })).unwrap().name, "ada@example.org");
    }

    #[test]
    fn a_log_in_counts_once_and_for_ten_minutes_in_the_browser_that_began_it() {
        let provider = Provider::new(NOW);
        let (oidc, settings) = (oidc(), provider.settings());
        let begun = oidc.begin(&settings, REDIRECT, NOW).unwrap();
        provider.visit(&begun);
        let finish = |state: &str, code: &str, now: Timestamp| {
            oidc.finish(&settings, SECRET, state, code, now)
        };
        let is_state = |outcome| matches!(outcome, Err(OidcError::State));
        assert!(is_state(finish("made up", "right", NOW)));
        let refused = finish(&begun.state, "wrong", NOW).unwrap_err();
        assert!(refused.to_string().contains("refused the code"), "{refused}");
        assert!(is_state(finish(&begun.state, "right", NOW)), "used");
        let begun = oidc.begin(&settings, REDIRECT, NOW).unwrap();
        provider.visit(&begun);
        assert!(is_state(finish(&begun.state, "right", Timestamp(NOW.0 + BEGUN_MS))));
        // Another log-in's verifier does not fit the code of this one.
        let one = oidc.begin(&settings, REDIRECT, NOW).unwrap();
        let other = oidc.begin(&settings, REDIRECT, NOW).unwrap();
        provider.visit(&other);
        assert!(finish(&one.state, "right", NOW).is_err());
        for _ in 0..BEGUN_MAX + 50 {
            oidc.begin(&settings, REDIRECT, NOW).unwrap();
        }
        assert!(oidc.begun.lock().len() <= BEGUN_MAX);
    }

    #[test]
    fn new_keys_of_the_provider_are_found() {
        let provider = Provider::new(NOW);
        let oidc = oidc();
        log_in(&oidc, &provider, NOW).unwrap();
        provider.rotate(true);
        let soon = log_in(&oidc, &provider, NOW).unwrap_err();
        assert!(soon.to_string().contains("none of its keys"), "not asked again at once: {soon}");
        assert!(log_in(&oidc, &provider, Timestamp(NOW.0 + KNOWN_MS_MIN)).is_ok());
        let stranger = Provider::new(NOW);
        stranger.rotate(false);
        let oidc = Oidc::new(Arc::new(PlainClient));
        assert!(log_in(&oidc, &stranger, NOW).is_err(), "a key that is not published");
    }

    #[test]
    fn a_provider_that_is_not_there_or_not_itself_is_named() {
        let provider = Provider::new(NOW);
        let mut settings = provider.settings();
        let said = |settings: &OidcSettings| {
            oidc().begin(settings, REDIRECT, NOW).unwrap_err().to_string()
        };
        settings.issuer = "http://127.0.0.1:1".to_owned();
        assert!(said(&settings).contains("no answer from 127.0.0.1:1"));
        for (body, expected) in [
            ("<html>", "a member is missing"),
            (
                r#"{"issuer":"https://other","authorization_endpoint":"","token_endpoint":"","jwks_uri":""}"#,
                "another issuer",
            ),
        ] {
            let server = Loopback::serve(move |_| (200, body.to_owned()));
            settings.issuer = server.url();
            assert!(said(&settings).contains(expected), "{expected}");
        }
        let server = Loopback::serve(|_| (500, String::new()));
        settings.issuer = server.url();
        assert!(said(&settings).contains("it is not there"));
    }

    #[test]
    fn settings_are_read_and_wrong_ones_named() {
        let parse = |entries: &[&str]| OidcSettings::parse(entries.iter().copied());
        assert_eq!(parse(&[]), Ok(None));
        let (issuer, client) = ("issuer=https://id.example.org", "client_id=x");
        let settings = parse(&[issuer, client]).unwrap().unwrap();
        assert_eq!(settings.issuer(), "https://id.example.org");
        assert_eq!(settings.name_claim, "preferred_username");
        for wrong in [
            &[issuer][..],
            &[client],
            &["issuer=http://id.example.org", client],
            &["issuer=id.example.org", client],
            &[issuer, client, "client_id=y"],
            &[issuer, client, "role:x=king"],
            &[issuer, client, "role:x"],
            &[issuer, client, "verify=false"],
            &[issuer, client, "name="],
            &[issuer, client, "anything"],
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
