use super::Hints;
use super::rule::{FieldRule, HintWords};
use super::words::Words;
use hashbrown::HashMap;
use model::{Class, FieldType};
use std::sync::Arc;

/// Finds the rules that a field's name falls under.
pub(super) struct Names {
    by_name: HashMap<Box<[u8]>, Vec<Named>, foldhash::fast::RandomState>,
    /// Words at the end of a name that say how a value is written, not what it is.
    noise: Vec<String>,
}

struct Named {
    rule: Arc<FieldRule>,
    /// Only if the name is the whole last part of the path.
    whole: bool,
}

impl Names {
    /// No name in the table has more words than this.
    const WORDS_MAX: usize = 5;

    pub(super) fn new(rules: Vec<Arc<FieldRule>>, noise: Vec<String>) -> Names {
        let mut by_name: HashMap<Box<[u8]>, Vec<Named>, _> = HashMap::default();
        for rule in rules {
            for name in &rule.fields {
                let named = Named { rule: Arc::clone(&rule), whole: name.whole };
                by_name.entry(name.joined.as_bytes().into()).or_default().push(named);
            }
        }
        Names { by_name, noise }
    }

    /// The first rule that fits the end of `name`, the type and, by `fits`, the values.
    pub(super) fn find(
        &self,
        name: &str,
        ty: FieldType,
        fits: impl Fn(&FieldRule) -> bool,
    ) -> Option<&FieldRule> {
        let words = Words::of(name.as_bytes());
        let mut found: Option<&FieldRule> = None;
        for end in (1..=words.count()).rev() {
            let shorter = self.find_before(&words, end, ty, &fits);
            // `percent` alone is open, but `body_fat_percent` is no more so than `body_fat`.
            if found.is_none() || shorter.is_some_and(|rule| rule.class != Class::Open) {
                found = shorter;
            }
            let is_noise = self.noise.iter().any(|noise| noise.as_bytes() == words.word(end - 1));
            if !is_noise || found.is_some_and(|rule| rule.class != Class::Open) {
                break;
            }
        }
        found
    }

    /// The rule with the longest name among the words before `end`.
    fn find_before(
        &self,
        words: &Words,
        end: usize,
        ty: FieldType,
        fits: impl Fn(&FieldRule) -> bool,
    ) -> Option<&FieldRule> {
        (end.saturating_sub(Self::WORDS_MAX)..end).find_map(|from| {
            spellings(words.span(from, end)).find_map(|name| {
                let takes = |named: &&Named| {
                    (!named.whole || words.is_leaf(from))
                        && named.rule.types.has(ty)
                        && fits(&named.rule)
                };
                Some(&*self.by_name.get(name)?.iter().find(takes)?.rule)
            })
        })
    }
}

/// As written, without digits at the end, and in the singular.
fn spellings(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    let digits = name.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let bare = &name[..name.len() - digits];
    let singular = if bare.len() > 3 { bare.strip_suffix(b"s") } else { None };
    [Some(name), (digits > 0).then_some(bare), singular].into_iter().flatten()
}

/// What a field's name says about how to read its open values.
pub(super) fn hints(name: &str, known: &HintWords) -> Hints {
    let words = Words::of(name.as_bytes());
    let suggests_secret =
        |last: usize| known.secret.iter().any(|word| word.as_bytes() == words.word(last));
    Hints {
        version: words.any_of(&known.version),
        web: words.any_of(&known.web),
        secret: words.count().checked_sub(1).is_some_and(suggests_secret),
        card: words.any_of(&known.card),
        sentences: true,
    }
}

#[cfg(test)]
mod tests {
    use super::super::standard;
    use super::*;

    #[test]
    fn web_logs_and_program_numbers_are_no_persons() {
        let names = &standard().names;
        for name in [
            "host",
            "status",
            "bytes",
            "path",
            "agent",
            "pid",
            "request_id",
            "trace_id",
            "@timestamp",
            "method",
            "protocol",
            "referrer",
            "program",
            "region",
            "plan",
            "model",
        ] {
            let rule = names.find(name, FieldType::Keyword, |_| true).unwrap();
            assert_eq!(rule.class, Class::Open, "{name}");
        }
        for name in ["description", "note", "message", "wind_speed"] {
            assert!(names.find(name, FieldType::Text, |_| true).is_none(), "{name}");
        }
    }

    #[test]
    fn spelling_does_not_matter() {
        let names = &standard().names;
        for name in [
            "user_id",
            "userId",
            "user.id",
            "app.user.id",
            "USER-ID",
            "user_ids",
            "userid2",
            "user_id_hash",
            "User ID",
        ] {
            let rule = names.find(name, FieldType::Keyword, |rule| rule.check.is_none());
            assert_eq!(rule.map(|rule| rule.kind), Some("user"), "{name}");
        }
    }

    #[test]
    fn names_hint_at_values() {
        let hints = |name| hints(name, &standard().words);
        assert!(hints("device.firmware").version && hints("user_agent").version);
        assert!(hints("integration.token").secret && !hints("token_type").secret);
        assert!(hints("card.number").card && !hints("cardinal").card);
        assert!(hints("http.path").web && !hints("pathology").web);
    }
}
