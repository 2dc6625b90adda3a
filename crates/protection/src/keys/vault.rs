//! HashiCorp Vault's transit engine (also OpenBao): the root key is encrypted and decrypted there,
//! under a key that never leaves it.
//!
//! API: <https://developer.hashicorp.com/vault/api-docs/secret/transit>. The token needs `update`
//! on `MOUNT/encrypt/KEY` and `MOUNT/decrypt/KEY`, and on `MOUNT/rewrap/KEY` for refreshing.

use super::KeyError;
use super::kms::{Kms, KmsKind, RootKey, root_from};
use crate::outside::{Origin, Outside, Request, wiped};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use std::fmt;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Longest wrapped key that is taken from a service or a ring file, in characters.
const WRAPPED_CHARS_MAX: usize = 16 * 1024;

/// A key of Vault's transit engine.
pub struct VaultTransit {
    outside: Arc<dyn Outside>,
    address: String,
    mount: String,
    key: String,
    token: Zeroizing<String>,
    namespace: Option<String>,
}

impl VaultTransit {
    /// The key `key` of the transit engine at `mount` (by default Vault calls it `transit`) of the
    /// Vault at `address`, asked with `token`.
    ///
    /// # Errors
    /// If the address is neither `https` nor on this machine, a name has characters that it cannot
    /// have, or the token is empty.
    pub fn new(
        outside: Arc<dyn Outside>,
        address: &str,
        mount: &str,
        key: &str,
        token: Zeroizing<String>,
        namespace: Option<String>,
    ) -> Result<VaultTransit, KeyError> {
        let wrong = |reason: &str| Err(KeyError::ServiceSettings(reason.to_owned()));
        match Origin::of(address) {
            Some(origin) if origin.is_private() => {}
            Some(_) => {
                return wrong(
                    "the token would be sent in the clear; set VAULT_ADDR to an https address",
                );
            }
            None => {
                return wrong("VAULT_ADDR is no address such as https://vault.example.org:8200");
            }
        }
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let is_name = |part: &str| {
            !part.is_empty() && part != "." && part != ".." && part.chars().all(is_plain)
        };
        if !mount.split('/').all(is_name) || !is_name(key) {
            return wrong("the key is named MOUNT/KEY, such as vault:transit/clerestory");
        }
        let is_header = |text: &str| text.chars().all(|c| c.is_ascii_graphic());
        if token.is_empty() || !is_header(&token) {
            return wrong("there is no token for Vault; set VAULT_TOKEN or VAULT_TOKEN_FILE");
        }
        if !namespace.as_deref().is_none_or(is_header) {
            return wrong("VAULT_NAMESPACE has characters that no namespace has");
        }
        Ok(VaultTransit {
            outside,
            address: address.trim_end_matches('/').to_owned(),
            mount: mount.to_owned(),
            key: key.to_owned(),
            token,
            namespace,
        })
    }

