//! Aliases: other names for tables.
//!
//! An alias gives nobody anything: before the policy is asked, it is turned into the tables behind it
//! that the caller knows, so no grant ever names one and nothing more is reached through it. To who
//! knows none of its tables there is no such alias. Filters and routing are not supported: what a
//! caller sees of a table is said by grants.

use crate::Engine;
use crate::error::EngineError;
use model::{Table, TableId, TableName};
use parking_lot::RwLock;
use protection::caller::Caller;
use protection::grant::Action as Right;
use protection::{RecordError, RecordStore};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The kind of the catalog's records that hold aliases, by name.
const RECORDS: &str = "alias";
/// So many aliases.
const ALIASES_MAX: usize = 10_000;
/// So many actions in one request.
const ACTIONS_MAX: usize = 1_000;

/// The tables of an alias, as it is kept: whether each is the one that writes go to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Members(BTreeMap<u32, bool>);

/// All aliases.
pub(crate) struct Aliases(RwLock<BTreeMap<String, Members>>);

impl Aliases {
    /// Reads them from the catalog.
    pub(crate) fn load(records: &dyn RecordStore) -> Result<Aliases, RecordError> {
        let mut all = BTreeMap::new();
        for (name, bytes) in records.list(RECORDS)? {
            let members = serde_json::from_slice(&bytes)
                .map_err(|_| RecordError::Damaged { kind: RECORDS.to_owned() })?;
            all.insert(name, members);
        }
        Ok(Aliases(RwLock::new(all)))
    }
}

/// One alias of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// Its name.
    pub name: String,
    /// Whether somebody said that writes go to this table.
    pub is_write_index: bool,
}

/// What is to become of an alias and a table.
struct Step {
    adds: bool,
    table: Arc<Table>,
    alias: String,
    is_write_index: bool,
    must_exist: bool,
}

impl Engine {
    /// The aliases of these tables, by the names of the tables.
    pub fn aliases_of(&self, tables: &[Arc<Table>]) -> BTreeMap<String, Vec<Alias>> {
        let all = self.aliases.0.read();
        let of_table = |table: &Arc<Table>| {
            let of = all.iter().filter_map(|(name, members)| {
                let is_write_index = *members.0.get(&table.id.0)?;
                Some(Alias { name: name.clone(), is_write_index })
            });
            (table.name.as_str().to_owned(), of.collect())
        };
        tables.iter().map(of_table).collect()
    }

    /// The names of aliases, each with the places in `tables` of those behind it; only aliases that
    /// have any there.
    pub(crate) fn aliases_over(&self, tables: &[Arc<Table>]) -> Vec<(String, Vec<usize>)> {
        let all = self.aliases.0.read();
        let places = |members: &Members| -> Vec<usize> {
            let is_in = |(_, table): &(usize, &Arc<Table>)| members.0.contains_key(&table.id.0);
            tables.iter().enumerate().filter(is_in).map(|(place, _)| place).collect()
        };
        let over = all.iter().map(|(name, members)| (name.clone(), places(members)));
        over.filter(|(_, places)| !places.is_empty()).collect()
    }

    /// Whether a name is an alias of a table that the caller knows.
    pub(crate) fn is_alias(&self, caller: &Caller, name: &str) -> bool {
        let known = self.known_tables(caller);
        self.aliases_over(&known).iter().any(|(alias, _)| alias == name)
    }

    /// Whether a name is taken by an alias.
    pub(crate) fn has_alias(&self, name: &str) -> bool {
        self.aliases.0.read().contains_key(name)
    }

    /// The one table behind an alias, for reads of a single document.
    ///
    /// # Errors
    /// If there are several.
    pub(crate) fn table_behind(
        &self,
        caller: &Caller,
        name: &str,
    ) -> Result<Option<Arc<Table>>, EngineError> {
        let known = self.known_tables(caller);
        let over = self.aliases_over(&known).into_iter().find(|(alias, _)| alias == name);
        match over.as_ref().map(|(_, places)| places.as_slice()) {
            None | Some([]) => Ok(None),
            Some([place]) => Ok(Some(Arc::clone(&known[*place]))),
            Some(_) => Err(EngineError::illegal_argument(format!(
                "alias [{name}] has more than one index associated with it, can't execute a single \
                 index op"
            ))),
        }
    }

