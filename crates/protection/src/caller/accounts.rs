use super::directory::Person;
use super::password::Passwords;
use super::stored::{self, StoredCode, StoredPerson, StoredReset};
use super::{Caller, Directory, DirectoryError, Role};
use crate::grant::{Action, Member, Policy};
use crate::keys::hex;
use aws_lc_rs::{constant_time, rand};
use model::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// An account as lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonSummary {
    /// The account's name.
    pub name: String,
    /// Its roles.
    pub roles: Vec<Role>,
    /// Whether it can no longer log in.
    pub disabled: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// By whom: an account, `enrolment` or `bootstrap`.
    pub created_by: String,
}

/// Digits of a code that is read aloud or typed: no I, L, O, U.
const CODE_DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const CODE_CHARS: usize = 20;
const CODE_MS: i64 = 24 * 60 * 60 * 1000;
const ROLES_OF_THE_FIRST: [Role; 1] = [Role::Administrator];

impl Directory {
    /// Makes an account without any role: giving it one is a change of the policy.
    ///
    /// # Errors
    /// If `by` is no administrator, the name is taken or not allowed, the password is weak, or the
    /// records cannot be written.
    pub fn create_person(
        &self,
        by: &Caller,
        name: &str,
        password: &str,
    ) -> Result<(), DirectoryError> {
        self.check(by, Action::ManagePeople)?;
        check_new(name, password)?;
        let _change = self.changes.lock();
        if self.state.read().people.contains_key(name) {
            return Err(DirectoryError::Exists(name.to_owned()));
        }
        self.add_person(name, password, &[], by.name())
    }

    /// Changes the password of an account and ends its sessions: one's own, or as administrator
    /// that of an account which reaches nothing yet, or once after [`Directory::allow_reset`].
    /// Else an administrator could become anybody.
    ///
    /// Whoever asks for another's password reset should ask that person to change it at once. An
    /// account that was reset by somebody else approves nothing for a day.
    ///
    /// # Errors
    /// If `by` may not, or is only a key of that person; if there is no such account, the
    /// password is weak, or the records cannot be written.
    pub fn set_password(
        &self,
        by: &Caller,
        name: &str,
        password: &str,
    ) -> Result<(), DirectoryError> {
        let own = by.name() == name && by.is_person();
        if !own {
            self.check(by, Action::ManagePeople)?;
        }
        self.check_alive(by)?;
        if !Passwords::is_strong(name, password) {
            return Err(DirectoryError::WeakPassword);
        }
        let hash = self.passwords.hash(password);
        let _change = self.changes.lock();
        let mut stored = self.stored_person(name)?;
        if !own && !self.may_reset(by, name, &stored) {
            return Err(DirectoryError::ResetTakesTwo(name.to_owned()));
        }
        stored.password = hash;
        if !own {
            self.note_reset(name)?;
        }
        stored.reset = None;
        stored::put(&*self.records, stored::PERSON, name, &stored)?;
        {
            let mut state = self.state.write();
            if let Some(person) = state.people.get_mut(name) {
                person.stored = stored;
                person.generation += 1;
                person.password_changed.store(true, Ordering::Release);
                person.password_changed = Arc::new(AtomicBool::new(false));
            }
        }
        self.end_sessions_of(name)
    }

    fn may_reset(&self, by: &Caller, name: &str, stored: &StoredPerson) -> bool {
        let now = self.clock.now();
        let allowed = |reset: &StoredReset| reset.by == by.name() && now.0 < reset.until;
        self.policies.is_founding()
            || self.policies.current().has_nothing(name)
            || stored.reset.as_ref().is_some_and(allowed)
    }

    /// Lets `by` set the password of another account once, within 24 hours. Two people agreed on
    /// it: see [`Edit::PasswordReset`](crate::change::Edit::PasswordReset).
    ///
    /// # Errors
    /// If there is no such account, or the records cannot be written.
    pub fn allow_reset(&self, name: &str, by: &str) -> Result<(), DirectoryError> {
        let _change = self.changes.lock();
        let mut stored = self.stored_person(name)?;
        let until = self.clock.now().0.saturating_add(CODE_MS);
        stored.reset = Some(StoredReset { by: by.to_owned(), until });
        stored::put(&*self.records, stored::PERSON, name, &stored)?;
        if let Some(person) = self.state.write().people.get_mut(name) {
            person.stored = stored;
        }
        Ok(())
    }

