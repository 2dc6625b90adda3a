//! What the URL of the search page asks, and how the engine is asked.

use crate::request::Request;
use crate::ui::link::Link;
use crate::ui::time_range::TimeRange;
use model::{Clock, FieldType, SystemClock, Table};
use serde_json::{Value, json};

/// The parameters of the search page.
pub(in crate::ui) const PARAMS: &[&str] = &[
    "table", "q", "from", "to", "columns", "sort", "page", "field", "refresh", "inspect", "saved",
];
/// Those of the parts of it that scripts ask for, and of the pages beside it.
pub(in crate::ui) const PART_PARAMS: &[&str] = &[
    "table", "q", "from", "to", "columns", "sort", "page", "field", "refresh", "inspect", "saved",
    "id", "rows", "after", "at",
];

/// How often a page may look again, in seconds.
pub(super) const REFRESHES: [u64; 5] = [5, 10, 30, 60, 300];
/// What stands before and behind a word that was asked for, in texts of an answer.
pub(super) const MARKS: [char; 2] = ['\u{e000}', '\u{e001}'];

/// So many hits on a page.
pub(super) const PAGE_HITS: u64 = 50;
/// Elasticsearch's limit: hits beyond are reached by a narrower question.
const REACHED_HITS_MAX: u64 = 10_000;
/// More columns do not fit.
const COLUMNS_MAX: usize = 8;
/// Where the range begins if nobody chose.
const USUAL_FROM: &str = "now-7d";

/// One question of the search page.
pub(super) struct SearchQuestion {
    /// Empty: not chosen yet.
    pub(super) table: String,
    /// In the syntax of `query_string`; empty: everything.
    pub(super) query: String,
    pub(super) range: TimeRange,
    /// Fields that stand side by side; none: a line of all.
    pub(super) columns: Vec<String>,
    pub(super) sort: Option<Sort>,
    /// From 0.
    pub(super) page: u64,
    /// The field whose most frequent values are shown.
    pub(super) field: Option<String>,
    /// Look again every so many seconds.
    pub(super) refresh: Option<u64>,
    /// Whether the plan is wanted, too.
    pub(super) inspects: bool,
    /// The saved search that it began with.
    pub(super) saved: Option<String>,
}

/// An order of hits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sort {
    pub(super) field: String,
    pub(super) descending: bool,
}

impl Sort {
    fn read(text: &str) -> Option<Sort> {
        let (field, order) = text.rsplit_once(':')?;
        match order {
            "asc" | "desc" if !field.is_empty() => {
                Some(Sort { field: field.to_owned(), descending: order == "desc" })
            }
            _ => None,
        }
    }

    fn written(&self) -> String {
        format!("{}:{}", self.field, if self.descending { "desc" } else { "asc" })
    }
}

/// The search page of a table, with a question.
pub(in crate::ui) fn link_to(table: &str, query: &str) -> Link {
    Link::to("/_ui/search").with("table", table).with("q", query)
}

impl SearchQuestion {
    /// Reads the URL.
    ///
    /// # Errors
    /// What is wrong with the range of time, for people.
    pub(super) fn read(request: &Request) -> Result<SearchQuestion, String> {
        let text = |name: &str| request.param(name).map(str::trim).unwrap_or("").to_owned();
        let now = SystemClock.now().0;
        let range = TimeRange::read(request.param("from"), request.param("to"), USUAL_FROM, now)?;
        let mut columns: Vec<String> = Vec::new();
        for column in text("columns").split(',').map(str::trim) {
            let is_new = !column.is_empty() && !columns.iter().any(|known| known == column);
            if is_new && columns.len() < COLUMNS_MAX {
                columns.push(column.to_owned());
            }
        }
        Ok(SearchQuestion {
            table: text("table"),
            query: text("q"),
            range,
            columns,
            sort: Sort::read(&text("sort")),
            page: text("page").parse::<u64>().unwrap_or(1).clamp(1, last_page()) - 1,
            field: Some(text("field")).filter(|field| !field.is_empty()),
            refresh: text("refresh").parse().ok().filter(|every| REFRESHES.contains(every)),
            inspects: text("inspect") == "1",
            saved: Some(text("saved")).filter(|id| !id.is_empty()),
        })
    }

