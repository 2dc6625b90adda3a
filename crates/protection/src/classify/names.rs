use super::Hints;
use super::field_rules::{
    CARD_WORDS, FIELD_RULES, FieldRule, NOISE, VERSION_WORDS, WEB_WORDS, suggests_secret,
};
use super::words::Words;
use hashbrown::HashMap;
use model::{Class, FieldType};

/// Finds the rules that a field's name falls under.
pub(super) struct Names {
    by_name: HashMap<&'static [u8], Vec<Named>, foldhash::fast::RandomState>,
}

#[derive(Clone, Copy)]
struct Named {
    rule: &'static FieldRule,
    /// Only if the name is the whole last part of the path.
    whole: bool,
}

impl Names {
    /// No name in the table has more words than this.
    const WORDS_MAX: usize = 5;

    pub(super) fn new() -> Names {
        let mut by_name: HashMap<&[u8], Vec<Named>, _> = HashMap::default();
        for rule in FIELD_RULES {
            for name in rule.names {
                let bare = name.strip_prefix('=');
                let named = Named { rule, whole: bare.is_some() };
                by_name.entry(bare.unwrap_or(name).as_bytes()).or_default().push(named);
            }
        }
        Names { by_name }
    }

    /// The first rule that fits the end of `name`, the type and, by `fits`, the values.
    pub(super) fn find(
        &self,
        name: &str,
        ty: FieldType,
        fits: impl Fn(&FieldRule) -> bool,
    ) -> Option<&'static FieldRule> {
        let words = Words::of(name.as_bytes());
        let mut found: Option<&FieldRule> = None;
        for end in (1..=words.count()).rev() {
            let shorter = self.find_before(&words, end, ty, &fits);
            // `percent` alone is open, but `body_fat_percent` is no more so than `body_fat`.
            if found.is_none() || shorter.is_some_and(|rule| rule.class != Class::Open) {
                found = shorter;
            }
            let is_noise = NOISE.iter().any(|noise| noise.as_bytes() == words.word(end - 1));
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
    ) -> Option<&'static FieldRule> {
        (end.saturating_sub(Self::WORDS_MAX)..end).find_map(|from| {
            spellings(words.span(from, end)).find_map(|name| {
                let takes = |named: &&Named| {
                    (!named.whole || words.is_leaf(from))
                        && named.rule.types.has(ty)
                        && fits(named.rule)
                };
                Some(self.by_name.get(name)?.iter().find(takes)?.rule)
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
pub(super) fn hints(name: &str) -> Hints {
    let words = Words::of(name.as_bytes());
    let last = words.count().checked_sub(1).map(|last| words.word(last));
    Hints {
        version: words.any_of(&VERSION_WORDS),
        web: words.any_of(&WEB_WORDS),
        secret: last.is_some_and(suggests_secret),
        card: words.any_of(&CARD_WORDS),
        sentences: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_takes_its_examples_and_leaves_the_others() {
        let names = Names::new();
        for rule in FIELD_RULES {
            let found = |name: &str, ty, value: &str| {
                let fits = |rule: &FieldRule| rule.values.is_none_or(|looks| looks(value));
                names.find(name, ty, fits).map(|rule| rule.name)
            };
            for &(name, ty, value) in rule.takes {
                assert_eq!(found(name, ty, value), Some(rule.name), "{name}");
            }
            for &(name, ty, value) in rule.leaves {
                assert_ne!(found(name, ty, value), Some(rule.name), "{name}");
            }
            assert!(!rule.takes.is_empty(), "{} has no example", rule.name);
        }
    }

    #[test]
    fn every_name_of_the_table_can_match() {
        for rule in FIELD_RULES {
            for name in rule.names {
                let bare = name.strip_prefix('=').unwrap_or(name);
                let plain =
                    bare.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
                assert!(plain && !bare.is_empty(), "{name} in {}", rule.name);
            }
        }
    }

    #[test]
    fn web_logs_and_program_numbers_are_no_persons() {
        let names = Names::new();
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
        let names = Names::new();
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
            let rule = names.find(name, FieldType::Keyword, |rule| rule.values.is_none());
            assert_eq!(rule.map(|rule| rule.kind), Some("user"), "{name}");
        }
    }

    #[test]
    fn names_hint_at_values() {
        assert!(hints("device.firmware").version && hints("user_agent").version);
        assert!(hints("integration.token").secret && !hints("token_type").secret);
        assert!(hints("card.number").card && !hints("cardinal").card);
        assert!(hints("http.path").web && !hints("pathology").web);
    }
}
