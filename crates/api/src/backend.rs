//! Every call into the engine, in one place: handlers speak of requests, this file of the engine.
//!
//! Nothing is decided here. A result leaves the engine only as `Released`, after its audit record
//! is durable; it is unwrapped here, on its way to the caller it was released to.

use crate::caller::Sent;
use crate::error::ApiError;
use engine::{
    AccountError, Action, ActionKind, Alias, AuditProof, AuditQuestion, AuditState, AuthError,
    BackgroundOptions, BulkAnswer, BulkItem, BulkOptions, Caller, Credential, DirectoryError,
    Engine, EraseRequest, FactorAnswer, FactorError, FactorSummary, MetricsApplied, NewRuling,
    NewSaved, OidcError, Released, RingStatus, Role, Saved, SavedKind, SearchState, SessionToken,
    SqlAnswer, TableStats, TotpEnrolment, Vitals, WhoRead, WriteOptions,
};
use hyper::StatusCode;
use model::{Clock, SystemClock, Table, Timestamp};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Finds out whose credentials these are. Whatever is wrong with them, the answer is the same.
pub(crate) fn authenticate(
    engine: &Engine,
    sent: &Sent,
    address: IpAddr,
) -> Result<Caller, ApiError> {
    let credential = match sent {
        Sent::Basic { name, password, code: None } => {
            Credential::Password { name, password, network: Some(address) }
        }
        Sent::Basic { name, password, code: Some(code) } => {
            let factor = FactorAnswer::Code(code);
            Credential::WithFactor { name, password, factor, network: Some(address) }
        }
        Sent::ApiKey(key) => Credential::ApiKey(key),
        Sent::Bearer(token) => Credential::Bearer(token),
        Sent::Session(token) => Credential::Session(token),
    };
    engine.authenticate(credential, Some(address)).map_err(refused)
}

/// Starts a browser's session and gives its token.
pub(crate) fn log_in(
    engine: &Engine,
    name: &str,
    password: &str,
    factor: Option<FactorAnswer<'_>>,
    address: IpAddr,
) -> Result<String, ApiError> {
    let token = engine.log_in(name, password, factor, Some(address)).map_err(not_done)?;
    Ok(token.as_str().to_owned())
}

/// Starts the session of somebody who sent a password along.
pub(crate) fn start_session(
    engine: &Engine,
    caller: &Caller,
    address: IpAddr,
) -> Result<SessionToken, ApiError> {
    engine.start_session(caller, Some(address)).map_err(not_done)
}

/// Ends a browser's session.
pub(crate) fn log_out(engine: &Engine, caller: &Caller, token: &str) -> Result<(), ApiError> {
    engine.log_out(caller, token).map_err(not_done)
}

fn refused(error: AuthError) -> ApiError {
    match error {
        AuthError::Records(cause) => unavailable(&cause),
        AuthError::Busy => ApiError::busy("rejected execution: too many log-ins at once"),
        // Which of them it is would help whoever tries.
        _ => ApiError::unauthenticated(),
    }
}

pub(crate) fn not_done(error: AccountError) -> ApiError {
    match error {
        AccountError::Factor(error) => factor_refused(error),
        AccountError::Oidc(error) => oidc_refused(&error),
        AccountError::Refused(error) => refused(error),
        AccountError::NotDone(error) => not_changed(error),
        AccountError::Change(error) => error.into(),
        _ => unavailable(&error),
    }
}

fn factor_refused(error: FactorError) -> ApiError {
    let reason = error.to_string();
    match error {
        FactorError::CallerExpired => ApiError::unauthenticated(),
        FactorError::Throttled(_) => ApiError::busy(reason),
        FactorError::NoKey => ApiError::not_found(reason),
        FactorError::KeyName | FactorError::TooMany => ApiError::illegal_argument(reason),
        FactorError::Records(cause) => unavailable(&cause),
        _ => ApiError::forbidden(reason),
    }
}

/// Where the provider is asked the caller is nobody yet, and is told nothing.
fn oidc_refused(error: &OidcError) -> ApiError {
    tracing::warn!(%error, "log-in with the identity provider refused");
    ApiError::unauthenticated()
}

