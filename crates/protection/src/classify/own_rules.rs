use super::rule::RuleSet;
use super::rule_file::{FieldText, RuleFile, TextText};
use super::standard;
use serde::Serialize;
use std::fmt;
use std::sync::Arc;

/// The rules that a company adds to the standard ones, read from YAML and checked: each is held
/// to its own examples.
///
/// ```
/// use protection::classify::{Classifier, OwnRules};
/// let rules = OwnRules::parse(r"
/// texts:
///   - name: loyalty number
///     kind: loyalty
///     class: personal
///     pattern: '\bLC-[0-9]{8}\b'
///     takes: ['paid with ‹LC-20190426›']
///     leaves: ['LC-2019']
/// fields:
///   - name: nickname of a pet
///     kind: name
///     class: personal
///     fields: [pet_name, pet.nickname]
///     takes: [user.pet_name=Rex]
/// ")?;
/// let classifier = Classifier::standard();
/// classifier.adopt(&rules);
/// let mut findings = Vec::new();
/// classifier.find_in_text("refund to LC-20190426", &mut findings);
/// assert_eq!(findings[0].kind, "loyalty");
/// # Ok::<(), protection::classify::RulesError>(())
/// ```
///
/// Own rules can only raise: none is open, what a standard rule finds stays found, and of two
/// classes the stricter counts. A rule of a company is asked everywhere in a text, so that its
/// speed is the company's business; its size is bounded here.
#[derive(Clone, Default)]
pub struct OwnRules {
    fields: Vec<FieldText>,
    texts: Vec<TextText>,
    pub(super) set: RuleSet,
}

/// Why a text is no set of rules. Names rule and line; never quotes an example.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RulesError {
    /// Not YAML, or not of the form of rules.
    #[error("line {line}: {reason}")]
    Form {
        /// From 1; 0 if it concerns the whole text.
        line: usize,
        /// What is wrong there.
        reason: String,
    },
    /// A rule makes no sense, or does not do what its examples say.
    #[error("rule `{rule}` (line {line}): {reason}")]
    Rule {
        /// Its name.
        rule: String,
        /// From 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// More than [`OwnRules::BYTES_MAX`] bytes or [`OwnRules::RULES_MAX`] rules.
    #[error(
        "rules take at most {} bytes and are at most {}",
        OwnRules::BYTES_MAX,
        OwnRules::RULES_MAX
    )]
    TooMany,
    /// Another rule has this name.
    #[error(
        "there is a rule `{0}` already, which says something else; remove it in the same change"
    )]
    Taken(String),
    /// No rule has this name.
    #[error("there is no rule `{0}`; see: clerestory rule own list")]
    NoRule(String),
}

/// One rule of a company as people read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnRule<'a> {
    /// Its name.
    pub name: &'a str,
    /// The kind of values that it finds.
    pub kind: &'a str,
    /// The class that they get.
    pub class: &'a str,
    /// The names of fields that it is about; empty: it is about text.
    pub fields: &'a [String],
    /// The pattern of values, or the name of a check.
    pub looks_like: Option<&'a str>,
    /// Examples that it takes.
    pub takes: &'a [String],
    /// Examples that it leaves.
    pub leaves: &'a [String],
}

impl fmt::Display for OwnRule<'_> {
    /// What it finds and where, without its examples: somebody may have taken them from life.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.kind, self.class)?;
        match self.fields {
            [] => f.write_str(", in text")?,
            fields => write!(f, ", in fields {}", fields.join(" "))?,
        }
        self.looks_like.map_or(Ok(()), |looks| write!(f, ", {looks}"))
    }
}

/// As rules are written, without what the standard ones have beside them.
#[derive(Serialize)]
struct WrittenRules<'a> {
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    fields: &'a [FieldText],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    texts: &'a [TextText],
}

impl OwnRules {
    /// The longest text of rules, in bytes.
    pub const BYTES_MAX: usize = 128 << 10;
    /// So many rules a company can add.
    pub const RULES_MAX: usize = 200;

