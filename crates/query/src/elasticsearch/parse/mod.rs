//! The query DSL as typed values: what was typed, before any table is known.

mod compound;
mod full_text;
mod term_level;

use super::query_string::Tree;
use super::zone::Zone;
use super::{CLAUSES_MAX, DEPTH_MAX, EsError, json};
use serde_json::Value;

/// One clause of a query.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Query {
    pub(super) node: Node,
    /// Factor for its score.
    pub(super) boost: f32,
}

/// What a clause asks for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    All,
    Nothing,
    Term { field: String, value: Literal, ignore_case: bool },
    Terms { field: String, values: Vec<Literal> },
    Range(Box<Range>),
    Exists(String),
    Ids(Vec<String>),
    Prefix { field: String, value: String, ignore_case: bool },
    Wildcard { field: String, pattern: String, ignore_case: bool },
    Regexp { field: String, pattern: String, ignore_case: bool },
    Match(Box<Match>),
    MultiMatch(Box<MultiMatch>),
    Text(Box<TextQuery>),
    Bool(Box<Bool>),
    Constant(Box<Query>),
    Best { queries: Vec<Query>, tie_breaker: f32 },
    Boosting { positive: Box<Query>, negative: Box<Query>, factor: f32 },
}

/// A value as it was typed. Debug may show it: it is the caller's own.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    Text(String),
    Long(i64),
    Double(f64),
    Bool(bool),
}

/// `range`: the ends with whether they are part of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Range {
    pub(super) field: String,
    pub(super) from: Option<(Literal, bool)>,
    pub(super) to: Option<(Literal, bool)>,
    pub(super) format: Option<String>,
    pub(super) zone: Option<Zone>,
}

/// How words are put together.
#[derive(Clone, Debug, PartialEq, Default)]
pub(super) struct Words {
    /// All of them, not any.
    pub(super) all: bool,
    pub(super) at_least: Option<AtLeast>,
    /// A literal that does not fit the field's type matches nothing instead of failing.
    pub(super) lenient: bool,
    /// A text without words matches every row instead of none.
    pub(super) empty_is_all: bool,
}

/// Whether words stand anywhere or side by side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Style {
    Anywhere,
    Phrase {
        slop: u32,
    },
    PhrasePrefix {
        slop: u32,
    },
    /// Words anywhere, the last one only a beginning.
    BoolPrefix,
}

/// `match` and its relatives.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Match {
    pub(super) field: String,
    pub(super) text: Literal,
    pub(super) style: Style,
    pub(super) words: Words,
}

/// A field, or a pattern of fields, and how much it counts.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Weighted {
    pub(super) field: String,
    pub(super) boost: f32,
}

/// How the scores of several fields become one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Across {
    Best,
    Most,
    Cross,
}

/// `multi_match`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct MultiMatch {
    /// Empty: every field.
    pub(super) fields: Vec<Weighted>,
    pub(super) text: Literal,
    pub(super) style: Style,
    pub(super) across: Across,
    pub(super) tie_breaker: f32,
    pub(super) words: Words,
}

/// `query_string` and `simple_query_string`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TextQuery {
    /// Empty: every field.
    pub(super) fields: Vec<Weighted>,
    pub(super) tree: Tree,
    pub(super) across: Across,
    pub(super) tie_breaker: f32,
    pub(super) slop: u32,
    pub(super) zone: Option<Zone>,
    pub(super) words: Words,
}

/// `bool`.
#[derive(Clone, Debug, PartialEq, Default)]
pub(super) struct Bool {
    pub(super) must: Vec<Query>,
    pub(super) should: Vec<Query>,
    pub(super) must_not: Vec<Query>,
    pub(super) filter: Vec<Query>,
    pub(super) at_least: Option<AtLeast>,
}

/// `minimum_should_match`: `2`, `-1`, `75%`, `-25%`, `3<90%`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct AtLeast {
    /// `(above, then)`: with more than `above` clauses `then` holds; the first holds from 0.
    steps: Vec<(i64, i64, bool)>,
    conditional: bool,
}

impl AtLeast {
    pub(super) fn parse(text: &str) -> Result<AtLeast, EsError> {
        let malformed =
            || EsError::illegal(format!("failed to parse [minimum_should_match] [{text}]"));
        let amount = |text: &str| -> Result<(i64, bool), EsError> {
            let (digits, percent) = match text.strip_suffix('%') {
                Some(digits) => (digits, true),
                None => (text, false),
            };
            let number: i32 = digits.trim().parse().map_err(|_| malformed())?;
            Ok((i64::from(number), percent))
        };
        let text = text.trim();
        if !text.contains('<') {
            let (number, percent) = amount(text)?;
            return Ok(AtLeast { steps: vec![(0, number, percent)], conditional: false });
        }
        let mut steps = Vec::new();
        for step in text.split_whitespace() {
            let (above, then) = step.split_once('<').ok_or_else(malformed)?;
            let above: i32 = above.parse().map_err(|_| malformed())?;
            let (number, percent) = amount(then)?;
            steps.push((i64::from(above), number, percent));
        }
        Ok(AtLeast { steps, conditional: true })
    }