fn not_changed(error: DirectoryError) -> ApiError {
    let reason = error.to_string();
    match error {
        DirectoryError::CallerExpired => ApiError::unauthenticated(),
        DirectoryError::ResetTakesTwo(_)
        | DirectoryError::NotAllowed
        | DirectoryError::RoleNotHeld(_)
        | DirectoryError::NeedsPassword => ApiError::forbidden(reason),
        DirectoryError::NoPerson(_) | DirectoryError::NoKey => ApiError::not_found(reason),
        DirectoryError::EnablingWaits(_) => ApiError::forbidden(reason),
        DirectoryError::Exists(_) => {
            ApiError::new(StatusCode::CONFLICT, "resource_already_exists_exception", reason)
        }
        DirectoryError::Throttled { .. } | DirectoryError::TooMany(_) => ApiError::busy(reason),
        DirectoryError::Records(cause) => unavailable(&cause),
        _ => ApiError::illegal_argument(reason),
    }
}

fn unavailable(cause: &dyn std::error::Error) -> ApiError {
    ApiError::unavailable(cause.to_string())
}

/// Makes the first administrator, with the code that was shown at the first start.
pub(crate) fn enrol(
    engine: &Engine,
    code: &str,
    name: &str,
    password: &str,
) -> Result<(), ApiError> {
    engine.enrol(code, name, password).map_err(not_done)
}

/// A caller as the API shows it.
pub(crate) struct Who {
    pub(crate) name: String,
    pub(crate) roles: Vec<&'static str>,
    /// The id of the API key that was shown, if it was one.
    pub(crate) key_id: Option<String>,
}

/// Who a caller is.
pub(crate) fn who(caller: &Caller) -> Who {
    Who {
        name: caller.name().to_owned(),
        roles: caller.roles().iter().map(|role| role.as_str()).collect(),
        key_id: caller.credential().strip_prefix("key:").map(str::to_owned),
    }
}

/// Whether a caller may do something anywhere, for pages that only show what leads somewhere.
pub(crate) fn may(caller: &Caller, action: Action) -> bool {
    caller.may(action, SystemClock.now())
}

/// Whether there is a role of this name.
pub(crate) fn is_role(name: &str) -> bool {
    name.parse::<Role>().is_ok()
}

fn read_roles(names: &[String]) -> Result<Vec<Role>, ApiError> {
    let read = |name: &String| {
        name.parse().map_err(|_| ApiError::illegal_argument(format!("there is no role [{name}]")))
    };
    names.iter().map(read).collect()
}

/// A person as the API shows one.
pub(crate) struct PersonRecord {
    pub(crate) name: String,
    pub(crate) roles: Vec<&'static str>,
    pub(crate) is_enabled: bool,
}

/// All people; for those who manage them.
pub(crate) fn people(engine: &Engine, caller: &Caller) -> Result<Vec<PersonRecord>, ApiError> {
    let people = engine.people(caller).map_err(not_done)?;
    Ok(people
        .into_iter()
        .map(|person| PersonRecord {
            roles: person.roles.iter().map(|role| role.as_str()).collect(),
            is_enabled: !person.disabled,
            name: person.name,
        })
        .collect())
}

/// Makes an account; gives the number of the change with which its roles wait, if they do.
pub(crate) fn create_person(
    engine: &Engine,
    caller: &Caller,
    name: &str,
    password: &str,
    roles: &[String],
) -> Result<Option<u64>, ApiError> {
    let roles = read_roles(roles)?;
    engine.create_person(caller, name, password, &roles).map_err(not_done)
}

/// Gives an account another password.
pub(crate) fn set_password(
    engine: &Engine,
    caller: &Caller,
    name: &str,
    password: &str,
) -> Result<(), ApiError> {
    engine.set_password(caller, name, password).map_err(not_done)
}

/// Closes an account.
pub(crate) fn disable_person(engine: &Engine, caller: &Caller, name: &str) -> Result<(), ApiError> {
    engine.disable_person(caller, name).map_err(not_done)
}

/// An API key that is to be made.
pub(crate) struct NewKey {
    pub(crate) name: String,
    /// `None`: all of its maker's.
    pub(crate) roles: Option<Vec<String>>,
    pub(crate) expires_in_ms: Option<i64>,
}

/// An API key that was made; the only time its secret is seen.
pub(crate) struct MadeKey {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) secret: String,
    pub(crate) encoded: String,
    pub(crate) expires: Option<Timestamp>,
}

/// An API key as the API shows it.
pub(crate) struct KeyRecord {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) owner: String,
    pub(crate) roles: Vec<String>,
    pub(crate) created: Timestamp,
    pub(crate) expires: Option<Timestamp>,
    pub(crate) is_revoked: bool,
}