    /// Everything in the same table and range.
    pub(super) fn over(other: &SearchQuestion) -> SearchQuestion {
        SearchQuestion {
            table: other.table.clone(),
            query: String::new(),
            range: other.range.clone(),
            columns: Vec::new(),
            sort: None,
            page: 0,
            field: None,
            refresh: None,
            inspects: false,
            saved: None,
        }
    }

    /// The URL of this question, on its first page.
    pub(super) fn link(&self) -> Link {
        let link = link_to(&self.table, &self.query).with("columns", self.columns.join(","));
        let sort = self.sort.as_ref().map(Sort::written).unwrap_or_default();
        let refresh = self.refresh.map(|every| every.to_string()).unwrap_or_default();
        let saved = self.saved.clone().unwrap_or_default();
        self.range.put_into(link.with("sort", sort).with("refresh", refresh).with("saved", saved))
    }

    /// The URL of another page of this question.
    pub(super) fn page_link(&self, page: u64) -> Link {
        let number = if page == 0 { String::new() } else { (page + 1).to_string() };
        self.link().with("page", number)
    }

    /// The URL of this question with a further condition.
    pub(super) fn link_and(&self, condition: &str) -> Link {
        let query = match self.query.as_str() {
            "" | "*" => condition.to_owned(),
            query if query.contains(" OR ") => format!("({query}) AND {condition}"),
            query => format!("{query} AND {condition}"),
        };
        self.link().with("q", query)
    }

    /// The URL of this question with a column more, or less if it is there.
    pub(super) fn toggle_column_link(&self, field: &str) -> Link {
        let mut columns = self.columns.clone();
        let before = columns.len();
        columns.retain(|column| column != field);
        if columns.len() == before {
            columns.push(field.to_owned());
        }
        self.link().with("columns", columns.join(","))
    }

    /// The URL of this question in the order of `field`, turned round if it is that already.
    pub(super) fn sort_link(&self, field: &str, now: Option<&Sort>) -> Link {
        let descending = now.is_none_or(|now| now.field != field || !now.descending);
        let sort = Sort { field: field.to_owned(), descending };
        self.link().with("sort", sort.written())
    }

    /// The rows around one.
    pub(super) fn around_link(&self, id: &str) -> Link {
        let columns = self.columns.join(",");
        link_to(&self.table, "").with("columns", columns).with("id", id).at("/_ui/search/around")
    }

    /// The order that is asked for: the chosen one, else the newest first.
    pub(super) fn order(&self, table: &Table) -> Option<Sort> {
        let newest = table.time_field.as_ref();
        let newest = newest.map(|field| Sort { field: field.clone(), descending: true });
        self.sort.clone().filter(|sort| sort_field(table, &sort.field).is_some()).or(newest)
    }

    /// The `query` of a search.
    pub(super) fn query_json(&self, table: &Table) -> Value {
        let mut must = Vec::new();
        if !self.query.is_empty() {
            must.push(json!({
                "query_string": { "query": self.query, "default_operator": "AND" }
            }));
        }
        if let (Some(field), Some((start, end))) = (&table.time_field, self.range.span) {
            must.push(json!({
                "range": { field: { "gte": start, "lt": end, "format": "epoch_millis" } }
            }));
        }
        match must.len() {
            0 => json!({ "match_all": {} }),
            1 => must.remove(0),
            _ => json!({ "bool": { "filter": must } }),
        }
    }

    /// The body of a search for one page of hits, with a histogram in steps of `step_ms`.
    pub(super) fn body(&self, table: &Table, step_ms: Option<i64>) -> Value {
        let mut body = json!({
            "query": self.query_json(table),
            "size": PAGE_HITS,
            "track_total_hits": true,
        });
        if self.page > 0 {
            body["from"] = json!(self.page * PAGE_HITS);
        }
        if let Some(sort) = self.order(table) {
            let field = sort_field(table, &sort.field).unwrap_or(sort.field);
            let order = if sort.descending { "desc" } else { "asc" };
            body["sort"] = json!([{ field: { "order": order } }]);
        }
        if !self.query.is_empty() {
            let [before, after] = MARKS.map(|mark| mark.to_string());
            body["highlight"] = json!({
                "fields": { "*": { "number_of_fragments": 0 } },
                "pre_tags": [before], "post_tags": [after],
            });
        }
        if let (Some(field), Some(step)) = (&table.time_field, step_ms) {
            body["aggs"] = json!({
                "over_time": {
                    "date_histogram": {
                        "field": field, "fixed_interval": format!("{step}ms"), "min_doc_count": 1
                    }
                }
            });
        }
        body
    }
}

