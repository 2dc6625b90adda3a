//! People whom somebody else knows: the company's identity provider lets them in (OpenID Connect)
//! and its directory adds and removes them (SCIM). They have no password here.

use super::accounts::is_account_name;
use super::oidc::{Identity, Oidc, OidcBegun, OidcError, OidcSettings};
use super::stored;
use super::{Caller, Directory, DirectoryError, Proof, Role};
use crate::grant::{Action, Member, Setting};
use crate::outside::Outside;
use crate::records::RecordError;
use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use zeroize::Zeroizing;

/// The kind of record; the id is the account's name.
const EXTERNAL: &str = "external_person";
/// The kind of the record with our secret at the provider; its only id.
const OIDC_SECRET: &str = "oidc_secret";
const OIDC_SECRET_ID: &str = "secret";

/// Somebody whom the company's directory manages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalPerson {
    /// The account.
    pub name: String,
    /// What the directory calls them.
    pub external_id: Option<String>,
    /// Whether the account may be used.
    pub active: bool,
    /// When the account was made.
    pub created_at: Timestamp,
}

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct StoredExternal {
    issuer: Option<String>,
    /// The provider's own name for the person, which never changes.
    subject: Option<String>,
    external_id: Option<String>,
    /// Removed in the company's directory: the account stays, disabled, for the record.
    removed: bool,
}

#[derive(Serialize, Deserialize)]
struct StoredSecret {
    secret: String,
}

impl Directory {
    /// Lets the directory ask services outside; without it nobody logs in with a provider.
    pub fn ask_outside(&self, outside: Arc<dyn Outside>) {
        // A second call would say the same.
        let _ = self.oidc.set(Oidc::new(outside));
    }

    /// Whether a provider is set up.
    pub fn has_oidc(&self) -> bool {
        self.oidc.get().is_some() && matches!(self.oidc_settings(), Ok(Some(_)))
    }

    fn oidc_settings(&self) -> Result<Option<OidcSettings>, OidcError> {
        let policy = self.policies.current();
        let entries = policy.settings().entries(Setting::Oidc);
        OidcSettings::parse(entries.iter().map(String::as_str)).map_err(|_| OidcError::NotSetUp)
    }

    fn oidc(&self) -> Result<(&Oidc, OidcSettings), OidcError> {
        let oidc = self.oidc.get().ok_or(OidcError::NotSetUp)?;
        Ok((oidc, self.oidc_settings()?.ok_or(OidcError::NotSetUp)?))
    }

    /// Keeps our secret at the provider, for providers that want one; `None` forgets it.
    ///
    /// # Errors
    /// If `by` is no administrator, or the records cannot be written.
    pub fn set_oidc_secret(&self, by: &Caller, secret: Option<&str>) -> Result<(), DirectoryError> {
        self.check(by, Action::ManagePeople)?;
        match secret {
            None => self.records.delete(OIDC_SECRET, OIDC_SECRET_ID)?,
            Some(secret) => {
                let secret = StoredSecret { secret: secret.to_owned() };
                stored::put(&*self.records, OIDC_SECRET, OIDC_SECRET_ID, &secret)?;
            }
        }
        Ok(())
    }

    /// Begins a log-in with the provider, who sends the browser back to `redirect`.
    ///
    /// # Errors
    /// If none is set up, or it does not answer as one.
    pub fn begin_oidc(&self, redirect: &str) -> Result<OidcBegun, OidcError> {
        let (oidc, settings) = self.oidc()?;
        oidc.begin(&settings, redirect, self.clock.now())
    }