/// Makes an API key.
pub(crate) fn create_key(
    engine: &Engine,
    caller: &Caller,
    wanted: &NewKey,
) -> Result<MadeKey, ApiError> {
    let roles = match &wanted.roles {
        Some(names) => read_roles(names)?,
        None => caller.roles().to_vec(),
    };
    let now = SystemClock.now().0;
    let expires = wanted.expires_in_ms.map(|after| Timestamp(now.saturating_add(after)));
    let made = engine.create_api_key(caller, &wanted.name, &roles, expires).map_err(not_done)?;
    Ok(MadeKey {
        id: made.id.clone(),
        name: made.name.clone(),
        secret: made.secret.as_str().to_owned(),
        encoded: made.encoded.as_str().to_owned(),
        expires: made.expires,
    })
}

/// The keys that the caller may see: their own; for administrators all.
pub(crate) fn keys(engine: &Engine, caller: &Caller) -> Result<Vec<KeyRecord>, ApiError> {
    let keys = engine.api_keys(caller).map_err(not_done)?;
    Ok(keys
        .into_iter()
        .map(|key| KeyRecord {
            roles: key.roles.iter().map(|role| role.as_str().to_owned()).collect(),
            id: key.id,
            name: key.name,
            owner: key.owner,
            created: key.created_at,
            expires: key.expires,
            is_revoked: key.revoked_at.is_some(),
        })
        .collect())
}

/// Takes an API key back.
pub(crate) fn revoke_key(engine: &Engine, caller: &Caller, id: &str) -> Result<(), ApiError> {
    engine.revoke_api_key(caller, id).map_err(not_done)
}

/// Begins to move all pseudonyms to a next key.
pub(crate) fn rotate_pseudonyms(engine: &Engine, caller: &Caller) -> Result<Value, ApiError> {
    Ok(engine.rotate_pseudonyms(caller)?)
}

/// How far that is.
pub(crate) fn rotation(engine: &Engine, caller: &Caller) -> Result<Value, ApiError> {
    Ok(engine.rotation(caller)?)
}

/// Copies the node into a folder.
pub(crate) fn back_up(
    engine: &Engine,
    caller: &Caller,
    to: &str,
    keep: Option<usize>,
) -> Result<Value, ApiError> {
    Ok(engine.back_up(caller, to, keep)?)
}

/// The folders with backups.
pub(crate) fn backups(engine: &Engine, caller: &Caller) -> Result<Value, ApiError> {
    Ok(engine.known_backups(caller)?)
}

/// What the key ring holds.
pub(crate) fn ring(engine: &Engine, caller: &Caller) -> Result<RingStatus, ApiError> {
    Ok(engine.ring(caller)?)
}

/// Makes a next file key.
pub(crate) fn rotate_file_key(engine: &Engine, caller: &Caller) -> Result<u32, ApiError> {
    Ok(engine.rotate_file_key(caller)?)
}

/// Destroys an old file key.
pub(crate) fn destroy_file_key(
    engine: &Engine,
    caller: &Caller,
    generation: u32,
) -> Result<(), ApiError> {
    Ok(engine.destroy_file_key(caller, generation)?)
}

/// The tables that an expression names and the caller may know.
pub(crate) fn tables(
    engine: &Engine,
    caller: &Caller,
    expression: &str,
) -> Result<Vec<Arc<Table>>, ApiError> {
    Ok(engine.resolve(caller, expression)?)
}

/// How large a table is.
pub(crate) fn table_stats(
    engine: &Engine,
    caller: &Caller,
    table: &Table,
) -> Result<TableStats, ApiError> {
    Ok(engine.table_stats(caller, table.name.as_str())?)
}

/// The id that Elasticsearch's tools show.
pub(crate) fn uuid(table: &Table) -> String {
    format!("table-{}", table.id.0)
}

/// `mappings` of a table.
pub(crate) fn mapping(table: &Table) -> Value {
    engine::render_mapping(table)
}

/// `settings` of a table.
pub(crate) fn settings(table: &Table) -> Value {
    engine::render_settings(table)
}

/// Makes a table.
pub(crate) fn create_table(
    engine: &Engine,
    caller: &Caller,
    name: &str,
    body: &Value,
) -> Result<(), ApiError> {
    engine.create_table(caller, name, body)?;
    Ok(())
}

/// Drops the tables of an expression, all or none.
pub(crate) fn drop_tables(
    engine: &Engine,
    caller: &Caller,
    expression: &str,
) -> Result<(), ApiError> {
    Ok(engine.drop_table(caller, expression)?)
}

