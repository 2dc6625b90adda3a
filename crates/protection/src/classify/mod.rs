//! Rules on fields and values: what is personal, what is a credential, what is neither.
//!
//! * [`Classifier::rule_on_field`] rules on a field by its name, its type and a sample of its
//!   values.
//! * [`Classifier::find_in_text`] finds personal and secret values inside a text.
//!
//! The rules are data (`rules/*.yaml`) with examples that the tests run, and a company adds its own
//! ([`OwnRules`]); what is recognised by its shape alone (addresses, numbers with checksums) is
//! code (`shapes.rs`). What is written in another spelling (base 64, percent codes, full-width) is
//! read in the plain one (`views.rs`).
//!
//! ```
//! let classifier = protection::classify::Classifier::standard();
//! let mut findings = Vec::new();
//! classifier.find_in_text("Invalid user pi from 181.25.206.27", &mut findings);
//! let kinds: Vec<&str> = findings.iter().map(|finding| finding.kind).collect();
//! assert_eq!(kinds, ["user", "ip"]);
//! ```
//!
//! What never happens here: no keys, no replacing; a ruling never quotes a value.

mod checks;
mod companions;
pub(crate) mod kind;
mod names;
mod normal;
mod own_rules;
mod rule;
mod rule_file;
mod shapes;
mod text;
mod views;
mod words;

pub use companions::Companion;
pub(crate) use normal::normalise;
pub use own_rules::{OwnRule, OwnRules, RulesError};

use model::{Class, FieldType, Values};
use names::Names;
use parking_lot::RwLock;
use rule::{FieldRule, HintWords, RuleSet};
use rule_file::RuleFile;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, LazyLock};
use text::TextScanner;

/// The rules, ready to be asked. Clones share them: what one adopts holds for all.
#[derive(Clone)]
pub struct Classifier {
    rules: Arc<RwLock<Arc<Rules>>>,
}

/// Rules of one moment; see [`Classifier::rules`].
pub(crate) struct Rules {
    own_set: RuleSet,
    own: Names,
    text: TextScanner,
}

/// The rules that come with Clerestory.
struct Standard {
    set: RuleSet,
    names: Names,
    words: HintWords,
}

/// The standard rules, read once per process.
fn standard() -> &'static Standard {
    static STANDARD: LazyLock<Standard> = LazyLock::new(Standard::read);
    &STANDARD
}

impl Standard {
    fn read() -> Standard {
        let fields: RuleFile = serde_norway::from_str(include_str!("rules/fields.yaml"))
            .expect("the tests read the same file");
        let texts: RuleFile = serde_norway::from_str(include_str!("rules/texts.yaml"))
            .expect("the tests read the same file");
        let set = RuleSet {
            fields: fields
                .fields
                .iter()
                .map(|rule| Arc::new(rule.compile().expect("the tests check every rule")))
                .collect(),
            texts: texts
                .texts
                .iter()
                .map(|rule| Arc::new(rule.compile().expect("the tests check every rule")))
                .collect(),
        };
        let words = fields.words.expect("the tests read the same file");
        let names = Names::new(set.fields.clone(), words.noise.clone());
        Standard { set, names, words }
    }
}

/// What there is to know about a field.
#[derive(Clone, Copy)]
pub struct FieldFacts<'a> {
    /// Its whole path.
    pub name: &'a str,
    /// Its declared or guessed type.
    pub ty: FieldType,
    /// Raw values of it; may be empty.
    pub values: &'a Values,
}

/// One kind of values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindSummary {
    /// Prefix of pseudonyms and tags.
    pub kind: &'static str,
    /// The strictest class that a rule gives it; `None`: it is known by its shape alone.
    pub class: Option<Class>,
    /// How many rules find it.
    pub rules: usize,
}

/// What the classifier says about a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Its class.
    pub class: Class,
    /// The kind of value; empty if open.
    pub kind: &'static str,
    /// Why, in words. Never a value.
    pub reason: String,
    /// Whether a rule of the table or most values said so; false: open because nothing spoke
    /// against it.
    pub by_rule: bool,
}

/// A personal or secret value inside a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its first byte.
    pub start: usize,
    /// Behind its last byte.
    pub end: usize,
    /// Personal, special or secret.
    pub class: Class,
    /// The kind of value.
    pub kind: &'static str,
}

