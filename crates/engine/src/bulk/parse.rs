//! Reads the lines of `_bulk`.
//!
//! A line that is no action makes the rest of the body unreadable, so it refuses the whole
//! request, as in Elasticsearch; all else is refused item by item.

use super::{
    ACTIONS_MAX, Action, ActionKind, BULK_BYTES_MAX, BulkOptions, ID_BYTES_MAX, ItemError,
    WriteOptions,
};
use crate::EngineError;
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::io::BufRead;

/// Reads a body. `default_index` is the table of the path.
pub(crate) fn parse<'a>(
    body: &'a [u8],
    default_index: Option<&'a str>,
    options: &BulkOptions,
) -> Result<Vec<Action<'a>>, EngineError> {
    if body.len() > BULK_BYTES_MAX {
        return Err(EngineError::new(
            413,
            "content_too_long_exception",
            format!("the body is longer than {BULK_BYTES_MAX} bytes; send it in parts"),
        ));
    }
    if body.is_empty() {
        return Err(EngineError::new(400, "parse_exception", "request body is required"));
    }
    if body.last() != Some(&b'\n') {
        return Err(illegal("The bulk request must be terminated by a newline [\\n]"));
    }
    let mut lines = Lines { rest: body, number: 0 };
    let mut actions: Vec<Action<'a>> = Vec::new();
    let mut last: Option<(&[u8], Line<'a>)> = None;
    while let Some(line) = lines.next() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        // Most clients send the same line again and again when they give no ids.
        let parsed = match last.take() {
            Some((text, parsed)) if text == line => parsed,
            _ => Line::parse(line, lines.number)?,
        };
        if actions.len() == ACTIONS_MAX {
            return Err(EngineError::new(
                413,
                "content_too_long_exception",
                format!("more than {ACTIONS_MAX} actions; send them in parts"),
            ));
        }
        let number = lines.number;
        let source = match parsed.kind() {
            ActionKind::Delete => &[][..],
            _ => lines.next().ok_or_else(|| {
                illegal(format!(
                    "Malformed action/metadata line [{number}]: its document is missing"
                ))
            })?,
        };
        actions.push(parsed.action(source, default_index, options)?);
        last = Some((line, parsed));
    }
    if actions.is_empty() {
        let reason = "Validation Failed: 1: no requests added;";
        return Err(EngineError::new(400, "action_request_validation_exception", reason));
    }
    Ok(actions)
}

struct Lines<'a> {
    rest: &'a [u8],
    /// Of the line that was given out last, from 1.
    number: usize,
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        // Searches as fast as memory is read, which a loop over bytes does not.
        let mut after = self.rest;
        let read = after.skip_until(b'\n').unwrap_or(self.rest.len());
        let line = &self.rest[..read];
        self.rest = after;
        self.number += 1;
        Some(line.strip_suffix(b"\n").unwrap_or(line))
    }
}

/// An action line: one key that says what to do, and its metadata.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line<'a> {
    Index(#[serde(borrow)] Metadata<'a>),
    Create(#[serde(borrow)] Metadata<'a>),
    Update(#[serde(borrow)] Metadata<'a>),
    Delete(#[serde(borrow)] Metadata<'a>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata<'a> {
    #[serde(rename = "_index", borrow, default)]
    index: Option<Cow<'a, str>>,
    #[serde(rename = "_id", borrow, default)]
    id: Option<Id<'a>>,
    #[serde(default)]
    if_seq_no: Option<u64>,
    #[serde(default)]
    if_primary_term: Option<u64>,
    #[serde(default)]
    retry_on_conflict: Option<u32>,
    #[serde(borrow, default)]
    op_type: Option<Cow<'a, str>>,
    #[serde(default)]
    require_alias: Option<bool>,
    #[serde(borrow, default)]
    pipeline: Option<Cow<'a, str>>,
    #[serde(default)]
    dynamic_templates: Option<IgnoredAny>,
    /// There is one shard, so where a document is routed to changes nothing.
    #[expect(dead_code, reason = "read so that it is known, and ignored")]
    #[serde(default, alias = "_routing")]
    routing: Option<IgnoredAny>,
    #[expect(dead_code, reason = "read so that it is known, and ignored")]
    #[serde(default)]
    list_executed_pipelines: Option<IgnoredAny>,
    #[expect(dead_code, reason = "read so that it is known, and ignored")]
    #[serde(rename = "_source", default)]
    source: Option<IgnoredAny>,
}

/// An `_id`: a text, or a number that is meant as one.
struct Id<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Id<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Id<'a>, D::Error> {
        struct IdVisitor;
        impl<'de> Visitor<'de> for IdVisitor {
            type Value = Id<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an id")
            }
            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Id<'de>, E> {
                Ok(Id(Cow::Borrowed(text)))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Id<'de>, E> {
                Ok(Id(Cow::Owned(text.to_owned())))
            }
            fn visit_i64<E: Error>(self, number: i64) -> Result<Id<'de>, E> {
                Ok(Id(Cow::Owned(number.to_string())))
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<Id<'de>, E> {
                Ok(Id(Cow::Owned(number.to_string())))
            }
        }
        deserializer.deserialize_any(IdVisitor)
    }
}