    /// The table that a write to `name` goes to, if it is an alias that the caller knows.
    ///
    /// # Errors
    /// If the alias has several tables and none was said to be written to.
    pub(crate) fn write_table_behind(
        &self,
        caller: &Caller,
        name: &str,
    ) -> Result<Option<Arc<Table>>, EngineError> {
        if !self.has_alias(name) {
            return Ok(None);
        }
        let known = self.known_tables(caller);
        let all = self.aliases.0.read();
        let Some(members) = all.get(name) else { return Ok(None) };
        let find = |id: &u32| known.iter().find(|table| table.id == TableId(*id)).cloned();
        if !members.0.keys().any(|id| find(id).is_some()) {
            return Ok(None);
        }
        let stands = |id: &&u32| self.store.table_by_id(TableId(**id)).is_some();
        let mut written = members.0.iter().filter(|(_, is_write)| **is_write).map(|(id, _)| id);
        let mut standing = members.0.keys().filter(stands);
        let target = match (written.next(), standing.next(), standing.next()) {
            (Some(id), ..) | (None, Some(id), None) => find(id),
            _ => None,
        };
        target.map(Some).ok_or_else(|| {
            EngineError::illegal_argument(format!(
                "no write index is defined for alias [{name}]. The write index may be explicitly \
                 disabled using is_write_index=false or the alias points to multiple indices \
                 without one being designated as a write index"
            ))
        })
    }

    /// Carries out the actions of `POST /_aliases`, all or none.
    ///
    /// # Errors
    /// What is wrong with one; 403 without the right to make tables of that name; 404 for a table
    /// that the caller does not know, or an alias to be removed that is none.
    pub fn update_aliases(&self, caller: &Caller, body: &Json) -> Result<(), EngineError> {
        let actions = body["actions"].as_array().ok_or_else(|| wrong("[actions] is required"))?;
        if actions.is_empty() || actions.len() > ACTIONS_MAX {
            return Err(wrong(&format!("[actions] has from 1 to {ACTIONS_MAX} actions")));
        }
        let mut steps = Vec::new();
        for action in actions {
            steps.extend(self.steps_of(caller, action)?);
        }
        let mut all = self.aliases.0.write();
        let mut next = all.clone();
        for step in &steps {
            take(&mut next, step)?;
        }
        next.retain(|_, members| !members.0.is_empty());
        if next.len() > ALIASES_MAX {
            return Err(wrong(&format!("there may be {ALIASES_MAX} aliases")));
        }
        let touched: BTreeSet<&str> = steps.iter().map(|step| step.alias.as_str()).collect();
        for table in steps.iter().map(|step| &step.table) {
            self.record_table(protection::audit::EventKind::TableChanged, caller, table)?;
        }
        let records: &dyn RecordStore = &**self.store.catalog();
        for name in touched {
            let done = match next.get(name) {
                Some(members) => records.put(
                    RECORDS,
                    name,
                    &serde_json::to_vec(members).expect("numbers and booleans only"),
                ),
                None => records.delete(RECORDS, name),
            };
            done.map_err(|error| EngineError::unavailable(error.to_string()))?;
            // What was written down counts, also if a later one fails.
            match next.get(name) {
                Some(members) => drop(all.insert(name.to_owned(), members.clone())),
                None => drop(all.remove(name)),
            }
        }
        Ok(())
    }