    /// Ends a log-in with the provider. An account that is not there yet is made, with the roles
    /// that the policy's mapping gives; those of an account that is there are made the same.
    ///
    /// # Errors
    /// See [`OidcError`].
    pub fn finish_oidc(&self, state: &str, code: &str) -> Result<Caller, OidcError> {
        let (oidc, settings) = self.oidc()?;
        let secret = stored::list::<StoredSecret>(&*self.records, OIDC_SECRET)?;
        let secret = secret.into_iter().next().map(|(_, stored)| Zeroizing::new(stored.secret));
        let secret = secret.as_ref().map(|secret| secret.as_str());
        let identity = oidc.finish(&settings, secret, state, code, self.clock.now())?;
        let _change = self.changes.lock();
        // Whoever is nobody here gets no account; who was somebody loses what they had.
        if identity.roles.is_empty() && self.external(&identity.name)?.is_none() {
            return Err(OidcError::NoRole);
        }
        self.adopt(&identity, settings.issuer())?;
        self.take_roles(&identity)?;
        if identity.roles.is_empty() {
            return Err(OidcError::NoRole);
        }
        self.caller_by_password(&identity.name, Proof::Federated, None).ok_or(OidcError::Disabled)
    }

    /// Sees to it that the account is this person's and nobody else's.
    fn adopt(&self, identity: &Identity, issuer: &str) -> Result<(), OidcError> {
        let name = identity.name.as_str();
        let known = self.external(name)?;
        let is_there = self.state.read().people.contains_key(name);
        let bound = StoredExternal {
            issuer: Some(issuer.to_owned()),
            subject: Some(identity.subject.clone()),
            ..known.clone().unwrap_or_default()
        };
        match known {
            Some(known) if known.removed => Err(OidcError::OtherAccount),
            Some(known) if known.subject.is_some() => {
                let same = (&known.issuer, &known.subject) == (&bound.issuer, &bound.subject);
                if same { Ok(()) } else { Err(OidcError::OtherAccount) }
            }
            // Made by the company's directory: this is the first log-in.
            Some(_) => Ok(stored::put(&*self.records, EXTERNAL, name, &bound)?),
            // With a password of our own: whoever chooses names at the provider would take it over.
            None if is_there => Err(OidcError::OtherAccount),
            None => {
                stored::put(&*self.records, EXTERNAL, name, &bound)?;
                self.add_without_password(name, "identity provider")?;
                Ok(())
            }
        }
    }

    /// The mapping stands in the policy, so two people agreed to whatever it gives.
    fn take_roles(&self, identity: &Identity) -> Result<(), OidcError> {
        let now = self.clock.now();
        let policy = self.policies.current();
        let held = policy.members().get(&identity.name).cloned().unwrap_or_default();
        let mut roles: Vec<Role> = held.roles.keys().copied().collect();
        roles.sort();
        if held.disabled || roles == identity.roles {
            return Ok(());
        }
        self.policies.update("identity provider", now, |policy| {
            policy.set_member(&identity.name, Some(Member::with_roles(&identity.roles)));
            Ok::<(), RecordError>(())
        })?;
        Ok(())
    }

    fn add_without_password(&self, name: &str, by: &str) -> Result<(), RecordError> {
        let mut random = Zeroizing::new([0; 32]);
        rand::fill(random.as_mut_slice()).expect("the system gives random bytes");
        let password = Zeroizing::new(URL_SAFE_NO_PAD.encode(random.as_slice()));
        match self.add_person(name, &password, &[], by) {
            Err(DirectoryError::Records(error)) => Err(error),
            _ => Ok(()),
        }
    }

    fn external(&self, name: &str) -> Result<Option<StoredExternal>, RecordError> {
        let all = stored::list::<StoredExternal>(&*self.records, EXTERNAL)?;
        Ok(all.into_iter().find(|(known, _)| known == name).map(|(_, stored)| stored))
    }

    /// Adds a person of the company's directory: an account without a password and without a role.
    /// What it may do is ruled on here.
    ///
    /// # Errors
    /// If `by` is no administrator, the name is taken or not allowed, or the records cannot be
    /// written.
    pub fn add_external(
        &self,
        by: &Caller,
        name: &str,
        external_id: Option<&str>,
    ) -> Result<ExternalPerson, DirectoryError> {
        self.check(by, Action::ManagePeople)?;
        if !is_account_name(name) {
            return Err(DirectoryError::Name);
        }
        let _change = self.changes.lock();
        if self.state.read().people.contains_key(name) {
            return Err(DirectoryError::Exists(name.to_owned()));
        }
        let external_id = external_id.map(str::to_owned);
        let stored = StoredExternal { external_id, ..StoredExternal::default() };
        stored::put(&*self.records, EXTERNAL, name, &stored)?;
        self.add_without_password(name, by.name())?;
        Ok(self.shown(name, &stored))
    }