    /// Reads and checks rules; the empty text is no rules.
    ///
    /// # Errors
    /// [`RulesError`]: the first thing that is wrong, with rule and line.
    pub fn parse(yaml: &str) -> Result<OwnRules, RulesError> {
        if yaml.len() > Self::BYTES_MAX {
            return Err(RulesError::TooMany);
        }
        if yaml.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
            return Ok(OwnRules::default());
        }
        let file: RuleFile = serde_norway::from_str(yaml).map_err(|error| RulesError::Form {
            line: error.location().map_or(0, |place| place.line()),
            reason: error.to_string(),
        })?;
        if file.words.is_some() {
            let reason = "`words` is for the standard rules only".to_owned();
            return Err(RulesError::Form { line: line_of(yaml, "words"), reason });
        }
        OwnRules::compile(file.fields, file.texts, yaml)
    }

    /// Checks each rule; `yaml` is where lines are looked up.
    fn compile(
        fields: Vec<FieldText>,
        texts: Vec<TextText>,
        yaml: &str,
    ) -> Result<OwnRules, RulesError> {
        if fields.len() + texts.len() > Self::RULES_MAX {
            return Err(RulesError::TooMany);
        }
        let mut names: Vec<&str> = Vec::new();
        let all = fields.iter().map(|rule| &rule.name);
        for name in all.chain(texts.iter().map(|rule| &rule.name)) {
            if name.trim().is_empty() || names.contains(&name.as_str()) {
                return Err(fault(yaml, name, "each rule needs a name of its own".to_owned()));
            }
            names.push(name);
        }
        let mut set = RuleSet::default();
        for text in &fields {
            let rule = compile_field(text).map_err(|reason| fault(yaml, &text.name, reason))?;
            set.fields.push(rule);
        }
        for text in &texts {
            let rule = compile_text(text).map_err(|reason| fault(yaml, &text.name, reason))?;
            set.texts.push(rule);
        }
        Ok(OwnRules { fields, texts, set })
    }

    /// The same rules as a text that [`OwnRules::parse`] reads; empty where there is none.
    pub fn to_yaml(&self) -> String {
        if self.is_empty() {
            return String::new();
        }
        let written = WrittenRules { fields: &self.fields, texts: &self.texts };
        serde_norway::to_string(&written).expect("texts and lists of texts only")
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.texts.is_empty()
    }

    /// These rules and `more`; what is there already, word by word, is there once.
    ///
    /// # Errors
    /// If a rule of the same name says something else, or they are too many together.
    pub fn with(&self, more: &OwnRules) -> Result<OwnRules, RulesError> {
        let (mut fields, mut texts) = (self.fields.clone(), self.texts.clone());
        fields.extend(more.fields.iter().filter(|rule| !self.fields.contains(rule)).cloned());
        texts.extend(more.texts.iter().filter(|rule| !self.texts.contains(rule)).cloned());
        let mut names: Vec<&String> = fields.iter().map(|rule| &rule.name).collect();
        names.extend(texts.iter().map(|rule| &rule.name));
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(RulesError::Taken(twice[0].clone()));
        }
        let together = OwnRules::compile(fields, texts, "")?;
        let is_small = together.to_yaml().len() <= Self::BYTES_MAX;
        if is_small { Ok(together) } else { Err(RulesError::TooMany) }
    }

    /// These rules but the one called `name`.
    ///
    /// # Errors
    /// If there is none.
    pub fn without(&self, name: &str) -> Result<OwnRules, RulesError> {
        let mut fields = self.fields.clone();
        let mut texts = self.texts.clone();
        fields.retain(|rule| rule.name != name);
        texts.retain(|rule| rule.name != name);
        if fields.len() + texts.len() == self.fields.len() + self.texts.len() {
            return Err(RulesError::NoRule(name.to_owned()));
        }
        OwnRules::compile(fields, texts, "")
    }

    /// The rules of `self` that are not among those of `other`, word by word.
    pub fn not_in<'a>(&'a self, other: &'a OwnRules) -> impl Iterator<Item = OwnRule<'a>> {
        let fields = self.fields.iter().filter(|rule| !other.fields.contains(rule));
        let texts = self.texts.iter().filter(|rule| !other.texts.contains(rule));
        fields.map(FieldText::shown).chain(texts.map(TextText::shown))
    }

    /// All rules, those on fields first.
    pub fn iter(&self) -> impl Iterator<Item = OwnRule<'_>> {
        let texts = self.texts.iter().map(TextText::shown);
        self.fields.iter().map(FieldText::shown).chain(texts)
    }

    /// Whether all that `before` finds is found by these rules too, because each of its rules is
    /// among them, word by word. Then going from `before` to these is tightening; anything else
    /// is widening, also a rule that was changed.
    pub fn keeps_all_of(&self, before: &OwnRules) -> bool {
        before.fields.iter().all(|rule| self.fields.contains(rule))
            && before.texts.iter().all(|rule| self.texts.contains(rule))
    }

    /// The names of the rules, to show what an edit changes.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let texts = self.texts.iter().map(|rule| rule.name.as_str());
        self.fields.iter().map(|rule| rule.name.as_str()).chain(texts)
    }
}

impl PartialEq for OwnRules {
    fn eq(&self, other: &OwnRules) -> bool {
        self.fields == other.fields && self.texts == other.texts
    }
}

impl Eq for OwnRules {}

