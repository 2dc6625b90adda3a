//! Saved objects: dashboards and searches that somebody keeps, with an owner, a history, and a say
//! about who else sees them.
//!
//! A saved object holds questions, never answers: whoever opens one asks them anew, under their own
//! grants and their own name in the record. What was typed into a question may still say who
//! somebody is, so it is turned before it is kept, as free text is on its way in: e-mail
//! addresses, phones and their like become the pseudonyms that stand in the rows, credentials
//! become tags ([`Pseudonyms::query_text`](protection::Pseudonyms::query_text) for each text). The
//! record lies in the catalog, sealed.

mod dashboard;
mod record;
mod turn;

#[cfg(test)]
mod tests;

pub use dashboard::{Dashboard, Panel, PanelShows, Variable};
pub(crate) use record::SavedObjects;
use record::{Object, Version};

use crate::Engine;
use crate::error::EngineError;
use model::Timestamp;
use protection::audit::{Event, EventKind};
use protection::caller::Caller;
use protection::grant::Action;
use serde_json::Value as Json;
use std::fmt;

/// Longest name, in characters.
const NAME_CHARS_MAX: usize = 120;
/// Longest description, in characters.
const DESCRIPTION_CHARS_MAX: usize = 2_000;
/// Largest content, in bytes of JSON.
const BODY_BYTES_MAX: usize = 32 * 1024;
/// So many objects of one person.
const OWNED_MAX: usize = 500;

/// What a saved object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SavedKind {
    /// Panels side by side; the content is a [`Dashboard`].
    Dashboard,
    /// A question of the search page or the SQL page. The content is
    /// `{"page": "search" | "sql", "params": [[name, value], …]}`: the parameters of its URL.
    Search,
}

impl SavedKind {
    /// All kinds.
    pub const ALL: [SavedKind; 2] = [SavedKind::Dashboard, SavedKind::Search];

    /// The word in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            SavedKind::Dashboard => "dashboard",
            SavedKind::Search => "search",
        }
    }

    /// The kind with this word.
    pub fn parse(word: &str) -> Option<SavedKind> {
        SavedKind::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// What somebody wants to keep.
#[derive(Clone)]
pub struct NewSaved {
    /// What people call it. Not a value that says who somebody is.
    pub name: String,
    /// What it is for; may be empty.
    pub description: String,
    /// Whether everybody who may ask may open it, or only its owner.
    pub is_shared: bool,
    /// Its content; see [`SavedKind`].
    pub body: Json,
}

/// A saved object as one of its versions has it.
#[derive(Clone)]
pub struct Saved {
    /// What it is.
    pub kind: SavedKind,
    /// Stands for it for ever.
    pub id: String,
    /// Whose it is.
    pub owner: String,
    /// Whether everybody who may ask may open it.
    pub is_shared: bool,
    /// What people call it.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Its content; see [`SavedKind`].
    pub body: Json,
    /// Which version this is, from 1.
    pub version: u32,
    /// When this version was saved.
    pub at: Timestamp,
    /// The versions that are kept, newest first, with the time of each.
    pub history: Vec<(u32, Timestamp)>,
}

impl Saved {
    /// A parameter of a saved search; empty if it has none of this name.
    pub fn param(&self, name: &str) -> &str {
        let params = self.body["params"].as_array().map(Vec::as_slice).unwrap_or_default();
        let found = params.iter().rev().find(|param| param[0] == name);
        found.and_then(|param| param[1].as_str()).unwrap_or("")
    }
}

impl fmt::Debug for NewSaved {
    /// Without what was typed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NewSaved(shared {})", self.is_shared)
    }
}

impl fmt::Debug for Saved {
    /// Without what was typed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Saved({} {}, version {})", self.kind.as_str(), self.id, self.version)
    }
}

impl Engine {
    /// The saved objects of a kind that the caller may open, by name: their own and the shared
    /// ones.
    ///
    /// # Errors
    /// If the caller may not ask for anything.
    pub fn saved(&self, caller: &Caller, kind: SavedKind) -> Result<Vec<Saved>, EngineError> {
        self.may_keep(caller)?;
        Ok(self.openable(caller, kind))
    }

    /// As [`Engine::saved`], also for who may ask nothing: to tell what uses a field.
    pub(crate) fn openable(&self, caller: &Caller, kind: SavedKind) -> Vec<Saved> {
        let objects = self.saved.read();
        let of_kind = objects.iter().filter(|(_, object)| object.kind == kind);
        let known = of_kind.filter(|(_, object)| object.is_for(caller));
        let mut shown: Vec<Saved> =
            known.filter_map(|(id, object)| object.show(id, None)).collect();
        shown.sort_by(|a, b| (a.name.to_lowercase(), &a.id).cmp(&(b.name.to_lowercase(), &b.id)));
        shown
    }

    /// One saved object, in its newest version or an older one.
    ///
    /// # Errors
    /// 404 if there is none, or it is another's and not shared.
    pub fn saved_object(
        &self,
        caller: &Caller,
        kind: SavedKind,
        id: &str,
        version: Option<u32>,
    ) -> Result<Saved, EngineError> {
        self.may_keep(caller)?;
        let objects = self.saved.read();
        let object = objects.get(kind, id).filter(|object| object.is_for(caller));
        let shown = object.and_then(|object| object.show(id, version));
        shown.ok_or_else(|| no_object(kind))
    }

