use super::super::parse::Parser;
use super::super::stand_in::{table, with_binder};
use super::*;
use serde_json::{Value as Json, json};

/// The filter of a query, written so that it can be read.
fn bound_to(query: Json) -> String {
    let parsed = match Parser::default().query(&query) {
        Ok(parsed) => parsed,
        Err(error) => return format!("{}: {}", error.kind, error.reason),
    };
    with_binder(vec![table(1, "logs")], |binder| match binder.query(&parsed) {
        Ok(filter) => show(&filter),
        Err(error) => format!("{}: {}", error.kind, error.reason),
    })
}

fn value(value: &Value) -> String {
    match value {
        Value::Str(text) => format!("'{text}'"),
        Value::Long(number) => number.to_string(),
        Value::Double(number) => format!("{number:?}"),
        Value::Bool(flag) => flag.to_string(),
    }
}

fn show(filter: &Filter) -> String {
    let list = |of: &[Filter]| of.iter().map(show).collect::<Vec<_>>().join(", ");
    match filter {
        Filter::All => "all".to_owned(),
        Filter::Nothing => "nothing".to_owned(),
        Filter::Exists(field) => format!("{field} exists"),
        Filter::Term(field, term) => format!("{field} = {}", value(term)),
        Filter::Terms(field, terms) => {
            format!("{field} in {}", terms.iter().map(value).collect::<Vec<_>>().join("|"))
        }
        Filter::Range { field, from, to } => {
            let end = |end: &Bound<Value>| match end {
                Bound::Unbounded => "*".to_owned(),
                Bound::Included(end) => format!("{}=", value(end)),
                Bound::Excluded(end) => value(end),
            };
            format!("{field} [{} {}]", end(from), end(to))
        }
        Filter::Prefix { field, prefix, .. } => format!("{field} {prefix}…"),
        Filter::Pattern { field, pattern, ignore_case } => {
            let case = if *ignore_case { " any case" } else { "" };
            match pattern {
                Pattern::Wildcard(text) => format!("{field} like {text}{case}"),
                Pattern::Regexp(text) => format!("{field} /{text}/{case}"),
            }
        }
        Filter::Words { field, terms, at_least } => {
            format!("{field} {at_least} of {}", terms.join("+"))
        }
        Filter::Phrase { field, terms, slop, last_is_prefix } => {
            let words: Vec<&str> = terms.iter().map(|(_, term)| term.as_str()).collect();
            let more = if *last_is_prefix { "…" } else { "" };
            format!("{field} \"{}{more}\"~{slop}", words.join(" "))
        }
        Filter::Ids(ids) => format!("ids {}", ids.join("|")),
        Filter::And(of) => format!("and({})", list(of)),
        Filter::Or { of, at_least: 1 } => format!("or({})", list(of)),
        Filter::Or { of, at_least } => format!("{at_least} of ({})", list(of)),
        Filter::Not(inner) => format!("not({})", show(inner)),
        Filter::Boost(inner, boost) => format!("{}^{boost}", show(inner)),
        Filter::Score(inner, score) => format!("{} @{score}", show(inner)),
        Filter::Best { of, tie_breaker } => format!("best~{tie_breaker}({})", list(of)),
    }
}

