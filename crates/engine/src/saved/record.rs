//! Saved objects as the catalog has them: one record each, replaced as a whole.

use super::{Saved, SavedKind, no_object};
use crate::error::EngineError;
use model::Timestamp;
use protection::RecordStore;
use protection::caller::Caller;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};

/// The kind of the catalog's records.
const RECORDS: &str = "saved_object";
/// So many versions are kept, the newest …
const VERSIONS_MAX: usize = 50;
/// … if they have no more bytes than this together.
const RECORD_BYTES_MAX: usize = 256 * 1024;

/// A saved object with its history.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Object {
    #[serde(with = "kind_word")]
    pub(super) kind: SavedKind,
    pub(super) owner: String,
    pub(super) shared: bool,
    /// Oldest first; never empty.
    pub(super) versions: Vec<Version>,
}

/// One version.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Version {
    pub(super) version: u32,
    /// Milliseconds since 1970.
    pub(super) at: i64,
    pub(super) name: String,
    pub(super) description: String,
    pub(super) body: Json,
}

mod kind_word {
    use super::SavedKind;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(kind: &SavedKind, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(kind.as_str())
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<SavedKind, D::Error> {
        let word = String::deserialize(from)?;
        SavedKind::parse(&word).ok_or_else(|| D::Error::custom("an unknown kind"))
    }
}

impl Object {
    pub(super) fn newest(&self) -> &Version {
        self.versions.last().expect("a saved object has a version")
    }

    /// Whether somebody may open it.
    pub(super) fn is_for(&self, caller: &Caller) -> bool {
        self.shared || self.owner == caller.name()
    }

    /// As one of its versions has it; `None` if that is not kept.
    pub(super) fn show(&self, id: &str, version: Option<u32>) -> Option<Saved> {
        let shown = match version {
            None => self.versions.last(),
            Some(wanted) => self.versions.iter().find(|version| version.version == wanted),
        }?;
        Some(Saved {
            kind: self.kind,
            id: id.to_owned(),
            owner: self.owner.clone(),
            is_shared: self.shared,
            name: shown.name.clone(),
            description: shown.description.clone(),
            body: shown.body.clone(),
            version: shown.version,
            at: Timestamp(shown.at),
            history: self
                .versions
                .iter()
                .rev()
                .map(|one| (one.version, Timestamp(one.at)))
                .collect(),
        })
    }

    /// As it is stored, without the oldest versions where there are too many.
    fn fit(&mut self) -> Result<Vec<u8>, EngineError> {
        loop {
            let bytes = serde_json::to_vec(self)
                .map_err(|_| EngineError::internal("a saved object cannot be written"))?;
            let fits = self.versions.len() <= VERSIONS_MAX && bytes.len() <= RECORD_BYTES_MAX;
            if fits || self.versions.len() == 1 {
                return Ok(bytes);
            }
            self.versions.remove(0);
        }
    }
}

/// All saved objects, by id.
pub(crate) struct SavedObjects {
    objects: BTreeMap<String, Object>,
}

impl SavedObjects {
    /// Reads them from the catalog.
    pub(crate) fn load(records: &dyn RecordStore) -> Result<SavedObjects, String> {
        let stored = records.list(RECORDS).map_err(|error| error.to_string())?;
        let mut objects = BTreeMap::new();
        for (id, bytes) in stored {
            let damaged = || format!("saved object {id} is damaged");
            let object: Object = serde_json::from_slice(&bytes).map_err(|_| damaged())?;
            if object.versions.is_empty() {
                return Err(damaged());
            }
            objects.insert(id, object);
        }
        Ok(SavedObjects { objects })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &Object)> {
        self.objects.iter()
    }

    pub(super) fn get(&self, kind: SavedKind, id: &str) -> Option<&Object> {
        self.objects.get(id).filter(|object| object.kind == kind)
    }

    /// One that the caller may change.
    pub(super) fn own(
        &self,
        caller: &Caller,
        kind: SavedKind,
        id: &str,
    ) -> Result<&Object, EngineError> {
        let known = self.get(kind, id).filter(|object| object.is_for(caller));
        let object = known.ok_or_else(|| no_object(kind))?;
        if object.owner == caller.name() {
            return Ok(object);
        }
        let reason = format!("only its owner changes a {}; save a copy of your own", kind.as_str());
        Err(EngineError::forbidden(reason))
    }

    pub(super) fn owned_by(&self, owner: &str) -> usize {
        self.objects.values().filter(|object| object.owner == owner).count()
    }

    /// An id that nothing has. It opens nothing by itself: who may open is asked each time.
    pub(super) fn free_id(&self) -> String {
        loop {
            let id = format!("{:012x}", RandomState::new().hash_one(self.objects.len()) >> 16);
            if !self.objects.contains_key(&id) {
                return id;
            }
        }
    }

    pub(super) fn put(
        &mut self,
        records: &dyn RecordStore,
        id: &str,
        mut object: Object,
    ) -> Result<&Object, EngineError> {
        let bytes = object.fit()?;
        records.put(RECORDS, id, &bytes).map_err(not_written)?;
        self.objects.insert(id.to_owned(), object);
        Ok(&self.objects[id])
    }

    pub(super) fn delete(
        &mut self,
        records: &dyn RecordStore,
        kind: SavedKind,
        id: &str,
    ) -> Result<(), EngineError> {
        if self.get(kind, id).is_none() {
            return Err(no_object(kind));
        }
        records.delete(RECORDS, id).map_err(not_written)?;
        self.objects.remove(id);
        Ok(())
    }
}

fn not_written(error: protection::RecordError) -> EngineError {
    EngineError::unavailable(error.to_string())
}