    /// Keeps something new for the caller.
    ///
    /// # Errors
    /// 400 if the content is not what its kind asks for, 429 if the caller keeps too much already,
    /// 503 if it cannot be recorded or written.
    pub fn save(
        &self,
        caller: &Caller,
        kind: SavedKind,
        wanted: &NewSaved,
    ) -> Result<Saved, EngineError> {
        self.may_keep(caller)?;
        let first = self.version(kind, wanted, 1)?;
        let mut objects = self.saved.write();
        if objects.owned_by(caller.name()) >= OWNED_MAX {
            let reason = format!("you keep {OWNED_MAX} saved objects already; delete some");
            return Err(EngineError::new(429, "too_many_saved_objects_exception", reason));
        }
        let id = objects.free_id();
        let object = Object {
            kind,
            owner: caller.name().to_owned(),
            shared: wanted.is_shared,
            versions: vec![first],
        };
        self.keep(caller, &mut objects, &id, object)
    }

    /// Keeps a next version of something of the caller's. `base` is the version that the caller
    /// had before them.
    ///
    /// # Errors
    /// As [`Engine::save`]; 403 if it is another's; 409 if it was saved again meanwhile.
    pub fn save_again(
        &self,
        caller: &Caller,
        kind: SavedKind,
        id: &str,
        base: u32,
        wanted: &NewSaved,
    ) -> Result<Saved, EngineError> {
        self.may_keep(caller)?;
        let mut objects = self.saved.write();
        let mut object = objects.own(caller, kind, id)?.clone();
        let now = object.newest().version;
        if base != now {
            let reason = format!(
                "this {} was saved again meanwhile: it is version {now}, you began with version \
                 {base}; open it anew",
                kind.as_str()
            );
            return Err(EngineError::new(409, "version_conflict_engine_exception", reason));
        }
        object.shared = wanted.is_shared;
        object.versions.push(self.version(kind, wanted, now + 1)?);
        self.keep(caller, &mut objects, id, object)
    }

    /// Deletes something of the caller's, with its history.
    ///
    /// # Errors
    /// 403 if it is another's, 404 if there is none, 503 if it cannot be recorded or written.
    pub fn delete_saved(
        &self,
        caller: &Caller,
        kind: SavedKind,
        id: &str,
    ) -> Result<(), EngineError> {
        self.may_keep(caller)?;
        let mut objects = self.saved.write();
        objects.own(caller, kind, id)?;
        self.record(&Event {
            policy: self.policies.version(),
            subject: format!("{} {id}", kind.as_str()),
            outcome: "allowed".to_owned(),
            ..Event::by(EventKind::SavedRemoved, caller)
        })?;
        objects.delete(&**self.store.catalog(), kind, id)
    }

    /// Records, then writes, then shows the newest version.
    fn keep(
        &self,
        caller: &Caller,
        objects: &mut SavedObjects,
        id: &str,
        object: Object,
    ) -> Result<Saved, EngineError> {
        let sharing = if object.shared { "shared" } else { "private" };
        let (kind, version) = (object.kind, object.newest().version);
        self.record(&Event {
            policy: self.policies.version(),
            subject: format!("{} {id} version {version}, {sharing}", kind.as_str()),
            outcome: "allowed".to_owned(),
            ..Event::by(EventKind::Saved, caller)
        })?;
        let object = objects.put(&**self.store.catalog(), id, object)?;
        object.show(id, None).ok_or_else(|| EngineError::internal("a saved object has no version"))
    }

    /// Checks what somebody wants to keep, and turns what was typed.
    fn version(
        &self,
        kind: SavedKind,
        wanted: &NewSaved,
        version: u32,
    ) -> Result<Version, EngineError> {
        let name = wanted.name.trim();
        if name.is_empty() || name.chars().count() > NAME_CHARS_MAX {
            let reason = format!("a name has 1 to {NAME_CHARS_MAX} characters");
            return Err(EngineError::illegal_argument(reason));
        }
        let description = wanted.description.trim();
        if description.chars().count() > DESCRIPTION_CHARS_MAX {
            let reason = format!("a description has up to {DESCRIPTION_CHARS_MAX} characters");
            return Err(EngineError::illegal_argument(reason));
        }
        if let Some(found) = self.sealer.name_as_value(name) {
            let reason = format!(
                "the name looks like a value of kind {found}; call it by what it shows, not by a \
                 person"
            );
            return Err(EngineError::illegal_argument(reason));
        }
        let body = turn::body(kind, &wanted.body, &self.pseudonyms, self.sealer.classifier())?;
        if body.to_string().len() > BODY_BYTES_MAX {
            let reason = format!("the content has more than {BODY_BYTES_MAX} bytes; split it");
            return Err(EngineError::illegal_argument(reason));
        }
        Ok(Version {
            version,
            at: self.clock.now().0,
            name: name.to_owned(),
            description: self.pseudonyms.query_text(description),
            body,
        })
    }

    /// Who may ask nothing has nothing to keep.
    fn may_keep(&self, caller: &Caller) -> Result<(), EngineError> {
        match self.may_at_all(caller, Action::Count) {
            true => Ok(()),
            false => Err(EngineError::forbidden(
                "your roles do not let you ask for data, so there is nothing to save",
            )),
        }
    }
}

fn no_object(kind: SavedKind) -> EngineError {
    let reason = format!("there is no such {}, or it is not shared with you", kind.as_str());
    EngineError::new(404, "resource_not_found_exception", reason)
}