/// Adds to the mappings of the tables of an expression.
pub(crate) fn put_mapping(
    engine: &Engine,
    caller: &Caller,
    expression: &str,
    body: &Value,
) -> Result<(), ApiError> {
    Ok(engine.put_mapping(caller, expression, body)?)
}

/// Writes many documents.
pub(crate) fn bulk(
    engine: &Engine,
    caller: &Caller,
    default_index: Option<&str>,
    body: &[u8],
    options: &BulkOptions,
) -> Result<BulkAnswer, ApiError> {
    Ok(engine.bulk(caller, default_index, body, options)?)
}

/// One write.
pub(crate) struct Write<'a> {
    pub(crate) kind: ActionKind,
    pub(crate) index: &'a str,
    /// `None`: one is generated.
    pub(crate) id: Option<&'a str>,
    pub(crate) body: &'a [u8],
    pub(crate) options: WriteOptions,
}

/// Writes one document. A document that is refused is an error.
pub(crate) fn write(
    engine: &Engine,
    caller: &Caller,
    write: &Write<'_>,
) -> Result<BulkItem, ApiError> {
    let Write { index, id, body, ref options, .. } = *write;
    let written = match (write.kind, id) {
        (ActionKind::Index, id) => engine.index_document(caller, index, id, body, options),
        (ActionKind::Create, id) => engine.create_document(caller, index, id, body, options),
        (ActionKind::Update, Some(id)) => engine.update_document(caller, index, id, body, options),
        (ActionKind::Delete, Some(id)) => engine.delete_document(caller, index, id, options),
        (ActionKind::Update | ActionKind::Delete, None) => {
            return Err(ApiError::illegal_argument("an id is required"));
        }
    };
    Ok(written?)
}

/// Which parts of a document are wanted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sources {
    /// False: none at all.
    pub(crate) wanted: bool,
    /// Patterns; empty: all.
    pub(crate) include: Vec<String>,
    /// Patterns that are taken away again.
    pub(crate) exclude: Vec<String>,
}

/// One document as Elasticsearch's `GET _doc` shows it, found or not.
pub(crate) fn get(
    engine: &Engine,
    caller: &Caller,
    index: &str,
    id: &str,
    sources: &Sources,
) -> Result<Value, ApiError> {
    let hit = engine.get_document(caller, index, id, &sources.include, &sources.exclude)?;
    let mut hit = hit.into_inner();
    if !sources.wanted
        && let Some(members) = hit.as_object_mut()
    {
        members.shift_remove("_source");
    }
    Ok(hit)
}

/// A whole `_search` answer.
pub(crate) fn search(
    engine: &Engine,
    caller: &Caller,
    expression: &str,
    body: Option<Value>,
    params: &[(String, String)],
) -> Result<Value, ApiError> {
    let body = body.unwrap_or_else(|| json!({}));
    Ok(engine.search(caller, expression, &body, params)?.into_inner())
}

/// The aliases of tables, by the names of the tables.
pub(crate) fn aliases(engine: &Engine, tables: &[Arc<Table>]) -> BTreeMap<String, Vec<Alias>> {
    engine.aliases_of(tables)
}

/// Adds and removes aliases.
pub(crate) fn update_aliases(
    engine: &Engine,
    caller: &Caller,
    body: &Value,
) -> Result<(), ApiError> {
    Ok(engine.update_aliases(caller, body)?)
}

/// The next page of a scroll.
pub(crate) fn scroll(
    engine: &Engine,
    caller: &Caller,
    id: &str,
    length: Option<&str>,
) -> Result<Value, ApiError> {
    Ok(engine.scroll(caller, id, length)?.into_inner())
}

/// Ends scrolls; says how many.
pub(crate) fn close_scrolls(engine: &Engine, caller: &Caller, ids: &[String]) -> usize {
    engine.close_scrolls(caller, ids)
}

/// Opens a point in time; gives its id.
pub(crate) fn open_pit(
    engine: &Engine,
    caller: &Caller,
    expression: &str,
    length: &str,
) -> Result<String, ApiError> {
    Ok(engine.open_point_in_time(caller, expression, length)?.into_inner())
}

/// Ends a point in time; says whether there was one.
pub(crate) fn close_pit(engine: &Engine, caller: &Caller, id: &str) -> bool {
    engine.close_point_in_time(caller, id)
}

/// Begins a search in the background.
pub(crate) fn begin_search(
    engine: &Engine,
    caller: &Caller,
    expression: &str,
    body: &Value,
    params: &[(String, String)],
    options: &BackgroundOptions,
) -> Result<Value, ApiError> {
    Ok(written(engine.begin_search(caller, expression, body, params, options)?))
}

