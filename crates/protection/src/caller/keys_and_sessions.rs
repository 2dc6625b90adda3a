use super::stored::{self, StoredKey, StoredSession};
use super::{AuthError, Caller, Directory, DirectoryError, Proof, Role};
use crate::grant::Action;
use crate::keys::{from_hex, hex};
use crate::records::RecordError;
use aws_lc_rs::{constant_time, rand};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use model::Timestamp;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use zeroize::Zeroizing;

/// What every secret of an API key starts with, so that scanners of repositories find it.
const KEY_PREFIX: &str = "cls_";
/// What every token of a session starts with.
const SESSION_PREFIX: &str = "clss_";
const SECRET_BYTES: usize = 32;
const KEY_ID_BYTES: usize = 15;
/// Longer than any encoded key or token.
const TEXT_BYTES_MAX: usize = 512;

/// A session without a request ends after this long.
const SESSION_IDLE_MS: i64 = 8 * 60 * 60 * 1000;
/// And any session after this long.
const SESSION_MS_MAX: i64 = 7 * 24 * 60 * 60 * 1000;
/// How often the time of the last request is written down.
const SESSION_SAVED_MS: i64 = 10 * 60 * 1000;
const SESSIONS_OF_ONE_MAX: usize = 50;
const KEYS_OF_ONE_MAX: usize = 1000;

/// An API key just made: the only time that its secret is seen.
pub struct NewApiKey {
    /// Its public id.
    pub id: String,
    /// What its maker calls it.
    pub name: String,
    /// The secret, `cls_` and 43 characters.
    pub secret: Zeroizing<String>,
    /// base64 of `id:secret`, for an `ApiKey` header.
    pub encoded: Zeroizing<String>,
    /// When it ends.
    pub expires: Option<Timestamp>,
}

impl fmt::Debug for NewApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NewApiKey({})", self.id)
    }
}

/// An API key as lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeySummary {
    /// Its public id.
    pub id: String,
    /// What its maker calls it.
    pub name: String,
    /// Whose it is.
    pub owner: String,
    /// What it may do at most; never more than its owner may.
    pub roles: Vec<Role>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires: Option<Timestamp>,
    /// When it was taken back.
    pub revoked_at: Option<Timestamp>,
}

/// The token of a session just started; goes into a cookie.
pub struct SessionToken {
    token: Zeroizing<String>,
    /// When the session ends at the latest.
    pub expires: Timestamp,
}

impl SessionToken {
    /// The token.
    pub fn as_str(&self) -> &str {
        &self.token
    }
}

impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionToken(…)")
    }
}

pub(super) struct Key {
    stored: StoredKey,
    roles: Vec<Role>,
    revoked: Arc<AtomicBool>,
}

impl Key {
    pub(super) fn new(stored: StoredKey) -> Result<Key, RecordError> {
        Ok(Key {
            roles: stored::roles_from(&stored.roles, stored::API_KEY)?,
            revoked: Arc::new(AtomicBool::new(stored.revoked_at.is_some())),
            stored,
        })
    }

    fn summary(&self, id: &str) -> ApiKeySummary {
        ApiKeySummary {
            id: id.to_owned(),
            name: self.stored.name.clone(),
            owner: self.stored.owner.clone(),
            roles: self.roles.clone(),
            created_at: Timestamp(self.stored.created_at),
            expires: stored::optional_time(self.stored.expires),
            revoked_at: stored::optional_time(self.stored.revoked_at),
        }
    }
}

pub(super) struct Session {
    person: String,
    started_at: i64,
    seen_at: AtomicI64,
    saved_at: AtomicI64,
    ended: Arc<AtomicBool>,
}

impl Session {
    pub(super) fn new(stored: StoredSession) -> Session {
        Session {
            person: stored.person,
            started_at: stored.started_at,
            seen_at: AtomicI64::new(stored.seen_at),
            saved_at: AtomicI64::new(stored.seen_at),
            ended: Arc::default(),
        }
    }

    fn ends_at(&self) -> i64 {
        self.started_at.saturating_add(SESSION_MS_MAX)
    }

    fn is_over(&self, now: i64) -> bool {
        now >= self.ends_at()
            || now.saturating_sub(self.seen_at.load(Ordering::Relaxed)) >= SESSION_IDLE_MS
    }
}