#[test]
fn term_queries_fit_the_type_of_their_field() {
    for (query, expected) in [
        (json!({"term": {"level": "warn"}}), "level = 'warn'"),
        (
            json!({"term": {"level": {"value": "Warn", "case_insensitive": true}}}),
            "level like Warn any case @1",
        ),
        (json!({"term": {"code": "404"}}), "code = 404 @1"),
        (json!({"term": {"code": 404.0}}), "code = 404 @1"),
        (json!({"term": {"code": 404.5}}), "nothing"),
        (json!({"term": {"load": 1}}), "load = 1.0 @1"),
        (json!({"term": {"ok": "true"}}), "ok = true @1"),
        (json!({"term": {"at": "2026-03-18"}}), "at [1773792000000= 1773878399999=] @1"),
        (
            json!({"term": {"user.email": "ada@example.org"}}),
            "user.email = 'email:ada@example.org'",
        ),
        (json!({"term": {"message.keyword": "Hi there"}}), "message.keyword = 'Hi there'"),
        (json!({"term": {"client": "10.0.0.0/8"}}), "client 10.… @1"),
        (json!({"term": {"nobody": 1}}), "nothing"),
        (json!({"term": {"_id": "a"}}), "ids a @1"),
        (json!({"term": {"_index": "lo*"}}), "all"),
        (json!({"terms": {"code": [1, "2", 3.5]}}), "code in 1|2 @1"),
        (json!({"terms": {"level": []}}), "nothing"),
        (json!({"exists": {"field": "user"}}), "user.email exists @1"),
        (json!({"exists": {"field": "user.pulse"}}), "user.pulse exists @1"),
        (json!({"ids": {"values": ["a", "b"]}}), "ids a|b @1"),
        (json!({"prefix": {"level": "wa"}}), "level wa… @1"),
        (json!({"wildcard": {"level": "w?r*"}}), "level like w?r* @1"),
        (json!({"wildcard": {"level": "*"}}), "level exists @1"),
        (json!({"wildcard": {"user.email": "email:*"}}), "user.email like email:* @1"),
        (json!({"regexp": {"level": "wa.*"}}), "level /wa.*/ @1"),
        (json!({"constant_score": {"filter": {"term": {"code": 1}}, "boost": 2}}), "code = 1 @2"),
    ] {
        assert_eq!(bound_to(query.clone()), expected, "{query}");
    }
}

#[test]
fn ranges_fit_the_type_of_their_field() {
    for (query, expected) in [
        (json!({"range": {"code": {"gt": 5.5, "lte": "9"}}}), "code [6= 9=] @1"),
        (json!({"range": {"code": {"gt": 5}}}), "code [6= *] @1"),
        (json!({"range": {"code": {"gt": 9223372036854775807_i64}}}), "nothing"),
        (json!({"range": {"code": {"lt": 1e30}}}), "code [* 9223372036854775807=] @1"),
        (json!({"range": {"load": {"gte": 0.5, "lt": 1}}}), "load [0.5= 1.0] @1"),
        (json!({"range": {"level": {"gte": "a"}}}), "level ['a'= *] @1"),
        (
            json!({"range": {"at": {"gte": "now-1d/d", "lt": "now/d"}}}),
            "at [1773705600000= 1773792000000] @1",
        ),
        (
            json!({"range": {"at": {"gt": "2026-03-18", "lte": "2026-03-18"}}}),
            "at [1773878399999 1773878399999=] @1",
        ),
        (
            json!({"range": {"at": {"gte": "18/03/2026", "format": "dd/MM/yyyy", "time_zone": "+01:00"}}}),
            "at [1773788400000= *] @1",
        ),
        (json!({"range": {"at": {}}}), "at exists @1"),
        (json!({"range": {"nobody": {"gte": 1}}}), "nothing"),
    ] {
        assert_eq!(bound_to(query.clone()), expected, "{query}");
    }
}