fn last_page() -> u64 {
    REACHED_HITS_MAX / PAGE_HITS
}

/// How many pages of `total` hits can be turned to.
pub(super) fn pages(total: u64) -> u64 {
    total.min(REACHED_HITS_MAX).div_ceil(PAGE_HITS)
}

/// The field under which `name` is sorted and grouped: a text by its exact companion, a sealed
/// one not at all.
pub(super) fn sort_field(table: &Table, name: &str) -> Option<String> {
    let (_, field) = table.schema.find(name)?;
    match (field.stored(), field.keyword_up_to) {
        (model::StoredType::Sealed, _) => None,
        (model::StoredType::Text, Some(_)) => Some(format!("{name}.keyword")),
        (model::StoredType::Text, None) => None,
        _ if field.ty == FieldType::GeoPoint => None,
        _ => Some(name.to_owned()),
    }
}

/// A condition of `query_string` for exactly this value.
pub(super) fn condition(field: &str, value: &str) -> String {
    let mut name = String::with_capacity(field.len());
    for c in field.chars() {
        if !(c.is_alphanumeric() || "._-@".contains(c)) {
            name.push('\\');
        }
        name.push(c);
    }
    let is_word = value.chars().next().is_some_and(char::is_alphanumeric)
        && value.chars().all(|c| c.is_alphanumeric() || "._".contains(c))
        && !["AND", "OR", "NOT", "TO"].contains(&value);
    if is_word {
        return format!("{name}:{value}");
    }
    let value = value.replace('\\', r"\\").replace('"', "\\\"");
    format!("{name}:\"{value}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(query: &str) -> SearchQuestion {
        SearchQuestion {
            table: "logs".to_owned(),
            query: query.to_owned(),
            range: TimeRange::read(None, None, USUAL_FROM, 0).unwrap(),
            columns: vec!["kind".to_owned()],
            sort: Some(Sort { field: "@timestamp".to_owned(), descending: false }),
            page: 0,
            field: None,
            refresh: None,
            inspects: false,
            saved: None,
        }
    }

    #[test]
    fn links_keep_the_whole_question() {
        let asked = question("a:1 OR b:2");
        let whole = "/_ui/search?table=logs&q=a:1%20OR%20b:2&columns=kind&sort=%40timestamp:asc";
        assert_eq!(asked.link().to_string(), whole);
        assert_eq!(asked.page_link(2).to_string(), format!("{whole}&page=3"));
        let narrower = asked.link_and("NOT c:3").to_string();
        assert!(narrower.ends_with("q=%28a:1%20OR%20b:2%29%20AND%20NOT%20c:3"), "{narrower}");
        assert!(!asked.toggle_column_link("kind").to_string().contains("columns"));
        assert!(asked.toggle_column_link("x.y").to_string().contains("columns=kind,x.y"));
        let turned = asked.sort_link("@timestamp", asked.sort.as_ref()).to_string();
        assert!(turned.contains("desc"), "{turned}");
    }

    #[test]
    fn values_are_quoted_when_they_must_be() {
        assert_eq!(condition("kind", "connect_failed"), "kind:connect_failed");
        assert_eq!(condition("firmware", "4.3.0"), "firmware:4.3.0");
        assert_eq!(condition("email", "email:0a1b"), "email:\"email:0a1b\"");
        assert_eq!(condition("a b", "say \"hi\" \\"), r#"a\ b:"say \"hi\" \\""#);
        assert_eq!(condition("n", "-3"), "n:\"-3\"");
        assert_eq!(condition("n", "AND"), "n:\"AND\"");
    }

    #[test]
    fn orders() {
        assert_eq!(Sort::read("a.b:desc").unwrap().written(), "a.b:desc");
        assert!(Sort::read("a:up").is_none() && Sort::read(":asc").is_none());
        assert_eq!((pages(0), pages(50), pages(51), pages(1_000_000)), (0, 1, 2, 200));
    }
}
