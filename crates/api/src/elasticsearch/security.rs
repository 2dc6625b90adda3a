//! `_security`: who I am, and API keys.

use crate::backend::{self, KeyRecord, NewKey};
use crate::error::{Answer, ApiError};
use crate::reply::Reply;
use crate::request::Request;
use crate::route::Call;
use engine::Caller;
use model::Timestamp;
use serde_json::{Map, Value, json};

/// The realm of all accounts.
const REALM: &str = "clerestory";

/// `GET /_security/_authenticate`.
pub(crate) fn authenticate(_call: &Call<'_>, caller: &Caller) -> Answer {
    let who = backend::who(caller);
    let realm = json!({ "name": REALM, "type": "native" });
    let mut shown = json!({
        "username": who.name,
        "roles": who.roles,
        "full_name": null,
        "email": null,
        "metadata": {},
        "enabled": true,
        "authentication_realm": realm,
        "lookup_realm": realm,
        "authentication_type": if who.key_id.is_some() { "api_key" } else { "realm" },
    });
    if let Some(id) = who.key_id {
        shown["api_key"] = json!({ "id": id });
    }
    Ok(Reply::json(shown))
}

/// `POST /_security/api_key`.
pub(crate) fn create_key(call: &Call<'_>, caller: &Caller) -> Answer {
    let body = call.request.json()?;
    let name = body["name"].as_str().filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| ApiError::illegal_argument("api key name is required"))?;
    let wanted = NewKey {
        name: name.to_owned(),
        roles: roles_of(&body["role_descriptors"])?,
        expires_in_ms: match &body["expiration"] {
            Value::Null => None,
            Value::String(text) => Some(duration_ms(text)?),
            _ => return Err(ApiError::illegal_argument("[expiration] is a time such as [30d]")),
        },
    };
    let made = backend::create_key(&call.app.engine, caller, &wanted)?;
    let mut shown = json!({ "id": made.id, "name": made.name });
    if let Some(Timestamp(expires)) = made.expires {
        shown["expiration"] = json!(expires);
    }
    shown["api_key"] = json!(made.secret);
    shown["encoded"] = json!(made.encoded);
    Ok(Reply::json(shown))
}

/// The roles that a key is to have; `None`: all of its maker's.
///
/// A descriptor that is named like a role and says nothing more is that role. Any other must say
/// what our roles can say, for all indices: a key never gets more than was asked for.
fn roles_of(descriptors: &Value) -> Result<Option<Vec<String>>, ApiError> {
    let descriptors = match descriptors {
        Value::Null => return Ok(None),
        Value::Object(descriptors) if descriptors.is_empty() => return Ok(None),
        Value::Object(descriptors) => descriptors,
        _ => return Err(ApiError::illegal_argument("[role_descriptors] is an object")),
    };
    let mut roles: Vec<String> = Vec::new();
    for (name, descriptor) in descriptors {
        let says_nothing = descriptor.as_object().is_some_and(Map::is_empty);
        if says_nothing && backend::is_role(name) {
            roles.push(name.clone());
        } else {
            roles.extend(roles_of_privileges(descriptor)?);
        }
    }
    roles.sort_unstable();
    roles.dedup();
    Ok(Some(roles))
}

fn roles_of_privileges(descriptor: &Value) -> Result<Vec<String>, ApiError> {
    let refuse = || {
        ApiError::not_supported(
            "a role descriptor is the name of a role (analyst, engineer, guardian, administrator) \
             with {}, or has [indices] with names [\"*\"] and the privilege read or all",
        )
    };
    let members = descriptor.as_object().ok_or_else(refuse)?;
    let knows = |name: &str| matches!(name, "indices" | "index" | "cluster" | "metadata");
    if !members.keys().all(|name| knows(name)) {
        return Err(refuse());
    }
    let texts = |value: &Value| -> Option<Vec<String>> {
        value.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
    };
    if let Some(cluster) = members.get("cluster") {
        let asked = texts(cluster).ok_or_else(refuse)?;
        if !asked.iter().all(|privilege| privilege == "monitor") {
            return Err(refuse());
        }
    }
    let mut roles = Vec::new();
    let indices = members.get("indices").or_else(|| members.get("index")).ok_or_else(refuse)?;
    for entry in indices.as_array().ok_or_else(refuse)? {
        let is_narrowed = ["field_security", "query"]
            .iter()
            .any(|narrowing| entry.get(narrowing).is_some_and(|value| !value.is_null()));
        let names = texts(&entry["names"]).ok_or_else(refuse)?;
        if is_narrowed || names != ["*"] {
            return Err(refuse());
        }
        for privilege in texts(&entry["privileges"]).ok_or_else(refuse)? {
            roles.push(match privilege.as_str() {
                "read" | "view_index_metadata" | "monitor" => "analyst".to_owned(),
                "all" => "engineer".to_owned(),
                // An engineer may also read and drop: more than any of the others asks for.
                _ => return Err(refuse()),
            });
        }
    }
    if roles.is_empty() { Err(refuse()) } else { Ok(roles) }
}

