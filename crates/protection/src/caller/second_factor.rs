//! What somebody shows beside the password: a code of an app, a recovery code, a key that signs.
//!
//! A person with a second factor is not let in by a password alone, on no path. A fresh answer is
//! also the proof of presence that approving asks for.

use super::presence::{PresenceMethod, PresenceProof};
use super::stored;
use super::throttle::Network;
use super::totp::{self, TotpEnrolment};
use super::webauthn::{self, Assertion, Registration, StoredKey, WebAuthnError, WebOrigin};
use super::{AuthError, Caller, Directory, DirectoryError, Proof};
use crate::ValueCipher;
use crate::grant::Action;
use crate::keys::{KeyRing, MacKey, bytes_from_hex, hex};
use crate::records::{RecordError, RecordStore};
use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::Timestamp;
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::IpAddr;
use zeroize::Zeroizing;

/// The kind of record; the id is the account's name.
const SECOND_FACTOR: &str = "second_factor";

const RECOVERY_CODES: usize = 10;
const RECOVERY_CHARS: usize = 10;
/// Digits of a code that is typed from paper: no I, L, O, U.
const RECOVERY_DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const KEYS_MAX: usize = 20;
const KEY_NAME_CHARS_MAX: usize = 100;
/// A key must answer within this time.
const ASKED_MS: i64 = 120_000;
const ASKED_MAX: usize = 10_000;
/// Who has no second factor yet sets one up this soon after logging in.
const FRESH_LOG_IN_MS: i64 = 10 * 60_000;
/// After an administrator reset an account it approves nothing for so long: its owner would notice.
const AFTER_RESET_MS: i64 = 24 * 60 * 60 * 1000;
/// What a person proves to be present for when a second factor is added or removed.
const CHANGE: &str = "second factor";

/// An answer that proves a second factor.
#[derive(Clone, Copy)]
pub enum FactorAnswer<'a> {
    /// A code of an app; for logging in also a recovery code.
    Code(&'a str),
    /// What a key signed.
    Key {
        /// The browser's answer.
        answer: &'a Assertion,
        /// Where the browser is.
        origin: &'a WebOrigin,
    },
}

impl std::fmt::Debug for FactorAnswer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            FactorAnswer::Code(_) => "Code(…)",
            FactorAnswer::Key { .. } => "Key(…)",
        })
    }
}

/// What an answer is given for; one for another thing does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FactorUse {
    LogIn,
    Presence(String),
    Register,
}

/// What somebody has beside the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FactorSummary {
    /// Whether an app was set up.
    pub totp: bool,
    /// How many recovery codes are left.
    pub recovery_codes: usize,
    /// Keys: id, name, when registered.
    pub keys: Vec<(String, String, Timestamp)>,
    /// Until when nothing can be approved, after an administrator reset the account.
    pub approves_from: Option<Timestamp>,
}

