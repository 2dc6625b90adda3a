//! SCIM 2.0 (RFC 7643, RFC 7644), as far as a company's directory needs it: it adds people, who get
//! no role by that, and shuts them out at once. Roles are ruled on here, not there.

use crate::backend::not_done;
use crate::error::{Answer, ApiError};
use crate::reply::{Body, Reply};
use crate::route::Call;
use engine::{AccountError, Caller, DirectoryError, ExternalPerson};
use hyper::StatusCode;
use hyper::header::{HeaderValue, LOCATION};
use serde_json::{Value, json};

const MEDIA_TYPE: &str = "application/scim+json";
const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const LIST: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";
const ERROR: &str = "urn:ietf:params:scim:api:messages:2.0:Error";
const CONFIG: &str = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig";
const ROOT: &str = "/_clerestory/scim/v2/Users";
/// So many people in one answer at most.
const COUNT_MAX: usize = 1000;

/// `GET /_clerestory/scim/v2/ServiceProviderConfig`.
pub(crate) fn config(_call: &Call<'_>, _caller: &Caller) -> Answer {
    let supported = |supported: bool| json!({ "supported": supported });
    Ok(scim(
        StatusCode::OK,
        json!({
            "schemas": [CONFIG],
            "patch": supported(true),
            "bulk": { "supported": false, "maxOperations": 0, "maxPayloadSize": 0 },
            "filter": { "supported": true, "maxResults": COUNT_MAX },
            "changePassword": supported(false),
            "sort": supported(false),
            "etag": supported(false),
            "authenticationSchemes": [{
                "type": "oauthbearertoken",
                "name": "API key",
                "description": "an API key of an administrator, as a bearer token",
            }],
        }),
    ))
}

/// `GET /_clerestory/scim/v2/Users`, with `filter=userName eq "…"`, `startIndex` and `count`.
pub(crate) fn list(call: &Call<'_>, caller: &Caller) -> Answer {
    answer((|| {
        let people = call.app.engine.external_people(caller).map_err(refused)?;
        let filter = call.request.param("filter").map(parse_filter).transpose()?;
        let wanted = |person: &&ExternalPerson| {
            filter.as_ref().is_none_or(|(attribute, value)| match attribute {
                Attribute::UserName => person.name == value.to_lowercase(),
                Attribute::ExternalId => person.external_id.as_ref() == Some(value),
            })
        };
        let all: Vec<Value> = people.iter().filter(wanted).map(shown).collect();
        let number = |name: &str, default: usize| match call.request.param(name) {
            None => Ok(default),
            Some(text) => text
                .parse::<i64>()
                .map_err(|_| Refused::new(400, "invalidValue", format!("{name} is a number")))
                .map(|number| usize::try_from(number).unwrap_or(0)),
        };
        let start = number("startIndex", 1)?.max(1);
        let count = number("count", COUNT_MAX)?.min(COUNT_MAX);
        let page: Vec<&Value> = all.iter().skip(start - 1).take(count).collect();
        Ok(scim(
            StatusCode::OK,
            json!({
                "schemas": [LIST],
                "totalResults": all.len(),
                "startIndex": start,
                "itemsPerPage": page.len(),
                "Resources": page,
            }),
        ))
    })())
}

/// `POST /_clerestory/scim/v2/Users` with `userName`, and `externalId` and `active` if wanted.
pub(crate) fn create(call: &Call<'_>, caller: &Caller) -> Answer {
    answer((|| {
        let body = body(call)?;
        let name = user_name(&body)?;
        let external_id = external_id(&body)?;
        let active = active(&body["active"])?;
        let engine = &call.app.engine;
        let mut person =
            engine.add_external(caller, &name, external_id.as_deref()).map_err(refused)?;
        if active == Some(false) {
            person = engine.set_external_active(caller, &name, false).map_err(refused)?;
        }
        let reply = scim(StatusCode::CREATED, shown(&person));
        Ok(match HeaderValue::from_str(&format!("{ROOT}/{name}")) {
            Ok(place) => reply.with_value(LOCATION, place),
            Err(_) => reply,
        })
    })())
}

/// `GET /_clerestory/scim/v2/Users/{id}`.
pub(crate) fn show(call: &Call<'_>, caller: &Caller) -> Answer {
    answer((|| {
        let person = call.app.engine.external_person(caller, call.request.part("id"));
        Ok(scim(StatusCode::OK, shown(&person.map_err(refused)?)))
    })())
}

/// `PUT /_clerestory/scim/v2/Users/{id}`: `active` and `externalId` are taken, the rest is not kept.
pub(crate) fn replace(call: &Call<'_>, caller: &Caller) -> Answer {
    answer((|| {
        let body = body(call)?;
        let id = call.request.part("id");
        if user_name(&body)? != id {
            return Err(renamed());
        }
        let change =
            Change { active: active(&body["active"])?, external_id: Some(external_id(&body)?) };
        apply(call, caller, id, &change)
    })())
}

