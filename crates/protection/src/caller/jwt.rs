//! Signed tokens of an identity provider: JWS (RFC 7515) with RS256 and ES256, keys as JWK
//! (RFC 7517). The kind of signature follows from the key, never from the token alone.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;

/// Longer than any token that is taken, in bytes.
const TOKEN_BYTES_MAX: usize = 64 * 1024;

/// A key of a provider.
pub(super) struct ProviderKey {
    id: Option<String>,
    key: Material,
}

enum Material {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// Uncompressed point.
    P256(Vec<u8>),
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Jwk>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// The signing keys of a key set; keys of kinds that are not known are passed over.
pub(super) fn read_keys(bytes: &[u8]) -> Option<Vec<ProviderKey>> {
    let set: KeySet = serde_json::from_slice(bytes).ok()?;
    Some(set.keys.iter().take(100).filter_map(read_key).collect())
}

fn read_key(jwk: &Jwk) -> Option<ProviderKey> {
    if jwk.usage.as_deref().is_some_and(|usage| usage != "sig") {
        return None;
    }
    let part = |text: &Option<String>| URL_SAFE_NO_PAD.decode(text.as_deref()?).ok();
    let is_for = |algorithm: &str| jwk.alg.as_deref().is_none_or(|alg| alg == algorithm);
    let key = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", _) if is_for("RS256") => Material::Rsa { n: part(&jwk.n)?, e: part(&jwk.e)? },
        ("EC", Some("P-256")) if is_for("ES256") => {
            let (x, y) = (part(&jwk.x)?, part(&jwk.y)?);
            if x.len() != 32 || y.len() != 32 {
                return None;
            }
            Material::P256([&[4][..], &x, &y].concat())
        }
        _ => return None,
    };
    Some(ProviderKey { id: jwk.kid.clone(), key })
}

/// Why a token was not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenError {
    /// Not a signed token.
    Unreadable,
    /// Signed by a key that the provider does not publish (any more, or not yet).
    UnknownKey,
    /// The signature is not by that key.
    Signature,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// Extensions that must be understood; none is.
    crit: Option<Value>,
}

/// The claims of a token whose signature is by one of the keys.
pub(super) fn verified(token: &str, keys: &[ProviderKey]) -> Result<Value, TokenError> {
    let mut parts = token.split('.');
    let (Some(head), Some(claims), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(TokenError::Unreadable);
    };
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenError::Unreadable);
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenError::Unreadable);
    }
    let header: Header =
        serde_json::from_slice(&decode(head)?).map_err(|_| TokenError::Unreadable)?;
    if header.crit.is_some() {
        return Err(TokenError::Unreadable);
    }
    let signed = &token.as_bytes()[..head.len() + 1 + claims.len()];
    let signature = decode(signature)?;
    let fits = |key: &&ProviderKey| {
        let is_kind = match key.key {
            Material::Rsa { .. } => header.alg == "RS256",
            Material::P256(_) => header.alg == "ES256",
        };
        is_kind && agree(header.kid.as_deref(), key.id.as_deref())
    };
    let mut known = keys.iter().filter(fits).peekable();
    if known.peek().is_none() {
        return Err(TokenError::UnknownKey);
    }
    if !known.any(|key| key.has_signed(signed, &signature)) {
        return Err(TokenError::Signature);
    }
    serde_json::from_slice(&decode(claims)?).map_err(|_| TokenError::Unreadable)
}

/// A token that names no key fits every key, a key without a name every token.
fn agree(one: Option<&str>, other: Option<&str>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one == other,
        _ => true,
    }
}

impl ProviderKey {
    fn has_signed(&self, signed: &[u8], signature: &[u8]) -> bool {
        match &self.key {
            Material::Rsa { n, e } => RsaPublicKeyComponents { n, e }
                .verify(&RSA_PKCS1_2048_8192_SHA256, signed, signature)
                .is_ok(),
            Material::P256(point) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
                .verify(signed, signature)
                .is_ok(),
        }
    }
}

#[cfg(test)]
pub(super) mod signer {
    //! A provider's keys, as tests need them.