    /// The people of the company's directory, by name.
    ///
    /// # Errors
    /// If `by` is no administrator, or the records cannot be read.
    pub fn external_people(&self, by: &Caller) -> Result<Vec<ExternalPerson>, DirectoryError> {
        self.check(by, Action::ManagePeople)?;
        let all = stored::list::<StoredExternal>(&*self.records, EXTERNAL)?;
        let mut people: Vec<ExternalPerson> = all
            .iter()
            .filter(|(_, stored)| !stored.removed)
            .map(|(name, stored)| self.shown(name, stored))
            .collect();
        people.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(people)
    }

    /// One person of the company's directory.
    ///
    /// # Errors
    /// If `by` is no administrator, there is no such person, or the records cannot be read.
    pub fn external_person(
        &self,
        by: &Caller,
        name: &str,
    ) -> Result<ExternalPerson, DirectoryError> {
        self.check(by, Action::ManagePeople)?;
        Ok(self.shown(name, &self.managed(name)?))
    }

    /// Shuts a person of the company's directory out at once, as [`Directory::disable_person`].
    /// Letting one in again is widening and does not go this way.
    ///
    /// # Errors
    /// As [`Directory::disable_person`]; if the account would be let in again.
    pub fn set_external_active(
        &self,
        by: &Caller,
        name: &str,
        active: bool,
    ) -> Result<ExternalPerson, DirectoryError> {
        let known = self.external_person(by, name)?;
        match (known.active, active) {
            (true, false) => self.disable_person(by, name)?,
            (false, true) => return Err(DirectoryError::EnablingWaits(name.to_owned())),
            _ => {}
        }
        Ok(ExternalPerson { active, ..known })
    }

    /// Changes what the company's directory calls somebody.
    ///
    /// # Errors
    /// If `by` is no administrator, there is no such person, or the records cannot be written.
    pub fn set_external_id(
        &self,
        by: &Caller,
        name: &str,
        external_id: Option<&str>,
    ) -> Result<(), DirectoryError> {
        self.check(by, Action::ManagePeople)?;
        let _change = self.changes.lock();
        let external_id = external_id.map(str::to_owned);
        let stored = StoredExternal { external_id, ..self.managed(name)? };
        Ok(stored::put(&*self.records, EXTERNAL, name, &stored)?)
    }

    /// Takes a person of the company's directory away: disabled for ever, and kept for the record.
    ///
    /// # Errors
    /// As [`Directory::disable_person`].
    pub fn remove_external(&self, by: &Caller, name: &str) -> Result<(), DirectoryError> {
        let known = self.external_person(by, name)?;
        if known.active {
            self.disable_person(by, name)?;
        }
        let _change = self.changes.lock();
        let stored = StoredExternal { removed: true, ..self.managed(name)? };
        Ok(stored::put(&*self.records, EXTERNAL, name, &stored)?)
    }

    /// What is kept of a person whom the company's directory manages.
    fn managed(&self, name: &str) -> Result<StoredExternal, DirectoryError> {
        let known = self.external(name)?.filter(|known| !known.removed);
        known.ok_or_else(|| DirectoryError::NoPerson(name.to_owned()))
    }

    fn shown(&self, name: &str, stored: &StoredExternal) -> ExternalPerson {
        let state = self.state.read();
        let person = state.people.get(name);
        ExternalPerson {
            name: name.to_owned(),
            external_id: stored.external_id.clone(),
            active: person.is_some_and(|person| self.is_open(name, person)),
            created_at: Timestamp(person.map_or(0, |person| person.stored.created_at)),
        }
    }
}

#[cfg(test)]
mod tests;