    fn ask<T: for<'a> Deserialize<'a>>(
        &self,
        operation: &str,
        doing: &'static str,
        member: &'static str,
        value: &str,
    ) -> Result<T, KeyError> {
        let VaultTransit { address, mount, key, .. } = self;
        // Written by hand, so that no copy of the key stays behind; the value needs no escapes.
        let body = Zeroizing::new(format!(r#"{{"{member}":"{value}"}}"#).into_bytes());
        let mut request = Request::post(format!("{address}/v1/{mount}/{operation}/{key}"), body)
            .with("content-type", "application/json")
            .with("x-vault-request", "true")
            .with("x-vault-token", self.token.as_str());
        if let Some(namespace) = &self.namespace {
            request = request.with("x-vault-namespace", namespace.as_str());
        }
        let failed = |reason: String| KeyError::Service { service: self.describe(), doing, reason };
        let reply = self.outside.send(&request).map_err(|error| failed(error.to_string()))?;
        if reply.status != 200 {
            return Err(failed(why(reply.status, &reply.body, mount, key)));
        }
        let read: Result<Answer<T>, _> = serde_json::from_slice(&reply.body);
        read.map(|answer| answer.data).map_err(|_| {
            failed("its answer is not what Vault answers; check VAULT_ADDR".to_owned())
        })
    }
}

/// What a refusal means, with what to do.
fn why(status: u16, body: &[u8], mount: &str, key: &str) -> String {
    let said = serde_json::from_slice::<Refusal>(body).unwrap_or_default().errors;
    let said = shown(&said.join("; "));
    match status {
        403 => format!(
            "403 ({said}); the token has expired, or lacks `update` on {mount}/encrypt/{key} and \
             {mount}/decrypt/{key}"
        ),
        404 => format!("404 ({said}); there is no transit engine at `{mount}`"),
        503 => format!("503 ({said}); Vault is sealed or in maintenance: unseal it"),
        _ => format!("{status} ({said})"),
    }
}

/// What a service said, cut to a line.
pub(super) fn shown(text: &str) -> String {
    const CHARS_MAX: usize = 200;
    let is_shown = |c: &char| !c.is_control();
    let line: String = text.chars().filter(is_shown).take(CHARS_MAX).collect();
    if line.is_empty() { "no reason given".to_owned() } else { line }
}

/// Refuses a wrapped key that no service writes.
pub(super) fn refuse_strange(wrapped: &str) -> Result<(), KeyError> {
    let is_plain = wrapped.chars().all(|c| c.is_ascii_alphanumeric() || ":+/=-_.".contains(c));
    let fits = is_plain && (1..=WRAPPED_CHARS_MAX).contains(&wrapped.len());
    if fits { Ok(()) } else { Err(KeyError::WrappedKey) }
}

#[derive(Deserialize)]
struct Answer<T> {
    data: T,
}

#[derive(Default, Deserialize)]
struct Refusal {
    #[serde(default)]
    errors: Vec<String>,
}

#[derive(Deserialize)]
struct Encrypted {
    ciphertext: String,
}

#[derive(Deserialize)]
struct Decrypted {
    #[serde(deserialize_with = "wiped")]
    plaintext: Zeroizing<String>,
}

impl Kms for VaultTransit {
    fn kind(&self) -> KmsKind {
        KmsKind::Vault
    }

    fn describe(&self) -> String {
        let place = Origin::of(&self.address).map_or_else(String::new, |origin| origin.authority);
        format!("Vault's transit key {}/{} at {place}", self.mount, self.key)
    }

    fn wrap(&self, root: &RootKey, _ring: &str) -> Result<String, KeyError> {
        let plain = Zeroizing::new(STANDARD.encode(root.as_slice()));
        let answer: Encrypted = self.ask("encrypt", "wrap", "plaintext", &plain)?;
        self.checked(answer.ciphertext, "wrap")
    }

    fn unwrap(&self, wrapped: &str, _ring: &str) -> Result<RootKey, KeyError> {
        refuse_strange(wrapped)?;
        let answer: Decrypted = self.ask("decrypt", "unwrap", "ciphertext", wrapped)?;
        let plain = STANDARD.decode(answer.plaintext.as_bytes()).ok().map(Zeroizing::new);
        plain.and_then(|plain| root_from(&plain)).ok_or(KeyError::WrappedKey)
    }

    fn refresh(&self, wrapped: &str) -> Result<Option<String>, KeyError> {
        refuse_strange(wrapped)?;
        let answer: Encrypted = self.ask("rewrap", "rewrap", "ciphertext", wrapped)?;
        self.checked(answer.ciphertext, "rewrap").map(Some)
    }
}

impl VaultTransit {
    /// A ciphertext as Vault writes it: `vault:v1:…`.
    fn checked(&self, ciphertext: String, doing: &'static str) -> Result<String, KeyError> {
        if refuse_strange(&ciphertext).is_ok() {
            return Ok(ciphertext);
        }
        let reason = "its answer is no ciphertext; check VAULT_ADDR".to_owned();
        Err(KeyError::Service { service: self.describe(), doing, reason })
    }
}

impl fmt::Debug for VaultTransit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::outside::testing::{Heard, Loopback, PlainClient};
    use parking_lot::Mutex;
    use serde_json::json;

    pub(crate) const TOKEN: &str = "hvs.the-token-of-the-test";

    /// A transit engine with one key, as far as its API shows: versions rise by `rotate`.
    #[derive(Clone, Default)]
    pub(crate) struct Transit {
        sealed: Arc<Mutex<Vec<String>>>,
        version: Arc<Mutex<usize>>,
    }

    impl Transit {
        pub(crate) fn serve(&self) -> Loopback {
            let transit = self.clone();
            Loopback::serve(move |heard| transit.answer(heard))
        }

        pub(crate) fn rotate(&self) {
            *self.version.lock() += 1;
        }

        fn answer(&self, heard: &Heard) -> (u16, String) {
            let refused =
                |status: u16, reason: &str| (status, json!({ "errors": [reason] }).to_string());
            let is_known = heard.header("x-vault-token") == Some(TOKEN)
                && heard.header("x-vault-request") == Some("true")
                && heard.header("x-vault-namespace") == Some("team");
            if !is_known {
                return refused(403, "permission denied");
            }
            if !heard.first.starts_with("POST ") {
                return refused(405, "unsupported operation");
            }
            let body = heard.json();
            let mut sealed = self.sealed.lock();
            let name = |number: usize| format!("vault:v{}:{number}", *self.version.lock() + 1);
            let number =
                |text: &str| text.rsplit(':').next().and_then(|text| text.parse::<usize>().ok());
            let known =
                body["ciphertext"].as_str().and_then(number).filter(|&at| at < sealed.len());
            let data = match (heard.path(), known) {
                ("/v1/transit/encrypt/node", _) => {
                    sealed.push(body["plaintext"].as_str().unwrap().to_owned());
                    json!({ "ciphertext": name(sealed.len() - 1), "key_version": 1 })
                }
                ("/v1/transit/decrypt/node", Some(at)) => json!({ "plaintext": sealed[at] }),
                ("/v1/transit/rewrap/node", Some(at)) => json!({ "ciphertext": name(at) }),
                ("/v1/transit/decrypt/node" | "/v1/transit/rewrap/node", None) => {
                    return refused(400, "invalid ciphertext: unable to decrypt");
                }
                (path, _) if path.starts_with("/v1/transit/") => {
                    return refused(400, "encryption key not found");
                }
                _ => return refused(404, "no handler for route"),
            };
            (200, json!({ "request_id": "1", "data": data }).to_string())
        }
    }

    pub(crate) fn vault(url: &str) -> VaultTransit {
        of(url, "transit", "node", TOKEN).unwrap()
    }

    fn of(url: &str, mount: &str, key: &str, token: &str) -> Result<VaultTransit, KeyError> {
        let token = Zeroizing::new(token.to_owned());
        VaultTransit::new(Arc::new(PlainClient), url, mount, key, token, Some("team".to_owned()))
    }

    #[test]
    fn the_root_key_goes_through_vault() {
        let transit = Transit::default();
        let server = transit.serve();
        let kms = vault(&server.url());
        let root = RootKey::new([9; 32]);
        let wrapped = kms.wrap(&root, "ring").unwrap();
        assert_eq!(wrapped, "vault:v1:0");
        assert_eq!(kms.unwrap(&wrapped, "ring").unwrap(), root);
        transit.rotate();
        let refreshed = kms.refresh(&wrapped).unwrap().unwrap();
        assert_eq!(refreshed, "vault:v2:0");
        assert_eq!(kms.unwrap(&refreshed, "ring").unwrap(), root);
    }

    #[test]
    fn every_refusal_says_what_to_do() {
        let transit = Transit::default();
        let server = transit.serve();
        let url = server.url();
        let root = RootKey::new([9; 32]);
        let said = |mount: &str, key: &str, token: &str| {
            of(&url, mount, key, token).unwrap().wrap(&root, "ring").unwrap_err().to_string()
        };
        let error = said("transit", "node", "hvs.old");
        assert!(error.contains("the token has expired, or lacks `update` on transit/encrypt/node"));
        assert!(!error.contains("hvs.old"), "{error}");
        assert!(said("transit", "other", TOKEN).contains("encryption key not found"));
        assert!(said("elsewhere", "node", TOKEN).contains("no transit engine at `elsewhere`"));
        let error = vault(&url).unwrap("vault:v1:77", "ring").unwrap_err().to_string();
        assert!(error.contains("did not unwrap the root key: 400 (invalid ciphertext"), "{error}");

        drop(server);
        let error = vault(&url).unwrap("vault:v1:0", "ring").unwrap_err().to_string();
        assert!(error.contains("no answer from 127.0.0.1"), "{error}");
        let sealed = Loopback::serve(|_| (503, r#"{"errors":["Vault is sealed"]}"#.to_owned()));
        let error = vault(&sealed.url()).wrap(&root, "ring").unwrap_err().to_string();
        assert!(error.contains("unseal it"), "{error}");
        for body in
            ["", "<html>", r#"{"data":{"ciphertext":""}}"#, r#"{"data":{"ciphertext":"a\nb"}}"#]
        {
            let strange = Loopback::serve(move |_| (200, body.to_owned()));
            let error = vault(&strange.url()).wrap(&root, "ring").unwrap_err().to_string();
            assert!(error.contains("check VAULT_ADDR"), "{error}");
        }
        let short = Loopback::serve(|_| (200, r#"{"data":{"plaintext":"AAAA"}}"#.to_owned()));
        let error = vault(&short.url()).unwrap("vault:v1:0", "ring");
        assert!(matches!(error, Err(KeyError::WrappedKey)));
    }

    #[test]
    fn wrong_settings_are_refused() {
        let said = |url, mount, key, token| of(url, mount, key, token).unwrap_err().to_string();
        let url = "https://vault.example.org:8200";
        assert!(said("http://vault.example.org", "transit", "node", TOKEN).contains("https"));
        assert!(said("vault.example.org", "transit", "node", TOKEN).contains("is no address"));
        assert!(said(url, "", "node", TOKEN).contains("MOUNT/KEY"));
        assert!(said(url, "..", "node", TOKEN).contains("MOUNT/KEY"));
        assert!(said(url, "transit", "no/de", TOKEN).contains("MOUNT/KEY"));
        assert!(said(url, "transit", "node", "").contains("VAULT_TOKEN"));
        assert!(said(url, "transit", "node", "a\nb").contains("VAULT_TOKEN"));
        let kms = of(url, "kv/transit", "node", TOKEN).unwrap();
        assert_eq!(
            format!("{kms:?}"),
            "Vault's transit key kv/transit/node at vault.example.org:8200"
        );
    }
}