    use super::*;
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256,
    };
    use serde_json::json;

    pub(crate) enum Signer {
        Rs256(Box<RsaKeyPair>, String),
        Es256(EcdsaKeyPair, String),
    }

    impl Signer {
        pub(crate) fn rsa(id: &str) -> Signer {
            Signer::Rs256(Box::new(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()), id.to_owned())
        }

        pub(crate) fn ec(id: &str) -> Signer {
            let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
            Signer::Es256(pair, id.to_owned())
        }

        pub(crate) fn jwk(&self) -> Value {
            let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
            match self {
                Signer::Rs256(pair, id) => {
                    // DER of 2048 bits: a sequence (4 bytes), n (4 bytes of head and a zero), then e.
                    let public = pair.public_key().as_ref();
                    json!({ "kty": "RSA", "kid": id, "use": "sig", "alg": "RS256",
                            "n": text(&public[9..265]), "e": text(&public[267..]) })
                }
                Signer::Es256(pair, id) => {
                    let point = pair.public_key().as_ref();
                    json!({ "kty": "EC", "crv": "P-256", "kid": id,
                            "x": text(&point[1..33]), "y": text(&point[33..]) })
                }
            }
        }

        pub(crate) fn sign(&self, claims: &Value) -> String {
            let (alg, id) = match self {
                Signer::Rs256(_, id) => ("RS256", id),
                Signer::Es256(_, id) => ("ES256", id),
            };
            let head = json!({ "alg": alg, "kid": id, "typ": "JWT" }).to_string();
            self.sign_with(&head, claims)
        }

        pub(crate) fn sign_with(&self, head: &str, claims: &Value) -> String {
            let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
            let signed =
                format!("{}.{}", text(head.as_bytes()), text(claims.to_string().as_bytes()));
            let random = SystemRandom::new();
            let signature = match self {
                Signer::Rs256(pair, _) => {
                    let mut signature = vec![0; pair.public_modulus_len()];
                    pair.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature)
                        .unwrap();
                    signature
                }
                Signer::Es256(pair, _) => {
                    pair.sign(&random, signed.as_bytes()).unwrap().as_ref().to_vec()
                }
            };
            format!("{signed}.{}", text(&signature))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::signer::Signer;
    use super::*;
    use serde_json::json;

    fn keys(signers: &[&Signer]) -> Vec<ProviderKey> {
        let set = json!({ "keys": signers.iter().map(|signer| signer.jwk()).collect::<Vec<_>>() });
        read_keys(set.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn both_kinds_of_signature_are_believed_and_no_other() {
        let (rsa, ec, other) = (Signer::rsa("r"), Signer::ec("e"), Signer::ec("e"));
        let known = keys(&[&rsa, &ec]);
        let claims = json!({ "sub": "ada" });
        for signer in [&rsa, &ec] {
            let token = signer.sign(&claims);
            assert_eq!(verified(&token, &known), Ok(claims.clone()));
            let (front, signature) = token.rsplit_once('.').unwrap();
            for at in 0..front.len() {
                let mut changed = token.clone().into_bytes();
                changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
                let changed = String::from_utf8(changed).unwrap();
                if changed != token {
                    assert!(verified(&changed, &known).is_err(), "byte {at}");
                }
            }
            assert!(verified(&format!("{front}."), &known).is_err());
            assert!(verified(&format!("{front}.{signature}.x"), &known).is_err());
        }
        assert_eq!(verified(&other.sign(&claims), &known), Err(TokenError::Signature));
        let unknown = Signer::ec("new").sign(&claims);
        assert_eq!(verified(&unknown, &known), Err(TokenError::UnknownKey));
    }

    #[test]
    fn tricks_with_the_head_are_refused() {
        let (rsa, ec) = (Signer::rsa("r"), Signer::ec("e"));
        let known = keys(&[&rsa, &ec]);
        let claims = json!({ "sub": "ada" });
        for head in [
            r#"{"alg":"none"}"#,
            r#"{"alg":"HS256","kid":"r"}"#,
            r#"{"alg":"ES256","kid":"r"}"#,
            r#"{"alg":"RS512","kid":"r"}"#,
        ] {
            let token = rsa.sign_with(head, &claims);
            assert_eq!(verified(&token, &known), Err(TokenError::UnknownKey), "{head}");
        }
        let crit =
            rsa.sign_with(r#"{"alg":"RS256","kid":"r","crit":["b64"],"b64":false}"#, &claims);
        assert_eq!(verified(&crit, &known), Err(TokenError::Unreadable));
        let nameless = rsa.sign_with(r#"{"alg":"RS256"}"#, &claims);
        assert_eq!(verified(&nameless, &known), Ok(claims));
        for junk in ["", "a", "a.b", "a.b.c", "....", "e30.e30.e30"] {
            assert!(verified(junk, &known).is_err(), "{junk}");
        }
    }

    #[test]
    fn keys_for_other_things_are_passed_over() {
        let set = json!({ "keys": [
            { "kty": "oct", "k": "c2VjcmV0" },
            { "kty": "RSA", "use": "enc", "n": "AQAB", "e": "AQAB" },
            { "kty": "RSA", "alg": "PS256", "n": "AQAB", "e": "AQAB" },
            { "kty": "EC", "crv": "P-384", "x": "AQ", "y": "AQ" },
            { "kty": "EC", "crv": "P-256", "x": "AQ", "y": "AQ" },
        ]});
        assert_eq!(read_keys(set.to_string().as_bytes()).unwrap().len(), 0);
        assert!(read_keys(b"<html>").is_none());
    }
}
