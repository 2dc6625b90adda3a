//! A question to a metric, written as SQL.

use super::condition::{name, quote, sql_text};
use super::expression::{Expression, Operator};
use super::model::{Aggregate, Grain, Measured, Metric, MetricKind, MetricModel, find_table};
use super::plan::Asked;
use crate::QueryError;
use model::Table;
use serde_json::{Map, Value as Json, json};
use std::sync::Arc;

/// One statement that gives the same rows in the same order, but for intervals without rows.
pub(super) fn write(
    model: &MetricModel,
    metric: &Metric,
    asked: &Asked,
    tables: &[Arc<Table>],
) -> Result<String, QueryError> {
    let expression = written_out(model, metric);
    let mut measures: Vec<&Measured> = Vec::new();
    for name in expression.names() {
        if !measures.iter().any(|known| known.name == name) {
            measures.extend(model.measure(name));
        }
    }
    let writer = Writer { asked, tables, metric: name(&metric.name) };
    // Measures of one table and time are counted in one pass.
    let mut parts: Vec<Vec<&Measured>> = Vec::new();
    for measure in &measures {
        let table = find_table(tables, &measure.table)?;
        let time = measure.time_field(table)?;
        let fits = |part: &&mut Vec<&Measured>| {
            part[0].table == measure.table && part[0].time_field(table).ok() == Some(time)
        };
        match parts.iter_mut().find(fits) {
            Some(part) => part.push(measure),
            None => parts.push(vec![measure]),
        }
    }
    match (parts.as_slice(), &expression) {
        ([part], Expression::Name(_)) => {
            let value = format!("{} AS {}", aggregate(&part[0].aggregate, None), writer.metric);
            let (text, groups) = writer.select(part, &[value])?;
            Ok(ordered(text, groups))
        }
        ([part], _) => {
            let cell = |name: &str| {
                let of = part.iter().find(|measure| measure.name == name);
                of.map_or(String::new(), |of| filtered(of, true))
            };
            let value = format!("{} AS {}", rendered(&expression, &cell), writer.metric);
            let (text, groups) = writer.select(part, &[value])?;
            Ok(ordered(text, groups))
        }
        (parts, _) => writer.united(&expression, &measures, parts),
    }
}

/// The call of the table function that asks the same.
pub(super) fn call(metric: &Metric, asked: &Asked) -> String {
    let query = &asked.query;
    let mut arguments = vec![quote(&metric.name)];
    let mut add = |key: &str, text: String| arguments.push(format!("{key} => {}", quote(&text)));
    add("grain", asked.grain.as_str().to_owned());
    if !query.dimensions.is_empty() {
        add("dimensions", query.dimensions.join(","));
    }
    if let Some(from) = query.from {
        add("\"from\"", from.to_rfc3339());
    }
    if let Some(to) = query.to {
        add("\"to\"", to.to_rfc3339());
    }
    if query.time_zone != chrono_tz::Tz::UTC {
        add("time_zone", query.time_zone.name().to_owned());
    }
    if let Some(compare) = query.compare {
        add("compare", compare.as_str().to_owned());
    }
    if !query.filters.is_empty() {
        let texts = query.filters.iter().map(|(name, values)| {
            let values = values.iter().map(|value| json!(value.text())).collect();
            (name.clone(), Json::Array(values))
        });
        add("filters", Json::Object(texts.collect::<Map<_, _>>()).to_string());
    }
    format!("SELECT *\nFROM metric({})", arguments.join(", "))
}

/// The metric as arithmetic over measures alone.
pub(super) fn written_out(model: &MetricModel, metric: &Metric) -> Expression {
    let of = |name: &String| Expression::Name(name.clone());
    match &metric.kind {
        MetricKind::Simple { measure }
        | MetricKind::Cumulative { measure, .. }
        | MetricKind::Unique { measure, .. } => of(measure),
        MetricKind::Ratio { numerator, denominator } => {
            Expression::Binary(Operator::Divide, Box::new(of(numerator)), Box::new(of(denominator)))
        }
        MetricKind::Derived { expression } => expanded(model, expression),
        MetricKind::Conversion(_) | MetricKind::Retention(_) => Expression::Number(0.0),
    }
}

fn expanded(model: &MetricModel, expression: &Expression) -> Expression {
    match expression {
        Expression::Name(name) => match model.metric(name) {
            Some(metric) => written_out(model, metric),
            None => expression.clone(),
        },
        Expression::Number(_) => expression.clone(),
        Expression::Negative(inner) => Expression::Negative(Box::new(expanded(model, inner))),
        Expression::Binary(operator, left, right) => Expression::Binary(
            *operator,
            Box::new(expanded(model, left)),
            Box::new(expanded(model, right)),
        ),
    }
}

/// Arithmetic as SQL; `cell` gives the SQL of a measure.
pub(super) fn rendered(expression: &Expression, cell: &dyn Fn(&str) -> String) -> String {
    match expression {
        Expression::Name(name) => cell(name),
        Expression::Number(number) => format!("{number:?}"),
        Expression::Negative(inner) => format!("-({})", rendered(inner, cell)),
        Expression::Binary(Operator::Divide, left, right) => {
            let right = rendered(right, cell);
            format!("CAST({} AS DOUBLE) / nullif({right}, 0)", rendered(left, cell))
        }
        Expression::Binary(operator, left, right) => {
            let right = rendered(right, cell);
            format!("({} {} {right})", rendered(left, cell), operator.as_str())
        }
    }
}

struct Writer<'a> {
    asked: &'a Asked,
    tables: &'a [Arc<Table>],
    metric: String,
}

