//! How much the classifier finds, and how often it cries wolf, on a labelled corpus.
//!
//! The corpus is made by code from a seed: 40 kinds of values in plain and other spellings, names
//! of 22 languages under plausible field names, lines in the shapes of common logs, and the open
//! fields of the demo. No value belongs to anybody. With `CLERESTORY_SAMPLE_LOGS` pointing at a
//! folder of NDJSON files, real logs are read as well.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "figures for people")]

mod demo_fields;
mod logs;
mod names;
mod random;
mod sample_logs;
mod spellings;
mod values;

use model::{Class, FieldType, Strings, Values};
use protection::classify::{Classifier, FieldFacts, Finding};

/// What was right of how many.
#[derive(Clone, Copy, Default)]
struct Share {
    right: u32,
    of: u32,
}

impl Share {
    fn add(&mut self, is_right: bool) {
        self.right += u32::from(is_right);
        self.of += 1;
    }

    fn percent(self) -> f64 {
        f64::from(self.right) * 100.0 / f64::from(self.of.max(1))
    }
}

impl std::iter::Sum for Share {
    fn sum<I: Iterator<Item = Share>>(shares: I) -> Share {
        shares.fold(Share::default(), |sum, share| Share {
            right: sum.right + share.right,
            of: sum.of + share.of,
        })
    }
}

/// Whether findings of at least this class cover `start..end` of a text.
fn covers(findings: &[Finding], start: usize, end: usize, class: Class) -> bool {
    findings.iter().any(|one| one.start <= start && one.end >= end && one.class >= class)
}

fn strings(values: &[String]) -> Values {
    let mut strings = Strings::default();
    for value in values {
        let id = strings.push_distinct(value);
        strings.ids.push(id);
    }
    Values::Strings(strings)
}

/// The class that a field is given.
fn class_of(classifier: &Classifier, name: &str, ty: FieldType, values: &[String]) -> Class {
    classifier.rule_on_field(&FieldFacts { name, ty, values: &strings(values) }).class
}

#[test]
fn credentials_and_identifiers_are_found_in_text() {
    const EACH: u32 = 60;
    let classifier = Classifier::standard();
    let mut findings = Vec::new();
    let mut all = Vec::new();
    for kind in values::KINDS {
        let mut share = Share::default();
        let mut missed = None;
        for number in 0..EACH {
            let mut random = random::Random::new(kind.name, number);
            let case = values::case(kind, &mut random);
            classifier.find_in_text(&case.text, &mut findings);
            let found = covers(&findings, case.start, case.end, kind.class);
            share.add(found);
            if !found {
                missed.get_or_insert(case.text);
            }
        }
        println!("{:<28}{:>7.1} %  {}", kind.name, share.percent(), missed.unwrap_or_default());
        all.push(share);
    }
    let all: Share = all.into_iter().sum();
    println!("recall in plain spelling: {:.2} % of {}", all.percent(), all.of);
    assert!(values::KINDS.len() >= 30);
    assert!(all.percent() >= 99.0);
}

#[test]
fn other_spellings_are_found_in_text() {
    const EACH: u32 = 60;
    let classifier = Classifier::standard();
    let mut findings = Vec::new();
    let mut all = Vec::new();
    for spelling in spellings::SPELLINGS {
        let mut share = Share::default();
        let mut missed = None;
        for kind in values::KINDS.iter().filter(|kind| (spelling.fits)(kind)) {
            for number in 0..EACH {
                let mut random = random::Random::new(kind.name, number);
                let case = spelling.case(kind, &mut random);
                classifier.find_in_text(&case.text, &mut findings);
                let found = covers(&findings, case.start, case.end, kind.class);
                share.add(found);
                if !found {
                    missed.get_or_insert(case.text);
                }
            }
        }
        println!("{:<28}{:>7.1} %  {}", spelling.name, share.percent(), missed.unwrap_or_default());
        all.push(share);
    }
    let all: Share = all.into_iter().sum();
    println!("recall in other spellings: {:.2} % of {}", all.percent(), all.of);
    assert!(all.percent() >= 99.0);
}

#[test]
fn values_are_found_by_the_name_of_their_field() {
    let classifier = Classifier::standard();
    let mut all = Share::default();
    for field in values::FIELDS {
        let mut random = random::Random::new(field.name, 0);
        let values: Vec<String> = (0..40).map(|_| (field.make)(&mut random)).collect();
        let class = class_of(&classifier, field.name, field.ty, &values);
        all.add(class >= field.class);
        if class < field.class {
            println!("{} is {class}, not {}", field.name, field.class);
        }
    }
    println!("recall by field: {:.2} % of {}", all.percent(), all.of);
    assert!(all.percent() >= 99.0);
}