#[test]
fn words_are_cut_as_stored_text_is() {
    for (query, expected) in [
        (json!({"match": {"message": "Login FAILED"}}), "message 1 of login+failed"),
        (json!({"match": {"message": {"query": "a b a", "operator": "and"}}}), "message 2 of a+b"),
        (
            json!({"match": {"message": {"query": "a b c d", "minimum_should_match": "75%"}}}),
            "message 3 of a+b+c+d",
        ),
        (json!({"match": {"message": "..."}}), "nothing"),
        (json!({"match": {"message": {"query": "", "zero_terms_query": "all"}}}), "all"),
        (json!({"match": {"message": {"query": "one", "boost": 3}}}), "message = 'one'^3"),
        (json!({"match": {"code": "404"}}), "code = 404 @1"),
        (json!({"match": {"code": {"query": "x", "lenient": true}}}), "nothing"),
        (
            json!({"match_phrase": {"message": {"query": "log in", "slop": 2}}}),
            "message \"log in\"~2",
        ),
        (json!({"match_phrase_prefix": {"message": "log in fa"}}), "message \"log in fa…\"~0"),
        (json!({"match_phrase_prefix": {"message": "fa"}}), "message fa… @1"),
        (
            json!({"match_bool_prefix": {"message": "quick fo"}}),
            "or(message = 'quick', message fo… @1)",
        ),
        (
            json!({"multi_match": {"query": "warn", "fields": ["message^2", "level"]}}),
            "best~0(message = 'warn'^2, level = 'warn')",
        ),
        (
            json!({"multi_match": {"query": "7", "type": "most_fields", "fields": ["message", "code"]}}),
            "or(message = '7', code = 7 @1)",
        ),
        (
            json!({"multi_match": {"query": "a b", "type": "cross_fields", "operator": "and", "fields": ["message", "level"]}}),
            "and(best~0(message = 'a', level = 'a'), best~0(message = 'b', level = 'b'))",
        ),
    ] {
        assert_eq!(bound_to(query.clone()), expected, "{query}");
    }
}

#[test]
fn clauses_are_put_together_with_their_scores() {
    for (query, expected) in [
        (json!({"bool": {}}), "all"),
        (
            json!({"bool": {"must": {"term": {"level": "a"}}, "filter": [{"term": {"code": 1}}]}}),
            "and(level = 'a', code = 1 @0)",
        ),
        (
            json!({"bool": {"must": {"term": {"level": "a"}}, "should": {"term": {"level": "b"}}}}),
            "and(level = 'a', or(level = 'b', all @0))",
        ),
        (
            json!({"bool": {"should": [{"term": {"level": "a"}}, {"term": {"level": "b"}}]}}),
            "or(level = 'a', level = 'b')",
        ),
        (
            json!({"bool": {"should": [{"term": {"level": "a"}}, {"term": {"level": "b"}}], "minimum_should_match": 2}}),
            "2 of (level = 'a', level = 'b')",
        ),
        (json!({"bool": {"must_not": {"term": {"level": "a"}}}}), "not(level = 'a')"),
        (json!({"bool": {"must": [{"term": {"nobody": 1}}, {"match_all": {}}]}}), "nothing"),
        (
            json!({"dis_max": {"queries": [{"term": {"level": "a"}}, {"match_all": {}}], "tie_breaker": 0.5}}),
            "best~0.5(level = 'a', all)",
        ),
    ] {
        assert_eq!(bound_to(query.clone()), expected, "{query}");
    }
}

#[test]
fn query_strings_go_to_their_fields() {
    let asked = |text: &str| {
        bound_to(json!({"query_string": {"query": text, "fields": ["message", "level"]}}))
    };
    for (text, expected) in [
        ("warn", "best~0(message = 'warn', level = 'warn')"),
        ("level:warn AND code:[1 TO 5}", "and(level = 'warn', code [1= 4=] @1)"),
        ("Login failed", "best~0(message 1 of login+failed, level = 'Login failed')"),
        ("message:\"Log in\"~1", "message \"log in\"~1"),
        ("message:Fai*", "message like fai* @1"),
        ("_exists_:code", "code exists @1"),
        ("level:*", "level exists @1"),
        ("at:>=now-1d/d", "at [1773705600000= *] @1"),
        ("user.email:ada@example.org", "user.email = 'email:ada@example.org'"),
        ("level:a -level:b", "and(level = 'a', not(level = 'b'))"),
        ("*:*", "all"),
    ] {
        assert_eq!(asked(text), expected, "{text}");
    }
    let everywhere = bound_to(json!({"query_string": {"query": "warn"}}));
    assert_eq!(
        everywhere,
        "best~0(level = 'warn', message = 'warn', tags = 'warn', user.email = 'email:warn')",
        "what does not fit a field's type is left out, and so is what may not be read"
    );
    assert_eq!(bound_to(json!({"query_string": {"query": "*"}})), "all");
    assert_eq!(
        bound_to(
            json!({"simple_query_string": {"query": "\"log in\" + warn*", "fields": ["message"]}})
        ),
        "and(message \"log in\"~0, message like warn* @1)"
    );
}

