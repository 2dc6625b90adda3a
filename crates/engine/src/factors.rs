//! Second factors, proofs of presence, and people whom the company's own systems know; whatever
//! happens to them is recorded.

use crate::Engine;
use crate::people::{AccountError, about, network};
use protection::audit::{Event, EventKind};
use protection::caller::{
    Caller, ExternalPerson, FactorAnswer, FactorError, FactorSummary, OidcBegun, OidcError,
    PresenceProof, Registration, SessionToken, TotpEnrolment, WebOrigin,
};
use serde_json::Value;
use std::net::IpAddr;
use zeroize::Zeroizing;

impl Engine {
    /// What the caller has beside the password.
    ///
    /// # Errors
    /// If the caller is a program, or gone.
    pub fn factors(&self, by: &Caller) -> Result<FactorSummary, AccountError> {
        Ok(self.directory.factors(by)?)
    }

    /// Begins to set an app up; see
    /// [`Directory::begin_totp`](protection::caller::Directory::begin_totp).
    ///
    /// # Errors
    /// As there; or if it cannot be recorded.
    pub fn begin_totp(
        &self,
        by: &Caller,
        present: Option<FactorAnswer<'_>>,
    ) -> Result<TotpEnrolment, AccountError> {
        self.change_factor(by, "app offered", || self.directory.begin_totp(by, present))
    }

    /// Takes the first code of an app; gives recovery codes.
    ///
    /// # Errors
    /// As [`Directory::confirm_totp`](protection::caller::Directory::confirm_totp); or if it cannot
    /// be recorded.
    pub fn confirm_totp(
        &self,
        by: &Caller,
        code: &str,
    ) -> Result<Vec<Zeroizing<String>>, AccountError> {
        self.change_factor(by, "app set up", || self.directory.confirm_totp(by, code))
    }

    /// Takes the app and the recovery codes away.
    ///
    /// # Errors
    /// As [`Directory::remove_totp`](protection::caller::Directory::remove_totp); or if it cannot be
    /// recorded.
    pub fn remove_totp(
        &self,
        by: &Caller,
        present: Option<FactorAnswer<'_>>,
    ) -> Result<(), AccountError> {
        self.change_factor(by, "app removed", || self.directory.remove_totp(by, present))
    }

    /// Begins to register a key: what a browser is asked.
    ///
    /// # Errors
    /// As [`Directory::begin_key`](protection::caller::Directory::begin_key).
    pub fn begin_key(
        &self,
        by: &Caller,
        present: Option<FactorAnswer<'_>>,
        origin: &WebOrigin,
    ) -> Result<Value, AccountError> {
        self.change_factor(by, "key asked for", || self.directory.begin_key(by, present, origin))
    }

    /// Registers the key that answered.
    ///
    /// # Errors
    /// As [`Directory::finish_key`](protection::caller::Directory::finish_key); or if it cannot be
    /// recorded.
    pub fn finish_key(
        &self,
        by: &Caller,
        name: &str,
        answer: &Registration,
        origin: &WebOrigin,
    ) -> Result<(), AccountError> {
        self.change_factor(by, "key registered", || {
            self.directory.finish_key(by, name, answer, origin)
        })
    }

    /// Takes a key away.
    ///
    /// # Errors
    /// As [`Directory::remove_key`](protection::caller::Directory::remove_key); or if it cannot be
    /// recorded.
    pub fn remove_key(
        &self,
        by: &Caller,
        id: &str,
        present: Option<FactorAnswer<'_>>,
    ) -> Result<(), AccountError> {
        self.change_factor(by, "key removed", || self.directory.remove_key(by, id, present))
    }

    fn change_factor<T>(
        &self,
        by: &Caller,
        what: &str,
        effect: impl FnOnce() -> Result<T, FactorError>,
    ) -> Result<T, AccountError> {
        let shape = format!("second factor: {what}");
        let event = Event { shape, ..about(EventKind::PersonChanged, Some(by), by.name()) };
        self.let_in(event, |_| effect())
    }

    /// Takes all second factors of an account away, for somebody who lost them.
    ///
    /// # Errors
    /// As [`Directory::reset_factors`](protection::caller::Directory::reset_factors); or if it
    /// cannot be recorded.
    pub fn reset_factors(&self, by: &Caller, name: &str) -> Result<(), AccountError> {
        let shape = "second factors: all removed".to_owned();
        let event = Event { shape, ..about(EventKind::PersonChanged, Some(by), name) };
        self.let_in(event, |directory| directory.reset_factors(by, name))
    }

    /// Asks the caller's keys to sign for `subject`; `None`: for changing second factors.
    ///
    /// # Errors
    /// If the caller is no person, or has no key.
    pub fn ask_key(
        &self,
        by: &Caller,
        subject: Option<&str>,
        origin: &WebOrigin,
    ) -> Result<Value, AccountError> {
        Ok(self.directory.ask_key(by, subject, origin)?)
    }

    /// Asks the keys of somebody who wants to log in, once the password is right.
    ///
    /// # Errors
    /// The same whether the account, the password or a key is missing.
    pub fn ask_key_to_log_in(
        &self,
        name: &str,
        password: &str,
        from: Option<IpAddr>,
        origin: &WebOrigin,
    ) -> Result<Value, AccountError> {
        Ok(self.directory.ask_key_to_log_in(name, password, from, origin)?)
    }

