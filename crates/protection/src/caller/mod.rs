//! Who asks: people, API keys, sessions.
//!
//! The [`Directory`] turns a [`Credential`] into a [`Caller`]. There is no default password and
//! no anonymous caller; the first administrator enrols with a code that is shown once. What is
//! stored of a secret is Argon2id (passwords) or a keyed hash (everything else), so a copy of the
//! records lets nobody in.

mod accounts;
mod attempt;
mod base32;
mod cbor;
mod directory;
mod federated;
mod jwt;
mod keys_and_sessions;
mod oidc;
mod password;
mod presence;
mod second_factor;
mod stored;
mod throttle;
mod totp;
mod webauthn;

#[cfg(test)]
mod tests;

pub use accounts::PersonSummary;
pub use attempt::Attempt;
pub use directory::Directory;
pub use federated::ExternalPerson;
pub use keys_and_sessions::{ApiKeySummary, NewApiKey, SessionToken, random_id};
pub use oidc::{OidcBegun, OidcError, OidcSettings, OidcSettingsError};
pub use presence::{PresenceMethod, PresenceProof};
pub use second_factor::{FactorAnswer, FactorError, FactorSummary};
pub use totp::TotpEnrolment;
pub use webauthn::{Assertion, Registration, WebAuthnError, WebOrigin};

use crate::grant::{Action, InForce};
use crate::records::{RecordError, RecordStore};
use model::Timestamp;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a person does; a name for a few grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Asks: metrics, search, SQL.
    Analyst,
    /// Runs it and brings data in.
    Engineer,
    /// Rules on classes, approves, reads the audit record.
    Guardian,
    /// Manages people and keys, and sees no data.
    Administrator,
}

impl Role {
    /// All roles.
    pub const ALL: [Role; 4] = [Role::Analyst, Role::Engineer, Role::Guardian, Role::Administrator];

    /// The word that people type and read.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Analyst => "analyst",
            Role::Engineer => "engineer",
            Role::Guardian => "guardian",
            Role::Administrator => "administrator",
        }
    }
}

/// Forgets all API keys and sessions in `records`, before a directory is opened on them: a node that
/// was restored from a backup does not know which of them were taken back since. Gives how many.
///
/// # Errors
/// If the records cannot be read or written.
pub fn forget_credentials(records: &dyn RecordStore) -> Result<u64, RecordError> {
    let mut forgotten = 0;
    for kind in [stored::API_KEY, stored::SESSION, stored::ENROLMENT] {
        for (id, _) in records.list(kind)? {
            records.delete(kind, &id)?;
            forgotten += 1;
        }
    }
    Ok(forgotten)
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Role {
    type Err = UnknownRole;
    fn from_str(text: &str) -> Result<Role, UnknownRole> {
        Role::ALL.into_iter().find(|role| role.as_str() == text).ok_or(UnknownRole)
    }
}

/// The text is none of the four roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a role is one of analyst, engineer, guardian, administrator")]
pub struct UnknownRole;

/// How somebody proves who they are.
#[derive(Clone, Copy)]
pub enum Credential<'a> {
    /// Name and password, from the log-in page or a Basic header.
    Password {
        /// The account.
        name: &'a str,
        /// The password as typed.
        password: &'a str,
        /// Where the request came from, to slow down guessing from there.
        network: Option<IpAddr>,
    },
    /// The same with a second factor.
    WithFactor {
        /// The account.
        name: &'a str,
        /// The password as typed.
        password: &'a str,
        /// What else was shown.
        factor: FactorAnswer<'a>,
        /// Where the request came from.
        network: Option<IpAddr>,
    },
    /// The value of an `ApiKey` header: base64 of `id:secret`, or `id:secret` itself.
    ApiKey(&'a str),
    /// The token of a session, from a cookie.
    Session(&'a str),
    /// The value of a `Bearer` header: an encoded API key or the token of a session.
    Bearer(&'a str),
}

impl fmt::Debug for Credential<'_> {
    /// The kind only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Credential::Password { .. } => "Password(…)",
            Credential::WithFactor { .. } => "WithFactor(…)",
            Credential::ApiKey(_) => "ApiKey(…)",
            Credential::Session(_) => "Session(…)",
            Credential::Bearer(_) => "Bearer(…)",
        })
    }
}

