//! Accounts, API keys and sessions; whatever happens to them is recorded.
//!
//! What lets somebody in is recorded before it is done, and not done if it cannot be recorded.
//! What shuts somebody out is done in any case: a full disk must not keep a thief inside.

use crate::Engine;
use crate::EngineError;
use crate::error::chain;
use model::Timestamp;
use protection::audit::{Event, EventKind, RecordId};
use protection::caller::{
    ApiKeySummary, AuthError, Caller, Credential, Directory, DirectoryError, FactorAnswer,
    FactorError, NewApiKey, OidcError, PersonSummary, Role, SessionToken,
};
use std::error::Error;
use std::net::{IpAddr, Ipv6Addr};

/// Why an account, key or session was not made or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccountError {
    /// Nobody was let in.
    #[error(transparent)]
    Refused(#[from] AuthError),
    /// The caller may not do it, or it cannot be done.
    #[error(transparent)]
    NotDone(#[from] DirectoryError),
    /// A second factor was not taken or changed.
    #[error(transparent)]
    Factor(#[from] FactorError),
    /// The identity provider let nobody in.
    #[error(transparent)]
    Oidc(#[from] OidcError),
    /// The roles of an account were not proposed.
    #[error(transparent)]
    Change(#[from] EngineError),
    /// Without a record nobody is let in.
    #[error("the audit record cannot be written, so nothing is changed; free its disk")]
    NotRecorded,
}

impl Engine {
    /// Finds out who shows a credential. A refusal is recorded with the network that it came
    /// from; equal ones are counted together.
    ///
    /// # Errors
    /// [`AuthError`]; it never says whether an account exists.
    pub fn authenticate(
        &self,
        credential: Credential<'_>,
        from: Option<IpAddr>,
    ) -> Result<Caller, AuthError> {
        let found = self.directory.authenticate(credential);
        if let Err(error) = &found {
            self.record_refusal(&credential, error, from);
        }
        Ok(found?.at(from))
    }

    fn record_refusal(&self, credential: &Credential<'_>, error: &AuthError, from: Option<IpAddr>) {
        let outcome = match error {
            AuthError::Invalid => "not valid",
            AuthError::Expired => "expired",
            AuthError::Revoked => "revoked",
            AuthError::Throttled { .. } => "throttled",
            AuthError::FactorNeeded => "second factor missing",
            // The server's trouble, not the caller's.
            _ => return,
        };
        let attempt = self.directory.attempt(credential);
        self.count_refusal(Event {
            who: attempt.account.unwrap_or_default(),
            credential: attempt.shown,
            subject: from.map(network).unwrap_or_default(),
            outcome: outcome.to_owned(),
            ..Event::new(EventKind::LoginFailed)
        });
    }

    pub(crate) fn count_refusal(&self, event: Event) {
        if let Err(error) = self.audit.append_counted(&event) {
            tracing::warn!(cause = chain(&error), "a refused log-in is not recorded");
        }
    }

    /// Starts the session of a person who shows a password, and a second factor where the account
    /// has one.
    ///
    /// # Errors
    /// If the password is not right, or the log-in cannot be recorded.
    pub fn log_in(
        &self,
        name: &str,
        password: &str,
        factor: Option<FactorAnswer<'_>>,
        from: Option<IpAddr>,
    ) -> Result<SessionToken, AccountError> {
        let credential = match factor {
            None => Credential::Password { name, password, network: from },
            Some(factor) => Credential::WithFactor { name, password, factor, network: from },
        };
        let caller = self.authenticate(credential, from)?;
        self.start_session(&caller, from)
    }

    /// Starts the session of a person who just showed a credential.
    ///
    /// # Errors
    /// If the caller came with a key or a session, or the log-in cannot be recorded.
    pub fn start_session(
        &self,
        caller: &Caller,
        from: Option<IpAddr>,
    ) -> Result<SessionToken, AccountError> {
        let subject = from.map(network).unwrap_or_default();
        let event = Event { subject, ..Event::by(EventKind::Login, caller) };
        self.let_in(event, |directory| directory.start_session(caller))
    }

    /// Ends a session; no error if there is none.
    ///
    /// # Errors
    /// If the catalog cannot be written (it has then ended until the next start).
    pub fn log_out(&self, caller: &Caller, token: &str) -> Result<(), AccountError> {
        let event = Event::by(EventKind::Logout, caller);
        self.shut_out(event, |directory| directory.end_session(token))
    }

    /// Makes the first administrator, with the code that was shown once.
    ///
    /// # Errors
    /// As [`Directory::enrol`]; or if it cannot be recorded.
    pub fn enrol(&self, code: &str, name: &str, password: &str) -> Result<(), AccountError> {
        if let Err(error) = self.directory.check_code(code) {
            self.count_refusal(Event {
                credential: "enrolment code".to_owned(),
                outcome: "not valid".to_owned(),
                ..Event::new(EventKind::LoginFailed)
            });
            return Err(error.into());
        }
        let event = Event {
            credential: "enrolment code".to_owned(),
            ..about(EventKind::PersonCreated, None, name)
        };
        self.let_in(event, |directory| directory.enrol(code, name, password))
    }

    /// Makes the accounts of a fresh node, as (name, password, roles).
    ///
    /// # Errors
    /// As [`Directory::bootstrap`]; or if it cannot be recorded.
    pub fn bootstrap(&self, people: &[(&str, &str, &[Role])]) -> Result<(), AccountError> {
        let names: Vec<&str> = people.iter().map(|(name, _, _)| *name).collect();
        let event = Event {
            credential: "bootstrap".to_owned(),
            ..about(EventKind::PersonCreated, None, &names.join(" "))
        };
        self.let_in(event, |directory| directory.bootstrap(people))
    }

    /// A fresh code with which the first administrator enrols; it replaces an older one.
    ///
    /// # Errors
    /// If there are accounts already, or the catalog cannot be written.
    pub fn enrolment_code(&self) -> Result<String, AccountError> {
        Ok(self.directory.enrolment_code()?)
    }

    /// Whether nobody can log in yet.
    pub fn is_without_people(&self) -> bool {
        self.directory.is_empty()
    }

    /// All accounts, by name.
    ///
    /// # Errors
    /// If `by` is no administrator.
    pub fn people(&self, by: &Caller) -> Result<Vec<PersonSummary>, AccountError> {
        Ok(self.directory.people(by)?)
    }

    /// Makes an account. Its roles let somebody do more than before, so they wait for a second
    /// person: the number of that change; `None` if they are in force at once.
    ///
    /// # Errors
    /// As [`Directory::create_person`]; if the roles cannot be proposed, or it cannot be recorded.
    pub fn create_person(
        &self,
        by: &Caller,
        name: &str,
        password: &str,
        roles: &[Role],
    ) -> Result<Option<u64>, AccountError> {
        let event =
            Event { shape: words_of(roles), ..about(EventKind::PersonCreated, Some(by), name) };
        self.let_in(event, |directory| directory.create_person(by, name, password))?;
        Ok(self.propose_roles(by, name, roles)?)
    }

    /// Changes the password of an account and ends its sessions.
    ///
    /// # Errors
    /// As [`Directory::set_password`]; or if it cannot be recorded.
    pub fn set_password(
        &self,
        by: &Caller,
        name: &str,
        password: &str,
    ) -> Result<(), AccountError> {
        let event = Event {
            shape: "password".to_owned(),
            ..about(EventKind::PersonChanged, Some(by), name)
        };
        self.let_in(event, |directory| directory.set_password(by, name, password))
    }

    /// Disables an account: ends its sessions and keys at once.
    ///
    /// # Errors
    /// As [`Directory::disable_person`].
    pub fn disable_person(&self, by: &Caller, name: &str) -> Result<(), AccountError> {
        let event = about(EventKind::PersonDisabled, Some(by), name);
        self.shut_out(event, |directory| directory.disable_person(by, name))
    }

    /// Makes an API key for `by`.
    ///
    /// # Errors
    /// As [`Directory::create_api_key`]; or if it cannot be recorded.
    pub fn create_api_key(
        &self,
        by: &Caller,
        name: &str,
        roles: &[Role],
        expires: Option<Timestamp>,
    ) -> Result<NewApiKey, AccountError> {
        let end = expires.map_or_else(|| "without end".to_owned(), |end| end.to_rfc3339());
        let shape = format!("{}, {end}", words_of(roles));
        let event = Event { shape, ..about(EventKind::KeyCreated, Some(by), name) };
        let record = self.begin(&event).ok_or(AccountError::NotRecorded)?;
        let made = self.directory.create_api_key(by, name, roles, expires);
        let subject = made.as_ref().map_or(event.subject.clone(), |key| key.id.clone());
        self.end(Event { subject, ..event }, Some(record), made.as_ref().err());
        Ok(made?)
    }

    /// Takes an API key back, and the keys that it made.
    ///
    /// # Errors
    /// As [`Directory::revoke_api_key`].
    pub fn revoke_api_key(&self, by: &Caller, id: &str) -> Result<(), AccountError> {
        let event = about(EventKind::KeyRevoked, Some(by), id);
        self.shut_out(event, |directory| directory.revoke_api_key(by, id))
    }

    /// The caller's own keys, or all as administrator.
    ///
    /// # Errors
    /// If the caller's credential has ended.
    pub fn api_keys(&self, by: &Caller) -> Result<Vec<ApiKeySummary>, AccountError> {
        Ok(self.directory.api_keys(by)?)
    }
}

impl Engine {
    /// Does what lets somebody in, once it is recorded that this begins.
    pub(crate) fn let_in<T, E: Error>(
        &self,
        event: Event,
        effect: impl FnOnce(&Directory) -> Result<T, E>,
    ) -> Result<T, AccountError>
    where
        AccountError: From<E>,
    {
        let record = self.begin(&event).ok_or(AccountError::NotRecorded)?;
        let done = effect(&self.directory);
        self.end(event, Some(record), done.as_ref().err());
        Ok(done?)
    }

    /// Does what shuts somebody out, whether that can be recorded now or later.
    pub(crate) fn shut_out<T, E: Error>(
        &self,
        event: Event,
        effect: impl FnOnce(&Directory) -> Result<T, E>,
    ) -> Result<T, AccountError>
    where
        AccountError: From<E>,
    {
        let record = self.begin(&event);
        let done = effect(&self.directory);
        self.end(event, record, done.as_ref().err());
        Ok(done?)
    }

    /// Makes it durable that something begins.
    pub(crate) fn begin(&self, event: &Event) -> Option<RecordId> {
        let event = Event { outcome: "begun".to_owned(), ..event.clone() };
        match self.audit.append_durable(&event) {
            Ok(record) => Some(record),
            Err(error) => {
                tracing::error!(cause = chain(&error), kind = %event.kind, "not recorded");
                None
            }
        }
    }

    /// Records how it ended; while the disk is full the record waits for room.
    pub(crate) fn end<E: Error>(
        &self,
        event: Event,
        refers_to: Option<RecordId>,
        error: Option<&E>,
    ) {
        let outcome = error.map_or("done".to_owned(), |error| format!("refused: {error}"));
        if let Err(error) = self.audit.append(&Event { refers_to, outcome, ..event }) {
            tracing::error!(cause = chain(&error), "the end of a change is not recorded");
        }
    }
}

pub(crate) fn about(kind: EventKind, by: Option<&Caller>, subject: &str) -> Event {
    let event = by.map_or_else(|| Event::new(kind), |by| Event::by(kind, by));
    Event { subject: subject.to_owned(), ..event }
}

fn words_of(roles: &[Role]) -> String {
    roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(" ")
}

/// An IPv4 address, or the first 64 bits of an IPv6 address: one household.
pub(crate) fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{}/64", Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Settings, Unlock};
    use protection::audit::AuditFilter;
    use std::fmt::Write;

    const PASSWORD: &str = "correct horse battery staple";

    const EXPECTED: &str = "\
started [] [] [] []\x20
started [] [] [] []\x20
person_created [] [enrolment code] [ada] [] begun
person_created [] [enrolment code] [ada] [] done
login [ada] [password] [2001:db8:1:2::/64] [] begun
login [ada] [password] [2001:db8:1:2::/64] [] done
person_created [ada] [SESSION] [bob] [analyst] begun
person_created [ada] [SESSION] [bob] [analyst] done
policy_changed [ada] [SESSION] [] [bob becomes analyst] begun
policy_changed [ada] [SESSION] [] [bob becomes analyst] done
person_created [ada] [SESSION] [bob] [analyst] begun
person_created [ada] [SESSION] [bob] [analyst] refused: there is an account `bob` already
key_created [ada] [SESSION] [mine] [administrator, without end] begun
key_created [ada] [SESSION] [KEYID] [administrator, without end] done
key_revoked [ada] [SESSION] [KEYID] [] begun
key_revoked [ada] [SESSION] [KEYID] [] done
person_changed [ada] [SESSION] [bob] [password] begun
person_changed [ada] [SESSION] [bob] [password] done
person_disabled [ada] [SESSION] [bob] [] begun
person_disabled [ada] [SESSION] [bob] [] done
logout [ada] [SESSION] [] [] begun
logout [ada] [SESSION] [] [] done
stopped [] [] [] []\x20
login_failed [] [enrolment code] [] [] not valid x1
login_failed [ada] [key:KEYID] [2001:db8:1:2::/64] [] revoked x1
login_failed [ada] [password] [2001:db8:1:2::/64] [] not valid x3
login_failed [] [unknown name ] [2001:db8:1:2::/64] [] not valid x3
login_failed [] [unknown session ] [2001:db8:1:2::/64] [] not valid x1
";

    #[test]
    fn whatever_happens_to_people_and_keys_is_recorded() {
        let dir = tempfile::tempdir().unwrap();
        let unlock = Unlock::KeyFile(dir.path().join("key"));
        let settings = Settings::new(&dir.path().join("data"), unlock);
        let code = Engine::init(&settings).unwrap();
        let engine = Engine::open(&settings).unwrap();
        let from: Option<IpAddr> = Some("2001:db8:1:2::7".parse().unwrap());
        assert!(engine.enrol("WRONG-CODE", "ada", PASSWORD).is_err());
        engine.enrol(&code, "ada", PASSWORD).unwrap();
        let token = engine.log_in("ada", PASSWORD, None, from).unwrap();
        let ada = engine.authenticate(Credential::Session(token.as_str()), from).unwrap();
        engine.create_person(&ada, "bob", PASSWORD, &[Role::Analyst]).unwrap();
        assert!(engine.create_person(&ada, "bob", PASSWORD, &[Role::Analyst]).is_err());
        let key = engine.create_api_key(&ada, "mine", &[Role::Administrator], None).unwrap();
        engine.revoke_api_key(&ada, &key.id).unwrap();
        assert!(engine.authenticate(Credential::ApiKey(&key.encoded), from).is_err());
        engine.set_password(&ada, "bob", "another correct horse").unwrap();
        engine.disable_person(&ada, "bob").unwrap();
        for _ in 0..3 {
            assert!(engine.log_in("ada", "not the password", None, from).is_err());
            assert!(engine.log_in("hunter2-typed-in-the-wrong-box", PASSWORD, None, from).is_err());
        }
        engine.log_out(&ada, token.as_str()).unwrap();
        assert!(engine.authenticate(Credential::Session(token.as_str()), from).is_err());
        engine.close();
        engine.audit.close();

        let mut text = String::new();
        for record in engine.audit.read(&AuditFilter::default()).unwrap().iter().rev() {
            let Event { kind, who, credential, subject, shape, outcome, times, .. } = &record.event;
            let times = times.map_or(String::new(), |times| format!(" x{times}"));
            let credential = credential.split_inclusive(' ').take(2).collect::<String>();
            writeln!(text, "{kind} [{who}] [{credential}] [{subject}] [{shape}] {outcome}{times}")
                .unwrap();
        }
        for secret in [PASSWORD, "hunter2", "not the password", token.as_str(), &key.secret] {
            assert!(!text.contains(secret), "{text}");
        }
        let text = text.replace(&key.id, "KEYID");
        let session = ada.credential();
        assert_eq!(text.replace(session, "SESSION"), EXPECTED);
    }

    #[test]
    fn without_a_record_nobody_gets_in_and_anybody_is_shut_out() {
        let dir = tempfile::tempdir().unwrap();
        let unlock = Unlock::KeyFile(dir.path().join("key"));
        let settings = Settings::new(&dir.path().join("data"), unlock);
        Engine::init(&settings).unwrap();
        let engine = Engine::open(&settings).unwrap();
        let roles: &[Role] = &[Role::Administrator];
        engine.bootstrap(&[("ada", PASSWORD, roles), ("bob", PASSWORD, roles)]).unwrap();
        let password = |name| Credential::Password { name, password: PASSWORD, network: None };
        let ada = engine.authenticate(password("ada"), None).unwrap();
        engine.audit.close();
        let refused = engine.create_person(&ada, "eve", PASSWORD, roles);
        assert!(matches!(refused, Err(AccountError::NotRecorded)));
        let refused = engine.create_api_key(&ada, "mine", roles, None);
        assert!(matches!(refused, Err(AccountError::NotRecorded)));
        assert!(matches!(
            engine.log_in("ada", PASSWORD, None, None),
            Err(AccountError::NotRecorded)
        ));
        assert_eq!(engine.people(&ada).unwrap().len(), 2);
        engine.disable_person(&ada, "bob").unwrap();
        assert!(engine.authenticate(password("bob"), None).is_err());
    }
}