impl Directory {
    /// Makes an API key for `by`. A key that makes a key hands down its own end, and both are
    /// taken back together.
    ///
    /// # Errors
    /// If the key would have a role that `by` has not, none at all, a bad name or an end in the
    /// past; if the caller's credential has ended, there are too many, or the records cannot be
    /// written.
    pub fn create_api_key(
        &self,
        by: &Caller,
        name: &str,
        roles: &[Role],
        expires: Option<Timestamp>,
    ) -> Result<NewApiKey, DirectoryError> {
        self.check_alive(by)?;
        if name.is_empty() || name.chars().count() > 256 || name.chars().any(char::is_control) {
            return Err(DirectoryError::KeyName);
        }
        if roles.is_empty() {
            return Err(DirectoryError::NoRole);
        }
        if let Some(&role) = roles.iter().find(|role| !by.roles().contains(role)) {
            return Err(DirectoryError::RoleNotHeld(role));
        }
        let now = self.clock.now();
        if expires.is_some_and(|expires| expires <= now) {
            return Err(DirectoryError::EndInPast);
        }
        let (expires, made_by_key) = match &by.proof {
            Proof::ApiKey { id } => {
                (expires.into_iter().chain(by.expires()).min(), Some(id.clone()))
            }
            _ => (expires, None),
        };
        let _change = self.changes.lock();
        let owned = |key: &&Key| key.stored.owner == by.name() && key.stored.revoked_at.is_none();
        if self.state.read().keys.values().filter(owned).count() >= KEYS_OF_ONE_MAX {
            return Err(DirectoryError::TooMany("API keys"));
        }
        let id = URL_SAFE_NO_PAD.encode(random::<KEY_ID_BYTES>().as_slice());
        let secret = secret_with(KEY_PREFIX);
        let mut roles = roles.to_vec();
        roles.sort();
        roles.dedup();
        let stored = StoredKey {
            name: name.to_owned(),
            owner: by.name().to_owned(),
            roles: stored::words_of(&roles),
            mac: hex(&self.mac_of_key(&id, &secret)),
            created_at: now.0,
            expires: expires.map(|expires| expires.0),
            revoked_at: None,
            made_by_key,
        };
        stored::put(&*self.records, stored::API_KEY, &id, &stored)?;
        self.state.write().keys.insert(id.clone(), Key::new(stored)?);
        let pair = Zeroizing::new(format!("{id}:{}", *secret));
        let encoded = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
        Ok(NewApiKey { id, name: name.to_owned(), secret, encoded, expires })
    }

    fn mac_of_key(&self, id: &str, secret: &str) -> [u8; 32] {
        self.key_mac.sign_parts(&[id.as_bytes(), b":", secret.as_bytes()])
    }

    /// Takes a key back, and the keys that it made: its next request is refused, and so are those
    /// under way. One's own, or any as administrator.
    ///
    /// # Errors
    /// If there is no such key that `by` may see, or the records cannot be written (it is then
    /// taken back until the next start).
    pub fn revoke_api_key(&self, by: &Caller, id: &str) -> Result<(), DirectoryError> {
        self.check_alive(by)?;
        let _change = self.changes.lock();
        let now = self.clock.now().0;
        let mut changed = Vec::new();
        {
            let mut state = self.state.write();
            let may_all = by.may(Action::ManageKeys, self.clock.now());
            let visible = |key: &&Key| may_all || key.stored.owner == by.name();
            if state.keys.get(id).filter(visible).is_none() {
                return Err(DirectoryError::NoKey);
            }
            let mut waiting = vec![id.to_owned()];
            while let Some(id) = waiting.pop() {
                let made = |key: &Key| key.stored.made_by_key.as_deref() == Some(&id);
                waiting.extend(
                    state.keys.iter().filter(|(_, key)| made(key)).map(|(id, _)| id.clone()),
                );
                let Some(key) = state.keys.get_mut(&id) else { continue };
                key.revoked.store(true, Ordering::Release);
                key.stored.revoked_at.get_or_insert(now);
                changed.push((id, key.stored.clone()));
            }
        }
        for (id, stored) in changed {
            stored::put(&*self.records, stored::API_KEY, &id, &stored)?;
        }
        Ok(())
    }

    /// The caller's own keys, or all as administrator; the newest first, also those that ended.
    ///
    /// # Errors
    /// If the caller's credential has ended.
    pub fn api_keys(&self, by: &Caller) -> Result<Vec<ApiKeySummary>, DirectoryError> {
        self.check_alive(by)?;
        let may_all = by.may(Action::ManageKeys, self.clock.now());
        let state = self.state.read();
        let mut keys: Vec<ApiKeySummary> = state
            .keys
            .iter()
            .filter(|(_, key)| may_all || key.stored.owner == by.name())
            .map(|(id, key)| key.summary(id))
            .collect();
        keys.sort_by(|one, other| (other.created_at, &other.id).cmp(&(one.created_at, &one.id)));
        Ok(keys)
    }