/// Somebody whose identity was proven. Only [`Directory::authenticate`] makes one, and
/// [`Directory::on_duty`] for what somebody started and left running.
#[derive(Clone, Debug)]
pub struct Caller {
    name: Arc<str>,
    roles: Vec<Role>,
    credential: Arc<str>,
    proof: Proof,
    expires: Option<Timestamp>,
    /// Any of these set: the credential, or what it hangs on, was taken back.
    revoked: Vec<Arc<AtomicBool>>,
    /// What its roles mean, and whether it still has them, is always asked anew.
    policy: Arc<InForce>,
    address: Option<IpAddr>,
    purpose: Arc<str>,
}

/// What kind of credential proved it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Proof {
    Password,
    PasswordAndFactor,
    /// The company's identity provider said so.
    Federated,
    ApiKey {
        id: String,
    },
    Session {
        started_at: Timestamp,
    },
    /// What it started goes on by itself.
    Duty,
}

impl Proof {
    /// For the record; keys and sessions say more there.
    fn as_str(&self) -> &'static str {
        match self {
            Proof::Password => "password",
            Proof::PasswordAndFactor => "password+factor",
            Proof::Federated => "oidc",
            Proof::ApiKey { .. } => "key",
            Proof::Session { .. } => "session",
            Proof::Duty => "duty",
        }
    }

    /// Whether it was shown just now, and may start a session.
    fn is_log_in(&self) -> bool {
        matches!(self, Proof::Password | Proof::PasswordAndFactor | Proof::Federated)
    }
}

impl Caller {
    /// The account: a person's, also behind an API key.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the credential carries; for an API key a part of its owner's roles.
    pub fn roles(&self) -> &[Role] {
        &self.roles
    }

    /// What was shown: `password`, `password+factor`, `oidc`, `key:ID` or `session:START`; what
    /// goes on by itself says what it is, such as `copy:NAME`. No secret.
    pub fn credential(&self) -> &str {
        &self.credential
    }

    /// Whether it was a person at a keyboard, not a program with a key.
    pub fn is_person(&self) -> bool {
        !matches!(self.proof, Proof::ApiKey { .. } | Proof::Duty)
    }

    /// When the credential ends.
    pub fn expires(&self) -> Option<Timestamp> {
        self.expires
    }

    /// Where the request came from; `None`: nobody knows.
    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// What the caller says the answer is for; may be empty.
    pub fn purpose(&self) -> &str {
        &self.purpose
    }

    /// This caller, seen at `address`.
    #[must_use]
    pub fn at(self, address: Option<IpAddr>) -> Caller {
        Caller { address, ..self }
    }

    /// This caller, who says what the answer is for.
    #[must_use]
    pub fn for_purpose(self, purpose: &str) -> Caller {
        Caller { purpose: purpose.into(), ..self }
    }

    /// Whether the credential has ended or was taken back since it was shown, the account was
    /// disabled, or it lost a role that the credential carries.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        let policy = self.policy.current();
        let held = policy.roles_of(&self.name, now);
        self.expires.is_some_and(|expires| expires <= now)
            || self.revoked.iter().any(|revoked| revoked.load(Ordering::Acquire))
            || !policy.is_enabled(&self.name)
            || !self.roles.iter().all(|role| held.contains(role))
    }

    /// Whether `action` is granted on any table at `now`.
    pub fn may(&self, action: Action, now: Timestamp) -> bool {
        self.policy.current().may(self, action, None, now)
    }

    /// A caller of a node whose only account this is.
    #[cfg(test)]
    pub(crate) fn for_test(name: &str, roles: &[Role]) -> Caller {
        let policy = crate::grant::Policy::standard().with_member(name, roles);
        Caller::for_test_of(&crate::grant::Policies::fixed(policy), name)
    }

    /// A caller with all roles that the account has in `policies`.
    #[cfg(test)]
    pub(crate) fn for_test_of(policies: &crate::grant::Policies, name: &str) -> Caller {
        Caller {
            name: name.into(),
            roles: policies.current().roles_of(name, Timestamp(0)),
            credential: "password".into(),
            proof: Proof::Password,
            expires: None,
            revoked: Vec::new(),
            policy: Arc::clone(policies.in_force()),
            address: None,
            purpose: "".into(),
        }
    }

    /// The same account behind an API key.
    #[cfg(test)]
    pub(crate) fn with_key(self) -> Caller {
        Caller { proof: Proof::ApiKey { id: "k".to_owned() }, credential: "key:k".into(), ..self }
    }

    #[cfg(test)]
    pub(crate) fn until(mut self, expires: Timestamp) -> Caller {
        self.expires = Some(expires);
        self
    }
}