    pub(super) fn from_json(value: &Value) -> Result<Option<AtLeast>, EsError> {
        if value.is_null() {
            return Ok(None);
        }
        AtLeast::parse(&json::text(value, "minimum_should_match")?).map(Some)
    }

    /// How many of `clauses` must match.
    pub(super) fn of(&self, clauses: usize) -> usize {
        let count = i64::try_from(clauses).unwrap_or(i64::MAX);
        let mut needed = if self.conditional { count } else { 0 };
        for &(above, number, percent) in &self.steps {
            if self.conditional && count <= above {
                break;
            }
            let part = if percent { count.saturating_mul(number) / 100 } else { number };
            needed = if part < 0 { count + part } else { part };
        }
        usize::try_from(needed.max(0)).unwrap_or(0)
    }
}

/// Reads queries and counts what they cost.
#[derive(Debug, Default)]
pub(super) struct Parser {
    depth: usize,
    clauses: usize,
}

const KNOWN: [&str; 22] = [
    "match_all",
    "match_none",
    "term",
    "terms",
    "range",
    "exists",
    "ids",
    "prefix",
    "wildcard",
    "regexp",
    "match",
    "match_phrase",
    "match_phrase_prefix",
    "match_bool_prefix",
    "multi_match",
    "query_string",
    "simple_query_string",
    "bool",
    "constant_score",
    "dis_max",
    "boosting",
    "wrapper",
];

/// Queries that Elasticsearch has and Clerestory has not.
const UNSUPPORTED: [&str; 25] = [
    "fuzzy",
    "function_score",
    "script_score",
    "script",
    "nested",
    "has_child",
    "has_parent",
    "parent_id",
    "geo_bounding_box",
    "geo_distance",
    "geo_grid",
    "geo_polygon",
    "geo_shape",
    "shape",
    "more_like_this",
    "percolate",
    "rank_feature",
    "distance_feature",
    "pinned",
    "knn",
    "intervals",
    "combined_fields",
    "terms_set",
    "semantic",
    "span_term",
];

impl Parser {
    /// Reads one query.
    pub(super) fn query(&mut self, value: &Value) -> Result<Query, EsError> {
        self.depth += 1;
        self.count(1)?;
        if self.depth > DEPTH_MAX {
            return Err(EsError::illegal(format!(
                "The nested depth of the query exceeds the maximum nested depth for queries set in \
                 [indices.query.bool.max_nested_depth], which is [{DEPTH_MAX}]"
            )));
        }
        let query = self.named(value);
        self.depth -= 1;
        query
    }

    /// Counts clauses; more than a request may have are refused.
    pub(super) fn count(&mut self, clauses: usize) -> Result<(), EsError> {
        self.clauses = self.clauses.saturating_add(clauses);
        if self.clauses > CLAUSES_MAX {
            return Err(too_many_clauses());
        }
        Ok(())
    }

    fn named(&mut self, value: &Value) -> Result<Query, EsError> {
        let Some(map) = value.as_object() else {
            return Err(EsError::parsing("[_na] query malformed, must start with start_object"));
        };
        let mut entries = map.iter();
        let Some((name, body)) = entries.next() else {
            return Err(EsError::illegal("query malformed, empty clause found"));
        };
        if !KNOWN.contains(&name.as_str()) {
            return Err(unknown_query(name));
        }
        if entries.next().is_some() {
            return Err(EsError::parsing(format!(
                "[{name}] malformed query, expected [END_OBJECT] but found [FIELD_NAME]"
            )));
        }
        if !body.is_object() {
            return Err(EsError::parsing(format!(
                "[{name}] query malformed, no start_object after query name"
            )));
        }
        self.clause(name, body)
    }

    fn clause(&mut self, name: &str, body: &Value) -> Result<Query, EsError> {
        match name {
            "match_all" => term_level::match_all(body, Node::All, name),
            "match_none" => term_level::match_all(body, Node::Nothing, name),
            "term" => term_level::term(body),
            "terms" => term_level::terms(body),
            "range" => term_level::range(body),
            "exists" => term_level::exists(body),
            "ids" => term_level::ids(body),
            "prefix" | "wildcard" | "regexp" => term_level::pattern(name, body),
            "match" | "match_phrase" | "match_phrase_prefix" | "match_bool_prefix" => {
                full_text::match_one(name, body)
            }
            "multi_match" => full_text::multi_match(body),
            "query_string" => full_text::query_string(self, body),
            "simple_query_string" => full_text::simple_query_string(self, body),
            "bool" => compound::bool(self, body),
            "constant_score" => compound::constant_score(self, body),
            "dis_max" => compound::dis_max(self, body),
            "boosting" => compound::boosting(self, body),
            _ => compound::wrapper(self, body),
        }
    }
}