/// What became of a search in the background.
pub(crate) fn background_search(
    engine: &Engine,
    caller: &Caller,
    id: &str,
    wait: Option<&str>,
    keep_alive: Option<&str>,
) -> Result<Value, ApiError> {
    Ok(written(engine.background_search(caller, id, wait, keep_alive)?))
}

/// How far a search in the background is.
pub(crate) fn background_status(
    engine: &Engine,
    caller: &Caller,
    id: &str,
) -> Result<Value, ApiError> {
    Ok(engine.background_status(caller, id)?)
}

/// Ends a search in the background; says whether there was one.
pub(crate) fn delete_background(engine: &Engine, caller: &Caller, id: &str) -> bool {
    engine.delete_background(caller, id)
}

/// A search in the background as Elasticsearch shows it.
fn written(state: SearchState) -> Value {
    let mut shown = state.head;
    let nothing_yet = || {
        json!({
            "took": 0,
            "timed_out": false,
            "_shards": { "total": 1, "successful": 0, "skipped": 0, "failed": 0 },
            "hits": { "total": { "value": 0, "relation": "gte" }, "max_score": null, "hits": [] },
        })
    };
    let response = state.response.map_or_else(nothing_yet, Released::into_inner);
    shown.insert("response".to_owned(), response);
    Value::Object(shown)
}

/// A whole `_count` answer.
pub(crate) fn count(
    engine: &Engine,
    caller: &Caller,
    expression: &str,
    body: Option<Value>,
    params: &[(String, String)],
) -> Result<Value, ApiError> {
    let body = body.unwrap_or_else(|| json!({}));
    Ok(engine.count(caller, expression, &body, params)?.into_inner())
}

/// A whole `_field_caps` answer.
pub(crate) fn field_caps(
    engine: &Engine,
    caller: &Caller,
    expression: &str,
    patterns: &[String],
) -> Result<Value, ApiError> {
    Ok(engine.field_caps(caller, expression, patterns)?)
}

/// Asks in SQL.
pub(crate) fn sql(
    engine: &Engine,
    caller: &Caller,
    text: &str,
    params: &[Value],
) -> Result<SqlAnswer, ApiError> {
    Ok(engine.sql(caller, text, params)?.into_inner())
}

/// All declared metrics.
pub(crate) fn metrics(engine: &Engine, caller: &Caller) -> Result<Value, ApiError> {
    Ok(engine.metrics(caller)?)
}

/// One declared metric, as it is now.
pub(crate) fn metric(engine: &Engine, caller: &Caller, name: &str) -> Result<Value, ApiError> {
    Ok(engine.metric(caller, name, None)?)
}

/// One declared metric, as it was; versions count from 1.
pub(crate) fn metric_version(
    engine: &Engine,
    caller: &Caller,
    name: &str,
    version: usize,
) -> Result<Value, ApiError> {
    Ok(engine.metric(caller, name, Some(version))?)
}

/// What a metric was before.
pub(crate) fn metric_history(
    engine: &Engine,
    caller: &Caller,
    name: &str,
) -> Result<Value, ApiError> {
    Ok(engine.metric_history(caller, name)?)
}

/// All metrics in the form of the Open Semantic Interchange.
pub(crate) fn export_metrics(engine: &Engine, caller: &Caller) -> Result<String, ApiError> {
    Ok(engine.export_metrics(caller)?)
}

/// Declares metrics. `Err` inside lists the tests that failed.
pub(crate) fn apply_metrics(
    engine: &Engine,
    caller: &Caller,
    yaml: &str,
) -> Result<Result<Value, Vec<Value>>, ApiError> {
    Ok(match engine.apply_metrics(caller, yaml)? {
        MetricsApplied::Applied(answer) => Ok(answer),
        MetricsApplied::Refused(tests) => {
            Err(tests.into_iter().map(Released::into_inner).collect())
        }
    })
}

/// Asks for a metric.
pub(crate) fn query_metric(
    engine: &Engine,
    caller: &Caller,
    name: &str,
    body: &Value,
) -> Result<Value, ApiError> {
    Ok(engine.query_metric(caller, name, body)?.into_inner())
}

/// Asks for a metric as columns and rows.
pub(crate) fn metric_rows(
    engine: &Engine,
    caller: &Caller,
    name: &str,
    body: &Value,
) -> Result<SqlAnswer, ApiError> {
    Ok(engine.metric_rows(caller, name, body)?.into_inner())
}