/// Elasticsearch's lengths of time: `30d`, `12h`, `90m`, `10s`, `500ms`.
pub(crate) fn duration_ms(text: &str) -> Result<i64, ApiError> {
    const UNITS: [(&str, i64); 5] =
        [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = UNITS.iter().find(|(name, _)| *name == &text[digits.len()..]);
    let length = digits.parse::<i64>().ok().filter(|number| *number > 0);
    length.zip(unit).and_then(|(length, (_, unit))| length.checked_mul(*unit)).ok_or_else(|| {
        ApiError::illegal_argument(format!(
            "failed to parse [{text}] as a time value; write it such as [30d] or [12h]"
        ))
    })
}

/// `GET /_security/api_key`.
pub(crate) fn show_keys(call: &Call<'_>, caller: &Caller) -> Answer {
    let request = call.request;
    let active_only = request.flag("active_only")?;
    let filter = KeyFilter {
        ids: request.param("id").map(|id| vec![id.to_owned()]),
        name: request.param("name").map(str::to_owned),
        username: match request.flag("owner")? {
            true => Some(backend::who(caller).name),
            false => request.param("username").map(str::to_owned),
        },
    };
    let keys: Vec<Value> = backend::keys(&call.app.engine, caller)?
        .iter()
        .filter(|key| filter.fits(key) && !(active_only && key.is_revoked))
        .map(shown)
        .collect();
    Ok(Reply::json(json!({ "api_keys": keys })))
}

fn shown(key: &KeyRecord) -> Value {
    let mut shown = json!({
        "id": key.id,
        "name": key.name,
        "type": "rest",
        "creation": key.created.0,
        "invalidated": key.is_revoked,
        "username": key.owner,
        "realm": REALM,
        "realm_type": "native",
        "metadata": {},
        "role_descriptors": key.roles.iter().map(|role| (role.clone(), json!({}))).collect::<Map<String, Value>>(),
    });
    if let Some(Timestamp(expires)) = key.expires {
        shown["expiration"] = json!(expires);
    }
    shown
}

/// `DELETE /_security/api_key`.
pub(crate) fn revoke_keys(call: &Call<'_>, caller: &Caller) -> Answer {
    let filter = KeyFilter::of_body(call.request, caller)?;
    let keys: Vec<KeyRecord> = backend::keys(&call.app.engine, caller)?
        .into_iter()
        .filter(|key| filter.fits(key))
        .collect();
    let (mut revoked, mut before) = (Vec::new(), Vec::new());
    for key in keys {
        if key.is_revoked {
            before.push(key.id);
        } else {
            backend::revoke_key(&call.app.engine, caller, &key.id)?;
            revoked.push(key.id);
        }
    }
    Ok(Reply::json(json!({
        "invalidated_api_keys": revoked,
        "previously_invalidated_api_keys": before,
        "error_count": 0,
    })))
}

/// Which keys a request is about. Callers see their own; administrators see all.
#[derive(Debug, Default)]
struct KeyFilter {
    ids: Option<Vec<String>>,
    name: Option<String>,
    username: Option<String>,
}

impl KeyFilter {
    fn of_body(request: &Request, caller: &Caller) -> Result<KeyFilter, ApiError> {
        let body = request.json()?;
        let text = |name: &str| body[name].as_str().map(str::to_owned);
        let ids = match &body["ids"] {
            Value::Array(ids) => {
                Some(ids.iter().filter_map(Value::as_str).map(str::to_owned).collect())
            }
            _ => text("id").map(|id| vec![id]),
        };
        let username = match body["owner"] == json!(true) {
            true => Some(backend::who(caller).name),
            false => text("username"),
        };
        let filter = KeyFilter { ids, name: text("name"), username };
        if filter.ids.is_none() && filter.name.is_none() && filter.username.is_none() {
            let reason = "One of [api key id(s), api key name, username] must be specified if \
                          [owner] flag is false";
            return Err(ApiError::illegal_argument(reason));
        }
        Ok(filter)
    }

    fn fits(&self, key: &KeyRecord) -> bool {
        let fits = |wanted: &Option<String>, is: &str| {
            wanted.as_ref().is_none_or(|pattern| crate::filter_path::matches(pattern, is))
        };
        self.ids.as_ref().is_none_or(|ids| ids.contains(&key.id))
            && fits(&self.name, &key.name)
            && fits(&self.username, &key.owner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time() {
        assert_eq!(duration_ms("30d").unwrap(), 30 * 86_400_000);
        assert_eq!(duration_ms("500ms").unwrap(), 500);
        for wrong in ["", "d", "30", "-1d", "1y", "99999999999999999999d", "9223372036854775807d"] {
            assert!(duration_ms(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_key_never_gets_more_than_was_asked_for() {
        let roles = |descriptors: Value| roles_of(&descriptors).map_err(|error| error.status());
        assert_eq!(roles(Value::Null), Ok(None));
        assert_eq!(roles(json!({ "analyst": {} })), Ok(Some(vec!["analyst".to_owned()])));
        let read = json!({ "x": { "indices": [{ "names": ["*"], "privileges": ["read"] }] } });
        assert_eq!(roles(read), Ok(Some(vec!["analyst".to_owned()])));
        for narrower in [
            json!({ "x": {} }),
            json!({ "x": { "indices": [{ "names": ["a-*"], "privileges": ["read"] }] } }),
            json!({ "x": { "indices": [{ "names": ["*"], "privileges": ["read"], "query": "{}" }] } }),
            json!({ "x": { "cluster": ["all"], "indices": [] } }),
            json!({ "x": { "indices": [] } }),
            json!({ "x": { "indices": [{ "names": ["*"], "privileges": ["write"] }] } }),
            json!({ "analyst": { "applications": [] } }),
        ] {
            assert_eq!(roles(narrower).unwrap_err(), 400);
        }
    }
}