    pub(super) fn authenticate_key(&self, text: &str) -> Result<Caller, AuthError> {
        let pair = pair_of(text).ok_or(AuthError::Invalid)?;
        let (id, secret) = pair.split_once(':').ok_or(AuthError::Invalid)?;
        let mac = self.mac_of_key(id, secret);
        let state = self.state.read();
        let key = state.keys.get(id).ok_or(AuthError::Invalid)?;
        let stored: [u8; 32] = from_hex(&key.stored.mac).ok_or(AuthError::Invalid)?;
        if constant_time::verify_slices_are_equal(&mac, &stored).is_err() {
            return Err(AuthError::Invalid);
        }
        let owner = state.people.get(&key.stored.owner).ok_or(AuthError::Invalid)?;
        if !self.is_open(&key.stored.owner, owner) {
            return Err(AuthError::Invalid);
        }
        let now = self.clock.now();
        let held = self.policies.current().roles_of(&key.stored.owner, now);
        if key.revoked.load(Ordering::Acquire) {
            return Err(AuthError::Revoked);
        }
        let caller = Caller {
            name: key.stored.owner.as_str().into(),
            roles: key.roles.iter().copied().filter(|role| held.contains(role)).collect(),
            credential: format!("key:{id}").into(),
            proof: Proof::ApiKey { id: id.to_owned() },
            expires: stored::optional_time(key.stored.expires),
            revoked: vec![Arc::clone(&owner.barred), Arc::clone(&key.revoked)],
            policy: Arc::clone(self.policies.in_force()),
            address: None,
            purpose: "".into(),
        };
        if caller.is_expired(now) {
            return Err(AuthError::Expired);
        }
        Ok(caller)
    }

    /// The id and owner of the key that `text` names, whether its secret is right or not.
    pub(super) fn key_named(&self, text: &str) -> Option<(String, String)> {
        let pair = pair_of(text)?;
        let (id, _) = pair.split_once(':')?;
        let state = self.state.read();
        state.keys.get(id).map(|key| (id.to_owned(), key.stored.owner.clone()))
    }

    /// Whose session `token` is, also if that is over.
    pub(super) fn session_owner(&self, token: &str) -> Option<String> {
        let id = hex(&self.session_mac.sign(token.as_bytes()));
        let state = self.state.read();
        state.sessions.get(&id).map(|session| session.person.clone())
    }

    /// Starts a session for a person who just showed a password. It ends after 8 hours without a
    /// request, and after 7 days. Of more than 50 of one person the oldest ends.
    ///
    /// # Errors
    /// If `caller` came with a key or a session, is gone, or the records cannot be written.
    pub fn start_session(&self, caller: &Caller) -> Result<SessionToken, DirectoryError> {
        self.check_alive(caller)?;
        if !caller.proof.is_log_in() {
            return Err(DirectoryError::NeedsPassword);
        }
        let _change = self.changes.lock();
        self.end_oldest_session_of(caller.name())?;
        let token = secret_with(SESSION_PREFIX);
        let id = hex(&self.session_mac.sign(token.as_bytes()));
        let now = self.clock.now().0;
        let stored =
            StoredSession { person: caller.name().to_owned(), started_at: now, seen_at: now };
        stored::put(&*self.records, stored::SESSION, &id, &stored)?;
        let session = Session::new(stored);
        let expires = Timestamp(session.ends_at());
        self.state.write().sessions.insert(id, session);
        // A password changed, or an account disabled, since the caller showed it.
        self.check_alive(caller)?;
        Ok(SessionToken { token, expires })
    }

    /// Ends a session; no error if there is none.
    ///
    /// # Errors
    /// If the records cannot be written (it has then ended until the next start).
    pub fn end_session(&self, token: &str) -> Result<(), DirectoryError> {
        let id = hex(&self.session_mac.sign(token.as_bytes()));
        let _change = self.changes.lock();
        self.end_sessions(vec![id])
    }

    pub(super) fn is_session_token(text: &str) -> bool {
        text.starts_with(SESSION_PREFIX)
    }