    /// Proves that the caller is there, now, for `subject`. A wrong answer is recorded; what the
    /// proof is used for is recorded by whoever takes it.
    ///
    /// # Errors
    /// As [`Directory::prove_presence`](protection::caller::Directory::prove_presence).
    pub fn prove_presence(
        &self,
        by: &Caller,
        subject: &str,
        answer: FactorAnswer<'_>,
    ) -> Result<PresenceProof, AccountError> {
        let proven = self.directory.prove_presence(by, subject, answer);
        if let Err(FactorError::Code | FactorError::Key(_) | FactorError::Throttled(_)) = &proven {
            self.count_refusal(Event {
                subject: by.address().map(network).unwrap_or_default(),
                outcome: "presence not proven".to_owned(),
                ..Event::by(EventKind::LoginFailed, by)
            });
        }
        Ok(proven?)
    }

    /// Whether people log in with an identity provider.
    pub fn has_oidc(&self) -> bool {
        self.directory.has_oidc()
    }

    /// Begins a log-in with the provider.
    ///
    /// # Errors
    /// If none is set up, or it does not answer as one.
    pub fn begin_oidc(&self, redirect: &str) -> Result<OidcBegun, OidcError> {
        self.directory.begin_oidc(redirect)
    }

    /// Ends a log-in with the provider and starts a session.
    ///
    /// # Errors
    /// As [`Directory::finish_oidc`](protection::caller::Directory::finish_oidc); or if it cannot be
    /// recorded.
    pub fn finish_oidc(
        &self,
        state: &str,
        code: &str,
        from: Option<IpAddr>,
    ) -> Result<SessionToken, AccountError> {
        let caller = match self.directory.finish_oidc(state, code) {
            Ok(caller) => caller,
            Err(error) => {
                self.count_refusal(Event {
                    credential: "oidc".to_owned(),
                    subject: from.map(network).unwrap_or_default(),
                    outcome: "not valid".to_owned(),
                    ..Event::new(EventKind::LoginFailed)
                });
                return Err(error.into());
            }
        };
        self.start_session(&caller, from)
    }

    /// Keeps our secret at the provider; `None` forgets it.
    ///
    /// # Errors
    /// If `by` is no administrator, or it cannot be recorded or kept.
    pub fn set_oidc_secret(&self, by: &Caller, secret: Option<&str>) -> Result<(), AccountError> {
        let shape = "secret of the identity provider".to_owned();
        let event = Event { shape, ..about(EventKind::PersonChanged, Some(by), "") };
        self.let_in(event, |directory| directory.set_oidc_secret(by, secret))
    }

    /// Adds a person of the company's directory, without a role.
    ///
    /// # Errors
    /// As [`Directory::add_external`](protection::caller::Directory::add_external); or if it cannot
    /// be recorded.
    pub fn add_external(
        &self,
        by: &Caller,
        name: &str,
        external_id: Option<&str>,
    ) -> Result<ExternalPerson, AccountError> {
        let event = about(EventKind::PersonCreated, Some(by), name);
        self.let_in(event, |directory| directory.add_external(by, name, external_id))
    }

    /// The people of the company's directory, by name.
    ///
    /// # Errors
    /// If `by` is no administrator, or the records cannot be read.
    pub fn external_people(&self, by: &Caller) -> Result<Vec<ExternalPerson>, AccountError> {
        Ok(self.directory.external_people(by)?)
    }

    /// One of them.
    ///
    /// # Errors
    /// If `by` is no administrator, there is no such person, or the records cannot be read.
    pub fn external_person(&self, by: &Caller, name: &str) -> Result<ExternalPerson, AccountError> {
        Ok(self.directory.external_person(by, name)?)
    }

    /// Shuts one of them out at once.
    ///
    /// # Errors
    /// As [`Directory::set_external_active`](protection::caller::Directory::set_external_active).
    pub fn set_external_active(
        &self,
        by: &Caller,
        name: &str,
        active: bool,
    ) -> Result<ExternalPerson, AccountError> {
        if active {
            return Ok(self.directory.set_external_active(by, name, true)?);
        }
        let event = about(EventKind::PersonDisabled, Some(by), name);
        self.shut_out(event, |directory| directory.set_external_active(by, name, false))
    }

    /// Changes what the company's directory calls one of them.
    ///
    /// # Errors
    /// If `by` is no administrator, there is no such person, or it cannot be recorded or written.
    pub fn set_external_id(
        &self,
        by: &Caller,
        name: &str,
        external_id: Option<&str>,
    ) -> Result<(), AccountError> {
        let shape = "external id".to_owned();
        let event = Event { shape, ..about(EventKind::PersonChanged, Some(by), name) };
        self.let_in(event, |directory| directory.set_external_id(by, name, external_id))
    }

    /// Takes one of them away, for good.
    ///
    /// # Errors
    /// As [`Directory::remove_external`](protection::caller::Directory::remove_external).
    pub fn remove_external(&self, by: &Caller, name: &str) -> Result<(), AccountError> {
        let event = about(EventKind::PersonDisabled, Some(by), name);
        self.shut_out(event, |directory| directory.remove_external(by, name))
    }
}
