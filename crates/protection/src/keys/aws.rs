//! AWS's key management service: the root key is encrypted and decrypted there, under a key that
//! never leaves it.
//!
//! API: <https://docs.aws.amazon.com/kms/latest/APIReference/API_Encrypt.html>. The ring's id is
//! the encryption context, so that the service's own log says which ring was opened. Needed are
//! `kms:Encrypt` and `kms:Decrypt` on the key.

use super::KeyError;
use super::kms::{Kms, KmsKind, RootKey, root_from};
use super::sigv4::{AwsCredentials, Signed, amz_date};
use super::vault::{refuse_strange, shown};
use crate::outside::{Origin, Outside, Request, wiped};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::Clock;
use serde::Deserialize;
use std::fmt;
use std::sync::Arc;
use zeroize::Zeroizing;

/// A key of AWS KMS.
#[derive(Clone)]
pub struct AwsKms {
    outside: Arc<dyn Outside>,
    clock: Arc<dyn Clock>,
    endpoint: String,
    host: String,
    region: String,
    key: String,
    credentials: Arc<AwsCredentials>,
}

impl AwsKms {
    /// The key with this id, alias or ARN in `region`. `endpoint` stands for the service's own
    /// address: a VPC endpoint, or a server that speaks the same API.
    ///
    /// # Errors
    /// If the endpoint is neither `https` nor on this machine, or a name is not one.
    pub fn new(
        outside: Arc<dyn Outside>,
        clock: Arc<dyn Clock>,
        endpoint: Option<&str>,
        region: &str,
        key: &str,
        credentials: AwsCredentials,
    ) -> Result<AwsKms, KeyError> {
        let wrong = |reason: &str| Err(KeyError::ServiceSettings(reason.to_owned()));
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_/:".contains(c);
        if region.is_empty() || !region.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
            return wrong("which region the key is in is not known; set AWS_REGION");
        }
        if key.is_empty() || key.len() > 2048 || !key.chars().all(is_plain) {
            return wrong("the key is an id, `alias/…` or an ARN, such as aws:alias/clerestory");
        }
        let is_header = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic());
        let token = credentials.session_token.as_deref();
        if !is_header(&credentials.access_key_id)
            || credentials.secret_access_key.is_empty()
            || !token.is_none_or(|token| is_header(token))
        {
            return wrong(
                "there are no credentials for AWS; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            );
        }
        let endpoint =
            endpoint.map_or_else(|| format!("https://kms.{region}.amazonaws.com"), str::to_owned);
        let origin = Origin::of(&endpoint).filter(Origin::is_private);
        let Some(origin) = origin else {
            return wrong("AWS_ENDPOINT_URL_KMS must be an https address");
        };
        let scheme = if origin.is_https { "https" } else { "http" };
        Ok(AwsKms {
            outside,
            clock,
            endpoint: format!("{scheme}://{}/", origin.authority),
            host: origin.authority,
            region: region.to_owned(),
            key: key.to_owned(),
            credentials: Arc::new(credentials),
        })
    }

    fn ask<T: for<'a> Deserialize<'a>>(
        &self,
        operation: &str,
        doing: &'static str,
        member: &'static str,
        value: &str,
        ring: &str,
    ) -> Result<T, KeyError> {
        // Written by hand, so that no copy of the key stays behind; no value needs escapes.
        let body = Zeroizing::new(format!(
            r#"{{"KeyId":"{}","{member}":"{value}","EncryptionContext":{{"clerestory-keyring":"{ring}"}}}}"#,
            self.key
        ));
        let body = Zeroizing::new(body.as_bytes().to_vec());
        let now = self.clock.now();
        let (date, target) = (amz_date(now), format!("TrentService.{operation}"));
        let token = self.credentials.session_token.as_deref();
        let mut headers = vec![
            ("content-type", "application/x-amz-json-1.1"),
            ("host", self.host.as_str()),
            ("x-amz-date", date.as_str()),
            ("x-amz-target", target.as_str()),
        ];
        headers.extend(token.map(|token| ("x-amz-security-token", token.as_str())));
        let signed = Signed {
            method: "POST",
            path: "/",
            query: "",
            headers: &headers,
            body: &body,
            region: &self.region,
            service: "kms",
            at: now,
        };
        let authorization = signed.authorization(&self.credentials);
        let mut request = Request::post(self.endpoint.clone(), body.clone());
        // The client says `host` itself, from the address.
        for (name, value) in headers.into_iter().filter(|(name, _)| *name != "host") {
            request = request.with(name, value);
        }
        let request = request.with("authorization", authorization);
        let failed = |reason: String| KeyError::Service { service: self.describe(), doing, reason };
        let reply = self.outside.send(&request).map_err(|error| failed(error.to_string()))?;
        if reply.status != 200 {
            return Err(failed(why(reply.status, &reply.body)));
        }
        serde_json::from_slice(&reply.body).map_err(|_| {
            failed("its answer is not what KMS answers; check the endpoint".to_owned())
        })
    }
}

