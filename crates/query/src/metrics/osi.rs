//! Metrics in the form of the Open Semantic Interchange (now Apache Ossie, core metadata 0.2.0.dev0):
//! <https://github.com/apache/ossie/blob/main/core-spec/spec.md>.
//!
//! That form knows tables, fields, relationships, and metrics as one expression of SQL each. It has
//! no word for funnels, cohorts, windows, grains, or what an empty interval shows: these go along
//! as an extension of ours, and every metric that loses something by it is named in a comment at
//! the top.

use super::condition::{name, sql_text};
use super::model::{
    Aggregate, Conversion, Empty, Measured, Metric, MetricKind, MetricModel, Reach, Retained,
    find_table,
};
use super::sql_text::{rendered, written_out};
use crate::QueryError;
use crate::leaf::field::{self, Kind};
use ::model::Table;
use serde_json::{Map, Value as Json, json};
use std::sync::Arc;

/// The version of the form.
const VERSION: &str = "0.2.0.dev0";
/// Our name in extensions.
const VENDOR: &str = "CLERESTORY";

/// Some metrics of each model as one document of YAML. `tables` are those that the caller may know;
/// a metric over others is left out.
///
/// # Errors
/// [`QueryError::Internal`] if the document cannot be written.
pub fn to_osi(
    models: &[(&MetricModel, Vec<Metric>)],
    tables: &[Arc<Table>],
) -> Result<String, QueryError> {
    let mut export = Export { tables, fields: Vec::new(), lossy: Vec::new() };
    let mut metrics = Vec::new();
    let mut relationships: Vec<Json> = Vec::new();
    for (model, chosen) in models {
        for metric in chosen {
            metrics.extend(export.metric(model, metric));
        }
        for join in model.joins() {
            for from in export.tables_with(&join.on) {
                let relationship = json!({
                    "name": format!("{from}_to_{}", join.name),
                    "from": from,
                    "to": join.table,
                    "from_columns": [join.on],
                    "to_columns": [join.key],
                });
                if from != join.table && !relationships.contains(&relationship) {
                    export.note(&join.table, &join.key);
                    relationships.push(relationship);
                }
            }
        }
    }
    let mut content = Map::new();
    content.insert("name".to_owned(), json!("clerestory"));
    content.insert("description".to_owned(), json!("The metrics declared in Clerestory."));
    content.insert("datasets".to_owned(), Json::Array(export.datasets()));
    if !relationships.is_empty() {
        content.insert("relationships".to_owned(), Json::Array(relationships));
    }
    content.insert("metrics".to_owned(), Json::Array(metrics));
    let document = json!({ "version": VERSION, "semantic_model": [content] });
    let yaml = serde_norway::to_string(&document)
        .map_err(|_| QueryError::Internal("a document of metrics".to_owned()))?;
    Ok(export.heading() + &yaml)
}

struct Export<'a> {
    tables: &'a [Arc<Table>],
    /// Table and field of everything that is mentioned.
    fields: Vec<(String, String)>,
    /// What of which metric the form has no word for.
    lossy: Vec<String>,
}