    fn steps_of(&self, caller: &Caller, action: &Json) -> Result<Vec<Step>, EngineError> {
        let one = action.as_object().filter(|action| action.len() == 1);
        let (word, options) = one
            .and_then(|action| action.iter().next())
            .ok_or_else(|| wrong("an action has one member"))?;
        let adds = match word.as_str() {
            "add" => true,
            "remove" => false,
            _ => return Err(wrong("an action is [add] or [remove]; others are not supported")),
        };
        let options = options.as_object().ok_or_else(|| wrong("an action is an object"))?;
        let known =
            ["index", "indices", "alias", "aliases", "is_write_index", "must_exist", "is_hidden"];
        if let Some(other) = options.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(wrong(&format!(
                "[{}] of an alias is not supported: what a caller sees of a table is said by grants",
                other.escape_debug()
            )));
        }
        let indices = names(options, "index", "indices")?;
        let aliases = names(options, "alias", "aliases")?;
        let tables = self.resolve(caller, &indices.join(","))?;
        let mut steps = Vec::new();
        for table in tables {
            self.may(caller, Right::CreateTable, Some(&table.name))?;
            for alias in &aliases {
                if adds {
                    self.check_alias(alias)?;
                }
                steps.push(Step {
                    adds,
                    table: Arc::clone(&table),
                    alias: alias.clone(),
                    is_write_index: options.get("is_write_index") == Some(&json!(true)),
                    must_exist: options.get("must_exist") != Some(&json!(false)),
                });
            }
        }
        Ok(steps)
    }

    fn check_alias(&self, name: &str) -> Result<(), EngineError> {
        let refused = |why: String| {
            EngineError::new(
                400,
                "invalid_alias_name_exception",
                format!("Invalid alias name [{}]: {why}", name.escape_debug()),
            )
        };
        TableName::parse(name).map_err(|error| refused(error.to_string()))?;
        if self.store.table(name).is_some() {
            let why = "an index or data stream exists with the same name as the alias";
            return Err(refused(why.to_owned()));
        }
        Ok(())
    }
}

fn take(all: &mut BTreeMap<String, Members>, step: &Step) -> Result<(), EngineError> {
    let id = step.table.id.0;
    if !step.adds {
        let removed = all.get_mut(&step.alias).and_then(|members| members.0.remove(&id));
        return match removed {
            None if step.must_exist => Err(EngineError::new(
                404,
                "aliases_not_found_exception",
                format!("aliases [{}] missing", step.alias.escape_debug()),
            )),
            _ => Ok(()),
        };
    }
    let members = all.entry(step.alias.clone()).or_default();
    if step.is_write_index && members.0.iter().any(|(other, is_write)| *is_write && *other != id) {
        return Err(EngineError::new(
            409,
            "illegal_state_exception",
            format!("alias [{}] has more than one write index", step.alias),
        ));
    }
    members.0.insert(id, step.is_write_index);
    Ok(())
}

fn names(options: &Map<String, Json>, one: &str, many: &str) -> Result<Vec<String>, EngineError> {
    let found: Vec<String> = match (options.get(one), options.get(many)) {
        (Some(Json::String(name)), None) => name.split(',').map(str::to_owned).collect(),
        (None, Some(Json::Array(names))) => {
            names.iter().filter_map(Json::as_str).map(str::to_owned).collect()
        }
        (None, Some(Json::String(name))) => vec![name.clone()],
        _ => Vec::new(),
    };
    match found.iter().any(String::is_empty) || found.is_empty() {
        false => Ok(found),
        true => Err(wrong(&format!("One of [{one}] or [{many}] is required"))),
    }
}

