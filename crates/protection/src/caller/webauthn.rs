//! Keys that sign: registration and assertion of WebAuthn (W3C, level 2, sections 7.1 and 7.2) with
//! ES256, EdDSA and RS256. Attestation is not asked for and not looked at: which make a key is
//! plays no role, that it is the same one does.
//!
//! Verified here, without a library: none of those that are alive comes without OpenSSL.

use super::cbor::{self, Item};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

/// Longer than any answer of an authenticator, in bytes.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// Section 4 of the standard: credential ids have up to 1023 bytes.
const CREDENTIAL_ID_BYTES_MAX: usize = 1023;

/// EdDSA, ES256, RS256, as COSE numbers them; the first that a key can is taken.
pub(super) const ALGORITHMS: [i32; 3] = [-8, -7, -257];

/// User present, user verified, attested data included.
const PRESENT: u8 = 0x01;
const VERIFIED: u8 = 0x04;
const ATTESTED: u8 = 0x40;

/// Where a browser must be for a key to count: `https://HOST[:PORT]`, or `http://localhost[:PORT]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebOrigin {
    origin: String,
    host: String,
}

impl WebOrigin {
    /// The origin of a server that was reached as `host` (a `Host` header), encrypted or not;
    /// `None` if browsers have no keys there: an address in the place of a name, or plain HTTP to
    /// another name than `localhost`.
    pub fn of(host: &str, secure: bool) -> Option<WebOrigin> {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name).to_ascii_lowercase();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-.:".contains(c);
        let is_name = name.chars().any(|c| c.is_ascii_alphabetic()) && host.chars().all(is_plain);
        if !is_name || !(secure || name == "localhost") {
            return None;
        }
        let scheme = if secure { "https" } else { "http" };
        Some(WebOrigin { origin: format!("{scheme}://{}", host.to_ascii_lowercase()), host: name })
    }

    /// What browsers call the relying party's id: the name without a port.
    pub fn host(&self) -> &str {
        &self.host
    }
}

/// A key of a person, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredKey {
    /// In base64url, as browsers name it.
    pub(super) id: String,
    /// COSE, in base64url.
    pub(super) public_key: String,
    /// For which name it was made.
    pub(super) host: String,
    pub(super) counter: u32,
    /// What its owner calls it.
    pub(super) name: String,
    pub(super) made_at: i64,
}

/// A browser's answer to `navigator.credentials.create`, in base64url.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Registration {
    /// `response.clientDataJSON`.
    #[serde(rename = "clientDataJSON")]
    pub client_data: String,
    /// `response.attestationObject`.
    pub attestation_object: String,
}

/// A browser's answer to `navigator.credentials.get`, in base64url.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Assertion {
    /// `id`.
    pub id: String,
    /// `response.clientDataJSON`.
    #[serde(rename = "clientDataJSON")]
    pub client_data: String,
    /// `response.authenticatorData`.
    pub authenticator_data: String,
    /// `response.signature`.
    pub signature: String,
}

/// Why an answer of a key was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WebAuthnError {
    /// Not what browsers send.
    #[error("the answer of the key cannot be read; use a current browser")]
    Unreadable,
    /// Made for another question, or an old one.
    #[error("the answer belongs to another question or came too late; try again")]
    Challenge,
    /// Made on another site.
    #[error("the answer was made for another site; open this server's own page")]
    Origin,
    /// Nobody touched the key, or it did not ask for its PIN or finger.
    #[error("the key did not verify its user; use one with a PIN or a finger")]
    NotVerified,
    /// A kind of key that is not known here.
    #[error("the key signs in a way that is not known here; ES256, EdDSA and RS256 are")]
    Algorithm,
    /// Not a key of this person.
    #[error("this key is not one of yours; register it first")]
    UnknownKey,
    /// The signature is not by the key.
    #[error("the signature is not by the registered key")]
    Signature,
    /// The key counted backwards: there are two of it.
    #[error(
        "the key counted backwards, so there may be a copy of it; remove it and register another"
    )]
    Copied,
}