#[test]
fn what_does_not_fit_is_refused_in_elasticsearchs_words() {
    for (query, expected) in [
        (
            json!({"term": {"code": "abc"}}),
            "query_shard_exception: failed to create query: For input string: \"abc\"",
        ),
        (
            json!({"term": {"ok": "maybe"}}),
            "query_shard_exception: failed to create query: Can't parse boolean value [maybe], expected [true] or [false]",
        ),
        (
            json!({"term": {"client": "here"}}),
            "query_shard_exception: failed to create query: 'here' is not an IP string literal.",
        ),
        (
            json!({"range": {"at": {"gte": "soon"}}}),
            "parse_exception: failed to parse date field [soon] with format [strict_date_optional_time||epoch_millis]",
        ),
        (
            json!({"prefix": {"code": "1"}}),
            "query_shard_exception: failed to create query: Can only use prefix queries on keyword, text and wildcard fields - not on [code] which is of type [long]",
        ),
        (
            json!({"term": {"user.pulse": 60}}),
            "query_shard_exception: failed to create query: Cannot search on field [user.pulse] since it is sealed; only [exists] can be asked of it",
        ),
        (
            json!({"wildcard": {"user.email": "ada*"}}),
            "query_shard_exception: failed to create query: [user.email] keeps pseudonyms, which can only be found by the whole value; use [term]",
        ),
        (
            json!({"match": {"message": {"query": "x", "fuzziness": "AUTO"}}}),
            "illegal_argument_exception: [fuzziness] of [AUTO] is not supported by Clerestory; leave it out or set it to [0]",
        ),
        (
            json!({"fuzzy": {"level": "x"}}),
            "parsing_exception: query [fuzzy] is not supported by Clerestory",
        ),
        (
            json!({"range": {"code": {"gte": 1, "format": "yyyy"}}}),
            "query_shard_exception: failed to create query: Field [code] of type [long] does not support DateTime formats",
        ),
    ] {
        assert_eq!(bound_to(query.clone()), expected, "{query}");
    }
}

#[test]
fn tables_may_keep_a_field_differently_but_not_as_another_type() {
    let mut other = table(2, "users");
    let (id, _) = other.schema.find("user.email").unwrap();
    other.schema.field_mut(id).class = Some(model::Class::Open);
    let query = Parser::default().query(&json!({"term": {"user.email": "a@b.c"}})).unwrap();
    let filter = with_binder(vec![table(1, "logs"), other.clone()], |binder| binder.query(&query));
    assert_eq!(show(&filter.unwrap()), "user.email in 'email:a@b.c'|'a@b.c' @1");

    other.schema.field_mut(id).ty = model::FieldType::Long;
    let error =
        with_binder(vec![table(1, "logs"), other], |binder| binder.query(&query)).unwrap_err();
    assert!(error.reason.contains("is a [keyword] in [logs] and a [long] in [users]"), "{error}");
}

#[test]
fn conditions_have_no_scores() {
    let query = json!({"bool": {
        "must": {"match": {"message": {"query": "a b", "boost": 2}}},
        "should": {"term": {"level": "x"}},
        "filter": {"match_all": {}},
        "must_not": {"match_none": {}}
    }});
    let query = Parser::default().query(&query).unwrap();
    let filter = with_binder(vec![table(1, "logs")], |binder| binder.condition(&query)).unwrap();
    assert_eq!(show(&filter), "message 1 of a+b");
}