/// `PATCH /_clerestory/scim/v2/Users/{id}`: operations on `active` and `externalId`; others are for
/// attributes that are not kept, and change nothing.
pub(crate) fn patch(call: &Call<'_>, caller: &Caller) -> Answer {
    answer((|| {
        let body = body(call)?;
        let id = call.request.part("id");
        let operations = body["Operations"].as_array().ok_or_else(|| {
            Refused::new(400, "invalidSyntax", "Operations is an array".to_owned())
        })?;
        let mut change = Change::default();
        for operation in operations {
            change.read(operation, id)?;
        }
        apply(call, caller, id, &change)
    })())
}

/// `DELETE /_clerestory/scim/v2/Users/{id}`: shut out for good; the account stays for the record.
pub(crate) fn remove(call: &Call<'_>, caller: &Caller) -> Answer {
    answer((|| {
        let id = call.request.part("id");
        call.app.engine.remove_external(caller, id).map_err(refused)?;
        Ok(Reply::of(StatusCode::NO_CONTENT, Body::Empty))
    })())
}

/// What is to be changed.
#[derive(Default)]
struct Change {
    active: Option<bool>,
    external_id: Option<Option<String>>,
}

impl Change {
    fn read(&mut self, operation: &Value, id: &str) -> Result<(), Refused> {
        let wrong = |reason: &str| Refused::new(400, "invalidSyntax", reason.to_owned());
        let op = operation["op"].as_str().unwrap_or("").to_ascii_lowercase();
        let removes = match op.as_str() {
            "add" | "replace" => false,
            "remove" => true,
            _ => return Err(wrong("op is add, replace or remove")),
        };
        let value = &operation["value"];
        match operation["path"].as_str() {
            Some(path) => self.set(path, value, removes, id),
            // Without a path the value holds attributes.
            None => {
                let members = value.as_object().ok_or_else(|| wrong("value is an object"))?;
                members.iter().try_for_each(|(name, value)| self.set(name, value, removes, id))
            }
        }
    }

    fn set(&mut self, path: &str, value: &Value, removes: bool, id: &str) -> Result<(), Refused> {
        let path = path.strip_prefix(USER).map_or(path, |rest| rest.trim_start_matches(':'));
        match path.to_ascii_lowercase().as_str() {
            // An account without the attribute is not active: the careful reading.
            "active" if removes => self.active = Some(false),
            "active" => self.active = active(value)?,
            "externalid" if removes => self.external_id = Some(None),
            "externalid" => self.external_id = Some(value.as_str().map(str::to_owned)),
            "username" if value.as_str().is_none_or(|name| name.to_lowercase() != id) => {
                return Err(renamed());
            }
            _ => {}
        }
        Ok(())
    }
}

fn apply(call: &Call<'_>, caller: &Caller, id: &str, change: &Change) -> Result<Reply, Refused> {
    let engine = &call.app.engine;
    // Shutting out first: whatever else fails, this does not wait for it.
    if let Some(active) = change.active {
        engine.set_external_active(caller, id, active).map_err(refused)?;
    }
    let person = engine.external_person(caller, id).map_err(refused)?;
    if let Some(external_id) = &change.external_id
        && *external_id != person.external_id
    {
        engine.set_external_id(caller, id, external_id.as_deref()).map_err(refused)?;
    }
    let person = engine.external_person(caller, id).map_err(refused)?;
    Ok(scim(StatusCode::OK, shown(&person)))
}

fn shown(person: &ExternalPerson) -> Value {
    let mut shown = json!({
        "schemas": [USER],
        "id": person.name,
        "userName": person.name,
        "active": person.active,
        "meta": {
            "resourceType": "User",
            "created": person.created_at.to_rfc3339(),
            "location": format!("{ROOT}/{}", person.name),
        },
    });
    if let Some(external_id) = &person.external_id {
        shown["externalId"] = json!(external_id);
    }
    shown
}

enum Attribute {
    UserName,
    ExternalId,
}

/// `userName eq "…"` or `externalId eq "…"` (RFC 7644, 3.4.2.2).
fn parse_filter(text: &str) -> Result<(Attribute, String), Refused> {
    let wrong = || {
        let reason = "the filters that are known are userName eq \"…\" and externalId eq \"…\"";
        Refused::new(400, "invalidFilter", reason.to_owned())
    };
    let mut words = text.trim().splitn(3, char::is_whitespace);
    let (attribute, eq, value) = (words.next(), words.next(), words.next());
    let attribute = match attribute.map(str::to_ascii_lowercase).as_deref() {
        Some("username") => Attribute::UserName,
        Some("externalid") => Attribute::ExternalId,
        _ => return Err(wrong()),
    };
    if !eq.is_some_and(|eq| eq.eq_ignore_ascii_case("eq")) {
        return Err(wrong());
    }
    let value: String =
        value.and_then(|value| serde_json::from_str(value.trim()).ok()).ok_or_else(wrong)?;
    Ok((attribute, value))
}