impl Export<'_> {
    fn note(&mut self, table: &str, field: &str) {
        let field = (table.to_owned(), field.to_owned());
        if !self.fields.contains(&field) {
            self.fields.push(field);
        }
    }

    /// The tables mentioned so far that have this field.
    fn tables_with(&self, field: &str) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for (table, _) in &self.fields {
            let has = find_table(self.tables, table)
                .is_ok_and(|table| field::find(table, field).is_some());
            if has && !names.contains(table) {
                names.push(table.clone());
            }
        }
        names
    }

    fn metric(&mut self, model: &MetricModel, metric: &Metric) -> Option<Json> {
        let rows = match &metric.kind {
            MetricKind::Conversion(Conversion { rows, .. })
            | MetricKind::Retention(Retained { rows, .. }) => Some(rows),
            _ => None,
        };
        let expression = match rows {
            Some(rows) => {
                let table = find_table(self.tables, &rows.table).ok()?;
                rows.time_field(table).ok()?;
                self.note(&rows.table, &rows.entity);
                let condition = rows.condition.as_ref().map(sql_text);
                counted(
                    &format!("count(DISTINCT {})", column(&rows.table, &rows.entity)),
                    condition,
                )
            }
            None => {
                let expression = written_out(model, metric);
                for name in expression.names() {
                    let measure = model.measure(name)?;
                    let table = find_table(self.tables, &measure.table).ok()?;
                    let time = measure.time_field(table).ok()?.to_owned();
                    self.note(&measure.table, &time);
                    if let Some(field) = measure.aggregate.field() {
                        self.note(&measure.table, field);
                    }
                }
                let cell = |name: &str| {
                    model.measure(name).map_or(String::new(), |of| aggregate(of, self.tables))
                };
                rendered(&expression, &cell)
            }
        };
        for dimension in &metric.dimensions {
            for table in self.tables_of(model, metric) {
                if find_table(self.tables, &table)
                    .is_ok_and(|table| field::find(table, dimension).is_some())
                {
                    self.note(&table, dimension);
                }
            }
        }
        let lost = lost(model, metric);
        if !lost.is_empty() {
            self.lossy.push(format!("{}: {}", metric.name, lost.join(", ")));
        }
        let mut shown = Map::new();
        shown.insert("name".to_owned(), json!(metric.name));
        let description = match metric.description.as_str() {
            "" => metric.label.as_str(),
            text => text,
        };
        shown.insert("description".to_owned(), json!(description));
        shown.insert(
            "expression".to_owned(),
            json!({ "dialects": [{ "dialect": "ANSI_SQL", "expression": expression }] }),
        );
        shown.insert("ai_context".to_owned(), json!({ "synonyms": [metric.label] }));
        let extension = json!({ "vendor_name": VENDOR, "data": extension(metric).to_string() });
        shown.insert("custom_extensions".to_owned(), json!([extension]));
        Some(Json::Object(shown))
    }

    fn tables_of(&self, model: &MetricModel, metric: &Metric) -> Vec<String> {
        let measures = model.measures_of(metric).into_iter().map(|of| of.table.clone());
        let rows = match &metric.kind {
            MetricKind::Conversion(funnel) => Some(funnel.rows.table.clone()),
            MetricKind::Retention(retained) => Some(retained.rows.table.clone()),
            _ => None,
        };
        measures.chain(rows).collect()
    }

    fn datasets(&self) -> Vec<Json> {
        let mut names: Vec<&String> = self.fields.iter().map(|(table, _)| table).collect();
        names.sort_unstable();
        names.dedup();
        let dataset = |name: &&String| {
            let fields = self.fields.iter().filter(|(table, _)| table == *name);
            let fields: Vec<Json> = fields.map(|(table, field)| self.field(table, field)).collect();
            json!({ "name": name, "source": name, "fields": fields })
        };
        names.iter().map(dataset).collect()
    }

    fn field(&self, table: &str, field: &str) -> Json {
        let kind = find_table(self.tables, table)
            .ok()
            .and_then(|table| field::kind(std::slice::from_ref(table), field).ok().flatten());
        let datatype = match kind {
            Some(Kind::Long) => "Integer",
            Some(Kind::Double) => "Float",
            Some(Kind::Bool) => "Boolean",
            Some(Kind::Date) => "DateTimeTz",
            _ => "String",
        };
        json!({
            "name": field,
            "expression": { "dialects": [{ "dialect": "ANSI_SQL", "expression": name(field) }] },
            "dimension": { "is_time": kind == Some(Kind::Date) },
            "datatype": datatype,
        })
    }

    fn heading(&self) -> String {
        let mut text = String::from(
            "# The form has no word for what follows the names below; it stands in the extension\n\
             # CLERESTORY of each metric, and another program will not act on it.\n",
        );
        for lossy in &self.lossy {
            text.push_str(&format!("# lossy: {lossy}\n"));
        }
        text
    }
}

fn column(table: &str, field: &str) -> String {
    format!("{}.{}", name(table), name(field))
}

fn counted(value: &str, condition: Option<String>) -> String {
    match condition {
        Some(condition) => format!("{value} FILTER (WHERE {condition})"),
        None => value.to_owned(),
    }
}

