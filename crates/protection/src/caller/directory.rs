use super::keys_and_sessions::{Key, Session};
use super::oidc::Oidc;
use super::password::Passwords;
use super::second_factor::{FactorError, FactorUse, Factors};
use super::stored::{self, StoredCode, StoredKey, StoredPerson, StoredSession};
use super::throttle::{NameHash, Network, Throttle};
use super::{AuthError, Caller, Credential, FactorAnswer, Proof, Role};
use crate::grant::{Member, Policies};
use crate::keys::{KeyRing, MacKey, PassphraseCost};
use crate::records::{RecordError, RecordStore};
use model::{Clock, Timestamp};
use parking_lot::{Mutex, RwLock};
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// All people, API keys and sessions of a node, in memory; every change is in the record store
/// before it is answered, and taking back takes effect at once, also for requests under way.
pub struct Directory {
    pub(super) records: Arc<dyn RecordStore>,
    pub(super) clock: Arc<dyn Clock>,
    /// Who has which roles, and who is disabled.
    pub(super) policies: Arc<Policies>,
    pub(super) passwords: Passwords,
    pub(super) key_mac: MacKey,
    pub(super) session_mac: MacKey,
    pub(super) code_mac: MacKey,
    pub(super) name_mac: MacKey,
    /// Held through a whole change, also while the record store writes; readers do not wait.
    pub(super) changes: Mutex<()>,
    pub(super) state: RwLock<State>,
    pub(super) throttle: Mutex<Throttle>,
    pub(super) factors: Factors,
    /// Set where the node may ask services outside.
    pub(super) oidc: OnceLock<Oidc>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) people: HashMap<String, Person>,
    /// By id.
    pub(super) keys: HashMap<String, Key>,
    /// By the HMAC of the token, in hexadecimal.
    pub(super) sessions: HashMap<String, Session>,
    pub(super) code: Option<StoredCode>,
}

pub(super) struct Person {
    pub(super) stored: StoredPerson,
    /// Counts the passwords.
    pub(super) generation: u64,
    /// Set when the account was to be disabled and that could not be written: shuts it out
    /// until the next start. Otherwise the policy knows who is disabled.
    pub(super) barred: Arc<AtomicBool>,
    /// Set when the password is changed: ends what it opened.
    pub(super) password_changed: Arc<AtomicBool>,
}

impl Person {
    pub(super) fn new(stored: StoredPerson, generation: u64) -> Person {
        Person { generation, barred: Arc::default(), password_changed: Arc::default(), stored }
    }
}

impl Directory {
    /// Reads all accounts, keys and sessions.
    ///
    /// # Errors
    /// If the records cannot be read.
    pub fn open(
        records: Arc<dyn RecordStore>,
        ring: Arc<KeyRing>,
        clock: Arc<dyn Clock>,
    ) -> Result<Directory, RecordError> {
        Directory::open_with(records, &ring, clock, PassphraseCost::LOGIN)
    }

    /// As [`Directory::open`], with what a guess at a new password shall cost.
    ///
    /// # Errors
    /// As [`Directory::open`].
    pub fn open_with(
        records: Arc<dyn RecordStore>,
        ring: &KeyRing,
        clock: Arc<dyn Clock>,
        cost: PassphraseCost,
    ) -> Result<Directory, RecordError> {
        let mut state = State::default();
        for (name, stored) in stored::list::<StoredPerson>(&*records, stored::PERSON)? {
            state.people.insert(name, Person::new(stored, 0));
        }
        let policies = Policies::open(Arc::clone(&records), clock.now())?;
        adopt_members(&policies, &state, clock.now())?;
        for (id, stored) in stored::list::<StoredKey>(&*records, stored::API_KEY)? {
            state.keys.insert(id, Key::new(stored)?);
        }
        for (id, stored) in stored::list::<StoredSession>(&*records, stored::SESSION)? {
            state.sessions.insert(id, Session::new(stored));
        }
        let factors = Factors::open(&*records, ring)?;
        let codes = stored::list::<StoredCode>(&*records, stored::ENROLMENT)?;
        state.code = codes.into_iter().next().map(|(_, code)| code);
        Ok(Directory {
            records,
            clock,
            policies: Arc::new(policies),
            passwords: Passwords::new(ring, cost),
            key_mac: ring.mac_key("api key"),
            session_mac: ring.mac_key("session"),
            code_mac: ring.mac_key("enrolment code"),
            name_mac: ring.mac_key("throttled name"),
            changes: Mutex::default(),
            state: RwLock::new(state),
            throttle: Mutex::default(),
            factors,
            oidc: OnceLock::new(),
        })
    }