/// What a refusal means, with what to do.
fn why(status: u16, body: &[u8]) -> String {
    let refusal: Refusal = serde_json::from_slice(body).unwrap_or_default();
    let kind = refusal.kind.rsplit('#').next().unwrap_or("");
    let said = shown(&format!("{kind} {}", refusal.message));
    let hint = match kind {
        "NotFoundException" => "; there is no such key in this region",
        "AccessDeniedException" => "; allow kms:Encrypt and kms:Decrypt on the key",
        "DisabledException" | "KMSInvalidStateException" => {
            "; the key is disabled or waits for its deletion: enable it or cancel that"
        }
        "InvalidCiphertextException" | "IncorrectKeyException" => {
            "; the key ring is sealed by another key, or for another ring"
        }
        "ExpiredTokenException" | "UnrecognizedClientException" | "InvalidSignatureException" => {
            "; the credentials have expired or are wrong, or the clock is off"
        }
        _ => "",
    };
    format!("{status} ({said}){hint}")
}

#[derive(Default, Deserialize)]
struct Refusal {
    #[serde(rename = "__type", default)]
    kind: String,
    #[serde(default, alias = "Message")]
    message: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Encrypted {
    ciphertext_blob: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Decrypted {
    #[serde(deserialize_with = "wiped")]
    plaintext: Zeroizing<String>,
}

impl Kms for AwsKms {
    fn kind(&self) -> KmsKind {
        KmsKind::Aws
    }

    fn describe(&self) -> String {
        format!("AWS KMS key {} at {}", self.key, self.host)
    }

    fn wrap(&self, root: &RootKey, ring: &str) -> Result<String, KeyError> {
        let plain = Zeroizing::new(STANDARD.encode(root.as_slice()));
        let answer: Encrypted = self.ask("Encrypt", "wrap", "Plaintext", &plain, ring)?;
        if refuse_strange(&answer.ciphertext_blob).is_ok() {
            return Ok(answer.ciphertext_blob);
        }
        let reason = "its answer is no ciphertext; check the endpoint".to_owned();
        Err(KeyError::Service { service: self.describe(), doing: "wrap", reason })
    }

    fn unwrap(&self, wrapped: &str, ring: &str) -> Result<RootKey, KeyError> {
        refuse_strange(wrapped)?;
        let answer: Decrypted = self.ask("Decrypt", "unwrap", "CiphertextBlob", wrapped, ring)?;
        let plain = STANDARD.decode(answer.plaintext.as_bytes()).ok().map(Zeroizing::new);
        plain.and_then(|plain| root_from(&plain)).ok_or(KeyError::WrappedKey)
    }
}

impl fmt::Debug for AwsKms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outside::testing::{Heard, Loopback, PlainClient};
    use model::{ManualClock, Timestamp};
    use parking_lot::Mutex;
    use serde_json::{Value, json};

    const SECRET: &str = "the-secret-of-the-test";

    fn credentials(secret: &str) -> AwsCredentials {
        AwsCredentials {
            access_key_id: "AKIDTEST".to_owned(),
            secret_access_key: Zeroizing::new(secret.to_owned()),
            session_token: Some(Zeroizing::new("session".to_owned())),
        }
    }

    fn now() -> Timestamp {
        Timestamp::parse_rfc3339("2026-11-23T08:00:00Z").unwrap()
    }

    fn kms(url: &str, key: &str, secret: &str) -> AwsKms {
        let clock = Arc::new(ManualClock::at(now()));
        let outside = Arc::new(PlainClient);
        AwsKms::new(outside, clock, Some(url), "eu-central-1", key, credentials(secret)).unwrap()
    }

    /// A service with one key, `alias/node`, that checks every signature.
    fn serve() -> Loopback {
        let sealed = Mutex::new(Vec::<(String, Value)>::new());
        Loopback::serve(move |heard| answer(heard, &mut sealed.lock()))
    }

    fn refused(kind: &str) -> (u16, String) {
        (400, json!({ "__type": format!("com.amazonaws.kms#{kind}"), "message": "no" }).to_string())
    }

    fn answer(heard: &Heard, sealed: &mut Vec<(String, Value)>) -> (u16, String) {
        let names = ["content-type", "host", "x-amz-date", "x-amz-target", "x-amz-security-token"];
        let headers: Vec<(&str, &str)> =
            names.iter().map(|name| (*name, heard.header(name).unwrap_or(""))).collect();
        let signed = Signed {
            method: "POST",
            path: "/",
            query: "",
            headers: &headers,
            body: &heard.body,
            region: "eu-central-1",
            service: "kms",
            at: now(),
        };
        let expected = signed.authorization(&credentials(SECRET));
        if heard.header("authorization") != Some(expected.as_str()) {
            return refused("InvalidSignatureException");
        }
        let body = heard.json();
        if body["KeyId"] != "alias/node" {
            return refused("NotFoundException");
        }
        let context = body["EncryptionContext"].clone();
        match heard.header("x-amz-target") {
            Some("TrentService.Encrypt") => {
                sealed.push((body["Plaintext"].as_str().unwrap().to_owned(), context));
                let blob = STANDARD.encode(format!("blob {}", sealed.len() - 1));
                (200, json!({ "CiphertextBlob": blob, "KeyId": "arn" }).to_string())
            }
            Some("TrentService.Decrypt") => {
                let blob = body["CiphertextBlob"].as_str().unwrap_or("");
                let found = sealed.iter().enumerate().find(|(at, (_, bound))| {
                    STANDARD.encode(format!("blob {at}")) == blob && *bound == context
                });
                match found {
                    Some((_, (plain, _))) => {
                        (200, json!({ "Plaintext": plain, "KeyId": "arn" }).to_string())
                    }
                    None => refused("InvalidCiphertextException"),
                }
            }
            _ => refused("UnknownOperationException"),
        }
    }

    #[test]
    fn the_root_key_goes_through_kms_with_a_signature() {
        let server = serve();
        let kms = kms(&server.url(), "alias/node", SECRET);
        let root = RootKey::new([9; 32]);
        let wrapped = kms.wrap(&root, "ring").unwrap();
        assert_eq!(kms.unwrap(&wrapped, "ring").unwrap(), root);
        let error = kms.unwrap(&wrapped, "another ring").unwrap_err().to_string();
        assert!(error.contains("sealed by another key, or for another ring"), "{error}");
        assert!(kms.refresh(&wrapped).unwrap().is_none());
    }

    #[test]
    fn every_refusal_says_what_to_do() {
        let server = serve();
        let url = server.url();
        let root = RootKey::new([9; 32]);
        let said = |key: &str, secret: &str| {
            kms(&url, key, secret).wrap(&root, "ring").unwrap_err().to_string()
        };
        let error = said("alias/node", "another secret");
        assert!(error.contains("the credentials have expired or are wrong"), "{error}");
        assert!(!error.contains("another secret") && !error.contains(SECRET));
        assert!(said("alias/other", SECRET).contains("no such key in this region"));
        drop(server);
        assert!(said("alias/node", SECRET).contains("no answer from 127.0.0.1"));
        for (body, hint) in
            [("<html>", "check the endpoint"), (r#"{"CiphertextBlob":""}"#, "endpoint")]
        {
            let strange = Loopback::serve(move |_| (200, body.to_owned()));
            let error = kms(&strange.url(), "alias/node", SECRET).wrap(&root, "ring").unwrap_err();
            assert!(error.to_string().contains(hint), "{error}");
        }
    }

    #[test]
    fn wrong_settings_are_refused() {
        let said = |endpoint: Option<&str>, region: &str, key: &str, secret: &str| {
            let clock = Arc::new(ManualClock::at(now()));
            let credentials = credentials(secret);
            let made =
                AwsKms::new(Arc::new(PlainClient), clock, endpoint, region, key, credentials);
            made.map(|kms| format!("{kms:?}")).unwrap_or_else(|error| error.to_string())
        };
        assert_eq!(
            said(None, "eu-central-1", "alias/x", "s"),
            "AWS KMS key alias/x at kms.eu-central-1.amazonaws.com"
        );
        assert!(said(None, "", "alias/x", "s").contains("AWS_REGION"));
        assert!(said(None, "eu.evil.example/", "alias/x", "s").contains("AWS_REGION"));
        assert!(said(None, "eu-central-1", "a b", "s").contains("alias/"));
        assert!(said(None, "eu-central-1", "alias/x", "").contains("AWS_SECRET_ACCESS_KEY"));
        let plain = said(Some("http://kms.example.org"), "eu-central-1", "alias/x", "s");
        assert!(plain.contains("https"), "{plain}");
    }
}