fn wrong(why: &str) -> EngineError {
    EngineError::new(
        400,
        "action_request_validation_exception",
        format!("Validation Failed: 1: {why};"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_house::House;
    use crate::{BulkOptions, EngineError};

    fn update(house: &House, by: &Caller, actions: Json) -> Result<(), EngineError> {
        house.engine.update_aliases(by, &json!({ "actions": actions }))
    }

    fn count(house: &House, caller: &Caller, name: &str) -> Result<u64, EngineError> {
        let counted = house.engine.count(caller, name, &json!({}), &[])?;
        Ok(counted.get()["count"].as_u64().unwrap())
    }

    /// Two tables; bob reads `one` alone.
    fn house() -> (House, Caller) {
        let house = House::open();
        house.propose(&json!([
            { "drop_role": { "person": "bob", "role": "analyst" } },
            { "grant": { "who": "person:bob", "tables": "one", "action": "read", "classes": ["open"],
                         "until": "2027-02-01T00:00:00Z" } },
        ]));
        for (table, rows) in [("one", 2), ("two", 3)] {
            let rows: Vec<Json> =
                (0..rows).map(|n| json!({ "_id": n.to_string(), "n": n })).collect();
            house.write(table, &rows);
        }
        let bob = house.log_in("bob");
        (house, bob)
    }

    #[test]
    fn an_alias_reaches_nothing_that_its_caller_does_not() {
        let (house, bob) = house();
        let both = json!([{ "add": { "indices": ["one", "two"], "alias": "all" } },
                          { "add": { "index": "two", "alias": "hidden" } }]);
        assert_eq!(update(&house, &bob, both.clone()).unwrap_err().status, 404, "he knows no two");
        update(&house, &house.engineer, both).unwrap();
        assert_eq!(count(&house, &house.engineer, "all").unwrap(), 5);
        assert_eq!(count(&house, &bob, "all").unwrap(), 2, "only what is his");
        assert_eq!(count(&house, &bob, "al*").unwrap(), 2);
        let (hidden, nothing) = (count(&house, &bob, "hidden"), count(&house, &bob, "nothing"));
        let reason = |refused: Result<u64, EngineError>| refused.unwrap_err().reason;
        assert_eq!(reason(hidden), reason(nothing).replace("nothing", "hidden"));
        let found = house.engine.search(&bob, "all", &json!({}), &[]).unwrap().into_inner();
        assert_eq!(found["hits"]["hits"][0]["_index"], json!("one"));
        let shown = house.engine.aliases_of(&house.engine.known_tables(&bob));
        assert_eq!(shown.len(), 1, "{shown:?}");
        // Bob may not make one either.
        let own = json!([{ "add": { "index": "one", "alias": "mine" } }]);
        assert_eq!(update(&house, &bob, own).unwrap_err().status, 403);
        assert_eq!(house.engine.drop_table(&house.engineer, "all").unwrap_err().status, 400);
    }

    #[test]
    fn writes_go_to_the_table_that_is_named_for_them() {
        let (house, _) = house();
        let by = &house.engineer;
        let put = |index: &str| {
            let lines = b"{\"index\":{}}\n{\"n\":7}\n";
            house.engine.bulk(by, Some(index), lines, &BulkOptions::default()).unwrap()
        };
        update(&house, by, json!([{ "add": { "index": "one", "alias": "now" } }])).unwrap();
        assert!(!put("now").errors);
        assert_eq!(count(&house, by, "one").unwrap(), 3);
        update(&house, by, json!([{ "add": { "index": "two", "alias": "now" } }])).unwrap();
        assert!(put("now").errors, "to which of the two?");
        let to_two = json!([{ "add": { "index": "two", "alias": "now", "is_write_index": true } }]);
        update(&house, by, to_two).unwrap();
        assert!(!put("now").errors);
        assert_eq!(count(&house, by, "two").unwrap(), 4);
        let get = |index| house.engine.get_document(by, index, "1", &[], &[]);
        assert_eq!(get("now").unwrap_err().status, 400, "one document is in one table");
        // All or none, and both kinds of names share one space.
        let half = json!([{ "remove": { "index": "one", "alias": "now" } },
                          { "remove": { "index": "one", "alias": "gone" } }]);
        assert_eq!(update(&house, by, half).unwrap_err().status, 404);
        assert_eq!(count(&house, by, "now").unwrap(), 7);
        assert_eq!(house.engine.create_table(by, "now", &json!({})).unwrap_err().status, 400);
        let taken = json!([{ "add": { "index": "one", "alias": "two" } }]);
        assert_eq!(update(&house, by, taken).unwrap_err().kind, "invalid_alias_name_exception");
        let filter = json!([{ "add": { "index": "one", "alias": "f", "filter": {} } }]);
        assert!(update(&house, by, filter).unwrap_err().reason.contains("grants"));
        update(&house, by, json!([{ "remove": { "index": "*", "alias": "now" } }])).unwrap();
        assert_eq!(count(&house, by, "now").unwrap_err().status, 404);
    }
}