impl FieldText {
    fn shown(&self) -> OwnRule<'_> {
        OwnRule {
            name: &self.name,
            kind: &self.kind,
            class: &self.class,
            fields: &self.fields,
            looks_like: self.pattern.as_deref().or(self.check.as_deref()),
            takes: &self.takes,
            leaves: &self.leaves,
        }
    }
}

impl TextText {
    fn shown(&self) -> OwnRule<'_> {
        OwnRule {
            name: &self.name,
            kind: &self.kind,
            class: &self.class,
            fields: &[],
            looks_like: self.pattern.as_deref().or(self.check.as_deref()),
            takes: &self.takes,
            leaves: &self.leaves,
        }
    }
}

impl fmt::Debug for OwnRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OwnRules({} on fields, {} on text)", self.fields.len(), self.texts.len())
    }
}

fn compile_field(text: &FieldText) -> Result<Arc<super::rule::FieldRule>, String> {
    let rule = Arc::new(text.compile()?);
    if rule.class == model::Class::Open {
        return Err("a rule of your own can only raise; rule on the field instead".to_owned());
    }
    text.check_examples(&rule, &standard().words.noise)?;
    Ok(rule)
}

fn compile_text(text: &TextText) -> Result<Arc<super::rule::TextRule>, String> {
    if !text.anchors.is_empty() {
        return Err("`anchors` are for the standard rules; write a `pattern` alone".to_owned());
    }
    let rule = Arc::new(text.compile()?);
    text.check_examples(&rule)?;
    Ok(rule)
}

fn fault(yaml: &str, rule: &str, reason: String) -> RulesError {
    let line = line_of(yaml, rule);
    RulesError::Rule { rule: rule.to_owned(), line, reason }
}

/// The first line with `text`; names are unique, and the parser knows no line of a value.
fn line_of(yaml: &str, text: &str) -> usize {
    let is_it = |line: &str| {
        let line = line.trim_start_matches([' ', '-']);
        line.strip_prefix("name:").unwrap_or(line).contains(text)
    };
    yaml.lines().position(is_it).map_or(0, |line| line + 1)
}

#[cfg(test)]
mod tests {
    use super::super::{Classifier, FieldFacts};
    use super::*;
    use model::{Class, FieldType, Strings, Values};

    const LOYALTY: &str = r"
texts:
  - name: loyalty number
    kind: loyalty
    class: personal
    pattern: '\bLC-[0-9]{8}\b'
    takes: ['paid with ‹LC-20190426›']
    leaves: ['LC-2019']
";

    #[track_caller]
    fn refused(yaml: &str, expected: &str) {
        let error = OwnRules::parse(yaml).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }

    fn one(fields: &str) -> String {
        format!("\nfields:\n  - name: mine\n    {}\n", fields.replace("; ", "\n    "))
    }

    #[test]
    fn errors_name_rule_and_line_and_quote_no_example() {
        refused(
            &one("kind: a; class: open; fields: [x]; takes: [x=1]"),
            "what is open has no `kind`",
        );
        refused(&one("class: open; fields: [x]; takes: [x=1]"), "can only raise");
        refused(
            &one("kind: A; class: personal; fields: [x]; takes: [x=1]"),
            "rule `mine` (line 3): `kind` is",
        );
        refused(&one("kind: a; class: high; fields: [x]; takes: [x=1]"), "`class` is one of");
        refused(&one("kind: a; class: personal; fields: []; takes: [x=1]"), "`fields` is empty");
        refused(&one("kind: a; class: personal; fields: [x]; takes: []"), "has no example");
        refused(
            &one("kind: a; class: personal; fields: [x]; takes: [hunter2]"),
            "example 1 of `takes` cannot",
        );
        refused(
            &one("kind: a; class: personal; fields: [x]; takes: [y=hunter2]"),
            "does not take it",
        );
        refused(
            &one(
                "kind: a; class: personal; fields: [x]; pattern: '^a'; takes: [x=a]; leaves: [x=abc]",
            ),
            "example 1 of `leaves`: the rule takes it",
        );
        refused(
            &one("kind: a; class: personal; fields: [x]; takes: [x=1]; surprise: 1"),
            "unknown field",
        );
        refused(
            &one("kind: a; class: personal; fields: [x]; types: [number]; takes: [x=1]"),
            "`types`",
        );
        refused(
            &one("kind: a; class: personal; fields: [x]; check: magic; takes: [x=1]"),
            "`check`",
        );
        refused(&LOYALTY.replace("LC-[0-9]{8}", "LC-("), "not a regular expression");
        refused(&LOYALTY.replace(r"\bLC-[0-9]{8}\b", "(LC)?"), "matches the empty text");
        refused(&LOYALTY.replace("    kind", "    anchors: [LC]\n    kind"), "`anchors`");
        refused("fields: [", "line 2");
        refused("words: {noise: [], version: [], web: [], card: [], secret: []}", "`words`");
        let twice = format!("{LOYALTY}{}", LOYALTY.replace("\ntexts:", ""));
        refused(&twice, "a name of its own");
        let secret =
            OwnRules::parse(&one("kind: a; class: personal; fields: [x]; takes: [y=hunter2]"));
        assert!(!format!("{:?} {}", secret, secret.as_ref().unwrap_err()).contains("hunter2"));
    }