    /// Who shows this credential.
    ///
    /// A right password is remembered for a minute, so that a Basic header on every request costs
    /// microseconds; else a password costs some 50 ms on purpose. May block that long.
    ///
    /// # Errors
    /// [`AuthError`]; it never says whether an account exists.
    pub fn authenticate(&self, credential: Credential<'_>) -> Result<Caller, AuthError> {
        match credential {
            Credential::Password { name, password, network } => {
                self.authenticate_password(name, password, None, Network::of(network))
            }
            Credential::WithFactor { name, password, factor, network } => {
                self.authenticate_password(name, password, Some(factor), Network::of(network))
            }
            Credential::ApiKey(text) => self.authenticate_key(text),
            Credential::Session(token) => self.authenticate_session(token),
            Credential::Bearer(text) if Directory::is_session_token(text) => {
                self.authenticate_session(text)
            }
            Credential::Bearer(text) => self.authenticate_key(text),
        }
    }

    pub(super) fn name_hash(&self, name: &str) -> NameHash {
        let mac = self.name_mac.sign(name.as_bytes());
        mac[..16].try_into().expect("16 of 32 bytes")
    }

    fn authenticate_password(
        &self,
        name: &str,
        password: &str,
        factor: Option<FactorAnswer<'_>>,
        from: Network,
    ) -> Result<Caller, AuthError> {
        // Somebody else's failures do not lock out who was right a moment ago.
        if let Some(caller) = self.remembered(name, password) {
            return Ok(caller);
        }
        let hash = self.name_hash(name);
        let generation = self.check_password(name, password, from)?;
        let proof = if self.has_second_factor(name) {
            // A right password alone is no guess: who only forgot the code is not held up.
            let factor = factor.ok_or(AuthError::FactorNeeded)?;
            match self.check_factor(name, FactorUse::LogIn, factor) {
                Ok(_) => Proof::PasswordAndFactor,
                Err(FactorError::Records(error)) => return Err(error.into()),
                Err(_) => {
                    self.throttle.lock().failed(hash, from, self.clock.now());
                    return Err(AuthError::Invalid);
                }
            }
        } else {
            Proof::Password
        };
        self.throttle.lock().succeeded(hash, from);
        self.caller_by_password(name, proof, Some(generation)).ok_or(AuthError::Invalid)
    }

    /// The password's generation, if it is right; a wrong one counts as a failure from there.
    pub(super) fn check_password(
        &self,
        name: &str,
        password: &str,
        from: Network,
    ) -> Result<u64, AuthError> {
        let hash = self.name_hash(name);
        self.not_throttled(hash, from)?;
        let _place = self.passwords.place_to_run()?;
        // While this one waited for its place, its twin may have been let in, or a whole series
        // of guesses may have failed.
        if let Some(generation) = self.remembered_generation(name, password) {
            return Ok(generation);
        }
        self.not_throttled(hash, from)?;
        let known = self.known(name);
        let stored = known.as_ref().map(|(stored, _)| &stored.password);
        let is_right = self.passwords.verify(stored, password);
        let now = self.clock.now();
        let Some((_, generation)) = known.filter(|_| is_right) else {
            self.throttle.lock().failed(hash, from, now);
            return Err(AuthError::Invalid);
        };
        self.passwords.remember(name, password, generation, now);
        Ok(generation)
    }

    fn not_throttled(&self, name: NameHash, from: Network) -> Result<(), AuthError> {
        match self.throttle.lock().wait_ms(name, from, self.clock.now()) {
            Some(retry_after_ms) => Err(AuthError::Throttled { retry_after_ms }),
            None => Ok(()),
        }
    }

    /// Who may do what, with all that was ever true.
    pub fn policies(&self) -> &Arc<Policies> {
        &self.policies
    }

