use super::{Cells, Filter, Grain, Measure, Question, cells_of_rows};
use serde_json::{Value, json};

impl Question {
    /// The body of `POST /events/_search`.
    pub fn to_search(&self, first_day_ms: i64) -> Value {
        let filters: Vec<Value> =
            self.filters.iter().map(|filter| filter.to_search(first_day_ms)).collect();
        let mut aggregations = match &self.measure {
            Measure::Count => json!({}),
            Measure::Sum(field) => json!({ "m": { "sum": { "field": field } } }),
            Measure::Mean(field) => json!({ "m": { "avg": { "field": field } } }),
            Measure::Min(field) => json!({ "m": { "min": { "field": field } } }),
            Measure::Max(field) => json!({ "m": { "max": { "field": field } } }),
            Measure::Distinct(field) => json!({
                "m": { "cardinality": { "field": field, "precision_threshold": 40_000 } }
            }),
            Measure::Share(filter) => json!({ "m": { "filter": filter.to_search(first_day_ms) } }),
        };
        for field in self.by.iter().rev() {
            let terms = json!({ "field": field, "size": 10_000 });
            aggregations = json!({ "g": { "terms": terms, "aggs": aggregations } });
        }
        if let Some(grain) = self.grain {
            let interval = match grain {
                Grain::Hour => {
                    json!({ "field": "@timestamp", "fixed_interval": "1h", "min_doc_count": 1 })
                }
                Grain::Day => {
                    json!({ "field": "@timestamp", "calendar_interval": "day", "min_doc_count": 1 })
                }
            };
            aggregations = json!({ "g": { "date_histogram": interval, "aggs": aggregations } });
        }
        json!({
            "size": 0,
            "track_total_hits": true,
            "query": { "bool": { "filter": filters } },
            "aggs": aggregations,
        })
    }

    /// Reads the answer to [`Question::to_search`].
    #[track_caller]
    pub fn of_search(&self, answer: &Value) -> Cells {
        let depth = self.by.len() + usize::from(self.grain.is_some());
        let mut cells = Cells::new();
        if depth == 0 {
            let total = answer["hits"]["total"]["value"].as_f64().expect("a total");
            cells.insert(Vec::new(), self.number(&answer["aggregations"], total));
        } else {
            self.walk(&answer["aggregations"], depth, &mut Vec::new(), &mut cells);
        }
        cells
    }

    fn walk(&self, aggregations: &Value, depth: usize, key: &mut Vec<String>, cells: &mut Cells) {
        let buckets = aggregations["g"]["buckets"].as_array();
        for bucket in
            buckets.unwrap_or_else(|| panic!("{}: no buckets: {aggregations}", self.title))
        {
            let value = &bucket["key"];
            key.push(value.as_str().map_or_else(|| value.to_string(), str::to_owned));
            if depth == 1 {
                let count = bucket["doc_count"].as_f64().expect("a count");
                cells.insert(key.clone(), self.number(bucket, count));
            } else {
                self.walk(bucket, depth - 1, key, cells);
            }
            key.pop();
        }
    }

    fn number(&self, aggregations: &Value, count: f64) -> f64 {
        match self.measure {
            Measure::Count => count,
            Measure::Share(_) => aggregations["m"]["doc_count"].as_f64().expect("a count") / count,
            _ => {
                let value = &aggregations["m"]["value"];
                value
                    .as_f64()
                    .unwrap_or_else(|| panic!("{}: no number: {aggregations}", self.title))
            }
        }
    }

    /// The statement for `POST /_sql`.
    pub fn to_sql(&self, first_day_ms: i64) -> String {
        let mut columns = Vec::new();
        if let Some(grain) = self.grain {
            columns.push(format!("date_trunc('{}', \"@timestamp\")", grain.as_str()));
        }
        columns.extend(self.by.iter().map(|field| (*field).to_owned()));
        let groups: Vec<String> = (1..=columns.len()).map(|place| place.to_string()).collect();
        columns.push(match &self.measure {
            Measure::Count => "count(*)".to_owned(),
            Measure::Sum(field) => format!("sum({field})"),
            Measure::Mean(field) => format!("avg({field})"),
            Measure::Min(field) => format!("min({field})"),
            Measure::Max(field) => format!("max({field})"),
            Measure::Distinct(field) => format!("count(DISTINCT {field})"),
            Measure::Share(filter) => format!(
                "CAST(count(*) FILTER (WHERE {}) AS DOUBLE) / count(*)",
                filter.to_sql(first_day_ms)
            ),
        });
        let mut statement = format!("SELECT {} FROM events", columns.join(", "));
        let conditions: Vec<String> =
            self.filters.iter().map(|filter| filter.to_sql(first_day_ms)).collect();
        if !conditions.is_empty() {
            statement.push_str(&format!(" WHERE {}", conditions.join(" AND ")));
        }
        if !groups.is_empty() {
            statement.push_str(&format!(" GROUP BY {}", groups.join(", ")));
        }
        statement
    }

