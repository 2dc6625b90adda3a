//! A question to a metric, written as SQL.

use super::condition::{name, quote, sql_text};
use super::model::{Aggregate, Grain, Measured, Metric, find_table};
use super::request::MetricQuery;
use crate::QueryError;
use model::Table;
use std::sync::Arc;

/// One statement that gives the same rows in the same order, but for intervals without rows.
pub(super) fn write(
    metric: &Metric,
    measures: &[Measured],
    query: &MetricQuery,
    grain: Grain,
    tables: &[Arc<Table>],
) -> Result<String, QueryError> {
    let select = |measures: &[Measured], values: &[String], or: bool| {
        let table = find_table(tables, &measures[0].table)?;
        let time = name(measures[0].time_field(table)?);
        let mut columns = Vec::new();
        if grain != Grain::Total {
            let zoned = match query.time_zone {
                chrono_tz::Tz::UTC => time.clone(),
                zone => format!("{time} AT TIME ZONE {}", quote(zone.name())),
            };
            columns.push(format!("date_trunc('{}', {zoned}) AS \"time\"", grain.as_str()));
        }
        columns.extend(query.dimensions.iter().map(|dimension| name(dimension)));
        let groups = columns.len();
        columns.extend(values.iter().cloned());
        let mut text = format!("SELECT {}\nFROM {}", columns.join(", "), name(table.name.as_str()));
        let conditions = conditions(measures, query, grain, &time, or);
        if !conditions.is_empty() {
            text.push_str(&format!("\nWHERE {}", conditions.join("\n  AND ")));
        }
        if groups > 0 {
            let places: Vec<String> = (1..=groups).map(|place| place.to_string()).collect();
            text.push_str(&format!("\nGROUP BY {}", places.join(", ")));
        }
        Ok::<(String, usize), QueryError>((text, groups))
    };
    let ordered = |(text, groups): (String, usize)| match groups {
        0 => text,
        groups => {
            let places: Vec<String> = (1..=groups).map(|place| place.to_string()).collect();
            format!("{text}\nORDER BY {}", places.join(", "))
        }
    };
    let metric_name = name(&metric.name);
    match measures {
        [one] => {
            let value = format!("{} AS {metric_name}", aggregate(&one.aggregate, None));
            Ok(ordered(select(measures, &[value], false)?))
        }
        [upper, lower] if upper.table == lower.table && upper.time == lower.time => {
            let side = |measure: &Measured| {
                let condition = measure.condition.as_ref().map(sql_text);
                aggregate(&measure.aggregate, condition.as_deref())
            };
            let value = format!(
                "CAST({} AS DOUBLE) / nullif({}, 0) AS {metric_name}",
                side(upper),
                side(lower)
            );
            Ok(ordered(select(measures, &[value], true)?))
        }
        [upper, lower] => {
            let side = |measure: &Measured| {
                let value = format!("{} AS \"value\"", aggregate(&measure.aggregate, None));
                select(std::slice::from_ref(measure), &[value], false)
            };
            let ((upper, groups), (lower, _)) = (side(upper)?, side(lower)?);
            let mut keys: Vec<String> = query.dimensions.iter().map(|d| name(d)).collect();
            if grain != Grain::Total {
                keys.insert(0, "\"time\"".to_owned());
            }
            let on: Vec<String> =
                keys.iter().map(|key| format!("(l.{key} IS NOT DISTINCT FROM u.{key})")).collect();
            let on = if on.is_empty() { "true".to_owned() } else { on.join(" AND ") };
            let mut columns: Vec<String> = keys.iter().map(|key| format!("l.{key}")).collect();
            columns.push(format!(
                "CAST(coalesce(u.\"value\", 0) AS DOUBLE) / nullif(l.\"value\", 0) AS {metric_name}"
            ));
            let text = format!(
                "WITH u AS (\n{upper}\n), l AS (\n{lower}\n)\nSELECT {}\nFROM l LEFT JOIN u ON {on}",
                columns.join(", ")
            );
            Ok(ordered((text, groups)))
        }
        _ => Err(QueryError::Internal("a metric without measures".to_owned())),
    }
}

fn conditions(
    measures: &[Measured],
    query: &MetricQuery,
    grain: Grain,
    time: &str,
    or: bool,
) -> Vec<String> {
    let mut conditions = Vec::new();
    if let Some(from) = query.from {
        conditions.push(format!("{time} >= {}", quote(&from.to_rfc3339())));
    }
    if let Some(to) = query.to {
        conditions.push(format!("{time} < {}", quote(&to.to_rfc3339())));
    }
    if grain != Grain::Total && query.from.is_none() && query.to.is_none() {
        conditions.push(format!("{time} IS NOT NULL"));
    }
    if let Some(filters) = &query.filters {
        conditions.push(sql_text(filters));
    }
    let own: Option<Vec<String>> = measures
        .iter()
        .map(|measure| measure.condition.as_ref().map(|c| format!("({})", sql_text(c))))
        .collect();
    match own {
        Some(own) if or => conditions.push(format!("({})", own.join(" OR "))),
        Some(own) => conditions.extend(own),
        None => {}
    }
    conditions
}

fn aggregate(aggregate: &Aggregate, condition: Option<&str>) -> String {
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