impl<'a> Line<'a> {
    fn parse(line: &'a [u8], number: usize) -> Result<Line<'a>, EngineError> {
        let malformed = || {
            illegal(format!(
                "Malformed action/metadata line [{number}], expected an object with one of \
                 [create, delete, index, update] and its metadata"
            ))
        };
        let parsed = serde_json::from_slice(line).map_err(|error| {
            // The text of the error can quote the line, and a line out of step is a document.
            let said = error.to_string();
            if said.starts_with("unknown field") {
                illegal(format!("Action/metadata line [{number}] contains an unknown parameter"))
            } else if said.starts_with("duplicate field") {
                illegal(format!("Action/metadata line [{number}] contains a parameter twice"))
            } else {
                malformed()
            }
        })?;
        // serde would read an array as the parameters in their order.
        let mut after_key = line.splitn(2, |&byte| byte == b':').nth(1).unwrap_or_default();
        after_key = after_key.trim_ascii_start();
        if after_key.first() == Some(&b'{') { Ok(parsed) } else { Err(malformed()) }
    }

    fn kind(&self) -> ActionKind {
        match self {
            Line::Index(metadata) if metadata.op_type.as_deref() == Some("create") => {
                ActionKind::Create
            }
            Line::Index(_) => ActionKind::Index,
            Line::Create(_) => ActionKind::Create,
            Line::Update(_) => ActionKind::Update,
            Line::Delete(_) => ActionKind::Delete,
        }
    }

    fn metadata(&self) -> &Metadata<'a> {
        match self {
            Line::Index(metadata)
            | Line::Create(metadata)
            | Line::Update(metadata)
            | Line::Delete(metadata) => metadata,
        }
    }

    fn action(
        &self,
        source: &'a [u8],
        default_index: Option<&'a str>,
        options: &BulkOptions,
    ) -> Result<Action<'a>, EngineError> {
        let metadata = self.metadata();
        let index = match (&metadata.index, default_index) {
            (Some(index), _) => index.clone(),
            (None, Some(index)) => Cow::Borrowed(index),
            (None, None) => {
                return Err(EngineError::new(
                    400,
                    "action_request_validation_exception",
                    "Validation Failed: 1: index is missing;",
                ));
            }
        };
        let kind = self.kind();
        Ok(Action {
            kind,
            index,
            id: metadata.id.as_ref().map(|id| id.0.clone()),
            source,
            if_seq_no: metadata.if_seq_no,
            retry_on_conflict: metadata.retry_on_conflict.unwrap_or(0),
            refused: metadata.refused(kind, options),
        })
    }
}

impl Metadata<'_> {
    fn refused(&self, kind: ActionKind, options: &BulkOptions) -> Option<ItemError> {
        if self.dynamic_templates.is_some() {
            return Some(ItemError::illegal("dynamic_templates are not supported"));
        }
        let pipeline = self.pipeline.as_deref().or(options.pipeline.as_deref());
        let options = WriteOptions {
            if_seq_no: self.if_seq_no,
            if_primary_term: self.if_primary_term,
            retry_on_conflict: 0,
            bulk: BulkOptions {
                pipeline: pipeline.map(str::to_owned),
                require_alias: self.require_alias.unwrap_or(options.require_alias),
            },
        };
        check(kind, self.id.as_ref().map(|id| &*id.0), &options)
    }
}