/// Asks for a metric as a stream of Arrow's IPC format.
pub(crate) fn metric_arrow(
    engine: &Engine,
    caller: &Caller,
    name: &str,
    body: &Value,
) -> Result<Vec<u8>, ApiError> {
    Ok(engine.metric_arrow(caller, name, body)?.into_inner())
}

/// Prometheus' `query_range`.
pub(crate) fn prometheus_range(
    engine: &Engine,
    caller: &Caller,
    expression: &str,
    (start, end): (Timestamp, Timestamp),
    step_ms: i64,
) -> Result<Value, ApiError> {
    Ok(engine.prometheus_range(caller, expression, start, end, step_ms)?.into_inner())
}

/// Prometheus' `query`.
pub(crate) fn prometheus_instant(
    engine: &Engine,
    caller: &Caller,
    expression: &str,
    time: Option<Timestamp>,
) -> Result<Value, ApiError> {
    Ok(engine.prometheus_instant(caller, expression, time)?.into_inner())
}

/// Prometheus' `labels`.
pub(crate) fn prometheus_labels(
    engine: &Engine,
    caller: &Caller,
    matches: &[String],
) -> Result<Value, ApiError> {
    Ok(json!(engine.prometheus_labels(caller, matches)?))
}

/// Prometheus' `series`.
pub(crate) fn prometheus_series(
    engine: &Engine,
    caller: &Caller,
    matches: &[String],
) -> Result<Value, ApiError> {
    Ok(json!(engine.prometheus_series(caller, matches)?))
}

/// Prometheus' `label/…/values`.
pub(crate) fn prometheus_values(
    engine: &Engine,
    caller: &Caller,
    label: &str,
    matches: &[String],
    range: (Option<Timestamp>, Option<Timestamp>),
) -> Result<Value, ApiError> {
    let values = engine.prometheus_values(caller, label, matches, range)?;
    Ok(values.map_or_else(|| json!([]), Released::into_inner))
}

/// Prometheus' `metadata`.
pub(crate) fn prometheus_metadata(engine: &Engine, caller: &Caller) -> Result<Value, ApiError> {
    Ok(engine.prometheus_metadata(caller)?)
}

/// All alerts.
pub(crate) fn alerts(engine: &Engine, caller: &Caller) -> Result<Value, ApiError> {
    Ok(engine.alerts(caller)?)
}

/// One alert.
pub(crate) fn alert(engine: &Engine, caller: &Caller, name: &str) -> Result<Value, ApiError> {
    Ok(engine.alert(caller, name)?)
}

/// Declares the alerts of a YAML file.
pub(crate) fn apply_alerts(
    engine: &Engine,
    caller: &Caller,
    yaml: &str,
) -> Result<Value, ApiError> {
    Ok(engine.apply_alerts(caller, yaml)?)
}

/// Takes an alert away.
pub(crate) fn remove_alert(
    engine: &Engine,
    caller: &Caller,
    name: &str,
) -> Result<Value, ApiError> {
    Ok(engine.remove_alert(caller, name)?)
}

/// Has an alert tell nobody until then; `None` ends that.
pub(crate) fn silence_alert(
    engine: &Engine,
    caller: &Caller,
    name: &str,
    until: Option<Timestamp>,
    why: &str,
) -> Result<Value, ApiError> {
    Ok(engine.silence_alert(caller, name, until, why)?)
}

/// Looks at an alert now.
pub(crate) fn look_at_alert(
    engine: &Engine,
    caller: &Caller,
    name: &str,
) -> Result<Value, ApiError> {
    Ok(engine.evaluate_alert_now(caller, name)?)
}

/// What an alert would see and do between two moments, as the caller.
pub(crate) fn alert_chart(
    engine: &Engine,
    caller: &Caller,
    name: &str,
    from: Timestamp,
    to: Timestamp,
) -> Result<Value, ApiError> {
    Ok(engine.alert_chart(caller, name, from, to)?)
}

/// The same of an alert that is not declared.
pub(crate) fn preview_alert(
    engine: &Engine,
    caller: &Caller,
    yaml: &str,
    from: Timestamp,
    to: Timestamp,
) -> Result<Value, ApiError> {
    Ok(engine.preview_alert(caller, yaml, from, to)?)
}

/// To whom alerts can be told.
pub(crate) fn alert_targets(engine: &Engine, caller: &Caller) -> Result<Value, ApiError> {
    Ok(engine.alert_targets(caller)?)
}

/// How the node is.
pub(crate) fn vitals(engine: &Engine, caller: &Caller) -> Result<Vitals, ApiError> {
    Ok(engine.vitals(caller)?)
}