    pub(super) fn authenticate_session(&self, token: &str) -> Result<Caller, AuthError> {
        if token.len() > TEXT_BYTES_MAX {
            return Err(AuthError::Invalid);
        }
        let id = hex(&self.session_mac.sign(token.as_bytes()));
        let now = self.clock.now().0;
        let (caller, to_save) = {
            let state = self.state.read();
            let session = state.sessions.get(&id).ok_or(AuthError::Invalid)?;
            if session.is_over(now) {
                return Err(AuthError::Expired);
            }
            let person = state.people.get(&session.person).ok_or(AuthError::Invalid)?;
            if !self.is_open(&session.person, person) {
                return Err(AuthError::Invalid);
            }
            session.seen_at.fetch_max(now, Ordering::Relaxed);
            let caller = Caller {
                name: session.person.as_str().into(),
                roles: self.policies.current().roles_of(&session.person, Timestamp(now)),
                credential: format!("session:{}", &id[..12]).into(),
                proof: Proof::Session { started_at: Timestamp(session.started_at) },
                expires: Some(Timestamp(session.ends_at())),
                revoked: vec![
                    Arc::clone(&person.barred),
                    Arc::clone(&person.password_changed),
                    Arc::clone(&session.ended),
                ],
                policy: Arc::clone(self.policies.in_force()),
                address: None,
                purpose: "".into(),
            };
            let due =
                now.saturating_sub(session.saved_at.load(Ordering::Relaxed)) >= SESSION_SAVED_MS;
            (caller, due)
        };
        if to_save {
            self.save_session(&id, now)?;
        }
        Ok(caller)
    }

    fn save_session(&self, id: &str, now: i64) -> Result<(), RecordError> {
        let _change = self.changes.lock();
        let stored = {
            let state = self.state.read();
            let Some(session) = state.sessions.get(id) else { return Ok(()) };
            session.saved_at.store(now, Ordering::Relaxed);
            StoredSession {
                person: session.person.clone(),
                started_at: session.started_at,
                seen_at: now,
            }
        };
        stored::put(&*self.records, stored::SESSION, id, &stored)
    }

    /// Ends all sessions of one person. The change lock is held.
    pub(super) fn end_sessions_of(&self, name: &str) -> Result<(), DirectoryError> {
        let state = self.state.read();
        let of_person = state.sessions.iter().filter(|(_, session)| session.person == name);
        let ids = of_person.map(|(id, _)| id.clone()).collect();
        drop(state);
        self.end_sessions(ids)
    }

    /// Makes room for one more session, and forgets those of anybody that are over.
    fn end_oldest_session_of(&self, name: &str) -> Result<(), DirectoryError> {
        let now = self.clock.now().0;
        let mut own = Vec::new();
        let mut ids = Vec::new();
        for (id, session) in &self.state.read().sessions {
            if session.is_over(now) {
                ids.push(id.clone());
            } else if session.person == name {
                own.push((session.seen_at.load(Ordering::Relaxed), id.clone()));
            }
        }
        own.sort();
        let too_many = (own.len() + 1).saturating_sub(SESSIONS_OF_ONE_MAX);
        ids.extend(own.into_iter().take(too_many).map(|(_, id)| id));
        self.end_sessions(ids)
    }

    fn end_sessions(&self, ids: Vec<String>) -> Result<(), DirectoryError> {
        {
            let mut state = self.state.write();
            for id in &ids {
                if let Some(session) = state.sessions.remove(id) {
                    session.ended.store(true, Ordering::Release);
                }
            }
        }
        for id in ids {
            self.records.delete(stored::SESSION, &id)?;
        }
        Ok(())
    }
}

/// `id:secret` of an API key, from that or its base64.
fn pair_of(text: &str) -> Option<Zeroizing<String>> {
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    if text.contains(':') {
        return Some(Zeroizing::new(text.to_owned()));
    }
    String::from_utf8(STANDARD.decode(text).ok()?).ok().map(Zeroizing::new)
}

/// An id that nobody guesses and that says nothing: 192 random bits.
pub fn random_id() -> String {
    URL_SAFE_NO_PAD.encode(random::<24>().as_slice())
}

fn random<const N: usize>() -> Zeroizing<[u8; N]> {
    let mut bytes = Zeroizing::new([0; N]);
    rand::fill(bytes.as_mut_slice()).expect("the system gives random bytes");
    bytes
}

fn secret_with(prefix: &str) -> Zeroizing<String> {
    let random = random::<SECRET_BYTES>();
    let encoded = Zeroizing::new(URL_SAFE_NO_PAD.encode(random.as_slice()));
    Zeroizing::new(format!("{prefix}{}", *encoded))
}