    /// Disables an account: nobody logs in with it any more, its sessions end, its API keys do
    /// not work, and its requests under way are refused.
    ///
    /// # Errors
    /// If `by` is no administrator, there is no such account, it is the last administrator, or
    /// the records cannot be written (it is then disabled until the next start).
    pub fn disable_person(&self, by: &Caller, name: &str) -> Result<(), DirectoryError> {
        self.check(by, Action::ManagePeople)?;
        let _change = self.changes.lock();
        self.stored_person(name)?;
        let now = self.clock.now();
        let disabled = self.policies.update(&made_by(by), now, |policy| {
            if is_last_administrator(policy, name, now) {
                return Err(DirectoryError::LastAdministrator);
            }
            let member = policy.members().get(name).cloned().unwrap_or_default();
            policy.set_member(name, Some(Member { disabled: true, ..member }));
            Ok(())
        });
        match disabled {
            Err(error @ DirectoryError::Records(_)) => {
                if let Some(person) = self.state.read().people.get(name) {
                    person.barred.store(true, Ordering::Release);
                }
                return Err(error);
            }
            disabled => disabled.map(drop)?,
        }
        self.end_sessions_of(name)
    }

    /// All accounts, by name.
    ///
    /// # Errors
    /// If `by` is no administrator.
    pub fn people(&self, by: &Caller) -> Result<Vec<PersonSummary>, DirectoryError> {
        self.check(by, Action::ManagePeople)?;
        let state = self.state.read();
        let (policy, now) = (self.policies.current(), self.clock.now());
        let mut people: Vec<PersonSummary> = state
            .people
            .iter()
            .map(|(name, person)| PersonSummary {
                name: name.clone(),
                roles: policy.roles_of(name, now),
                disabled: !self.is_open(name, person),
                created_at: Timestamp(person.stored.created_at),
                created_by: person.stored.created_by.clone(),
            })
            .collect();
        people.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(people)
    }

    /// Whether there is no account yet.
    pub fn is_empty(&self) -> bool {
        self.state.read().people.is_empty()
    }

    /// Makes the code with which the first administrator enrols, and forgets an older one. It
    /// works once, and for 24 hours.
    ///
    /// # Errors
    /// If there are accounts already, or the records cannot be written.
    pub fn enrolment_code(&self) -> Result<String, DirectoryError> {
        let _change = self.changes.lock();
        if !self.is_empty() {
            return Err(DirectoryError::AlreadyEnrolled);
        }
        let mut random = [0; CODE_CHARS];
        rand::fill(&mut random).expect("the system gives random bytes");
        let digits = random.map(|byte| CODE_DIGITS[usize::from(byte % 32)]);
        let code = StoredCode {
            mac: hex(&self.code_mac.sign(&digits)),
            expires: self.clock.now().0.saturating_add(CODE_MS),
        };
        stored::put(&*self.records, stored::ENROLMENT, stored::ENROLMENT_ID, &code)?;
        self.state.write().code = Some(code);
        let groups = digits.chunks(5).map(|group| group.iter().copied().map(char::from).collect());
        Ok(groups.collect::<Vec<String>>().join("-"))
    }

    /// Makes the first administrator. The code is taken without regard to case and dashes.
    ///
    /// # Errors
    /// If the code is wrong, used or too old, there are accounts already, too many codes were
    /// wrong, or name or password is not allowed (the code still works then).
    pub fn enrol(&self, code: &str, name: &str, password: &str) -> Result<(), DirectoryError> {
        let _change = self.changes.lock();
        self.check_code(code)?;
        check_new(name, password)?;
        if !self.is_empty() {
            return Err(DirectoryError::AlreadyEnrolled);
        }
        self.add_person(name, password, &ROLES_OF_THE_FIRST, "enrolment")?;
        self.state.write().code = None;
        self.records.delete(stored::ENROLMENT, stored::ENROLMENT_ID)?;
        Ok(())
    }

    /// Whether [`Directory::enrol`] would take this code. A wrong one counts as a failure.
    ///
    /// # Errors
    /// If the code is wrong, used or too old, or too many were wrong.
    pub fn check_code(&self, code: &str) -> Result<(), DirectoryError> {
        let now = self.clock.now();
        let mut throttle = self.throttle.lock();
        if let Some(retry_after_ms) = throttle.code_wait_ms(now) {
            return Err(DirectoryError::Throttled { retry_after_ms });
        }
        if !self.is_right_code(code, now) {
            throttle.code_failed(now);
            return Err(DirectoryError::Code);
        }
        Ok(())
    }