/// What is wrong with an action before any table is looked at.
pub(crate) fn check(
    kind: ActionKind,
    id: Option<&str>,
    options: &WriteOptions,
) -> Option<ItemError> {
    if let Some(error) = check_id(id, kind) {
        return Some(error);
    }
    if options.if_seq_no.is_some() != options.if_primary_term.is_some() {
        return Some(ItemError::illegal("if_seq_no and if_primary_term go together"));
    }
    if options.if_seq_no.is_some() && (kind == ActionKind::Create || id.is_none()) {
        return Some(ItemError::illegal("if_seq_no needs an _id that is there already"));
    }
    if options.bulk.pipeline.as_deref().is_some_and(|pipeline| pipeline != "_none") {
        return Some(ItemError::illegal("there are no ingest pipelines; leave out [pipeline]"));
    }
    if options.bulk.require_alias {
        return Some(ItemError::illegal("[require_alias] is not supported; leave it out"));
    }
    None
}

/// What is wrong with the `_id` of an action.
fn check_id(id: Option<&str>, kind: ActionKind) -> Option<ItemError> {
    match id {
        None if matches!(kind, ActionKind::Update | ActionKind::Delete) => Some(ItemError::new(
            400,
            "action_request_validation_exception",
            "Validation Failed: 1: id is missing;",
        )),
        Some("") => Some(ItemError::illegal("if _id is specified it must not be empty")),
        Some(id) if id.len() > ID_BYTES_MAX => Some(ItemError::illegal(format!(
            "id is too long, must be no longer than {ID_BYTES_MAX} bytes but was: {}",
            id.len()
        ))),
        Some(id) if id.chars().any(char::is_control) => {
            Some(ItemError::illegal("_id contains a control character"))
        }
        _ => None,
    }
}

/// The body of an update.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpdateBody<'a> {
    #[serde(borrow, default)]
    pub(crate) doc: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(crate) upsert: Option<&'a RawValue>,
    #[serde(default)]
    pub(crate) doc_as_upsert: bool,
    #[serde(default)]
    pub(crate) detect_noop: Option<bool>,
    #[serde(default)]
    script: Option<IgnoredAny>,
    #[serde(default)]
    scripted_upsert: Option<IgnoredAny>,
    #[expect(dead_code, reason = "read so that it is known, and ignored")]
    #[serde(rename = "_source", default)]
    source: Option<IgnoredAny>,
}

impl<'a> UpdateBody<'a> {
    pub(crate) fn parse(source: &'a [u8]) -> Result<UpdateBody<'a>, ItemError> {
        // serde would read an array as the fields in their order.
        if source.trim_ascii_start().first() == Some(&b'[') {
            let reason = "[UpdateRequest] malformed body: expected an object";
            return Err(ItemError::new(400, "x_content_parse_exception", reason));
        }
        let body: UpdateBody<'a> = serde_json::from_slice(source).map_err(|error| {
            let reason = if error.to_string().starts_with("unknown field") {
                "[UpdateRequest] unknown field; known are doc, upsert, doc_as_upsert, detect_noop"
                    .to_owned()
            } else if error.is_data() {
                "[UpdateRequest] malformed body".to_owned()
            } else {
                format!("[UpdateRequest] malformed body: {error}")
            };
            ItemError::new(400, "x_content_parse_exception", reason)
        })?;
        if body.script.is_some() || body.scripted_upsert.is_some() {
            return Err(ItemError::illegal("scripts are not supported; send a doc"));
        }
        if body.doc.is_none() {
            return Err(ItemError::new(
                400,
                "action_request_validation_exception",
                "Validation Failed: 1: script or doc is missing;",
            ));
        }
        Ok(body)
    }
}

fn illegal(reason: impl Into<String>) -> EngineError {
    EngineError::new(400, "illegal_argument_exception", reason)
}
