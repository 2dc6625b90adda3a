//! What uses the fields of a table: declared metrics, and dashboards.
//!
//! It decides what a copy brings in and helps to rule on a field. Names are told, never a question
//! that somebody keeps; of dashboards only those that the caller may open.

use crate::admin::choose;
use crate::copying::blank_table;
use crate::metric::Metrics;
use crate::saved::{Dashboard, PanelShows, Saved, SavedKind};
use crate::{Engine, EngineError};
use model::{Field, Schema, Table, TableId};
use protection::caller::Caller;
use query::elasticsearch::SearchRequest;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What uses a field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldUses {
    /// Declared metrics, by name.
    pub metrics: Vec<String>,
    /// Dashboards that the caller may open, by what people call them.
    pub dashboards: Vec<String>,
}

/// What uses each field of a table; a field that nothing uses is not in it.
pub type FieldsInUse = BTreeMap<String, FieldUses>;

impl FieldUses {
    /// The names of all, with a word before those that are no metrics.
    pub fn told(&self) -> Vec<String> {
        let dashboards = self.dashboards.iter().map(|name| format!("dashboard `{name}`"));
        self.metrics.iter().cloned().chain(dashboards).collect()
    }
}

impl Engine {
    /// Which of these fields of a table, which need not be there yet, declared metrics and
    /// dashboards use. A metric uses what it measures, its conditions, entities, steps, times and
    /// dimensions, and the keys of tables that it joins; a dashboard what its metrics use, and what
    /// its searches ask for and show.
    ///
    /// A name that is none of `fields` stands in the answer as it was written: it may be below JSON.
    ///
    /// # Errors
    /// If the table cannot have this name.
    pub fn fields_in_use(
        &self,
        caller: &Caller,
        table: &str,
        fields: &[Field],
        time_field: Option<&str>,
    ) -> Result<FieldsInUse, EngineError> {
        let mut wanted = blank_table(table)?;
        wanted.id = TableId(u32::MAX);
        // Without classes: what is closed to readers is in use all the same.
        let plain = fields.iter().filter(|field| field.companion_of.is_none()).map(|field| Field {
            keyword_up_to: field.keyword_up_to,
            ..Field::new(field.name.clone(), field.ty, &field.es_type)
        });
        wanted.schema = Schema::from_fields(plain.collect());
        wanted.time_field = time_field.map(str::to_owned);
        let wanted = Arc::new(wanted);
        let declared = self.metrics.read();
        let mut uses = FieldsInUse::new();
        for name in declared.names() {
            for field in read_by(&declared, name, &wanted) {
                uses.entry(field).or_default().metrics.push(name.to_owned());
            }
        }
        for saved in self.openable(caller, SavedKind::Dashboard) {
            for field in self.shown_by(caller, &declared, &saved, &wanted) {
                let dashboards = &mut uses.entry(field).or_default().dashboards;
                if !dashboards.contains(&saved.name) {
                    dashboards.push(saved.name.clone());
                }
            }
        }
        Ok(uses)
    }

    /// What a dashboard reads of a table.
    fn shown_by(
        &self,
        caller: &Caller,
        declared: &Metrics,
        saved: &Saved,
        wanted: &Arc<Table>,
    ) -> BTreeSet<String> {
        let mut read = BTreeSet::new();
        // It was checked when it was saved.
        let Ok(dashboard) = Dashboard::read(&saved.body) else { return read };
        for panel in &dashboard.panels {
            match &panel.shows {
                PanelShows::Metric { metric, .. } => {
                    read.extend(read_by(declared, metric, wanted));
                }
                PanelShows::Search { search, show } => {
                    let searches = self.openable(caller, SavedKind::Search);
                    let Some(search) = searches.iter().find(|known| known.id == *search) else {
                        continue;
                    };
                    if !self.is_over(caller, search.param("table"), wanted) {
                        continue;
                    }
                    read.extend(asked_by(search, show == "rows", wanted));
                    let variables = dashboard.variables.iter().map(|variable| &variable.name);
                    read.extend(
                        variables.filter(|name| wanted.schema.find(name).is_some()).cloned(),
                    );
                    read.extend(wanted.time_field.clone());
                }
            }
        }
        read
    }

    /// Whether an expression of tables names this one, too.
    fn is_over(&self, caller: &Caller, expression: &str, wanted: &Arc<Table>) -> bool {
        let mut tables = self.known_tables(caller);
        tables.retain(|known| known.name != wanted.name);
        tables.push(Arc::clone(wanted));
        let mut names = self.aliases_over(&tables);
        let own = tables.iter().enumerate();
        names.extend(own.map(|(place, table)| (table.name.as_str().to_owned(), vec![place])));
        let chosen = choose(expression, &names, tables.len());
        chosen.is_ok_and(|chosen| chosen.last() == Some(&true))
    }
}

/// What a metric reads of a table, by the names of its fields.
fn read_by(declared: &Metrics, name: &str, wanted: &Table) -> BTreeSet<String> {
    let Some(model) = declared.model_of(name) else { return BTreeSet::new() };
    let Some(metric) = model.metric(name) else { return BTreeSet::new() };
    let Some(reads) = model.reads(metric).remove(wanted.name.as_str()) else {
        return BTreeSet::new();
    };
    let mut found: BTreeSet<String> =
        reads.fields.iter().map(|written| called(wanted, written)).collect();
    found.extend(wanted.time_field.clone().filter(|_| reads.own_time));
    found
}

/// The fields that a saved search names in its question, and with `rows` those that it shows.
fn asked_by(search: &Saved, rows: bool, wanted: &Arc<Table>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let columns = search.param("columns").split(',').map(str::trim);
    found.extend(columns.filter(|name| rows && !name.is_empty()).map(str::to_owned));
    let query = json!({ "query_string": { "query": search.param("q") } });
    let body = json!({ "size": 0, "query": query });
    if search.param("q").is_empty() {
        return found;
    }
    // A question that does not read shows nothing on the dashboard either.
    if let Ok(request) = SearchRequest::parse(&body, &[]) {
        let uses = request.uses(std::slice::from_ref(wanted)).into_iter();
        // Words without a field are looked for in all: that is no use of any of them.
        found.extend(uses.map(|(_, used)| used.field).filter(|field| !field.contains('*')));
    }
    found.into_iter().map(|written| called(wanted, &written)).collect()
}

/// What the table calls a field that is written somehow: `email.domain` tells a part of `email`,
/// `text.keyword` its whole values, and SQL takes letters of another case.
fn called(table: &Table, written: &str) -> String {
    let is_known = |name: &str| table.schema.find(name).is_some();
    if is_known(written) {
        return written.to_owned();
    }
    let mut above = written;
    while let Some((field, _)) = above.rsplit_once('.') {
        if is_known(field) {
            return field.to_owned();
        }
        above = field;
    }
    let alike = table.schema.fields().iter().map(|field| field.name.as_str());
    let mut alike = alike.filter(|name| name.eq_ignore_ascii_case(written));
    alike.next_back().unwrap_or(written).to_owned()
}

#[cfg(test)]
mod tests;