/// Checks the answer to a registration: section 7.1.
pub(super) fn register(
    answer: &Registration,
    challenge: &[u8],
    origin: &WebOrigin,
) -> Result<StoredKey, WebAuthnError> {
    check_client_data(&answer.client_data, "webauthn.create", challenge, origin)?;
    let object = decode(&answer.attestation_object)?;
    let mut rest = object.as_slice();
    let object = cbor::read(&mut rest).ok_or(WebAuthnError::Unreadable)?;
    let data = object.text_member("authData").and_then(Item::bytes);
    let data = AuthenticatorData::read(data.ok_or(WebAuthnError::Unreadable)?, origin)?;
    let (id, public_key) = data.attested.ok_or(WebAuthnError::Unreadable)?;
    PublicKey::read(public_key)?;
    Ok(StoredKey {
        id: URL_SAFE_NO_PAD.encode(id),
        public_key: URL_SAFE_NO_PAD.encode(public_key),
        host: origin.host.clone(),
        counter: data.counter,
        name: String::new(),
        made_at: 0,
    })
}

/// Checks the answer to a question: section 7.2. Gives the key's new counter.
pub(super) fn assert(
    answer: &Assertion,
    key: &StoredKey,
    challenge: &[u8],
    origin: &WebOrigin,
) -> Result<u32, WebAuthnError> {
    if key.host != origin.host {
        return Err(WebAuthnError::Origin);
    }
    let client_data = check_client_data(&answer.client_data, "webauthn.get", challenge, origin)?;
    let bytes = decode(&answer.authenticator_data)?;
    let data = AuthenticatorData::read(&bytes, origin)?;
    let public_key = decode(&key.public_key)?;
    let mut signed = bytes.clone();
    signed.extend_from_slice(digest(&SHA256, &client_data).as_ref());
    PublicKey::read(&public_key)?.verify(&signed, &decode(&answer.signature)?)?;
    // Keys that do not count always say zero.
    let counts = data.counter != 0 || key.counter != 0;
    if counts && data.counter <= key.counter {
        return Err(WebAuthnError::Copied);
    }
    Ok(data.counter)
}

/// The challenge that an answer says it answers, as it was asked.
pub(super) fn challenge_in(client_data: &str) -> Result<String, WebAuthnError> {
    let data: ClientData =
        serde_json::from_slice(&decode(client_data)?).map_err(|_| WebAuthnError::Unreadable)?;
    Ok(data.challenge.trim_end_matches('=').to_owned())
}

fn decode(text: &str) -> Result<Vec<u8>, WebAuthnError> {
    if text.len() > ANSWER_BYTES_MAX {
        return Err(WebAuthnError::Unreadable);
    }
    URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|_| WebAuthnError::Unreadable)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientData {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
    origin: String,
    #[serde(default)]
    cross_origin: bool,
}

/// Gives the bytes, which are signed.
fn check_client_data(
    text: &str,
    kind: &str,
    challenge: &[u8],
    origin: &WebOrigin,
) -> Result<Vec<u8>, WebAuthnError> {
    let bytes = decode(text)?;
    let data: ClientData = serde_json::from_slice(&bytes).map_err(|_| WebAuthnError::Unreadable)?;
    if data.kind != kind {
        return Err(WebAuthnError::Unreadable);
    }
    if decode(&data.challenge)? != challenge {
        return Err(WebAuthnError::Challenge);
    }
    if data.origin != origin.origin || data.cross_origin {
        return Err(WebAuthnError::Origin);
    }
    Ok(bytes)
}

/// Section 6.1.
struct AuthenticatorData<'a> {
    counter: u32,
    /// Id and public key of a new credential.
    attested: Option<(&'a [u8], &'a [u8])>,
}