fn aggregate(measure: &Measured, tables: &[Arc<Table>]) -> String {
    let of = |field: &str| column(&measure.table, field);
    let value = match &measure.aggregate {
        // Rows of one table among several: those that have a time.
        Aggregate::Count => {
            let table = find_table(tables, &measure.table).ok();
            let time = table.and_then(|table| measure.time_field(table).ok());
            time.map_or_else(|| "count(*)".to_owned(), |time| format!("count({})", of(time)))
        }
        Aggregate::CountOf(field) => format!("count({})", of(field)),
        Aggregate::Distinct(field) => format!("count(DISTINCT {})", of(field)),
        Aggregate::Sum(field) => format!("sum({})", of(field)),
        Aggregate::Mean(field) => format!("avg({})", of(field)),
        Aggregate::Min(field) => format!("min({})", of(field)),
        Aggregate::Max(field) => format!("max({})", of(field)),
        Aggregate::Quantile(field, rank) => {
            format!("percentile_cont({rank}) WITHIN GROUP (ORDER BY {})", of(field))
        }
    };
    counted(&value, measure.condition.as_ref().map(sql_text))
}

/// What the form has no word for.
fn lost(model: &MetricModel, metric: &Metric) -> Vec<String> {
    match &metric.kind {
        MetricKind::Cumulative { reach, .. } => vec![match reach {
            Reach::Beginning => "it is cumulative".to_owned(),
            Reach::Window(span) => format!("it is cumulative over {span}"),
            Reach::Since(unit) => {
                format!("it is cumulative since the start of the {}", unit.as_str())
            }
        }],
        MetricKind::Unique { window: Some(window), .. } => vec![format!("the window of {window}")],
        MetricKind::Conversion(funnel) => {
            vec![format!("the steps {} within {}", funnel.steps().join(", "), funnel.window)]
        }
        MetricKind::Retention(retained) => {
            vec![format!("the cohort and the periods, in units of a {}", retained.unit.as_str())]
        }
        // What is lost of its parts is lost of it.
        MetricKind::Derived { expression } => {
            let parts = expression.names().into_iter().filter_map(|name| model.metric(name));
            let lost = parts.filter(|part| !lost(model, part).is_empty());
            let mut lost: Vec<String> =
                lost.map(|part| format!("what is lost of {}", part.name)).collect();
            lost.dedup();
            lost
        }
        MetricKind::Simple { .. } | MetricKind::Ratio { .. } | MetricKind::Unique { .. } => {
            Vec::new()
        }
    }
}

/// What we say beyond the form.
fn extension(metric: &Metric) -> Json {
    let mut shown = json!({
        "type": metric.kind.as_str(),
        "label": metric.label,
        "grain": metric.grain.as_str(),
        "dimensions": metric.dimensions,
        "empty": match metric.empty { Empty::Zero => "zero", Empty::Gap => "gap" },
    });
    let more = match &metric.kind {
        MetricKind::Derived { expression } => json!({ "expression": expression.to_string() }),
        MetricKind::Cumulative { reach, .. } => match reach {
            Reach::Beginning => json!({}),
            Reach::Window(span) => json!({ "window": span.to_string() }),
            Reach::Since(unit) => json!({ "since": unit.as_str() }),
        },
        MetricKind::Unique { window: Some(window), .. } => json!({ "window": window.to_string() }),
        MetricKind::Conversion(funnel) => {
            let steps: Vec<Json> = funnel
                .steps
                .iter()
                .map(|step| json!({ "name": step.name, "filter": sql_text(&step.condition) }))
                .collect();
            let window = funnel.window.to_string();
            json!({ "entity": funnel.entity(), "steps": steps, "window": window })
        }
        MetricKind::Retention(retained) => json!({
            "entity": retained.entity(),
            "cohort": retained.born.as_ref().map(sql_text),
            "period": retained.unit.as_str(),
            "periods": retained.periods,
        }),
        MetricKind::Simple { .. } | MetricKind::Ratio { .. } | MetricKind::Unique { .. } => {
            json!({})
        }
    };
    if let (Json::Object(shown), Json::Object(more)) = (&mut shown, more) {
        shown.extend(more);
    }
    shown
}