    fn is_right_code(&self, code: &str, now: Timestamp) -> bool {
        let digits: String = code
            .chars()
            .filter(|c| !c.is_whitespace() && *c != '-')
            .map(|c| match c.to_ascii_uppercase() {
                'O' => '0',
                'I' | 'L' => '1',
                upper => upper,
            })
            .collect();
        let mac = hex(&self.code_mac.sign(digits.as_bytes()));
        self.state.read().code.as_ref().is_some_and(|stored| {
            let same =
                constant_time::verify_slices_are_equal(mac.as_bytes(), stored.mac.as_bytes());
            same.is_ok() && now.0 < stored.expires
        })
    }

    /// Makes the accounts of a fresh node, as (name, password, roles): for the demo and for a
    /// set-up from a script, in the place of an enrolment code.
    ///
    /// # Errors
    /// If there are accounts already, a name or password is not allowed, or the records cannot
    /// be written.
    pub fn bootstrap(&self, people: &[(&str, &str, &[Role])]) -> Result<(), DirectoryError> {
        let _change = self.changes.lock();
        if !self.is_empty() {
            return Err(DirectoryError::AlreadyEnrolled);
        }
        for (name, password, roles) in people {
            check_new(name, password)?;
            if roles.is_empty() {
                return Err(DirectoryError::NoRole);
            }
        }
        for (name, password, roles) in people {
            self.add_person(name, password, roles, "bootstrap")?;
        }
        self.state.write().code = None;
        self.records.delete(stored::ENROLMENT, stored::ENROLMENT_ID)?;
        Ok(())
    }

    pub(super) fn add_person(
        &self,
        name: &str,
        password: &str,
        roles: &[Role],
        by: &str,
    ) -> Result<(), DirectoryError> {
        let now = self.clock.now();
        let stored = StoredPerson {
            password: self.passwords.hash(password),
            roles: Vec::new(),
            disabled: false,
            reset: None,
            created_at: now.0,
            created_by: by.to_owned(),
        };
        // Roles without an account let nobody in; an account without roles would be taken.
        self.policies.update(&format!("account made by {by}"), now, |policy| {
            policy.set_member(name, Some(Member::with_roles(roles)));
            Ok::<(), DirectoryError>(())
        })?;
        stored::put(&*self.records, stored::PERSON, name, &stored)?;
        self.state.write().people.insert(name.to_owned(), Person::new(stored, 0));
        Ok(())
    }

    fn stored_person(&self, name: &str) -> Result<StoredPerson, DirectoryError> {
        let state = self.state.read();
        let person = state.people.get(name);
        person
            .map(|person| person.stored.clone())
            .ok_or_else(|| DirectoryError::NoPerson(name.to_owned()))
    }

    /// Refuses a caller who is gone, or whose roles do not allow `action`.
    pub(super) fn check(&self, by: &Caller, action: Action) -> Result<(), DirectoryError> {
        self.check_alive(by)?;
        if by.may(action, self.clock.now()) { Ok(()) } else { Err(DirectoryError::NotAllowed) }
    }

    pub(super) fn check_alive(&self, by: &Caller) -> Result<(), DirectoryError> {
        if by.is_expired(self.clock.now()) {
            return Err(DirectoryError::CallerExpired);
        }
        Ok(())
    }
}

/// Whether an account may have this name.
pub(super) fn is_account_name(name: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-@".contains(c);
    (1..=64).contains(&name.len()) && name.chars().all(is_allowed)
}

fn check_new(name: &str, password: &str) -> Result<(), DirectoryError> {
    if !is_account_name(name) {
        return Err(DirectoryError::Name);
    }
    if !Passwords::is_strong(name, password) {
        return Err(DirectoryError::WeakPassword);
    }
    Ok(())
}

fn is_last_administrator(policy: &Policy, name: &str, now: Timestamp) -> bool {
    let managers = policy.people_who_may(Action::ManagePeople, now);
    managers.contains(name) && managers.len() == 1
}

/// For the record of a version of the policy.
fn made_by(by: &Caller) -> String {
    format!("{} with {}", by.name(), by.credential())
}