impl<'a> AuthenticatorData<'a> {
    fn read(bytes: &'a [u8], origin: &WebOrigin) -> Result<AuthenticatorData<'a>, WebAuthnError> {
        let parse = || {
            let (host, rest) = bytes.split_first_chunk::<32>()?;
            let (flags, rest) = rest.split_first()?;
            let (counter, rest) = rest.split_first_chunk()?;
            Some((host, *flags, u32::from_be_bytes(*counter), rest))
        };
        let (host, flags, counter, rest) = parse().ok_or(WebAuthnError::Unreadable)?;
        if *host != *digest(&SHA256, origin.host.as_bytes()).as_ref() {
            return Err(WebAuthnError::Origin);
        }
        if flags & PRESENT == 0 || flags & VERIFIED == 0 {
            return Err(WebAuthnError::NotVerified);
        }
        let attested = if flags & ATTESTED != 0 {
            Some(attested(rest).ok_or(WebAuthnError::Unreadable)?)
        } else {
            None
        };
        Ok(AuthenticatorData { counter, attested })
    }
}

/// Skips the make of the authenticator; gives id and public key.
fn attested(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (_, rest) = bytes.split_first_chunk::<16>()?;
    let (length, rest) = rest.split_first_chunk()?;
    let length = usize::from(u16::from_be_bytes(*length));
    if length == 0 || length > CREDENTIAL_ID_BYTES_MAX {
        return None;
    }
    let (id, key) = rest.split_at_checked(length)?;
    let mut behind = key;
    cbor::read(&mut behind)?;
    Some((id, &key[..key.len() - behind.len()]))
}

/// A COSE key (RFC 9053) of one of the three kinds.
enum PublicKey {
    /// Uncompressed point of P-256.
    Es256(Vec<u8>),
    EdDsa(Vec<u8>),
    Rs256 {
        n: Vec<u8>,
        e: Vec<u8>,
    },
}

impl PublicKey {
    fn read(bytes: &[u8]) -> Result<PublicKey, WebAuthnError> {
        let mut rest = bytes;
        let key = cbor::read(&mut rest).filter(|_| rest.is_empty());
        let key = key.ok_or(WebAuthnError::Unreadable)?;
        let number = |place: i64| key.member(place).and_then(Item::number);
        let part = |place: i64, length: usize| {
            let bytes = key.member(place).and_then(Item::bytes);
            bytes.filter(|bytes| bytes.len() == length).ok_or(WebAuthnError::Unreadable)
        };
        // Kind, algorithm and curve, as RFC 9053 and RFC 8230 number them.
        match (number(1), number(3), number(-1)) {
            (Some(2), Some(-7), Some(1)) => {
                let point = [&[4], part(-2, 32)?, part(-3, 32)?].concat();
                Ok(PublicKey::Es256(point))
            }
            (Some(1), Some(-8), Some(6)) => Ok(PublicKey::EdDsa(part(-2, 32)?.to_vec())),
            (Some(3), Some(-257), _) => {
                let any = |place: i64| {
                    let bytes = key.member(place).and_then(Item::bytes);
                    bytes.map(<[u8]>::to_vec).ok_or(WebAuthnError::Unreadable)
                };
                Ok(PublicKey::Rs256 { n: any(-1)?, e: any(-2)? })
            }
            _ => Err(WebAuthnError::Algorithm),
        }
    }

    fn verify(&self, signed: &[u8], signature: &[u8]) -> Result<(), WebAuthnError> {
        let verified = match self {
            PublicKey::Es256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(signed, signature)
            }
            PublicKey::EdDsa(key) => {
                UnparsedPublicKey::new(&ED25519, key).verify(signed, signature)
            }
            PublicKey::Rs256 { n, e } => RsaPublicKeyComponents { n, e }.verify(
                &RSA_PKCS1_2048_8192_SHA256,
                signed,
                signature,
            ),
        };
        verified.map_err(|_| WebAuthnError::Signature)
    }
}

#[cfg(test)]
pub(super) mod authenticator {
    //! A key in software, as browsers and authenticators write their answers.

