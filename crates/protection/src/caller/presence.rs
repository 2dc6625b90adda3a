use model::Timestamp;
use std::sync::Arc;

/// A person has just proven to be there, for one thing: by a code or a key of their own, not by a
/// session that somebody left open.
///
/// Made by the directory alone, and neither copied nor kept: whoever takes it takes it by value.
#[derive(Debug)]
pub struct PresenceProof {
    person: Arc<str>,
    method: PresenceMethod,
    about: String,
    at: Timestamp,
}

/// How it was proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PresenceMethod {
    /// A code of an authenticator app.
    Totp,
    /// A key that signed.
    WebAuthn,
}

impl PresenceMethod {
    /// The word in the record.
    pub fn as_str(self) -> &'static str {
        match self {
            PresenceMethod::Totp => "totp",
            PresenceMethod::WebAuthn => "webauthn",
        }
    }
}

impl PresenceProof {
    /// So long after it was made it proves nothing any more, in milliseconds.
    pub const FRESH_MS: i64 = 120_000;

    pub(super) fn new(
        person: &str,
        method: PresenceMethod,
        about: &str,
        at: Timestamp,
    ) -> PresenceProof {
        PresenceProof { person: person.into(), method, about: about.to_owned(), at }
    }

    /// Whether it is of this person, about this very thing, and fresh at `now`.
    pub fn covers(&self, person: &str, about: &str, now: Timestamp) -> bool {
        let age = now.0.saturating_sub(self.at.0);
        *self.person == *person && self.about == about && (0..=Self::FRESH_MS).contains(&age)
    }

    /// Who proved to be there.
    pub fn person(&self) -> &str {
        &self.person
    }

    /// How.
    pub fn method(&self) -> PresenceMethod {
        self.method
    }

    /// One that nobody gave.
    #[cfg(test)]
    pub(crate) fn for_test(person: &str, about: &str, at: Timestamp) -> PresenceProof {
        PresenceProof::new(person, PresenceMethod::Totp, about, at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_of_one_person_about_one_thing_for_two_minutes() {
        let proof = PresenceProof::for_test("ada", "change 7", Timestamp(1000));
        assert!(proof.covers("ada", "change 7", Timestamp(1000)));
        assert!(proof.covers("ada", "change 7", Timestamp(121_000)));
        assert!(!proof.covers("ada", "change 7", Timestamp(121_001)));
        assert!(!proof.covers("ada", "change 7", Timestamp(999)), "the clock was set back");
        assert!(!proof.covers("bob", "change 7", Timestamp(1000)));
        assert!(!proof.covers("ada", "change 8", Timestamp(1000)));
        assert_eq!(proof.method().as_str(), "totp");
    }
}