    /// Whether the account may be used at all.
    pub(super) fn is_open(&self, name: &str, person: &Person) -> bool {
        !person.barred.load(Ordering::Acquire) && self.policies.current().is_enabled(name)
    }

    /// A person who may log in, and the generation of the password.
    fn known(&self, name: &str) -> Option<(StoredPerson, u64)> {
        let state = self.state.read();
        let person = state.people.get(name).filter(|person| self.is_open(name, person))?;
        Some((person.stored.clone(), person.generation))
    }

    /// Who was right with this password within the last minute. Nobody with a second factor: for
    /// them a password alone opens nothing.
    fn remembered(&self, name: &str, password: &str) -> Option<Caller> {
        let generation = self.remembered_generation(name, password)?;
        if self.has_second_factor(name) {
            return None;
        }
        self.caller_by_password(name, Proof::Password, Some(generation))
    }

    /// The account behind work that goes on after the request that started it, such as a copy.
    /// It has the account's roles of now and ends when the account is disabled or loses one;
    /// it starts no session and approves nothing. `duty` is what the record says of it.
    ///
    /// Whoever calls this has kept who started the work, and that they might.
    pub fn on_duty(&self, name: &str, duty: &str) -> Option<Caller> {
        let state = self.state.read();
        let person = state.people.get(name).filter(|person| self.is_open(name, person))?;
        Some(Caller {
            name: name.into(),
            roles: self.policies.current().roles_of(name, self.clock.now()),
            credential: duty.into(),
            proof: Proof::Duty,
            expires: None,
            revoked: vec![Arc::clone(&person.barred)],
            policy: Arc::clone(self.policies.in_force()),
            address: None,
            purpose: "".into(),
        })
    }

    /// As [`Directory::on_duty`], with these of the account's roles and no others: those of the
    /// credential that started the work. `None` also if the account has not all of them any more.
    pub fn on_duty_as(&self, name: &str, roles: &[Role], duty: &str) -> Option<Caller> {
        let caller = self.on_duty(name, duty)?;
        let has_all = roles.iter().all(|role| caller.roles.contains(role));
        has_all.then(|| Caller { roles: roles.to_vec(), ..caller })
    }

    fn remembered_generation(&self, name: &str, password: &str) -> Option<u64> {
        let generation = self.state.read().people.get(name)?.generation;
        let now = self.clock.now();
        self.passwords.is_remembered(name, password, generation, now).then_some(generation)
    }

    /// A person who just proved who they are; `None` if the account may not be used, or has another
    /// password by now than the one of `generation`.
    pub(super) fn caller_by_password(
        &self,
        name: &str,
        proof: Proof,
        generation: Option<u64>,
    ) -> Option<Caller> {
        let state = self.state.read();
        let person = state.people.get(name).filter(|person| self.is_open(name, person))?;
        if generation.is_some_and(|generation| generation != person.generation) {
            return None;
        }
        Some(Caller {
            name: name.into(),
            roles: self.policies.current().roles_of(name, self.clock.now()),
            credential: proof.as_str().into(),
            proof,
            expires: None,
            revoked: vec![Arc::clone(&person.barred), Arc::clone(&person.password_changed)],
            policy: Arc::clone(self.policies.in_force()),
            address: None,
            purpose: "".into(),
        })
    }
}

/// Takes over the roles of a data folder that was made when they still stood in the accounts.
fn adopt_members(policies: &Policies, state: &State, now: Timestamp) -> Result<(), RecordError> {
    let older: Vec<(&String, &StoredPerson)> = state
        .people
        .iter()
        .map(|(name, person)| (name, &person.stored))
        .filter(|(_, stored)| !stored.roles.is_empty())
        .collect();
    if policies.version() > 1 || older.is_empty() {
        return Ok(());
    }
    policies.update("accounts of an older format", now, |policy| {
        for (name, stored) in older {
            let roles = stored::roles_from(&stored.roles, stored::PERSON)?;
            let member = Member { disabled: stored.disabled, ..Member::with_roles(&roles) };
            policy.set_member(name, Some(member));
        }
        Ok::<(), RecordError>(())
    })?;
    Ok(())
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.read();
        f.debug_struct("Directory")
            .field("people", &state.people.len())
            .field("keys", &state.keys.len())
            .field("sessions", &state.sessions.len())
            .finish_non_exhaustive()
    }
}