    use super::*;
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    };

    pub(crate) enum Pair {
        Es256(EcdsaKeyPair),
        EdDsa(Ed25519KeyPair),
    }

    pub(crate) struct SoftKey {
        pub(crate) pair: Pair,
        pub(crate) id: Vec<u8>,
        pub(crate) counter: u32,
        pub(crate) flags: u8,
        pub(crate) host: String,
        pub(crate) origin: String,
    }

    impl SoftKey {
        pub(crate) fn new(kind: &str, host: &str, origin: &str) -> SoftKey {
            let pair = match kind {
                "ES256" => {
                    Pair::Es256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap())
                }
                _ => Pair::EdDsa(Ed25519KeyPair::generate().unwrap()),
            };
            SoftKey {
                pair,
                id: format!("{kind} key").into_bytes(),
                counter: 1,
                flags: PRESENT | VERIFIED,
                host: host.to_owned(),
                origin: origin.to_owned(),
            }
        }

        fn cose(&self) -> Vec<u8> {
            match &self.pair {
                Pair::Es256(pair) => {
                    let point = pair.public_key().as_ref();
                    let head = [0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 32];
                    [&head[..], &point[1..33], &[0x22, 0x58, 32], &point[33..]].concat()
                }
                Pair::EdDsa(pair) => {
                    let head = [0xa4, 0x01, 0x01, 0x03, 0x27, 0x20, 0x06, 0x21, 0x58, 32];
                    [&head[..], pair.public_key().as_ref()].concat()
                }
            }
        }

        fn data(&self, flags: u8) -> Vec<u8> {
            let mut data = digest(&SHA256, self.host.as_bytes()).as_ref().to_vec();
            data.push(flags);
            data.extend_from_slice(&self.counter.to_be_bytes());
            data
        }

        fn client_data(&self, kind: &str, challenge: &str) -> Vec<u8> {
            let origin = &self.origin;
            format!(r#"{{"type":"{kind}","challenge":"{challenge}","origin":"{origin}","crossOrigin":false,"other":1}}"#)
                .into_bytes()
        }

        /// `challenge` as the options carry it.
        pub(crate) fn create(&self, challenge: &str) -> Registration {
            let mut data = self.data(self.flags | ATTESTED);
            data.extend_from_slice(&[0; 16]);
            data.extend_from_slice(&(self.id.len() as u16).to_be_bytes());
            data.extend_from_slice(&self.id);
            data.extend_from_slice(&self.cose());
            let mut object = b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x59".to_vec();
            object.extend_from_slice(&(data.len() as u16).to_be_bytes());
            object.extend_from_slice(&data);
            Registration {
                client_data: URL_SAFE_NO_PAD.encode(self.client_data("webauthn.create", challenge)),
                attestation_object: URL_SAFE_NO_PAD.encode(object),
            }
        }

        /// Signs, after counting one further.
        pub(crate) fn get(&mut self, challenge: &str) -> Assertion {
            self.counter += 1;
            let data = self.data(self.flags);
            let client_data = self.client_data("webauthn.get", challenge);
            let mut signed = data.clone();
            signed.extend_from_slice(digest(&SHA256, &client_data).as_ref());
            let signature = match &self.pair {
                Pair::Es256(pair) => {
                    pair.sign(&SystemRandom::new(), &signed).unwrap().as_ref().to_vec()
                }
                Pair::EdDsa(pair) => pair.sign(&signed).as_ref().to_vec(),
            };
            Assertion {
                id: URL_SAFE_NO_PAD.encode(&self.id),
                client_data: URL_SAFE_NO_PAD.encode(client_data),
                authenticator_data: URL_SAFE_NO_PAD.encode(data),
                signature: URL_SAFE_NO_PAD.encode(signature),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::authenticator::SoftKey;
    use super::*;

    const CHALLENGE: &[u8] = b"a challenge of 32 bytes, or so..";

    fn shown() -> String {
        URL_SAFE_NO_PAD.encode(CHALLENGE)
    }

    fn here() -> WebOrigin {
        WebOrigin::of("data.example.org:9200", true).unwrap()
    }

    fn soft(kind: &str) -> SoftKey {
        SoftKey::new(kind, "data.example.org", "https://data.example.org:9200")
    }

    #[test]
    fn a_registered_key_proves_itself_and_nothing_else_does() {
        for kind in ["ES256", "EdDSA"] {
            let mut key = soft(kind);
            let stored = register(&key.create(&shown()), CHALLENGE, &here()).unwrap();
            assert_eq!((stored.counter, stored.host.as_str()), (1, "data.example.org"));
            let answer = key.get(&shown());
            assert_eq!(assert(&answer, &stored, CHALLENGE, &here()), Ok(2), "{kind}");

            let mut other = soft(kind);
            let foreign = other.get(&shown());
            let error = assert(&foreign, &stored, CHALLENGE, &here());
            assert_eq!(error, Err(WebAuthnError::Signature), "{kind}");
            let old = assert(&answer, &stored, b"another challenge", &here());
            assert_eq!(old, Err(WebAuthnError::Challenge));
            let used = StoredKey { counter: 2, ..stored.clone() };
            assert_eq!(assert(&answer, &used, CHALLENGE, &here()), Err(WebAuthnError::Copied));
        }
    }

    #[test]
    fn every_byte_counts() {
        let mut key = soft("ES256");
        let stored = register(&key.create(&shown()), CHALLENGE, &here()).unwrap();
        let answer = key.get(&shown());
        let flipped = |text: &str, at: usize| {
            let mut bytes = decode(text).unwrap();
            bytes[at] ^= 1;
            URL_SAFE_NO_PAD.encode(bytes)
        };
        for at in 0..decode(&answer.authenticator_data).unwrap().len() {
            let authenticator_data = flipped(&answer.authenticator_data, at);
            let changed = Assertion { authenticator_data, ..answer.clone() };
            assert!(assert(&changed, &stored, CHALLENGE, &here()).is_err(), "data {at}");
        }
        for at in 0..decode(&answer.client_data).unwrap().len() {
            let changed =
                Assertion { client_data: flipped(&answer.client_data, at), ..answer.clone() };
            assert!(assert(&changed, &stored, CHALLENGE, &here()).is_err(), "client data {at}");
        }
        for at in 0..decode(&answer.signature).unwrap().len() {
            let changed = Assertion { signature: flipped(&answer.signature, at), ..answer.clone() };
            assert!(assert(&changed, &stored, CHALLENGE, &here()).is_err(), "signature {at}");
        }
    }

    #[test]
    fn other_sites_and_untouched_keys_are_refused() {
        let stored = register(&soft("ES256").create(&shown()), CHALLENGE, &here()).unwrap();
        let create = |change: &dyn Fn(&mut SoftKey)| {
            let mut key = soft("ES256");
            change(&mut key);
            register(&key.create(&shown()), CHALLENGE, &here()).unwrap_err()
        };
        assert_eq!(
            create(&|key| key.origin = "https://evil.example".into()),
            WebAuthnError::Origin
        );
        assert_eq!(
            create(&|key| key.origin = "http://data.example.org:9200".into()),
            WebAuthnError::Origin
        );
        assert_eq!(create(&|key| key.host = "evil.example".into()), WebAuthnError::Origin);
        assert_eq!(create(&|key| key.flags = PRESENT), WebAuthnError::NotVerified);
        assert_eq!(create(&|key| key.flags = VERIFIED), WebAuthnError::NotVerified);
        let mut key = soft("ES256");
        let elsewhere = WebOrigin::of("other.example.org", true).unwrap();
        let moved = assert(&key.get(&shown()), &stored, CHALLENGE, &elsewhere);
        assert_eq!(moved, Err(WebAuthnError::Origin));
        // A registration is no assertion.
        let answer =
            Registration { client_data: key.get(&shown()).client_data, ..key.create(&shown()) };
        assert_eq!(register(&answer, CHALLENGE, &here()), Err(WebAuthnError::Unreadable));
        let junk = Registration { client_data: "!".into(), attestation_object: String::new() };
        assert_eq!(register(&junk, CHALLENGE, &here()), Err(WebAuthnError::Unreadable));
    }

    #[test]
    fn keys_of_other_kinds_are_named() {
        // ES384.
        let es384 = b"\xa3\x01\x02\x03\x38\x22\x20\x02";
        assert!(matches!(PublicKey::read(es384), Err(WebAuthnError::Algorithm)));
        let short = b"\xa5\x01\x02\x03\x26\x20\x01\x21\x41\x01\x22\x41\x01";
        assert!(matches!(PublicKey::read(short), Err(WebAuthnError::Unreadable)));
        let rsa = b"\xa4\x01\x03\x03\x39\x01\x00\x20\x42\x01\x02\x21\x43\x01\x00\x01";
        assert!(matches!(PublicKey::read(rsa), Ok(PublicKey::Rs256 { .. })));
    }

    #[test]
    fn browsers_have_keys_for_names_only() {
        for (host, secure, expected) in [
            ("data.example.org", true, Some(("https://data.example.org", "data.example.org"))),
            (
                "Data.Example.org:9200",
                true,
                Some(("https://data.example.org:9200", "data.example.org")),
            ),
            ("localhost:9200", false, Some(("http://localhost:9200", "localhost"))),
            ("localhost:9200", true, Some(("https://localhost:9200", "localhost"))),
            ("data.example.org", false, None),
            ("127.0.0.1:9200", true, None),
            ("[::1]:9200", true, None),
            ("", true, None),
            ("a b", true, None),
            ("user@host", true, None),
        ] {
            let origin = WebOrigin::of(host, secure);
            let found = origin.as_ref().map(|origin| (origin.origin.as_str(), origin.host()));
            assert_eq!(found, expected, "{host}");
        }
    }
}
