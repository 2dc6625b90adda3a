//! The open fields of the demo, as its documents have them.

use crate::{Share, class_of};
use demo::{Fleet, FleetSettings};
use model::{Class, FieldType};
use protection::classify::Classifier;
use serde_json::Value;
use std::collections::BTreeMap;

/// What the demo says is nobody's: all of it but persons, their things and their bodies.
const OPEN: &[&str] = &[
    "@timestamp",
    "kind",
    "model",
    "region",
    "firmware",
    "status",
    "reason",
    "latency_ms",
    "rssi",
    "battery",
    "message",
    "plan",
    "created_at",
    "activated_at",
    "integration.provider",
];

/// How many of the open values were taken for something else.
pub(crate) fn false_alarms(classifier: &Classifier) -> Share {
    let settings = FleetSettings { devices: 400, events: 20_000, ..FleetSettings::default() };
    let fleet = Fleet::new(settings);
    let mut columns: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for chunk in fleet.chunks(5_000) {
        let lines = chunk.body.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        for line in lines.skip(1).step_by(2) {
            let document: Value = serde_json::from_slice(line).expect("the demo writes JSON");
            flatten(&document, "", &mut |name, value| {
                columns.entry((chunk.table.to_owned(), name.to_owned())).or_default().push(value);
            });
        }
    }
    let mut alarms = Share::default();
    let mut findings = Vec::new();
    for ((table, name), values) in &columns {
        if !OPEN.contains(&name.as_str()) {
            continue;
        }
        let ty = match name.as_str() {
            "message" => FieldType::Text,
            "latency_ms" | "battery" => FieldType::Double,
            "rssi" => FieldType::Long,
            "@timestamp" | "created_at" | "activated_at" => FieldType::Date,
            _ => FieldType::Keyword,
        };
        let mut sample = values.clone();
        sample.sort();
        sample.dedup();
        let class = class_of(classifier, name, ty, &sample);
        if class != Class::Open {
            println!("{table}.{name} is {class}");
        }
        for value in values {
            classifier.find_in_text(value, &mut findings);
            // The demo names somebody in a message now and then, by e-mail address alone.
            findings.retain(|one| one.kind != "email" || !value[one.start..one.end].contains('@'));
            alarms.add(class != Class::Open || !findings.is_empty());
        }
    }
    alarms
}

fn flatten(value: &Value, name: &str, take: &mut impl FnMut(&str, String)) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                flatten(member, &name, take);
            }
        }
        Value::String(text) => take(name, text.clone()),
        other => take(name, other.to_string()),
    }
}
