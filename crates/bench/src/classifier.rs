//! The classifier and the sealer on one core: documents of 20 leaves and about 700 bytes, as
//! columns of 1,000 documents.

use anyhow::{Context, Result};
use model::{
    Batch, Column, Field, FieldName, FieldType, Intake, Op, Row, Schema, Strings, SystemClock,
    Table, TableId, TableKind, TableName, Values,
};
use protection::classify::{Classifier, FieldFacts};
use protection::keys::KeyRing;
use protection::{Pseudonyms, Sealer};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

/// Documents a batch.
const BATCH_DOCUMENTS: usize = 1_000;
/// Each figure is the best of so many rounds: what else the machine does only adds.
const ROUNDS: usize = 5;

/// Classifies and seals `documents` documents with ASCII and with other text, and prints how many
/// it did in a second.
///
/// # Errors
/// If a batch is refused: the documents are made so that none is.
pub(crate) fn run(documents: u64) -> Result<()> {
    println!("\ndocuments of 20 leaves on one core, documents/s");
    println!("{:<12}{:>8}{:>14}{:>14}", "text", "bytes", "classified", "sealed");
    for (name, language) in
        [("ascii", Language::English), ("cyrillic", Language::Cyrillic), ("han", Language::Han)]
    {
        let batches: Vec<Batch> = (0..documents.div_ceil(BATCH_DOCUMENTS as u64))
            .map(|number| batch(language, number * BATCH_DOCUMENTS as u64))
            .collect();
        let total = (batches.len() * BATCH_DOCUMENTS) as f64;
        let bytes: usize = batches.iter().map(bytes_of).sum();
        let classified = best_of(|| classify(&batches));
        let mut sealed = f64::INFINITY;
        for _ in 0..ROUNDS {
            sealed = sealed.min(seal(&batches)?);
        }
        let rate = |seconds: f64| total / seconds;
        println!(
            "{name:<12}{:>8.0}{:>14.0}{:>14.0}",
            bytes as f64 / total,
            rate(classified),
            rate(sealed)
        );
    }
    Ok(())
}

fn best_of(mut seconds: impl FnMut() -> f64) -> f64 {
    (0..ROUNDS).map(|_| seconds()).fold(f64::INFINITY, f64::min)
}