impl Writer<'_> {
    /// One grouped select and its number of keys.
    fn select(
        &self,
        measures: &[&Measured],
        values: &[String],
    ) -> Result<(String, usize), QueryError> {
        let query = &self.asked.query;
        let table = find_table(self.tables, &measures[0].table)?;
        let time = name(measures[0].time_field(table)?);
        let mut columns = Vec::new();
        if self.asked.grain != Grain::Total {
            let zoned = match query.time_zone {
                chrono_tz::Tz::UTC => time.clone(),
                zone => format!("{time} AT TIME ZONE {}", quote(zone.name())),
            };
            let grain = self.asked.grain.as_str();
            columns.push(format!("date_trunc('{grain}', {zoned}) AS \"time\""));
        }
        columns.extend(query.dimensions.iter().map(|dimension| name(dimension)));
        let groups = columns.len();
        columns.extend(values.iter().cloned());
        let mut text = format!("SELECT {}\nFROM {}", columns.join(", "), name(table.name.as_str()));
        let conditions = self.conditions(measures, &time);
        if !conditions.is_empty() {
            text.push_str(&format!("\nWHERE {}", conditions.join("\n  AND ")));
        }
        if groups > 0 {
            text.push_str(&format!("\nGROUP BY {}", places(groups)));
        }
        Ok((text, groups))
    }

    /// Several passes beside each other.
    fn united(
        &self,
        expression: &Expression,
        measures: &[&Measured],
        parts: &[Vec<&Measured>],
    ) -> Result<String, QueryError> {
        let mut selects = Vec::new();
        for part in parts {
            let value = |(place, measure): (usize, &&Measured)| {
                let is_here = part.iter().any(|here| here.name == measure.name);
                let value = match (is_here, part.len()) {
                    (false, _) => "CAST(NULL AS DOUBLE)".to_owned(),
                    (true, 1) => aggregate(&measure.aggregate, None),
                    (true, _) => filtered(measure, false),
                };
                format!("{value} AS \"m{place}\"")
            };
            let values: Vec<String> = measures.iter().enumerate().map(value).collect();
            selects.push(self.select(part, &values)?.0);
        }
        let cell = |name: &str| {
            let place = measures.iter().position(|measure| measure.name == name);
            let value = format!("max(\"m{}\")", place.unwrap_or(0));
            let is_zero = place.is_some_and(|at| measures[at].aggregate.is_zero_of_nothing());
            if is_zero { format!("coalesce({value}, 0)") } else { value }
        };
        let mut columns: Vec<String> =
            self.asked.query.dimensions.iter().map(|dimension| name(dimension)).collect();
        if self.asked.grain != Grain::Total {
            columns.insert(0, "\"time\"".to_owned());
        }
        let groups = columns.len();
        columns.push(format!("{} AS {}", rendered(expression, &cell), self.metric));
        let mut text = format!(
            "WITH parts AS (\n{}\n)\nSELECT {}\nFROM parts",
            selects.join("\nUNION ALL\n"),
            columns.join(", ")
        );
        if groups > 0 {
            text.push_str(&format!("\nGROUP BY {}", places(groups)));
        }
        Ok(ordered(text, groups))
    }

    fn conditions(&self, measures: &[&Measured], time: &str) -> Vec<String> {
        let query = &self.asked.query;
        let mut conditions = Vec::new();
        if let Some(from) = query.from {
            conditions.push(format!("{time} >= {}", quote(&from.to_rfc3339())));
        }
        if let Some(to) = query.to {
            conditions.push(format!("{time} < {}", quote(&to.to_rfc3339())));
        }
        if self.asked.grain != Grain::Total && query.from.is_none() && query.to.is_none() {
            conditions.push(format!("{time} IS NOT NULL"));
        }
        conditions.extend(query.condition().iter().map(sql_text));
        let own: Option<Vec<String>> = measures
            .iter()
            .map(|measure| measure.condition.as_ref().map(|c| format!("({})", sql_text(c))))
            .collect();
        match own {
            Some(mut own) if own.len() == 1 => conditions.append(&mut own),
            Some(own) => conditions.push(format!("({})", own.join(" OR "))),
            None => {}
        }
        conditions
    }
}

fn places(count: usize) -> String {
    (1..=count).map(|place| place.to_string()).collect::<Vec<_>>().join(", ")
}

fn ordered(text: String, groups: usize) -> String {
    match groups {
        0 => text,
        groups => format!("{text}\nORDER BY {}", places(groups)),
    }
}

/// A measure over the rows of its condition; `or_zero`: zero where a sum has no row.
fn filtered(measure: &Measured, or_zero: bool) -> String {
    let condition = measure.condition.as_ref().map(sql_text);
    let value = aggregate(&measure.aggregate, condition.as_deref());
    match measure.aggregate {
        Aggregate::Sum(_) if or_zero => format!("coalesce({value}, 0)"),
        _ => value,
    }
}

/// An aggregate in SQL.
pub(super) fn aggregate(aggregate: &Aggregate, condition: Option<&str>) -> String {
    let text = match aggregate {
        Aggregate::Count => "count(*)".to_owned(),
        Aggregate::CountOf(field) => format!("count({})", name(field)),
        Aggregate::Distinct(field) => format!("count(DISTINCT {})", name(field)),
        Aggregate::Sum(field) => format!("sum({})", name(field)),
        Aggregate::Mean(field) => format!("avg({})", name(field)),
        Aggregate::Min(field) => format!("min({})", name(field)),
        Aggregate::Max(field) => format!("max({})", name(field)),
        Aggregate::Quantile(field, rank) => {
            format!("approx_percentile_cont({rank}) WITHIN GROUP (ORDER BY {})", name(field))
        }
    };
    match condition {
        Some(condition) => format!("{text} FILTER (WHERE {condition})"),
        None => text,
    }
}