/// How to read the values of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hints {
    /// Numbers with dots are versions, not addresses.
    pub(crate) version: bool,
    /// Paths are of the web, not of a disk.
    pub(crate) web: bool,
    /// A value that looks random is a credential.
    pub(crate) secret: bool,
    /// A number with the checksum of a card is one.
    pub(crate) card: bool,
    /// Words around a value count: `user=ada`, `Invalid user ada`.
    pub(crate) sentences: bool,
}

impl Hints {
    /// Free text without a name.
    pub(crate) const TEXT: Hints =
        Hints { version: false, web: false, secret: false, card: false, sentences: true };
    /// Names and ids: only what has a shape of its own.
    pub(crate) const NAME: Hints = Hints { sentences: false, ..Hints::TEXT };
}

/// So many values of a batch are looked at to rule on a field.
const SAMPLE_VALUES_MAX: usize = 128;

impl Classifier {
    /// The rules that come with Clerestory; read once per process.
    pub fn standard() -> Classifier {
        static RULES: LazyLock<Arc<Rules>> =
            LazyLock::new(|| Arc::new(Rules::new(&OwnRules::default())));
        Classifier { rules: Arc::new(RwLock::new(Arc::clone(&RULES))) }
    }

    /// The standard rules and those of a company, as YAML; see [`OwnRules`].
    ///
    /// # Errors
    /// [`RulesError`]: the first thing that is wrong, with rule and line.
    pub fn with_rules(yaml: &str) -> Result<Classifier, RulesError> {
        let classifier = Classifier::standard();
        classifier.adopt(&OwnRules::parse(yaml)?);
        Ok(classifier)
    }

    /// Puts `own` in the place of the company's rules until now, here and in all clones. The next
    /// batch is sealed by them; what is stored stays as it is.
    pub fn adopt(&self, own: &OwnRules) {
        let rules = Arc::new(Rules::new(own));
        *self.rules.write() = rules;
    }

    /// What there is to find: each kind with the strictest class that a rule gives it, and how many
    /// rules do. What is recognised by its shape alone has no rule.
    pub fn kinds(&self) -> Vec<KindSummary> {
        let rules = self.rules();
        let standard = standard();
        let fields = standard.set.fields.iter().chain(&rules.own_set.fields);
        let texts = standard.set.texts.iter().chain(&rules.own_set.texts);
        let by_rule = fields
            .map(|rule| (rule.kind, rule.class))
            .chain(texts.map(|rule| (rule.kind, rule.class)))
            .filter(|(kind, _)| !kind.is_empty());
        let by_shape = kind::all().into_iter().map(|kind| (kind, None));
        let mut kinds: BTreeMap<&'static str, KindSummary> = BTreeMap::new();
        for (kind, class) in by_rule.map(|(kind, class)| (kind, Some(class))).chain(by_shape) {
            let known = kinds.entry(kind).or_insert(KindSummary { kind, class: None, rules: 0 });
            known.class = known.class.max(class);
            known.rules += usize::from(class.is_some());
        }
        kinds.into_values().collect()
    }

    /// Rules on a field by its name and type, then by what most of its values look like.
    pub fn rule_on_field(&self, facts: &FieldFacts<'_>) -> Verdict {
        self.rules().rule_on_field(facts)
    }

    /// Finds personal and secret values in `text`. `out` is replaced by the findings: ascending,
    /// without overlaps, on character boundaries.
    pub fn find_in_text(&self, text: &str, out: &mut Vec<Finding>) {
        self.find(text, Hints::TEXT, out);
    }

    /// As [`Classifier::find_in_text`], for a value of a field.
    pub(crate) fn find(&self, text: &str, hints: Hints, out: &mut Vec<Finding>) {
        self.rules().find(text, hints, out);
    }

    /// How to read the open values of the field called `name`.
    pub(crate) fn hints(&self, name: &str) -> Hints {
        self.rules().hints(name)
    }

    /// Whether `text` is the number of a payment card; blanks and dashes do not count.
    pub(crate) fn is_card(&self, text: &str) -> bool {
        checks::is_card_text(text)
    }

    /// The rules as they are now: who asks often asks these.
    pub(crate) fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read())
    }
}

impl Rules {
    fn new(own: &OwnRules) -> Rules {
        let standard = standard();
        let mut set = standard.set.clone();
        set.fields.extend(own.set.fields.iter().cloned());
        set.texts.extend(own.set.texts.iter().cloned());
        let names = Names::new(own.set.fields.clone(), standard.words.noise.clone());
        Rules { text: TextScanner::new(&set), own: names, own_set: own.set.clone() }
    }

