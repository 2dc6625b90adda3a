//! How accounts, keys and sessions lie in the record store: JSON, one record each.

use super::Role;
use crate::keys::PassphraseCost;
use crate::records::{RecordError, RecordStore};
use model::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Kinds of records.
pub(super) const PERSON: &str = "person";
pub(super) const API_KEY: &str = "api_key";
pub(super) const SESSION: &str = "session";
pub(super) const ENROLMENT: &str = "enrolment";

/// The only id under [`ENROLMENT`].
pub(super) const ENROLMENT_ID: &str = "code";

/// The id is the account's name.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct StoredPerson {
    pub(super) password: StoredPassword,
    /// Only in accounts of older data folders; today roles stand in the policy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) roles: Vec<String>,
    /// As `roles`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) disabled: bool,
    /// Who may set the password once, until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reset: Option<StoredReset>,
    pub(super) created_at: i64,
    pub(super) created_by: String,
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct StoredReset {
    pub(super) by: String,
    pub(super) until: i64,
}

/// Argon2id, then HMAC under a key of the ring.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct StoredPassword {
    pub(super) memory_kib: u32,
    pub(super) passes: u32,
    pub(super) salt: String,
    pub(super) hash: String,
}

impl StoredPassword {
    pub(super) fn cost(&self) -> PassphraseCost {
        PassphraseCost { memory_kib: self.memory_kib, passes: self.passes }
    }
}

/// The id is the key's id.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct StoredKey {
    pub(super) name: String,
    pub(super) owner: String,
    pub(super) roles: Vec<String>,
    /// HMAC over id and secret.
    pub(super) mac: String,
    pub(super) created_at: i64,
    pub(super) expires: Option<i64>,
    pub(super) revoked_at: Option<i64>,
    /// The key that made this key: taken back together.
    pub(super) made_by_key: Option<String>,
}

/// The id is the HMAC of the token.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct StoredSession {
    pub(super) person: String,
    pub(super) started_at: i64,
    pub(super) seen_at: i64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct StoredCode {
    pub(super) mac: String,
    pub(super) expires: i64,
}

pub(super) fn put<T: Serialize>(
    records: &dyn RecordStore,
    kind: &str,
    id: &str,
    value: &T,
) -> Result<(), RecordError> {
    let bytes = serde_json::to_vec(value).expect("strings and numbers only");
    records.put(kind, id, &bytes)
}

pub(super) fn list<T: DeserializeOwned>(
    records: &dyn RecordStore,
    kind: &str,
) -> Result<Vec<(String, T)>, RecordError> {
    let read = |(id, bytes): (String, Vec<u8>)| match serde_json::from_slice(&bytes) {
        Ok(value) => Ok((id, value)),
        Err(_) => Err(RecordError::Damaged { kind: kind.to_owned() }),
    };
    records.list(kind)?.into_iter().map(read).collect()
}

pub(super) fn roles_from(words: &[String], kind: &str) -> Result<Vec<Role>, RecordError> {
    let damaged = |_| RecordError::Damaged { kind: kind.to_owned() };
    words.iter().map(|word| word.parse().map_err(damaged)).collect()
}

pub(super) fn words_of(roles: &[Role]) -> Vec<String> {
    roles.iter().map(|role| role.as_str().to_owned()).collect()
}

pub(super) fn optional_time(time: Option<i64>) -> Option<Timestamp> {
    time.map(Timestamp)
}