    /// Reads the answer to [`Question::to_sql`], or to a metric query with the same columns.
    #[track_caller]
    pub fn of_rows(&self, answer: &Value) -> Cells {
        let rows = answer["rows"].as_array().expect("rows");
        cells_of_rows(self.title, rows, self.grain.is_some())
    }

    /// Declares a metric called `name` that answers this question.
    pub fn to_metric(&self, name: &str, first_day_ms: i64) -> String {
        let conditions: Vec<String> =
            self.filters.iter().map(|filter| filter.to_sql(first_day_ms)).collect();
        let measure = |name: &str, aggregate: &str, field: Option<&str>, conditions: &[String]| {
            let mut text = format!(
                "  - name: {name}\n    table: events\n    time: \"@timestamp\"\n    agg: {aggregate}\n"
            );
            if let Some(field) = field {
                text.push_str(&format!("    field: {field}\n"));
            }
            if !conditions.is_empty() {
                text.push_str(&format!(
                    "    filter: \"{}\"\n",
                    conditions.join(" AND ").replace('"', "\\\"")
                ));
            }
            text
        };
        let one = |aggregate: &str, field: Option<&str>| {
            let measures = measure(&format!("{name}_measure"), aggregate, field, &conditions);
            (measures, format!("    type: simple\n    measure: {name}_measure\n"))
        };
        let (measures, kind) = match &self.measure {
            Measure::Count => one("count", None),
            Measure::Sum(field) => one("sum", Some(field)),
            Measure::Mean(field) => one("avg", Some(field)),
            Measure::Min(field) => one("min", Some(field)),
            Measure::Max(field) => one("max", Some(field)),
            Measure::Distinct(field) => one("count_distinct", Some(field)),
            Measure::Share(filter) => {
                let mut both = conditions.clone();
                both.push(filter.to_sql(first_day_ms));
                let measures = measure(&format!("{name}_part"), "count", None, &both)
                    + &measure(&format!("{name}_all"), "count", None, &conditions);
                let kind = format!(
                    "    type: ratio\n    numerator: {name}_part\n    denominator: {name}_all\n"
                );
                (measures, kind)
            }
        };
        format!(
            "measures:\n{measures}metrics:\n  - name: {name}\n{kind}    grain: day\n    \
             dimensions: [kind, model, firmware, region, status, reason]\n"
        )
    }

    /// The body of `POST /_clerestory/metrics/{name}`.
    pub fn to_metric_query(&self) -> Value {
        let grain = self.grain.map_or("total", Grain::as_str);
        json!({ "grain": grain, "dimensions": self.by })
    }
}

impl Filter {
    fn to_search(&self, first_day_ms: i64) -> Value {
        match self {
            Filter::Is(field, values) if values.len() == 1 => {
                json!({ "term": { *field: values[0] } })
            }
            Filter::Is(field, values) => json!({ "terms": { *field: values } }),
            Filter::AtLeast(field, number) => json!({ "range": { *field: { "gte": number } } }),
            Filter::SinceDay(day) => {
                json!({ "range": { "@timestamp": { "gte": day_text(*day, first_day_ms) } } })
            }
        }
    }

    fn to_sql(&self, first_day_ms: i64) -> String {
        match self {
            Filter::Is(field, values) if values.len() == 1 => format!("{field} = '{}'", values[0]),
            Filter::Is(field, values) => {
                let values: Vec<String> = values.iter().map(|value| format!("'{value}'")).collect();
                format!("{field} IN ({})", values.join(", "))
            }
            Filter::AtLeast(field, number) => format!("{field} >= {number}"),
            Filter::SinceDay(day) => {
                format!("\"@timestamp\" >= '{}'", day_text(*day, first_day_ms))
            }
        }
    }
}

fn day_text(day: u32, first_day_ms: i64) -> String {
    let at = first_day_ms + i64::from(day) * 86_400_000;
    let time = chrono::DateTime::from_timestamp_millis(at).expect("a day of the demo");
    time.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}