/// More clauses than one request may have.
pub(super) fn too_many_clauses() -> EsError {
    EsError::bad(
        "too_many_clauses",
        format!("Query contains too many nested clauses; maxClauseCount is set to {CLAUSES_MAX}"),
    )
}

fn unknown_query(name: &str) -> EsError {
    if UNSUPPORTED.contains(&name) || name.starts_with("span_") {
        return EsError::parsing(format!("query [{name}] is not supported by Clerestory"));
    }
    match json::nearest(name, &KNOWN) {
        Some(near) => EsError::parsing(format!("unknown query [{name}] did you mean [{near}]?")),
        None => EsError::parsing(format!("unknown query [{name}]")),
    }
}

/// A literal of a clause.
pub(super) fn literal(value: &Value, query: &str) -> Result<Literal, EsError> {
    match value {
        Value::String(text) => Ok(Literal::Text(text.clone())),
        Value::Bool(flag) => Ok(Literal::Bool(*flag)),
        Value::Number(number) => Ok(match (number.as_i64(), number.as_f64()) {
            (Some(long), _) => Literal::Long(long),
            (None, Some(double)) if number.is_f64() => Literal::Double(double),
            _ => Literal::Text(number.to_string()),
        }),
        Value::Null => Err(EsError::illegal(format!("value cannot be null in [{query}] query"))),
        other => Err(EsError::parsing(format!(
            "[{query}] query does not support values of kind [{}]",
            json::token(other)
        ))),
    }
}

impl Literal {
    /// As it was typed.
    pub(super) fn to_text(&self) -> String {
        match self {
            Literal::Text(text) => text.clone(),
            Literal::Long(number) => number.to_string(),
            Literal::Double(number) => Value::from(*number).to_string(),
            Literal::Bool(flag) => flag.to_string(),
        }
    }
}

/// `{"FIELD": OPTIONS}`: exactly one field.
fn single_field<'a>(name: &str, body: &'a Value) -> Result<(&'a str, &'a Value), EsError> {
    let map = json::object(body, name)?;
    let mut fields = map.iter();
    let Some((field, options)) = fields.next() else {
        return Err(EsError::illegal("field name is null or empty"));
    };
    if let Some((other, _)) = fields.next() {
        return Err(EsError::parsing(format!(
            "[{name}] query doesn't support multiple fields, found [{field}] and [{other}]"
        )));
    }
    if field.is_empty() {
        return Err(EsError::illegal("field name is null or empty"));
    }
    Ok((field, options))
}

fn unknown_option(query: &str, key: &str) -> EsError {
    EsError::parsing(format!("[{query}] query does not support [{key}]"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn minimum_should_match_counts_as_lucene_does() {
        for (text, clauses, expected) in [
            ("2", 5, 2),
            ("-1", 5, 4),
            ("75%", 4, 3),
            ("75%", 5, 3),
            ("-25%", 5, 4),
            ("3<90%", 3, 3),
            ("3<90%", 10, 9),
            ("2<-25% 9<-3", 8, 6),
            ("2<-25% 9<-3", 12, 9),
            ("-9", 3, 0),
        ] {
            assert_eq!(AtLeast::parse(text).unwrap().of(clauses), expected, "{text} of {clauses}");
        }
        assert!(AtLeast::parse("most").is_err());
    }

    fn reason(value: Value) -> String {
        Parser::default().query(&value).unwrap_err().reason
    }

    #[test]
    fn mistakes_are_named_in_elasticsearchs_words() {
        assert_eq!(reason(json!({"foo": {}})), "unknown query [foo]");
        assert_eq!(reason(json!({"mtch": {}})), "unknown query [mtch] did you mean [match]?");
        assert_eq!(reason(json!({})), "query malformed, empty clause found");
        assert_eq!(reason(json!([])), "[_na] query malformed, must start with start_object");
        assert_eq!(
            reason(json!({"term": {"a": 1, "b": 2}})),
            "[term] query doesn't support multiple fields, found [a] and [b]"
        );
        assert_eq!(
            reason(json!({"match": {"a": {"query": "x", "colour": 1}}})),
            "[match] query does not support [colour]"
        );
        assert_eq!(
            reason(json!({"match_all": {}, "term": {}})),
            "[match_all] malformed query, expected [END_OBJECT] but found [FIELD_NAME]"
        );
    }

    #[test]
    fn depth_and_clauses_are_bounded() {
        let mut deep = json!({"match_all": {}});
        for _ in 0..40 {
            deep = json!({"bool": {"must": deep}});
        }
        assert!(reason(deep).contains("nested depth"));
        let wide: Vec<Value> = (0..2000).map(|i| json!({"term": {"a": i}})).collect();
        let error = Parser::default().query(&json!({"bool": {"should": wide}})).unwrap_err();
        assert_eq!(error.kind, "too_many_clauses");
    }
}