/// Why a second factor was not taken, set up or removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FactorError {
    /// An API key has none.
    #[error("a second factor is a person's; log in, an API key cannot do this")]
    NotAPerson,
    /// The credential has ended.
    #[error("the credential has expired or was revoked; log in again")]
    CallerExpired,
    /// The session is old, and there is no other proof.
    #[error("log in again first: a second factor is set up within ten minutes of logging in")]
    NotFresh,
    /// There is one already, which must be shown.
    #[error("show a second factor that you have: a code of your app, or a key")]
    NeedsPresence,
    /// Nothing to prove it with.
    #[error("there is no second factor on this account; set one up: `clerestory user totp enrol`")]
    NotEnrolled,
    /// Wrong, used, too early or too late.
    #[error(
        "the code is not valid: it counts once and for a minute; check the clock of the device"
    )]
    Code,
    /// The key's answer.
    #[error(transparent)]
    Key(#[from] WebAuthnError),
    /// Not a name for a key.
    #[error("the name of a key has 1 to 100 characters, none of them a control character")]
    KeyName,
    /// As many as there may be.
    #[error("there are 20 keys already; remove one first")]
    TooMany,
    /// No such key.
    #[error("there is no key with this id")]
    NoKey,
    /// Too many wrong answers.
    #[error("too many wrong answers; try again in {} s", .0.div_ceil(1000))]
    Throttled(u64),
    /// Somebody else had the account in hand.
    #[error("an administrator reset this account; it can approve from {0} on")]
    Reset(Timestamp),
    /// The catalog failed.
    #[error(transparent)]
    Records(#[from] RecordError),
}

/// The second factors of all accounts.
pub(super) struct Factors {
    of: RwLock<HashMap<String, StoredFactors>>,
    cipher: ValueCipher,
    recovery: MacKey,
    /// Questions to keys, by their challenge as browsers write it.
    asked: Mutex<HashMap<String, Asked>>,
}

struct Asked {
    person: String,
    about: FactorUse,
    at: Timestamp,
}

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct StoredFactors {
    /// Confirmed.
    totp: Option<StoredTotp>,
    /// Shown and not yet confirmed; sealed.
    offered: Option<String>,
    /// Keyed hashes of recovery codes that were not used.
    recovery: Vec<String>,
    keys: Vec<StoredKey>,
    /// When an administrator set the password or took the factors away.
    reset_at: Option<i64>,
}

#[derive(Clone, Serialize, Deserialize)]
struct StoredTotp {
    /// Sealed under the ring, bound to the account.
    secret: String,
    /// The step of the last code that counted.
    last_step: i64,
}

impl StoredFactors {
    fn is_enough(&self) -> bool {
        self.totp.is_some() || !self.keys.is_empty()
    }
}

impl Factors {
    pub(super) fn open(records: &dyn RecordStore, ring: &KeyRing) -> Result<Factors, RecordError> {
        let of = stored::list::<StoredFactors>(records, SECOND_FACTOR)?.into_iter().collect();
        Ok(Factors {
            of: RwLock::new(of),
            cipher: ring.record_cipher("second factor"),
            recovery: ring.mac_key("recovery code"),
            asked: Mutex::default(),
        })
    }

    fn seal(&self, name: &str, secret: &[u8]) -> String {
        hex(&self.cipher.seal_bound(name.as_bytes(), secret))
    }

    fn open_secret(&self, name: &str, sealed: &str) -> Result<Zeroizing<Vec<u8>>, FactorError> {
        let damaged = || RecordError::Damaged { kind: SECOND_FACTOR.to_owned() };
        let sealed = bytes_from_hex(sealed, 200).ok_or_else(damaged)?;
        let secret = self.cipher.open_bound(name.as_bytes(), &sealed).map_err(|_| damaged())?;
        Ok(Zeroizing::new(secret))
    }

    fn recovery_mac(&self, name: &str, code: &str) -> String {
        let digits: String = code
            .chars()
            .filter(|c| !c.is_whitespace() && *c != '-')
            .map(|c| match c.to_ascii_uppercase() {
                'O' => '0',
                'I' | 'L' => '1',
                upper => upper,
            })
            .collect();
        hex(&self.recovery.sign_parts(&[name.as_bytes(), b":", digits.as_bytes()]))
    }

    /// A question that a key is to answer; gives its challenge.
    fn ask(&self, person: &str, about: FactorUse, now: Timestamp) -> String {
        let mut bytes = [0; 32];
        rand::fill(&mut bytes).expect("the system gives random bytes");
        let challenge = URL_SAFE_NO_PAD.encode(bytes);
        let mut asked = self.asked.lock();
        asked.retain(|_, asked| (0..ASKED_MS).contains(&now.0.saturating_sub(asked.at.0)));
        if asked.len() >= ASKED_MAX {
            asked.clear();
        }
        asked.insert(challenge.clone(), Asked { person: person.to_owned(), about, at: now });
        challenge
    }

    /// Takes a question back that `client_data` answers; it is answered once.
    fn answered(
        &self,
        client_data: &str,
        person: &str,
        about: &FactorUse,
        now: Timestamp,
    ) -> Result<Vec<u8>, WebAuthnError> {
        let challenge = webauthn::challenge_in(client_data)?;
        let asked = self.asked.lock().remove(&challenge).ok_or(WebAuthnError::Challenge)?;
        let fits = asked.person == person
            && asked.about == *about
            && (0..ASKED_MS).contains(&now.0.saturating_sub(asked.at.0));
        if !fits {
            return Err(WebAuthnError::Challenge);
        }
        URL_SAFE_NO_PAD.decode(&challenge).map_err(|_| WebAuthnError::Unreadable)
    }
}

impl Directory {
    /// Whether a password alone does not let this account in.
    pub(super) fn has_second_factor(&self, name: &str) -> bool {
        self.factors.of.read().get(name).is_some_and(StoredFactors::is_enough)
    }

    /// Checks an answer and uses it up.
    pub(super) fn check_factor(
        &self,
        name: &str,
        about: FactorUse,
        answer: FactorAnswer<'_>,
    ) -> Result<PresenceMethod, FactorError> {
        let now = self.clock.now();
        // Held until it is written that the answer was used: of two at once, one counts.
        let mut of = self.factors.of.write();
        let mut own = of.get(name).cloned().unwrap_or_default();
        let method = match answer {
            // Phones go by the time of day.
            FactorAnswer::Code(code) => {
                self.check_code_of(name, &mut own, &about, code, self.clock.wall())?
            }
            FactorAnswer::Key { answer, origin } => {
                let challenge = self.factors.answered(&answer.client_data, name, &about, now)?;
                let key = own.keys.iter_mut().find(|key| key.id == answer.id);
                let key = key.ok_or(WebAuthnError::UnknownKey)?;
                key.counter = webauthn::assert(answer, key, &challenge, origin)?;
                PresenceMethod::WebAuthn
            }
        };
        stored::put(&*self.records, SECOND_FACTOR, name, &own)?;
        of.insert(name.to_owned(), own);
        Ok(method)
    }

    fn check_code_of(
        &self,
        name: &str,
        own: &mut StoredFactors,
        about: &FactorUse,
        code: &str,
        now: Timestamp,
    ) -> Result<PresenceMethod, FactorError> {
        if let Some(known) = &mut own.totp {
            let secret = self.factors.open_secret(name, &known.secret)?;
            if let Some(step) = totp::step_of(&secret, code, now, known.last_step) {
                known.last_step = step;
                return Ok(PresenceMethod::Totp);
            }
        }
        // On paper, and perhaps copied: enough to get in, not to approve.
        if *about == FactorUse::LogIn {
            let mac = self.factors.recovery_mac(name, code);
            if let Some(at) = own.recovery.iter().position(|known| *known == mac) {
                own.recovery.remove(at);
                return Ok(PresenceMethod::Totp);
            }
        }
        Err(FactorError::Code)
    }

    /// What the caller has beside the password.
    ///
    /// # Errors
    /// If the caller is a program, or gone.
    pub fn factors(&self, by: &Caller) -> Result<FactorSummary, FactorError> {
        self.check_person(by)?;
        let of = self.factors.of.read();
        let own = of.get(by.name()).cloned().unwrap_or_default();
        let until = own.reset_at.map(|at| Timestamp(at.saturating_add(AFTER_RESET_MS)));
        Ok(FactorSummary {
            totp: own.totp.is_some(),
            recovery_codes: own.recovery.len(),
            keys: own
                .keys
                .iter()
                .map(|key| (key.id.clone(), key.name.clone(), Timestamp(key.made_at)))
                .collect(),
            approves_from: until.filter(|until| *until > self.clock.now()),
        })
    }

    /// Begins to set an app up; the secret is shown this once, and counts when
    /// [`Directory::confirm_totp`] took a code of it. An app that was set up before stays until
    /// then.
    ///
    /// # Errors
    /// If the caller is no person, has a second factor and does not show it (`present`), has none
    /// and logged in longer than ten minutes ago, or the records cannot be written.
    pub fn begin_totp(
        &self,
        by: &Caller,
        present: Option<FactorAnswer<'_>>,
    ) -> Result<TotpEnrolment, FactorError> {
        self.may_change_factors(by, present)?;
        let secret = totp::new_secret();
        let offered = self.factors.seal(by.name(), secret.as_slice());
        self.change_factors(by.name(), |own| {
            own.offered = Some(offered);
            Ok(())
        })?;
        Ok(TotpEnrolment::new(by.name(), secret.as_slice()))
    }

    /// Takes a first code of the app. Gives recovery codes, each of which lets its owner in once
    /// without the app; those of before no longer count.
    ///
    /// # Errors
    /// If the code is wrong, nothing was begun, or the records cannot be written.
    pub fn confirm_totp(
        &self,
        by: &Caller,
        code: &str,
    ) -> Result<Vec<Zeroizing<String>>, FactorError> {
        self.check_person(by)?;
        self.not_throttled_factor(by)?;
        let codes: Vec<Zeroizing<String>> = (0..RECOVERY_CODES).map(|_| recovery_code()).collect();
        let confirmed = self.change_factors(by.name(), |own| {
            let sealed = own.offered.take().ok_or(FactorError::NotEnrolled)?;
            let secret = self.factors.open_secret(by.name(), &sealed)?;
            let step = totp::step_of(&secret, code, self.clock.wall(), i64::MIN);
            let last_step = step.ok_or(FactorError::Code)?;
            own.totp = Some(StoredTotp { secret: sealed, last_step });
            own.recovery =
                codes.iter().map(|code| self.factors.recovery_mac(by.name(), code)).collect();
            Ok(())
        });
        self.count_wrong(by, confirmed)?;
        Ok(codes)
    }

    /// Takes the app and the recovery codes away.
    ///
    /// # Errors
    /// As [`Directory::begin_totp`]; if there is no app.
    pub fn remove_totp(
        &self,
        by: &Caller,
        present: Option<FactorAnswer<'_>>,
    ) -> Result<(), FactorError> {
        self.may_change_factors(by, present)?;
        self.change_factors(by.name(), |own| {
            own.totp.take().map(drop).ok_or(FactorError::NotEnrolled)?;
            own.recovery.clear();
            Ok(())
        })
    }

    /// Begins to register a key: what a browser gives to `navigator.credentials.create`, under
    /// `publicKey`; bytes in base64url.
    ///
    /// # Errors
    /// As [`Directory::begin_totp`]; if there are too many keys.
    pub fn begin_key(
        &self,
        by: &Caller,
        present: Option<FactorAnswer<'_>>,
        origin: &WebOrigin,
    ) -> Result<Value, FactorError> {
        self.may_change_factors(by, present)?;
        let known = self.key_ids(by.name());
        if known.len() >= KEYS_MAX {
            return Err(FactorError::TooMany);
        }
        let challenge = self.factors.ask(by.name(), FactorUse::Register, self.clock.now());
        // Stands for the account in the key; says nothing to who finds it.
        let user = &self.factors.recovery.sign_parts(&[b"user:", by.name().as_bytes()])[..16];
        let algorithms: Vec<Value> = webauthn::ALGORITHMS
            .iter()
            .map(|algorithm| json!({ "type": "public-key", "alg": algorithm }))
            .collect();
        Ok(json!({ "publicKey": {
            "challenge": challenge,
            "rp": { "id": origin.host(), "name": "Clerestory" },
            "user": {
                "id": URL_SAFE_NO_PAD.encode(user),
                "name": by.name(),
                "displayName": by.name(),
            },
            "pubKeyCredParams": algorithms,
            "timeout": ASKED_MS,
            "attestation": "none",
            "authenticatorSelection": {
                "userVerification": "required",
                "residentKey": "discouraged",
            },
            "excludeCredentials": known,
        }}))
    }

    /// Registers the key that answered.
    ///
    /// # Errors
    /// If nothing was begun or too long ago, the answer is not one, or the records cannot be
    /// written.
    pub fn finish_key(
        &self,
        by: &Caller,
        name: &str,
        answer: &Registration,
        origin: &WebOrigin,
    ) -> Result<(), FactorError> {
        self.check_person(by)?;
        let chars = name.chars().count();
        if !(1..=KEY_NAME_CHARS_MAX).contains(&chars) || name.chars().any(char::is_control) {
            return Err(FactorError::KeyName);
        }
        let now = self.clock.now();
        let about = FactorUse::Register;
        let challenge = self.factors.answered(&answer.client_data, by.name(), &about, now)?;
        let key = webauthn::register(answer, &challenge, origin)?;
        let key = StoredKey { name: name.to_owned(), made_at: now.0, ..key };
        self.change_factors(by.name(), |own| {
            if own.keys.len() >= KEYS_MAX {
                return Err(FactorError::TooMany);
            }
            own.keys.retain(|known| known.id != key.id);
            own.keys.push(key);
            Ok(())
        })
    }

    /// Takes a key away.
    ///
    /// # Errors
    /// As [`Directory::begin_totp`]; if there is no such key.
    pub fn remove_key(
        &self,
        by: &Caller,
        id: &str,
        present: Option<FactorAnswer<'_>>,
    ) -> Result<(), FactorError> {
        self.may_change_factors(by, present)?;
        self.change_factors(by.name(), |own| {
            let before = own.keys.len();
            own.keys.retain(|key| key.id != id);
            if own.keys.len() == before { Err(FactorError::NoKey) } else { Ok(()) }
        })
    }

    /// Asks the caller's keys to sign for `about`: what a browser gives to
    /// `navigator.credentials.get`, under `publicKey`. `None` asks for changing second factors.
    ///
    /// # Errors
    /// If the caller is no person, or has no key.
    pub fn ask_key(
        &self,
        by: &Caller,
        about: Option<&str>,
        origin: &WebOrigin,
    ) -> Result<Value, FactorError> {
        self.check_person(by)?;
        let about = FactorUse::Presence(about.unwrap_or(CHANGE).to_owned());
        self.key_question(by.name(), about, origin)
    }

    /// Asks the keys of somebody who wants to log in, once the password is right.
    ///
    /// # Errors
    /// [`AuthError`], the same whether the account, the password or a key is missing.
    pub fn ask_key_to_log_in(
        &self,
        name: &str,
        password: &str,
        network: Option<IpAddr>,
        origin: &WebOrigin,
    ) -> Result<Value, AuthError> {
        self.check_password(name, password, Network::of(network))?;
        self.key_question(name, FactorUse::LogIn, origin).map_err(|_| AuthError::Invalid)
    }

    fn key_question(
        &self,
        name: &str,
        about: FactorUse,
        origin: &WebOrigin,
    ) -> Result<Value, FactorError> {
        let known = self.key_ids(name);
        if known.is_empty() {
            return Err(FactorError::NotEnrolled);
        }
        Ok(json!({ "publicKey": {
            "challenge": self.factors.ask(name, about, self.clock.now()),
            "rpId": origin.host(),
            "timeout": ASKED_MS,
            "userVerification": "required",
            "allowCredentials": known,
        }}))
    }

    fn key_ids(&self, name: &str) -> Vec<Value> {
        let of = self.factors.of.read();
        let keys = of.get(name).into_iter().flat_map(|own| &own.keys);
        keys.map(|key| json!({ "type": "public-key", "id": key.id })).collect()
    }

    /// Proves that the caller is there, now, for `about`, by a code of the app or by a key that
    /// answered [`Directory::ask_key`] with the same `about`.
    ///
    /// # Errors
    /// If the answer is wrong, was used or is about something else; if the caller is no person,
    /// has no second factor, or an administrator reset the account within the last day.
    pub fn prove_presence(
        &self,
        by: &Caller,
        about: &str,
        answer: FactorAnswer<'_>,
    ) -> Result<PresenceProof, FactorError> {
        self.check_person(by)?;
        let now = self.clock.now();
        if !self.has_second_factor(by.name()) {
            return Err(FactorError::NotEnrolled);
        }
        if let Some(until) = self.factors(by)?.approves_from {
            return Err(FactorError::Reset(until));
        }
        self.not_throttled_factor(by)?;
        let about_this = FactorUse::Presence(about.to_owned());
        let method = self.check_factor(by.name(), about_this, answer);
        let method = self.count_wrong(by, method)?;
        Ok(PresenceProof::new(by.name(), method, about, now))
    }

    /// Takes all second factors of an account away and ends its sessions, for somebody who lost
    /// them. The account approves nothing for a day.
    ///
    /// # Errors
    /// If `by` is no administrator, there is no such account, or the records cannot be written.
    pub fn reset_factors(&self, by: &Caller, name: &str) -> Result<(), DirectoryError> {
        self.check(by, Action::ManagePeople)?;
        let _change = self.changes.lock();
        if !self.state.read().people.contains_key(name) {
            return Err(DirectoryError::NoPerson(name.to_owned()));
        }
        self.put_reset(name, StoredFactors::default())?;
        self.end_sessions_of(name)
    }

    /// Remembers that somebody else had the account in hand. The factors stay.
    pub(super) fn note_reset(&self, name: &str) -> Result<(), RecordError> {
        let own = self.factors.of.read().get(name).cloned().unwrap_or_default();
        self.put_reset(name, own)
    }

    fn put_reset(&self, name: &str, own: StoredFactors) -> Result<(), RecordError> {
        let own = StoredFactors { reset_at: Some(self.clock.now().0), ..own };
        stored::put(&*self.records, SECOND_FACTOR, name, &own)?;
        self.factors.of.write().insert(name.to_owned(), own);
        Ok(())
    }

    fn change_factors(
        &self,
        name: &str,
        change: impl FnOnce(&mut StoredFactors) -> Result<(), FactorError>,
    ) -> Result<(), FactorError> {
        let mut of = self.factors.of.write();
        let mut own = of.get(name).cloned().unwrap_or_default();
        change(&mut own)?;
        stored::put(&*self.records, SECOND_FACTOR, name, &own)?;
        of.insert(name.to_owned(), own);
        Ok(())
    }

    fn check_person(&self, by: &Caller) -> Result<(), FactorError> {
        if by.is_expired(self.clock.now()) {
            return Err(FactorError::CallerExpired);
        }
        if by.is_person() { Ok(()) } else { Err(FactorError::NotAPerson) }
    }

    /// Whoever has a second factor shows it; whoever has none logged in a moment ago. A session
    /// that somebody left open is not enough.
    fn may_change_factors(
        &self,
        by: &Caller,
        present: Option<FactorAnswer<'_>>,
    ) -> Result<(), FactorError> {
        self.check_person(by)?;
        if self.has_second_factor(by.name()) {
            let answer = present.ok_or(FactorError::NeedsPresence)?;
            self.not_throttled_factor(by)?;
            let about = FactorUse::Presence(CHANGE.to_owned());
            let checked = self.check_factor(by.name(), about, answer);
            return self.count_wrong(by, checked).map(drop);
        }
        let age = match by.proof {
            Proof::Session { started_at } => self.clock.now().0.saturating_sub(started_at.0),
            _ => 0,
        };
        if (0..=FRESH_LOG_IN_MS).contains(&age) { Ok(()) } else { Err(FactorError::NotFresh) }
    }

    fn not_throttled_factor(&self, by: &Caller) -> Result<(), FactorError> {
        let hash = self.name_hash(by.name());
        let from = Network::of(by.address());
        match self.throttle.lock().wait_ms(hash, from, self.clock.now()) {
            Some(wait_ms) => Err(FactorError::Throttled(wait_ms)),
            None => Ok(()),
        }
    }

    fn count_wrong<T>(
        &self,
        by: &Caller,
        checked: Result<T, FactorError>,
    ) -> Result<T, FactorError> {
        if matches!(checked, Err(FactorError::Code | FactorError::Key(_))) {
            let hash = self.name_hash(by.name());
            self.throttle.lock().failed(hash, Network::of(by.address()), self.clock.now());
        }
        checked
    }
}

fn recovery_code() -> Zeroizing<String> {
    let mut random = Zeroizing::new([0; RECOVERY_CHARS]);
    rand::fill(random.as_mut_slice()).expect("the system gives random bytes");
    let mut code = Zeroizing::new(String::with_capacity(RECOVERY_CHARS + 1));
    for (place, byte) in random.iter().enumerate() {
        if place == RECOVERY_CHARS / 2 {
            code.push('-');
        }
        code.push(char::from(RECOVERY_DIGITS[usize::from(byte % 32)]));
    }
    code
}

#[cfg(test)]
mod tests;