/// Rules on every field of every batch, and looks into each distinct string of what is open.
fn classify(batches: &[Batch]) -> f64 {
    let classifier = Classifier::standard();
    let mut findings = Vec::new();
    let start = Instant::now();
    let mut found = 0;
    for batch in batches {
        for (column, (name, ty)) in batch.columns.iter().zip(FIELDS) {
            let facts = FieldFacts { name, ty, values: &column.values };
            let verdict = classifier.rule_on_field(&facts);
            if verdict.class == model::Class::Open
                && let Values::Strings(strings) = &column.values
            {
                for text in strings.iter_distinct() {
                    classifier.find_in_text(text, &mut findings);
                    found += findings.len();
                }
            }
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    assert!(found > 0, "every tenth message names somebody");
    seconds
}

/// The whole way in: a new table, its fields ruled on by the first batch.
fn seal(batches: &[Batch]) -> Result<f64> {
    let ring = Arc::new(KeyRing::in_memory());
    let classifier = Classifier::standard();
    let pseudonyms = Arc::new(Pseudonyms::with_classifier(&ring, &classifier));
    let sealer = Sealer::new(ring, pseudonyms, Arc::new(classifier), Arc::new(SystemClock));
    let mut table = table()?;
    let copies = batches.to_vec();
    let start = Instant::now();
    for batch in copies {
        sealer.seal(&mut table, batch).context("a document of the bench was refused")?;
    }
    Ok(start.elapsed().as_secs_f64())
}

const FIELDS: [(&str, FieldType); 20] = [
    ("@timestamp", FieldType::Date),
    ("kind", FieldType::Keyword),
    ("device.id", FieldType::Keyword),
    ("device.model", FieldType::Keyword),
    ("device.mac", FieldType::Keyword),
    ("firmware", FieldType::Keyword),
    ("region", FieldType::Keyword),
    ("status", FieldType::Keyword),
    ("latency_ms", FieldType::Double),
    ("rssi", FieldType::Long),
    ("user.id", FieldType::Keyword),
    ("user.email", FieldType::Keyword),
    ("user.name", FieldType::Keyword),
    ("client_ip", FieldType::Ip),
    ("session_id", FieldType::Keyword),
    ("http.path", FieldType::Keyword),
    ("http.agent", FieldType::Keyword),
    ("request_id", FieldType::Keyword),
    ("message", FieldType::Text),
    ("note", FieldType::Text),
];

fn table() -> Result<Table> {
    let mut schema = Schema::default();
    for (name, ty) in FIELDS {
        schema.push(Field::new(FieldName::parse(name)?, ty, ""));
    }
    Ok(Table {
        id: TableId(1),
        name: TableName::parse("bench")?,
        kind: TableKind::Events,
        intake: Intake::Classified,
        time_field: Some("@timestamp".to_owned()),
        sort: None,
        retention_ms: None,
        dynamic: true,
        schema,
    })
}

#[derive(Clone, Copy)]
enum Language {
    English,
    Cyrillic,
    Han,
}

impl Language {
    fn words(self) -> [&'static str; 12] {
        match self {
            Language::English => [
                "device", "lost", "its", "network", "and", "found", "another", "after", "waiting",
                "for", "some", "seconds",
            ],
            Language::Cyrillic => [
                "устройство",
                "потеряло",
                "сеть",
                "и",
                "нашло",
                "другую",
                "после",
                "короткого",
                "ожидания",
                "снова",
                "работает",
                "хорошо",
            ],
            Language::Han => [
                "设备",
                "失去了",
                "网络连接，",
                "然后",
                "又找到了",
                "另一个。",
                "等待",
                "几秒钟",
                "之后",
                "重新",
                "开始工作",
                "（正常）",
            ],
        }
    }
}

/// Numbers that look random and are the same in every run (SplitMix64).
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn batch(language: Language, first: u64) -> Batch {
    let numbers = first..first + BATCH_DOCUMENTS as u64;
    let columns = (0..FIELDS.len())
        .map(|field| {
            let values = match FIELDS[field].1 {
                FieldType::Date => {
                    Values::Longs(numbers.clone().map(|n| 1_792_800_000_000 + n as i64).collect())
                }
                FieldType::Long => {
                    Values::Longs(numbers.clone().map(|n| -40 - (mixed(n) % 50) as i64).collect())
                }
                FieldType::Double => Values::Doubles(
                    numbers.clone().map(|n| (mixed(n) % 9_000) as f64 / 10.0).collect(),
                ),
                _ => Values::Strings(strings(numbers.clone().map(|n| value(field, n, language)))),
            };
            let rows = (0..BATCH_DOCUMENTS as u32).collect();
            Column { field: model::FieldId(field as u32), rows, values }
        })
        .collect();
    let rows = numbers.map(|_| Row { id: None, op: Op::Put, shape: None }).collect();
    Batch { rows, columns, shapes: Vec::new() }
}

fn strings(values: impl Iterator<Item = String>) -> Strings {
    let mut strings = Strings::default();
    let mut known: HashMap<String, u32> = HashMap::new();
    for value in values {
        let number = match known.get(&value) {
            Some(&number) => number,
            None => {
                let number = strings.push_distinct(&value);
                known.insert(value, number);
                number
            }
        };
        strings.ids.push(number);
    }
    strings
}

/// The value of a string field in document `n`: people come again, texts hardly ever do.
fn value(field: usize, n: u64, language: Language) -> String {
    let random = mixed(n);
    let person = mixed(n) % 20_000;
    let pick = |list: &[&str]| list[(random >> 20) as usize % list.len()].to_owned();
    match FIELDS[field].0 {
        "kind" => pick(&["connect", "heartbeat", "command", "api_request", "error"]),
        "device.id" => format!("dev-{person:06x}"),
        "device.model" => pick(&["plug-1", "bulb-2", "cam-3", "lock-1", "scale-1"]),
        "device.mac" => {
            format!("02:00:5e:{:02x}:{:02x}:{:02x}", person >> 16, person >> 8 & 255, person & 255)
        }
        "firmware" => pick(&["4.1.7", "4.2.0", "4.2.1", "4.3.0"]),
        "region" => pick(&["eu-central", "us-east", "eu-west", "us-west"]),
        "status" => pick(&["ok", "failed", "denied"]),
        "user.id" => format!("usr-{person:08x}"),
        "user.email" => format!("hazel.brookfield{person}@example.org"),
        "user.name" => format!("Hazelin Brookfield{person}"),
        "client_ip" => format!("100.64.{}.{}", person >> 8, person & 255),
        "session_id" => format!("{:016x}{:016x}", mixed(person + 7), mixed(person + 11)),
        "http.path" => {
            format!("/v2/devices/{}/state/{}", person, pick(&["power", "colour", "timer"]))
        }
        "http.agent" => pick(&[
            "HomeApp/5.2.1 (iPhone; iOS 19.1; Scale/3.00) Darwin/25.0.0",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0",
        ]),
        "request_id" => {
            let (high, low) = (mixed(n + 3), mixed(n + 5));
            format!(
                "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
                high >> 32,
                high >> 16 & 0xffff,
                high & 0xfff,
                low >> 52,
                low & 0xffff_ffff_ffff
            )
        }
        "message" => {
            let mut text = sentence(language, random, 12);
            text.push_str(&format!(": code {}, took {} ms", random % 900, random % 5_000));
            if n.is_multiple_of(10) {
                text.push_str(&format!(" for hazel.brookfield{person}@example.org"));
            }
            text
        }
        _ => sentence(
            language,
            mixed(random),
            if matches!(language, Language::English) { 45 } else { 20 },
        ),
    }
}

fn sentence(language: Language, mut random: u64, words: usize) -> String {
    let list = language.words();
    let mut text = String::new();
    for number in 0..words {
        if number > 0 && !matches!(language, Language::Han) {
            text.push(' ');
        }
        text.push_str(list[(random % list.len() as u64) as usize]);
        random = mixed(random + number as u64);
    }
    text
}

fn bytes_of(batch: &Batch) -> usize {
    let of = |column: &Column| match &column.values {
        Values::Strings(strings) => {
            (0..strings.ids.len()).map(|place| strings.get(place).len()).sum()
        }
        values => values.len() * 8,
    };
    batch.columns.iter().map(of).sum()
}