    #[test]
    fn patterns_and_files_are_bounded() {
        let many = |count: usize| "(?:a{100}){100}".repeat(count);
        refused(&LOYALTY.replace(r"\bLC-[0-9]{8}\b", &many(30)), "too large");
        refused(&LOYALTY.replace(r"\bLC-[0-9]{8}\b", &"a".repeat(2_000)), "longer than");
        refused(&LOYALTY.replace(r"\bLC-[0-9]{8}\b", &"(".repeat(400)), "not a regular");
        assert_eq!(OwnRules::parse(&"#".repeat(200_000)).unwrap_err(), RulesError::TooMany);
        let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nfields: *b\n";
        assert!(OwnRules::parse(bomb).is_err());
    }

    #[test]
    fn nothing_is_no_rules() {
        for text in ["", "\n \n", "# none yet\n"] {
            assert_eq!(OwnRules::parse(text).unwrap().names().count(), 0);
        }
    }

    #[test]
    fn adding_keeps_all_and_the_rest_does_not() {
        let none = OwnRules::default();
        let one = OwnRules::parse(LOYALTY).unwrap();
        let changed = OwnRules::parse(&LOYALTY.replace("{8}", "{8,}")).unwrap();
        assert!(one.keeps_all_of(&none) && one.keeps_all_of(&one));
        assert!(!none.keeps_all_of(&one) && !changed.keeps_all_of(&one));
    }

    #[test]
    fn rules_are_written_as_they_are_read() {
        let both = OwnRules::parse(&format!(
            "{LOYALTY}{}",
            one("kind: name; class: personal; fields: [pet]; takes: [pet=Rex]")
        ))
        .unwrap();
        assert_eq!(OwnRules::parse(&both.to_yaml()).unwrap(), both);
        assert_eq!(OwnRules::default().to_yaml(), "");
        let said: Vec<String> = both.iter().map(|rule| rule.to_string()).collect();
        assert_eq!(
            said,
            ["name, personal, in fields pet", r"loyalty, personal, in text, \bLC-[0-9]{8}\b"]
        );
    }

    #[test]
    fn rules_come_and_go_by_name() {
        let one = OwnRules::parse(LOYALTY).unwrap();
        assert_eq!(one.with(&one).unwrap(), one, "the same again is nothing new");
        let changed = OwnRules::parse(&LOYALTY.replace("{8}", "{8,}")).unwrap();
        assert_eq!(one.with(&changed), Err(RulesError::Taken("loyalty number".into())));
        let none = one.without("loyalty number").unwrap();
        assert!(none.is_empty() && one.without("loyalty").is_err());
        assert_eq!(one.not_in(&none).count() + none.not_in(&one).count(), 1);
        assert_eq!(none.with(&changed).unwrap(), changed);
    }

    #[test]
    fn own_rules_raise_and_never_lower() {
        let yaml = "
fields:
  - name: firmware tells the customer
    kind: customer
    class: special
    fields: [firmware]
    takes: [firmware=x]
  - name: e-mail is a number here
    kind: other
    class: personal
    fields: [email, access_token]
    takes: [email=x]
texts:
  - name: whole text
    kind: other
    class: personal
    pattern: '.+'
    takes: ['‹anything›']
";
        let classifier = Classifier::standard();
        classifier.adopt(&OwnRules::parse(yaml).unwrap());
        let values = Values::Strings(Strings::default());
        let rule = |name| {
            let verdict = classifier.rule_on_field(&FieldFacts {
                name,
                ty: FieldType::Keyword,
                values: &values,
            });
            (verdict.class, verdict.kind)
        };
        assert_eq!(rule("firmware"), (Class::Special, "customer"), "raised");
        assert_eq!(rule("email"), (Class::Personal, "email"), "the standard rule stays");
        assert_eq!(rule("access_token"), (Class::Secret, "token"), "not lowered");
        let mut findings = Vec::new();
        classifier.find_in_text("use ghp_abcdefghijklmnopqrstuvwxyz0123456789 now", &mut findings);
        assert_eq!((findings.len(), findings[0].class), (1, Class::Secret), "not lowered in text");
        // Another classifier knows nothing of it.
        Classifier::standard().find_in_text("plain words", &mut findings);
        assert!(findings.is_empty());
    }
}