#[test]
fn names_of_many_languages_are_found_under_plausible_field_names() {
    let classifier = Classifier::standard();
    let mut all = Vec::new();
    for language in names::LANGUAGES {
        let mut share = Share::default();
        let mut missed = Vec::new();
        for field in names::FIELDS {
            let mut random = random::Random::new(field.name, 1);
            let values: Vec<String> = (0..40).map(|_| language.value(field, &mut random)).collect();
            let class = class_of(&classifier, field.name, FieldType::Keyword, &values);
            share.add(class >= Class::Personal);
            if class < Class::Personal {
                missed.push(field.name);
            }
        }
        println!("{:<14}{:>7.1} %  {}", language.name, share.percent(), missed.join(", "));
        all.push(share);
    }
    let all: Share = all.into_iter().sum();
    println!("recall of names: {:.2} % of {}", all.percent(), all.of);
    assert!(names::LANGUAGES.len() >= 20);
    assert!(all.percent() >= 90.0);
}

#[test]
fn lines_of_common_logs_are_left_alone() {
    const EACH: u32 = 200;
    let classifier = Classifier::standard();
    let mut findings = Vec::new();
    let mut alarms = Share::default();
    for (name, line) in logs::SHAPES {
        for number in 0..EACH {
            let text = line(&mut random::Random::new(name, number));
            classifier.find_in_text(&text, &mut findings);
            alarms.add(!findings.is_empty());
            for finding in &findings {
                println!("{name}: {} in {text}", &text[finding.start..finding.end]);
            }
        }
    }
    println!("false alarms on lines of logs: {:.2} % of {}", alarms.percent(), alarms.of);
    assert!(alarms.percent() <= 1.0);
}

#[test]
fn open_fields_of_the_demo_are_left_alone() {
    let alarms = demo_fields::false_alarms(&Classifier::standard());
    println!(
        "false alarms on the open fields of the demo: {:.3} % of {}",
        alarms.percent(),
        alarms.of
    );
    assert!(alarms.of > 10_000);
    assert!(alarms.percent() <= 1.0);
}

#[test]
fn real_logs_are_left_alone_and_their_users_found() {
    let Some(folder) = std::env::var_os("CLERESTORY_SAMPLE_LOGS") else {
        eprintln!(
            "SKIPPED: set CLERESTORY_SAMPLE_LOGS to a folder of NDJSON logs to read them too"
        );
        return;
    };
    let result = sample_logs::read(folder.as_ref(), &Classifier::standard());
    println!("false alarms on real logs: {:.3} % of {}", result.alarms.percent(), result.alarms.of);
    println!("user names found in them: {:.3} % of {}", result.users.percent(), result.users.of);
    assert!(result.alarms.of > 0, "the folder has no rows");
    assert!(result.alarms.percent() <= 1.0);
    assert!(result.users.of == 0 || result.users.percent() >= 99.0);
}

/// Texts written to make a scanner look at the same bytes again and again.
const REPEATED: [&str; 33] = [
    "user=",
    "password=\"",
    "cookie: a ",
    "eyJ",
    "_eyJ",
    "-----BEGIN PRIVATE KEY-----",
    "useradd -m ",
    "useradd ",
    "chown -R ",
    "a@",
    "::",
    "1.2.3.",
    "4111 ",
    "%40",
    "at dot ",
    "\u{200b}",
    "Ａ@",
    "YWRh",
    "invalid user ",
    " for ",
    "\\\"password\\\":\\\"",
    "ip:0123456789abcdefghijklmno0 ",
    "+1 ",
    "00-",
    "00:",
    "=",
    "a.",
    "4.",
    "at @ ",
    "4 1 ",
    "://a:",
    "token=a",
    "Bearer ",
];

#[test]
fn a_long_text_takes_no_longer_than_its_length_asks() {
    let classifier = Classifier::standard();
    let mut findings = Vec::new();
    let mut took = |part: &str, bytes: usize| {
        let text = part.repeat(bytes / part.len());
        let start = std::time::Instant::now();
        classifier.find_in_text(&text, &mut findings);
        start.elapsed()
    };
    for part in REPEATED {
        let (short, long) = (took(part, 64 << 10), took(part, 512 << 10));
        println!("{part:<32}{short:>12.2?}{long:>12.2?}");
        // Eight times the length; the rest is for a busy machine.
        let bound = short * 24 + std::time::Duration::from_millis(500);
        assert!(long < bound, "`{part}` repeated: {short:?}, then {long:?}");
    }
}

#[test]
fn a_text_of_ten_megabytes_is_read_to_its_end() {
    let mut text = "heartbeat of lamp after 12 hours; ".repeat((10 << 20) / 34);
    text.push_str("mail hazel@example.org");
    let mut findings = Vec::new();
    Classifier::standard().find_in_text(&text, &mut findings);
    assert_eq!((findings.len(), findings[0].end), (1, text.len()));
}