/// Some directories send a text in the place of true and false.
fn active(value: &Value) -> Result<Option<bool>, Refused> {
    match value {
        Value::Null => Ok(None),
        Value::Bool(active) => Ok(Some(*active)),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Ok(Some(true)),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Ok(Some(false)),
        _ => Err(Refused::new(400, "invalidValue", "active is true or false".to_owned())),
    }
}

fn user_name(body: &Value) -> Result<String, Refused> {
    let name = body["userName"].as_str().filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| {
        Refused::new(400, "invalidValue", "userName is required, as text".to_owned())
    })?;
    Ok(name.to_lowercase())
}

fn external_id(body: &Value) -> Result<Option<String>, Refused> {
    match &body["externalId"] {
        Value::Null => Ok(None),
        Value::String(text) if text.len() <= 256 => Ok(Some(text.clone())),
        _ => Err(Refused::new(400, "invalidValue", "externalId is a short text".to_owned())),
    }
}

fn body(call: &Call<'_>) -> Result<Value, Refused> {
    call.request
        .json()
        .map_err(|error| Refused::new(400, "invalidSyntax", error.reason().to_owned()))
}

/// A refusal in SCIM's shape (RFC 7644, 3.12); those of identity keep theirs.
enum Refused {
    Scim { status: u16, kind: &'static str, detail: String },
    Other(ApiError),
}

impl Refused {
    fn new(status: u16, kind: &'static str, detail: String) -> Refused {
        Refused::Scim { status, kind, detail }
    }
}

fn renamed() -> Refused {
    let reason = "an account keeps its name, because the record names it; make another one";
    Refused::new(400, "mutability", reason.to_owned())
}

fn refused(error: AccountError) -> Refused {
    let detail = error.to_string();
    match &error {
        AccountError::NotDone(DirectoryError::Exists(_)) => Refused::new(409, "uniqueness", detail),
        AccountError::NotDone(DirectoryError::NoPerson(_)) => Refused::new(404, "", detail),
        AccountError::NotDone(DirectoryError::Name) => Refused::new(400, "invalidValue", detail),
        AccountError::NotDone(
            DirectoryError::EnablingWaits(_) | DirectoryError::LastAdministrator,
        ) => Refused::new(403, "", detail),
        _ => Refused::Other(not_done(error)),
    }
}

fn answer(outcome: Result<Reply, Refused>) -> Answer {
    match outcome {
        Ok(reply) => Ok(reply),
        Err(Refused::Other(error)) => Err(error),
        Err(Refused::Scim { status, kind, detail }) => {
            let mut shown =
                json!({ "schemas": [ERROR], "status": status.to_string(), "detail": detail });
            if !kind.is_empty() {
                shown["scimType"] = json!(kind);
            }
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
            Ok(scim(status, shown))
        }
    }
}

fn scim(status: StatusCode, value: Value) -> Reply {
    Reply::of(status, Body::Plain(value.to_string().into(), MEDIA_TYPE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters() {
        let read = |text: &str| match parse_filter(text) {
            Ok((Attribute::UserName, value)) => format!("name {value}"),
            Ok((Attribute::ExternalId, value)) => format!("id {value}"),
            Err(_) => "refused".to_owned(),
        };
        assert_eq!(read(r#"userName eq "ada""#), "name ada");
        assert_eq!(read(r#"USERNAME Eq "a \"b\" c""#), r#"name a "b" c"#);
        assert_eq!(read(r#"externalId eq "00u1""#), "id 00u1");
        for wrong in
            ["", "userName", "userName eq ada", r#"userName sw "a""#, r#"active eq "true""#]
        {
            assert_eq!(read(wrong), "refused", "{wrong}");
        }
    }

    #[test]
    fn operations() {
        let read = |operation: Value| {
            let mut change = Change::default();
            change.read(&operation, "ada").ok().map(|()| (change.active, change.external_id))
        };
        let off = Some((Some(false), None));
        assert_eq!(read(json!({ "op": "Replace", "path": "active", "value": false })), off);
        assert_eq!(read(json!({ "op": "replace", "value": { "active": "False" } })), off);
        assert_eq!(read(json!({ "op": "remove", "path": "active" })), off);
        let path = format!("{USER}:active");
        assert_eq!(read(json!({ "op": "replace", "path": path, "value": false })), off);
        assert_eq!(
            read(json!({ "op": "add", "path": "name.givenName", "value": "A" })),
            Some((None, None))
        );
        let id = json!({ "op": "replace", "path": "externalId", "value": "7" });
        assert_eq!(read(id), Some((None, Some(Some("7".to_owned())))));
        for wrong in [
            json!({ "op": "move", "path": "active" }),
            json!({ "op": "replace", "path": "active", "value": "maybe" }),
            json!({ "op": "replace", "path": "userName", "value": "bob" }),
            json!({ "op": "replace", "value": "x" }),
        ] {
            assert_eq!(read(wrong.clone()), None, "{wrong}");
        }
    }
}