/// Why nobody was let in. Never says whether the account exists.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// Unknown or disabled account, wrong password, unknown key or session.
    #[error("unable to authenticate: the name, password, key or session is not valid")]
    Invalid,
    /// The password is right, but this account has a second factor.
    #[error("this account has a second factor; send a code with the password, or use an API key")]
    FactorNeeded,
    /// The secret is right, but its time is over.
    #[error("the API key or session has expired; make a new key or log in again")]
    Expired,
    /// The secret is right, but it was taken back.
    #[error("the API key was revoked; make a new one")]
    Revoked,
    /// Too many failures for this name or from this network.
    #[error("too many failed log-ins; try again in {} s", .retry_after_ms.div_ceil(1000))]
    Throttled {
        /// How long to wait, in milliseconds.
        retry_after_ms: u64,
    },
    /// Too many log-ins at this moment.
    #[error("too many log-ins at once; try again in a moment")]
    Busy,
    /// The session could not be looked after.
    #[error(transparent)]
    Records(#[from] RecordError),
}

/// Why an account, key or session was not made or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// The caller's roles do not allow it.
    #[error("only an administrator may do this")]
    NotAllowed,
    /// A key asks for more than its maker has.
    #[error("a key cannot carry the role {0}: you do not have it")]
    RoleNotHeld(Role),
    /// The caller's credential has ended.
    #[error("the credential has expired or was revoked; log in again")]
    CallerExpired,
    /// Only a person with a password starts a session.
    #[error("a session starts with a name and password")]
    NeedsPassword,
    /// Not a name for an account.
    #[error("an account name has 1 to 64 of the characters a-z, 0-9, `.`, `_`, `-` and `@`")]
    Name,
    /// Not a name for a key.
    #[error("the name of a key has 1 to 256 characters, none of them a control character")]
    KeyName,
    /// The account is there already.
    #[error("there is an account `{0}` already")]
    Exists(String),
    /// No such account.
    #[error("there is no account `{0}`")]
    NoPerson(String),
    /// No such key, or one of somebody else.
    #[error("there is no API key with this id")]
    NoKey,
    /// Too easy to guess.
    #[error("the password must have 10 to 1024 characters and must not contain the account's name")]
    WeakPassword,
    /// At least one role.
    #[error("name at least one role: analyst, engineer, guardian or administrator")]
    NoRole,
    /// The end lies in the past.
    #[error("the key would have expired already; give an end in the future")]
    EndInPast,
    /// Whoever sets another's password can be that person.
    #[error(
        "setting the password of `{0}` takes a second person: clerestory change propose --reset-password {0}"
    )]
    ResetTakesTwo(String),
    /// Nobody could manage people any more.
    #[error("this is the last administrator; make another one first")]
    LastAdministrator,
    /// There are people already; codes and bootstraps are for the first start.
    #[error("there are accounts already; ask an administrator for one")]
    AlreadyEnrolled,
    /// Letting somebody in again is widening.
    #[error("the account `{0}` was disabled here; letting it in again waits for a second person")]
    EnablingWaits(String),
    /// Wrong, used or expired enrolment code.
    #[error(
        "the enrolment code is not valid; it is shown once by `clerestory init`, works once, and for 24 hours"
    )]
    Code,
    /// Too many wrong codes.
    #[error("too many wrong codes; try again in {} s", .retry_after_ms.div_ceil(1000))]
    Throttled {
        /// How long to wait, in milliseconds.
        retry_after_ms: u64,
    },
    /// Too many API keys or sessions.
    #[error("too many {0}; revoke some first")]
    TooMany(&'static str),
    /// The catalog failed. What was to be taken back is taken back until the next start.
    #[error(transparent)]
    Records(#[from] RecordError),
}