/// What a caller may open of what people saved.
pub(crate) fn saved(
    engine: &Engine,
    caller: &Caller,
    kind: SavedKind,
) -> Result<Vec<Saved>, ApiError> {
    Ok(engine.saved(caller, kind)?)
}

/// One saved object.
pub(crate) fn saved_object(
    engine: &Engine,
    caller: &Caller,
    kind: SavedKind,
    id: &str,
    version: Option<u32>,
) -> Result<Saved, ApiError> {
    Ok(engine.saved_object(caller, kind, id, version)?)
}

/// Saves something new.
pub(crate) fn save(
    engine: &Engine,
    caller: &Caller,
    kind: SavedKind,
    wanted: &NewSaved,
) -> Result<Saved, ApiError> {
    Ok(engine.save(caller, kind, wanted)?)
}

/// Saves the next version after `base`.
pub(crate) fn save_again(
    engine: &Engine,
    caller: &Caller,
    kind: SavedKind,
    id: &str,
    base: u32,
    wanted: &NewSaved,
) -> Result<Saved, ApiError> {
    Ok(engine.save_again(caller, kind, id, base, wanted)?)
}

/// Deletes a saved object.
pub(crate) fn delete_saved(
    engine: &Engine,
    caller: &Caller,
    kind: SavedKind,
    id: &str,
) -> Result<(), ApiError> {
    Ok(engine.delete_saved(caller, kind, id)?)
}

/// Forgets a person.
pub(crate) fn erase(
    engine: &Engine,
    caller: &Caller,
    wanted: &EraseRequest,
) -> Result<Value, ApiError> {
    Ok(engine.erase(caller, wanted)?)
}

/// All erasures.
pub(crate) fn erasures(engine: &Engine, caller: &Caller) -> Result<Value, ApiError> {
    Ok(engine.erasures(caller)?)
}

/// One erasure and its receipt.
pub(crate) fn erasure(engine: &Engine, caller: &Caller, id: &str) -> Result<Value, ApiError> {
    Ok(engine.erasure(caller, id)?)
}

/// Fields that wait for a ruling, and how far the rulings are that are being carried out.
pub(crate) fn ruling_queue(
    engine: &Engine,
    caller: &Caller,
    table: Option<&str>,
) -> Result<Value, ApiError> {
    let fields = engine.ruling_queue(caller, table)?;
    Ok(json!({ "fields": fields, "rewrites": engine.rewrites(caller)? }))
}

/// Kinds of values, and the company's own rules.
pub(crate) fn rules(engine: &Engine, caller: &Caller) -> Result<Value, ApiError> {
    Ok(engine.rules(caller)?)
}

/// One field and its rulings.
pub(crate) fn ruling(
    engine: &Engine,
    caller: &Caller,
    table: &str,
    field: &str,
) -> Result<Value, ApiError> {
    Ok(engine.ruling(caller, table, field)?)
}

/// Rules on a field, or only says what that would do.
pub(crate) fn rule(
    engine: &Engine,
    caller: &Caller,
    wanted: &NewRuling,
    dry_run: bool,
) -> Result<Value, ApiError> {
    let plan = match dry_run {
        true => engine.propose_ruling(caller, wanted)?,
        false => engine.rule(caller, wanted)?,
    };
    Ok(plan.to_json())
}

/// The newest audit records that fit, for those who may read them.
pub(crate) fn audit(
    engine: &Engine,
    caller: &Caller,
    question: &AuditQuestion,
) -> Result<Vec<Value>, ApiError> {
    Ok(engine.audit_show(caller, question)?)
}

/// How the audit record is.
pub(crate) fn audit_state(engine: &Engine, caller: &Caller) -> Result<AuditState, ApiError> {
    Ok(engine.audit_state(caller)?)
}

/// A proof over the audit record's hash tree.
pub(crate) fn audit_proof(
    engine: &Engine,
    caller: &Caller,
    asked: AuditProof,
) -> Result<(Option<String>, Vec<String>), ApiError> {
    Ok(engine.audit_proof(caller, asked)?)
}

/// Who could read, and who did.
pub(crate) fn exposure(
    engine: &Engine,
    caller: &Caller,
    asked: &WhoRead,
) -> Result<Value, ApiError> {
    Ok(engine.exposure(caller, asked)?)
}

/// How many audit records there are, for those who may read them.
pub(crate) fn audit_length(engine: &Engine, caller: &Caller) -> Option<u64> {
    engine.audit_length(caller)
}

