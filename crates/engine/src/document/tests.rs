use super::*;
use model::{FieldName, FieldType, Intake, Schema, TableId, TableKind, TableName, Values};
use serde_json::json;
use std::fmt::Write;

pub(crate) fn table(fields: &[(&str, FieldType, &str)]) -> Table {
    let field = |(name, ty, es_type): &(&str, FieldType, &str)| {
        Field::new(FieldName::parse(name).unwrap(), *ty, es_type)
    };
    Table {
        id: TableId(1),
        name: TableName::parse("events").unwrap(),
        kind: TableKind::Events,
        intake: Intake::Classified,
        time_field: None,
        sort: None,
        retention_ms: None,
        dynamic: true,
        schema: Schema::from_fields(fields.iter().map(field).collect()),
    }
}

/// All that a batch holds, as text.
fn show(table: &Table, built: &Built) -> String {
    let mut out = String::new();
    let fields = [table.schema.fields(), &built.new_fields].concat();
    for (number, row) in built.batch.rows.iter().enumerate() {
        write!(out, "{number}:").unwrap();
        for column in &built.batch.columns {
            for (place, _) in column.rows.iter().enumerate().filter(|(_, r)| **r == number as u32) {
                let name = &fields[column.field.0 as usize].name;
                match &column.values {
                    Values::Strings(strings) => write!(out, " {name}={}", strings.get(place)),
                    Values::Longs(values) => write!(out, " {name}={}", values[place]),
                    Values::Doubles(values) => write!(out, " {name}={:?}", values[place]),
                    Values::Bools(values) => write!(out, " {name}={}", values[place]),
                    Values::Bytes(_) => unreachable!("nothing is sealed yet"),
                }
                .unwrap();
            }
        }
        if let Some(shape) = row.shape {
            write!(out, " {}", built.batch.shapes[shape as usize]).unwrap();
        }
        out.push('\n');
    }
    out
}

#[track_caller]
fn check(fields: &[(&str, FieldType, &str)], documents: &[&str], expected: &str) {
    let table = table(fields);
    let mut builder = BatchBuilder::new(&table);
    for document in documents {
        builder.put(None, document.as_bytes()).unwrap();
    }
    assert_eq!(show(&table, &builder.finish()).trim(), expected);
}

/// The reason why a document is refused; checks that it leaves nothing behind.
#[track_caller]
fn refused(table: &Table, document: &[u8]) -> String {
    let mut builder = BatchBuilder::new(table);
    let error = builder.put(Some("1"), document).expect_err("it is bad");
    assert!(!error.reason.contains("secret-value"), "{}", error.reason);
    builder.put(Some("2"), b"{}").unwrap();
    let built = builder.finish();
    assert!(built.new_fields.is_empty(), "a bad document adds no field");
    assert_eq!((built.batch.rows.len(), built.batch.columns.len()), (1, 0));
    format!("{}: {}", error.kind, error.reason)
}

#[test]
fn a_flat_document_needs_no_shape() {
    check(
        &[],
        &[
            r#"{"@timestamp":"2026-11-23T08:00:00Z","kind":"boot","n":1,"x":1.5,"ok":true}"#,
            r#"{"n":2,"kind":"bo\u00f6t","ok":false,"tags":["a","b"],"user":{"name":"x"}}"#,
        ],
        "0: @timestamp=1795420800000 kind=boot n=1 x=1.5 ok=true\n\
         1: kind=boöt n=2 ok=false tags=a tags=b user.name=x",
    );
}

