use super::*;
use model::{Intake, Schema, SortOrder, TableId, TableName};
use serde_json::json;

fn table_of(body: Value) -> Table {
    let spec = TableSpec::parse(&body).unwrap();
    Table {
        id: TableId(7),
        name: TableName::parse("t").unwrap(),
        kind: spec.settings.kind,
        intake: spec.settings.intake,
        time_field: spec.settings.time_field,
        sort: spec.settings.sort,
        retention_ms: spec.settings.retention_ms,
        dynamic: spec.dynamic,
        schema: Schema::from_fields(spec.fields),
    }
}

#[track_caller]
fn refused(body: Value, expected: &str) {
    let error = TableSpec::parse(&body).unwrap_err();
    assert_eq!(error.status, 400);
    let said = format!("{}: {}", error.kind, error.reason);
    assert!(said.contains(expected), "{said}");
}

#[test]
fn a_mapping_comes_back_as_it_was() {
    let mappings = json!({
        "dynamic": "strict",
        "properties": {
            "@timestamp": {"type": "date"},
            "a": {"properties": {"b": {"type": "integer"}, "c": {"properties": {"d": {"type": "ip"}}}}},
            "k": {"type": "keyword"},
            "t": {"type": "text", "fields": {"keyword": {"type": "keyword", "ignore_above": 128}}},
            "u": {"type": "text", "fields": {"keyword": {"type": "keyword"}}},
        }
    });
    let table = table_of(json!({ "mappings": mappings }));
    assert_eq!(render_mapping(&table), mappings);
    assert_eq!(table.time_field.as_deref(), Some("@timestamp"));
    assert_eq!(table.schema.find("a.b").unwrap().1.ty, FieldType::Long);
    assert_eq!(render_mapping(&table_of(Value::Null)), json!({}));
}

#[test]
fn our_settings_nested_dotted_and_under_index() {
    let own = json!({"kind": "entities", "intake": "closed", "time_field": "at", "retention": "30d",
                     "sort": "-at"});
    for settings in [
        json!({ "clerestory": own }),
        json!({ "index": { "clerestory": own } }),
        json!({ "index.clerestory.kind": "entities", "index.clerestory.intake": "closed",
                "clerestory.time_field": "at", "index": { "clerestory.retention": "720h" },
                "index.sort.field": ["at"], "index.sort.order": ["desc"],
                "number_of_shards": 3, "index.refresh_interval": "1s" }),
    ] {
        let table = table_of(json!({ "settings": settings }));
        assert_eq!(table.kind, TableKind::Entities);
        assert_eq!(table.intake, Intake::Closed);
        assert_eq!(table.time_field.as_deref(), Some("at"));
        assert_eq!(table.retention_ms, Some(30 * 86_400_000));
        assert_eq!(table.sort, Some(SortOrder { field: "at".into(), descending: true }));
        assert_eq!(table.schema.find("at").unwrap().1.ty, FieldType::Date, "made if not mapped");
        let shown = render_settings(&table);
        assert_eq!(shown["index"]["clerestory"]["retention"], "30d");
        assert_eq!(shown["index"]["sort"], json!({"field": "at", "order": "desc"}));
    }
}

#[test]
fn what_cannot_be_kept_is_named() {
    let property = |definition: Value| json!({"mappings": {"properties": {"x": definition}}});
    refused(
        property(json!({"type": "nested"})),
        "mapper_parsing_exception: No handler for type [nested] declared on field [x]; supported are [keyword,",
    );
    refused(property(json!({"type": "dense_vector", "dims": 3})), "[dense_vector]");
    refused(
        property(json!({"type": "keyword", "frobnicate": 1})),
        "parameter [frobnicate] on mapper [x]",
    );
    refused(property(json!({"type": "keyword", "null_value": "-"})), "[null_value]");
    refused(
        property(json!({"type": "date", "format": "epoch_second"})),
        "date format [epoch_second]",
    );
    refused(property(json!({"type": "text", "analyzer": "english"})), "there is only [standard]");
    refused(
        property(json!({"type": "text", "fields": {"raw": {"type": "keyword"}}})),
        "the only multi-field",
    );
    refused(
        property(json!({"type": "keyword", "fields": {"keyword": {"type": "keyword"}}})),
        "the only multi-field",
    );
    refused(property(json!({})), "No type specified for field [x]");
    refused(property(json!(3)), "Expected map");
    refused(json!({"mappings": {"dynamic": false}}), "must be [true] or [strict]");
    refused(json!({"mappings": {"dynamic_templates": [{}]}}), "[dynamic_templates]");
    refused(json!({"mappings": {"_source": {"enabled": false}}}), "[_source]");
    refused(json!({"mappings": {"properties": {"_id": {"type": "keyword"}}}}), "metadata field");
    refused(json!({"mappings": {"properties": {"a..b": {"type": "keyword"}}}}), "empty part");
    refused(
        json!({"mappings": {"properties": {"a": {"type": "long"}, "a.b": {"type": "long"}}}}),
        "can't merge a non object mapping [a] with an object mapping [a.b]",
    );
    refused(json!({"mapings": {}}), "parse_exception: unknown key [mapings]");
    refused(json!({"settings": {"clerestory": {"kindness": 1}}}), "[index.clerestory.kindness]");
    refused(
        json!({"settings": {"analysis": {"analyzer": {"x": {"type": "standard"}}}}}),
        "setting [index.analysis",
    );
    refused(
        json!({"settings": {"clerestory": {"retention": "30d"}}}),
        "retention needs a time_field",
    );
    refused(
        json!({"settings": {"clerestory": {"retention": "forever", "time_field": "t"}}}),
        "[30d]",
    );
    refused(json!({"settings": {"sort.field": "x"}}), "unknown index sort field:[x]");
    refused(
        json!({"settings": {"clerestory.time_field": "x"}, "mappings": {"properties": {"x": {"type": "long"}}}}),
        "must be of type [date]",
    );
    let many: Map<String, Value> =
        (0..1001).map(|n| (format!("f{n}"), json!({"type": "long"}))).collect();
    refused(json!({"mappings": {"properties": many}}), "Limit of total fields [1000]");
}

#[test]
fn a_type_never_changes() {
    let mut table = table_of(
        json!({"mappings": {"properties": {"n": {"type": "long"}, "t": {"type": "text"}}}}),
    );
    let add = |table: &mut Table, properties: Value| {
        Mapping::parse(&json!({ "properties": properties })).unwrap().add_to(table)
    };
    add(&mut table, json!({"n": {"type": "long"}, "m": {"type": "ip"}})).unwrap();
    assert_eq!(table.schema.fields().len(), 3);
    let error = add(&mut table, json!({"n": {"type": "keyword"}})).unwrap_err();
    assert_eq!(error.kind, "illegal_argument_exception");
    assert_eq!(error.reason, "mapper [n] cannot be changed from type [long] to [keyword]");
    let error = add(&mut table, json!({"n.x": {"type": "keyword"}})).unwrap_err();
    assert!(error.reason.contains("[n] with an object mapping [n.x]"), "{}", error.reason);
    add(&mut table, json!({"t": {"type": "text", "fields": {"keyword": {"type": "keyword", "ignore_above": 9}}}})).unwrap();
    assert_eq!(table.schema.find("t").unwrap().1.keyword_up_to, Some(9));
}