    /// As [`Classifier::find`].
    pub(crate) fn find(&self, text: &str, hints: Hints, out: &mut Vec<Finding>) {
        self.text.find(text, hints, out);
    }

    fn hints(&self, name: &str) -> Hints {
        names::hints(name, &standard().words)
    }

    fn rule_on_field(&self, facts: &FieldFacts<'_>) -> Verdict {
        let sample = Sample::of(facts.values);
        let fits = |rule: &FieldRule| {
            rule.check.is_none() || sample.mostly(|value| rule.takes_value(value))
        };
        let standard = self.standard_verdict(facts, &sample, fits);
        let own = self.own.find(facts.name, facts.ty, fits).map(verdict_of);
        match own {
            Some(own) if own.class > standard.class => own,
            _ => standard,
        }
    }

    fn standard_verdict(
        &self,
        facts: &FieldFacts<'_>,
        sample: &Sample,
        fits: impl Fn(&FieldRule) -> bool,
    ) -> Verdict {
        // A fact by its name does not make an address out of a place.
        let is_place = matches!(facts.ty, FieldType::Ip | FieldType::GeoPoint);
        if let Some(rule) = standard().names.find(facts.name, facts.ty, fits)
            && !(rule.class == Class::Open && is_place)
        {
            return verdict_of(rule);
        }
        match facts.ty {
            FieldType::GeoPoint => ruled(Class::Special, "position", "type: geo_point".to_owned()),
            FieldType::Ip => ruled(Class::Personal, "ip", "type: ip".to_owned()),
            FieldType::Keyword | FieldType::Text => self.rule_by_values(sample, facts.name),
            _ => nothing_spoke(),
        }
    }

    /// A field whose values are, for the most part, each nothing but one personal or secret value.
    fn rule_by_values(&self, sample: &Sample, name: &str) -> Verdict {
        let hints = self.hints(name);
        let mut findings = Vec::new();
        let mut kinds: Vec<(&'static str, Class, usize)> = Vec::new();
        for value in &sample.values {
            self.find(value, hints, &mut findings);
            let [one] = findings.as_slice() else { continue };
            if one.start > 0 || one.end < value.len() {
                continue;
            }
            match kinds.iter_mut().find(|(kind, ..)| *kind == one.kind) {
                Some((_, _, count)) => *count += 1,
                None => kinds.push((one.kind, one.class, 1)),
            }
        }
        match kinds.into_iter().max_by_key(|&(.., count)| count) {
            Some((kind, class, count)) if sample.is_most(count) => {
                ruled(class, kind, format!("values: most are of kind {kind}"))
            }
            _ if sample.mostly(checks::looks_like_phone) && !hints.version => {
                ruled(Class::Personal, "phone", "values: most are of kind phone".to_owned())
            }
            _ => nothing_spoke(),
        }
    }
}

impl fmt::Debug for Classifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Classifier(…)")
    }
}

fn verdict_of(rule: &FieldRule) -> Verdict {
    let by = if rule.check.is_some() { "name and values" } else { "name" };
    ruled(rule.class, rule.kind, format!("{by}: {}", rule.name))
}

fn ruled(class: Class, kind: &'static str, reason: String) -> Verdict {
    Verdict { class, kind, reason, by_rule: true }
}

fn nothing_spoke() -> Verdict {
    let reason = "nothing in its name, type or values speaks against it".to_owned();
    Verdict { class: Class::Open, kind: "", reason, by_rule: false }
}

/// Some distinct values of a field, as text.
struct Sample {
    values: Vec<String>,
}

impl Sample {
    fn of(values: &Values) -> Sample {
        let mut values: Vec<String> = match values {
            Values::Strings(strings) => {
                let some = strings.iter_distinct().take(SAMPLE_VALUES_MAX);
                some.map(str::to_owned).collect()
            }
            Values::Longs(longs) => {
                longs.iter().take(SAMPLE_VALUES_MAX).map(i64::to_string).collect()
            }
            Values::Doubles(doubles) => {
                doubles.iter().take(SAMPLE_VALUES_MAX).map(f64::to_string).collect()
            }
            Values::Bools(_) | Values::Bytes(_) => Vec::new(),
        };
        values.retain(|value| !value.trim().is_empty());
        Sample { values }
    }

    fn mostly(&self, looks: impl Fn(&str) -> bool) -> bool {
        self.is_most(self.values.iter().filter(|value| looks(value)).count())
    }

    fn is_most(&self, count: usize) -> bool {
        count > 0 && count * 2 > self.values.len()
    }
}

#[cfg(test)]
mod tests;