/// All changes, newest first, and what everybody is told.
pub(crate) fn changes(engine: &Engine, caller: &Caller) -> Result<Value, ApiError> {
    Ok(engine.list_changes(caller)?)
}

/// What everybody is told.
pub(crate) fn notices(engine: &Engine, caller: &Caller) -> Result<Value, ApiError> {
    Ok(engine.notices(caller)?)
}

/// One change, as whoever decides has to see it.
pub(crate) fn change(engine: &Engine, caller: &Caller, id: u64) -> Result<Value, ApiError> {
    Ok(engine.change(caller, id)?)
}

/// Proposes edits.
pub(crate) fn propose(engine: &Engine, caller: &Caller, body: &Value) -> Result<Value, ApiError> {
    Ok(engine.propose(caller, body)?)
}

/// Approves a change that was seen as `mark` says, with a proof of who is there.
pub(crate) fn approve(
    engine: &Engine,
    caller: &Caller,
    id: u64,
    mark: &str,
    present: FactorAnswer<'_>,
) -> Result<Value, ApiError> {
    let about = engine.presence_for_change(id);
    let proof = engine.prove_presence(caller, &about, present).map_err(not_done)?;
    Ok(engine.approve(caller, id, mark, proof)?)
}

/// Rejects a change.
pub(crate) fn reject(
    engine: &Engine,
    caller: &Caller,
    id: u64,
    why: &str,
) -> Result<Value, ApiError> {
    Ok(engine.reject(caller, id, why)?)
}

/// Takes one's own proposal back.
pub(crate) fn withdraw(engine: &Engine, caller: &Caller, id: u64) -> Result<Value, ApiError> {
    Ok(engine.withdraw(caller, id)?)
}

/// What a proof of presence for approving a change is about.
pub(crate) fn presence_for_change(engine: &Engine, id: u64) -> String {
    engine.presence_for_change(id)
}

/// What a proof of presence for breaking the glass is about.
pub(crate) fn presence_for_glass(engine: &Engine) -> &'static str {
    engine.presence_for_glass()
}

/// Reads alone for an hour, with a proof of who is there.
pub(crate) fn break_glass(
    engine: &Engine,
    caller: &Caller,
    body: &Value,
    present: FactorAnswer<'_>,
) -> Result<Value, ApiError> {
    let about = engine.presence_for_glass();
    let proof = engine.prove_presence(caller, about, present).map_err(not_done)?;
    Ok(engine.break_glass(caller, body, proof)?)
}

/// Who reaches what.
pub(crate) fn reach(
    engine: &Engine,
    caller: &Caller,
    person: Option<&str>,
    table: Option<&str>,
) -> Result<Value, ApiError> {
    Ok(engine.reach(caller, person, table)?)
}

/// The grants that a caller may see.
pub(crate) fn grants(engine: &Engine, caller: &Caller) -> Result<Value, ApiError> {
    Ok(engine.grants(caller)?)
}

/// People with their roles, and the settings of the node.
pub(crate) fn policy(engine: &Engine, caller: &Caller) -> Result<Value, ApiError> {
    Ok(engine.policy(caller)?)
}

/// What a caller has beside the password.
pub(crate) fn factors(engine: &Engine, caller: &Caller) -> Result<FactorSummary, ApiError> {
    engine.factors(caller).map_err(not_done)
}

/// A secret for an app; whoever has a second factor shows it.
pub(crate) fn begin_totp(
    engine: &Engine,
    caller: &Caller,
    present: Option<FactorAnswer<'_>>,
) -> Result<TotpEnrolment, ApiError> {
    engine.begin_totp(caller, present).map_err(not_done)
}

/// Takes the first code of an app; gives recovery codes.
pub(crate) fn confirm_totp(
    engine: &Engine,
    caller: &Caller,
    code: &str,
) -> Result<Vec<Zeroizing<String>>, ApiError> {
    engine.confirm_totp(caller, code).map_err(not_done)
}

/// Takes the app away.
pub(crate) fn remove_totp(
    engine: &Engine,
    caller: &Caller,
    present: Option<FactorAnswer<'_>>,
) -> Result<(), ApiError> {
    engine.remove_totp(caller, present).map_err(not_done)
}

/// Takes a key away.
pub(crate) fn remove_key(
    engine: &Engine,
    caller: &Caller,
    id: &str,
    present: Option<FactorAnswer<'_>>,
) -> Result<(), ApiError> {
    engine.remove_key(caller, id, present).map_err(not_done)
}