#[test]
fn shapes_say_what_the_plain_rule_does_not() {
    check(
        &[("n", FieldType::Long, "long"), ("t", FieldType::Date, "date")],
        &[
            r#"{"n":"12","t":1795420800000}"#,
            r#"{"n":"13","t":1795420800001}"#,
            r#"{"t":"2026-11-23T08:00:00+00:00","a":[{"b":1,"c":[]},{"b":2,"c":null}]}"#,
            r#"{"d.e":["x"],"f":{}}"#,
            r#"{"n":["","1"]}"#,
        ],
        "0: n=12 t=1795420800000 {\"n\":\"s\",\"t\":\"k\"}\n\
         1: n=13 t=1795420800001 {\"n\":\"s\",\"t\":\"k\"}\n\
         2: t=1795420800000 a.b=1 a.b=2 {\"t\":\"z\",\"a\":[{\"b\":\"v\",\"c\":[]},{\"b\":\"v\",\"c\":null}]}\n\
         3: d.e=x {\"d.e\":[\"v\"],\"f\":{}}\n\
         4: n=1 {\"n\":[null,\"s\"]}",
    );
    let mut builder = BatchBuilder::new(&table(&[]));
    for number in 0..9 {
        builder.put(None, format!(r#"{{"a":["{number}"]}}"#).as_bytes()).unwrap();
    }
    assert_eq!(builder.finish().batch.shapes, [r#"{"a":["v"]}"#], "one shape for all");
}

#[test]
fn dynamic_mapping() {
    let table = table(&[]);
    let mut builder = BatchBuilder::new(&table);
    let document = json!({
        "s": "words", "d": "2026-11-23", "y": "2026", "l": 1, "f": 1.0, "b": true, "o": {"p": "x"},
        "nothing": null, "empty": [], "none": {},
    });
    builder.put(None, document.to_string().as_bytes()).unwrap();
    let built = builder.finish();
    let fields: Vec<String> = built
        .new_fields
        .iter()
        .map(|f| format!("{} {:?} {} {:?}", f.name, f.ty, f.es_type, f.keyword_up_to))
        .collect();
    assert_eq!(
        fields,
        [
            "s Text text Some(256)",
            "d Date date None",
            "y Text text Some(256)",
            "l Long long None",
            "f Double float None",
            "b Boolean boolean None",
            "o.p Text text Some(256)",
        ]
    );
}

#[test]
fn coercions() {
    let fields = [
        ("long", FieldType::Long, "long"),
        ("byte", FieldType::Long, "byte"),
        ("double", FieldType::Double, "double"),
        ("bool", FieldType::Boolean, "boolean"),
        ("keyword", FieldType::Keyword, "keyword"),
        ("ip", FieldType::Ip, "ip"),
        ("geo", FieldType::GeoPoint, "geo_point"),
    ];
    check(&fields, &[r#"{"long":1.9,"byte":-128,"double":3}"#], "0: long=1 byte=-128 double=3.0");
    check(&fields, &[r#"{"long":"1.9"}"#], "0: long=1 {\"long\":\"s\"}");
    check(&fields, &[r#"{"long":-9223372036854775808}"#], "0: long=-9223372036854775808");
    check(&fields, &[r#"{"double":"1e3"}"#], "0: double=1000.0 {\"double\":\"s\"}");
    check(&fields, &[r#"{"bool":"true"}"#], "0: bool=true {\"bool\":\"s\"}");
    check(
        &fields,
        &[r#"{"keyword":[1,2.5,true]}"#],
        r#"0: keyword=1 keyword=2.5 keyword=true {"keyword":["n","n","n"]}"#,
    );
    check(&fields, &[r#"{"ip":["10.0.0.1","2001:DB8::0:1"]}"#], "0: ip=10.0.0.1 ip=2001:db8::1");
    check(
        &fields,
        &[
            r#"{"geo":{"lat":1.5,"lon":2}}"#,
            r#"{"geo":[2,1.5]}"#,
            r#"{"geo":"1.5,2"}"#,
            r#"{"geo":[[2,1.5],{"lon":4,"lat":3}]}"#,
        ],
        "0: geo=1.5,2\n1: geo=1.5,2\n2: geo=1.5,2\n3: geo=1.5,2 geo=3,4",
    );
}

#[test]
fn wrong_types_name_the_field_and_no_value() {
    let table = table(&[
        ("n", FieldType::Long, "long"),
        ("i", FieldType::Long, "integer"),
        ("x", FieldType::Double, "double"),
        ("b", FieldType::Boolean, "boolean"),
        ("t", FieldType::Date, "date"),
        ("ip", FieldType::Ip, "ip"),
        ("k", FieldType::Keyword, "keyword"),
        ("g", FieldType::GeoPoint, "geo_point"),
        ("a.b", FieldType::Long, "long"),
    ]);
    for (document, expected) in [
        (
            r#"{"n":"secret-value"}"#,
            "failed to parse field [n] of type [long]: the value is not a number",
        ),
        (r#"{"n":true}"#, "failed to parse field [n] of type [long]: the value is a boolean"),
        (r#"{"n":9223372036854775808}"#, "field [n] of type [long]: the value is out of range"),
        (r#"{"n":1e300}"#, "field [n] of type [long]: the value is out of range"),
        (r#"{"n":"NaN"}"#, "field [n] of type [long]: the value is not a number"),
        (r#"{"i":2147483648}"#, "field [i] of type [integer]: the value is out of range"),
        (r#"{"x":"inf"}"#, "field [x] of type [double]: the value is not a number"),
        (r#"{"x":"1e999"}"#, "field [x] of type [double]: the value is out of range"),
        (r#"{"b":"secret-value"}"#, "field [b] of type [boolean]: only true and false"),
        (r#"{"b":1}"#, "field [b] of type [boolean]: only true and false"),
        (r#"{"t":"2026-02-30"}"#, "field [t] of type [date]: the value is no date"),
        (r#"{"ip":"secret-value"}"#, "field [ip] of type [ip]: the value is no IP address"),
        (r#"{"k":"secret-value\u0000"}"#, "field [k] of type [keyword]: the value contains a NUL"),
        (r#"{"g":{"lat":1}}"#, "field [g] of type [geo_point]: a position is"),
        (r#"{"g":[1,2,3,4,5]}"#, "field [g] of type [geo_point]: a position is"),
        (r#"{"g":{"lat":91,"lon":0}}"#, "field [g] of type [geo_point]: latitude goes"),
        (r#"{"k":{"secret-value":1}}"#, "field [k] of type [keyword]: found an object"),
        (
            r#"{"a":1}"#,
            "object mapping for [a] tried to parse field [a] as object, but found a concrete value",
        ),
        (r#"{"k.secret-value":1}"#, "Could not dynamically add a field below field [k]"),
        (
            r#"{"secret-value":[1,"x"]}"#,
            "failed to parse a field that is not in the mapping of type [long]",
        ),
    ] {
        let reason = refused(&table, document.as_bytes());
        assert!(reason.starts_with("document_parsing_exception: "), "{reason}");
        assert!(reason.contains(expected), "{document}: {reason}");
    }
    let long = format!(r#"{{"k":"{}"}}"#, "x".repeat(32_767));
    assert!(refused(&table, long.as_bytes()).contains("longer than 32766 bytes"));
}

#[test]
fn what_is_no_document() {
    let table = table(&[]);
    for (document, expected) in [
        (&b""[..], "EOF while parsing"),
        (b"{", "EOF while parsing"),
        (b"[1]", "not a JSON object"),
        (b"\"secret-value\"", "not a JSON object"),
        (b"{\"a\":secret-value}", "expected value"),
        (b"{\"a\":NaN}", "expected value"),
        (b"{\"a\":1e999}", "number out of range"),
        (b"{\"a\":1}x", "trailing characters"),
        (b"{\"a\":\"\xff\"}", "invalid UTF-8 at byte 6"),
        (b"{\"a\":\"\x00\"}", "control character"),
        (b"{\"a\":1,\"a\":2}", "comes twice"),
        (b"{\"_id\":1}", "Field [_id] is a metadata field"),
        (b"{\"\":1}", "key number 1 of the document: field name has an empty part"),
        (
            b"{\"a\":{\"b\":1,\"c..d\":1}}",
            "key number 2 of the document: field name has an empty part",
        ),
        (b"{\"secret-value\\u0000\":1}", "control character"),
        (b"{\"a\":18446744073709551615}", "out of range"),
        (b"{\"a\":\"\\ud800\"}", "hex escape"),
    ] {
        let reason = refused(&table, document);
        assert!(reason.contains(expected), "{}: {reason}", String::from_utf8_lossy(document));
    }
    let deep = format!("{}1{}", r#"{"a":"#.repeat(21), "}".repeat(21));
    assert!(refused(&table, deep.as_bytes()).contains("Limit of mapping depth [20]"));
    let arrays = format!(r#"{{"a":{}1{}}}"#, "[".repeat(9999), "]".repeat(9999));
    assert!(refused(&table, arrays.as_bytes()).contains("recursion limit"));
    let long = format!(r#"{{"{}":1}}"#, "k".repeat(513));
    assert!(refused(&table, long.as_bytes()).contains("longer than 512 bytes"));
}

#[test]
fn a_thousand_fields_and_no_more() {
    let table = table(&[]);
    let wide = |count: usize, value: &str| {
        let members: Vec<String> = (0..count).map(|n| format!("\"f{n}\":{value}")).collect();
        format!("{{{}}}", members.join(","))
    };
    for (count, value) in [(1001, "1"), (10_000, "1"), (50_000, "null")] {
        let reason = refused(&table, wide(count, value).as_bytes());
        assert!(reason.contains("Limit of total fields [1000]"), "{reason}");
    }
    let mut builder = BatchBuilder::new(&table);
    builder.put(None, wide(1000, "1").as_bytes()).unwrap();
    assert!(builder.put(None, br#"{"one_more":1}"#).is_err());
    builder.put(None, br#"{"f999":7}"#).unwrap();
    assert_eq!(builder.finish().new_fields.len(), 1000);
}

#[test]
fn a_strict_table_takes_only_its_fields() {
    let mut table = table(&[("a.b", FieldType::Long, "long")]);
    table.dynamic = false;
    for document in [r#"{"secret-value":1}"#, r#"{"x":null}"#, r#"{"x":{}}"#, r#"{"a":{"c":1}}"#] {
        let reason = refused(&table, document.as_bytes());
        assert!(
            reason.starts_with("strict_dynamic_mapping_exception: mapping set to strict"),
            "{reason}"
        );
    }
    let mut builder = BatchBuilder::new(&table);
    builder.put(None, br#"{"a":{"b":null}}"#).unwrap();
}

#[test]
fn a_bad_document_takes_back_its_fields_only() {
    let table = table(&[]);
    let mut builder = BatchBuilder::new(&table);
    builder.put(None, br#"{"a":{"b":1}}"#).unwrap();
    builder.put(None, br#"{"a":{"c":1},"x.y":"text","z":"open"#).unwrap_err();
    builder.put(None, br#"{"a":{"c":"text"},"x":1,"z":true}"#).unwrap();
    builder.put(None, br#"{"x":{"y":1}}"#).unwrap_err();
    let built = builder.finish();
    assert_eq!(show(&table, &built), "0: a.b=1\n1: a.c=text x=1 z=true\n");
}

#[test]
fn a_patch_tells_its_shape() {
    let table = table(&[]);
    let mut builder = BatchBuilder::new(&table);
    let (row, shape) = builder.patch("1", br#"{"a":{"b":1},"c":[]}"#).unwrap();
    assert_eq!((row, shape), (0, json!({"a": {"b": "v"}, "c": []})));
    assert_eq!(builder.delete("2"), 1);
    let built = builder.finish();
    assert_eq!(built.batch.rows[1].op, Op::Delete);
}
