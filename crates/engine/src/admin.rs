//! Tables: made, changed, dropped, and found by the expressions of Elasticsearch's URLs.

use crate::mapping::{Mapping, TableSpec};
use crate::{Engine, EngineError};
use model::{Schema, Table, TableId, TableName};
use protection::audit::{Event, EventKind};
use protection::caller::Caller;
use protection::grant::Action as Right;
use serde_json::Value;
use std::sync::Arc;
use storage::StoreError;

/// Any of these makes a table known to a caller.
const KNOWING: [Right; 5] =
    [Right::Count, Right::Write, Right::CreateTable, Right::DropTable, Right::Rule];

impl Engine {
    /// Makes a table from the body of `PUT /{index}`; `null` asks for nothing special.
    ///
    /// # Errors
    /// If the name is taken or wrong, the body asks for what is not there, or the caller may not.
    pub fn create_table(
        &self,
        caller: &Caller,
        name: &str,
        body: &Value,
    ) -> Result<Arc<Table>, EngineError> {
        let name = parse_name(name)?;
        self.may(caller, Right::CreateTable, Some(&name))?;
        if self.has_alias(name.as_str()) {
            let reason = format!("Invalid index name [{name}], already exists as alias");
            return Err(EngineError::new(400, "invalid_index_name_exception", reason));
        }
        let spec = TableSpec::parse(body)?;
        match self.make_table(caller, &name, spec) {
            Ok(table) => Ok(table),
            Err(StoreError::TableExists) => {
                let reason = format!("index [{name}] already exists");
                Err(EngineError::new(400, "resource_already_exists_exception", reason))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Drops the tables of an expression without wildcards. They stay restorable for seven days.
    ///
    /// # Errors
    /// If one does not exist or the caller may not drop it; then none is dropped.
    pub fn drop_table(&self, caller: &Caller, expression: &str) -> Result<(), EngineError> {
        if expression.contains('*') || expression == "_all" || expression.is_empty() {
            return Err(EngineError::new(
                400,
                "illegal_argument_exception",
                "Wildcard expressions or all indices are not allowed",
            ));
        }
        if let Some(alias) = expression.split(',').find(|name| self.is_alias(caller, name)) {
            return Err(EngineError::illegal_argument(format!(
                "The provided expression [{alias}] matches an alias, specify the corresponding concrete \
                 indices instead."
            )));
        }
        let tables = self.resolve(caller, expression)?;
        for table in &tables {
            self.may(caller, Right::DropTable, Some(&table.name))?;
        }
        for table in &tables {
            self.record_table(EventKind::TableDropped, caller, table)?;
            self.store.drop_table(table.id)?;
            tracing::info!(table = table.id.0, "table dropped");
        }
        Ok(())
    }

    /// Adds what the body of `PUT _mapping` says to the tables of an expression.
    ///
    /// # Errors
    /// If a type would change, the body asks for what is not there, or the caller may not.
    pub fn put_mapping(
        &self,
        caller: &Caller,
        expression: &str,
        body: &Value,
    ) -> Result<(), EngineError> {
        let tables = self.resolve(caller, expression)?;
        for table in &tables {
            self.may(caller, Right::CreateTable, Some(&table.name))?;
        }
        for table in tables {
            let lock = self.schema_lock(table.id);
            let _locked = lock.lock();
            let current = self.store.table(table.name.as_str());
            let mut changed =
                Table::clone(&*current.ok_or_else(|| not_found(table.name.as_str()))?);
            Mapping::parse(body)?.add_to(&mut changed)?;
            self.check_names(changed.schema.fields().iter())?;
            self.record_table(EventKind::TableChanged, caller, &changed)?;
            self.store.put_table(changed)?;
        }
        Ok(())
    }

    /// The table with this name or the one behind an alias, if the caller may know it.
    ///
    /// # Errors
    /// 404 if there is none, 400 if an alias has several.
    pub fn table_for(&self, caller: &Caller, name: &str) -> Result<Arc<Table>, EngineError> {
        let table = self.store.table(name).filter(|table| self.knows(caller, table));
        match table {
            Some(table) => Ok(table),
            None => self.table_behind(caller, name)?.ok_or_else(|| not_found(name)),
        }
    }

    /// All tables that the caller may know, by name.
    pub fn known_tables(&self, caller: &Caller) -> Vec<Arc<Table>> {
        let mut tables = self.store.tables();
        tables.retain(|table| self.knows(caller, table));
        tables
    }

    /// The tables that an expression names: names with commas between, `*` for anything, `_all`,
    /// and `-` before what is left out again. In the order of their names, each once.
    ///
    /// # Errors
    /// 404 if a name without `*` is unknown to the caller.
    pub fn resolve(
        &self,
        caller: &Caller,
        expression: &str,
    ) -> Result<Vec<Arc<Table>>, EngineError> {
        let tables = self.known_tables(caller);
        let mut names: Vec<(String, Vec<usize>)> = self.aliases_over(&tables);
        let own = tables.iter().enumerate();
        names.extend(own.map(|(place, table)| (table.name.as_str().to_owned(), vec![place])));
        let chosen = choose(expression, &names, tables.len())?;
        let chosen = tables.iter().zip(chosen).filter(|(_, chosen)| *chosen);
        Ok(chosen.map(|(table, _)| Arc::clone(table)).collect())
    }
}

impl Engine {
    fn knows(&self, caller: &Caller, table: &Table) -> bool {
        let policy = self.policies.current();
        let now = self.clock.now();
        KNOWING.iter().any(|&right| policy.may_elsewhere(caller, right, &table.name, now))
    }

    /// Makes a table. The caller was checked.
    pub(crate) fn make_table(
        &self,
        caller: &Caller,
        name: &TableName,
        spec: TableSpec,
    ) -> Result<Arc<Table>, StoreError> {
        let TableSpec { settings, dynamic, fields } = spec;
        let table = self.store.create_table(Table {
            id: TableId(0), // The store chooses.
            name: name.clone(),
            kind: settings.kind,
            intake: settings.intake,
            time_field: settings.time_field,
            sort: settings.sort,
            retention_ms: settings.retention_ms,
            dynamic,
            schema: Schema::from_fields(fields),
        })?;
        if let Err(error) = self.record_table(EventKind::TableCreated, caller, &table) {
            tracing::error!(reason = error.reason, "a new table is not in the audit record");
        }
        tracing::info!(table = table.id.0, "table created");
        Ok(table)
    }

    /// Refuses a mapping with a name that is itself a personal value or a credential.
    fn check_names<'a>(
        &self,
        fields: impl Iterator<Item = &'a model::Field>,
    ) -> Result<(), EngineError> {
        for field in fields.filter(|field| field.class.is_none()) {
            if let Some(kind) = self.sealer.name_as_value(field.name.as_str()) {
                let reason = format!("a field name is itself a value of kind {kind}");
                return Err(EngineError::new(400, "mapper_parsing_exception", reason));
            }
        }
        Ok(())
    }

    pub(crate) fn record_table(
        &self,
        kind: EventKind,
        caller: &Caller,
        table: &Table,
    ) -> Result<(), EngineError> {
        let mut event = Event::by(kind, caller);
        event.policy = self.policies.version();
        event.tables = vec![table.name.as_str().to_owned()];
        event.outcome = "allowed".to_owned();
        self.record_change(&event)
    }
}

fn parse_name(name: &str) -> Result<TableName, EngineError> {
    TableName::parse(name).map_err(|error| {
        let reason = format!("Invalid index name [{}], {error}", name.escape_debug());
        EngineError::new(400, "invalid_index_name_exception", reason)
    })
}

fn not_found(name: &str) -> EngineError {
    let reason = format!("no such index [{}]", name.escape_debug());
    EngineError::new(404, "index_not_found_exception", reason)
}

/// Which of the tables behind `names` an expression chooses; each name stands for some places.
pub(crate) fn choose(
    expression: &str,
    names: &[(String, Vec<usize>)],
    tables: usize,
) -> Result<Vec<bool>, EngineError> {
    let mut chosen = vec![false; tables];
    for part in expression.split(',') {
        let (part, take) = match part.strip_prefix('-') {
            Some(part) => (part, false),
            None => (part, true),
        };
        if part.is_empty() || part == "_all" || part.contains('*') {
            let pattern = if part.contains('*') { part } else { "*" };
            for (_, places) in names.iter().filter(|(name, _)| matches(pattern, name)) {
                places.iter().for_each(|place| chosen[*place] = take);
            }
        } else {
            match names.iter().find(|(name, _)| name == part) {
                Some((_, places)) => places.iter().for_each(|place| chosen[*place] = take),
                None if take => return Err(not_found(part)),
                None => {}
            }
        }
    }
    Ok(chosen)
}

/// Whether `name` fits a pattern in which `*` is any text.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions() {
        let names = ["devices", "events-1", "events-2", "users"];
        let mut known: Vec<(String, Vec<usize>)> =
            names.iter().zip(0..).map(|(name, place)| ((*name).to_owned(), vec![place])).collect();
        known.push(("log".to_owned(), vec![1, 2]));
        let chosen = |expression: &str| {
            choose(expression, &known, names.len()).map(|chosen| {
                let chosen = names.iter().zip(chosen).filter(|(_, chosen)| *chosen);
                chosen.map(|(name, _)| *name).collect::<Vec<_>>().join(" ")
            })
        };
        for (expression, expected) in [
            ("devices", "devices"),
            ("users,devices,users", "devices users"),
            ("events-*", "events-1 events-2"),
            ("*-2,users", "events-2 users"),
            ("_all", "devices events-1 events-2 users"),
            ("", "devices events-1 events-2 users"),
            ("*,-events-*", "devices users"),
            ("*,-events-*,events-1", "devices events-1 users"),
            ("e*t*-1", "events-1"),
            ("nothing*", ""),
            ("log", "events-1 events-2"),
            ("*,-log", "devices users"),
            ("lo*,users", "events-1 events-2 users"),
            ("*,-nothing", "devices events-1 events-2 users"),
        ] {
            assert_eq!(chosen(expression).unwrap(), expected, "{expression}");
        }
        let error = chosen("devices,nothing").unwrap_err();
        assert_eq!((error.status, error.reason.as_str()), (404, "no such index [nothing]"));
    }

    #[test]
    fn patterns() {
        for (pattern, name, fits) in [
            ("*", "a", true),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("*b*", "abc", true),
            ("a*c*", "abc", true),
            ("a**c", "abc", true),
            ("b*", "abc", false),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }
}
