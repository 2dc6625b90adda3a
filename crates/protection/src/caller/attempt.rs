use super::{Credential, Directory};
use crate::keys::hex;

/// What may be recorded of a credential that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The account that was meant, if there is one of that name.
    pub account: Option<String>,
    /// What was shown: `password`, `key:ID`, `session`, or a keyed tag of what is not known here.
    pub shown: String,
}

impl Directory {
    /// What may be recorded of `credential`: never a secret, and nothing that was typed unless it
    /// names an account. What stands in a name's place is now and then a password.
    pub fn attempt(&self, credential: &Credential<'_>) -> Attempt {
        let (account, shown) = match credential {
            Credential::Password { name, .. } | Credential::WithFactor { name, .. } => {
                match self.state.read().people.contains_key(*name) {
                    true => (Some((*name).to_owned()), "password".to_owned()),
                    false => (None, self.tag("name", name)),
                }
            }
            Credential::Session(token) => self.session_attempt(token),
            Credential::Bearer(text) if Directory::is_session_token(text) => {
                self.session_attempt(text)
            }
            Credential::ApiKey(text) | Credential::Bearer(text) => match self.key_named(text) {
                Some((id, owner)) => (Some(owner), format!("key:{id}")),
                None => (None, self.tag("key", text)),
            },
        };
        Attempt { account, shown }
    }

    fn session_attempt(&self, token: &str) -> (Option<String>, String) {
        match self.session_owner(token) {
            Some(owner) => (Some(owner), "session".to_owned()),
            None => (None, self.tag("session", token)),
        }
    }

    /// The same for the same text, and nothing that leads back to it.
    fn tag(&self, what: &str, text: &str) -> String {
        let mac = self.name_mac.sign_parts(&[what.as_bytes(), b":", text.as_bytes()]);
        format!("unknown {what} {}", hex(&mac[..8]))
    }
}
