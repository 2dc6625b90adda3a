use super::checks::{self, HOST_PREFIXES};
use super::field_rules::{FIELD_RULES, FieldRule};
use super::text_rules::{Place, TEXT_RULES, TextRule};
use super::words::Words;
use super::{Finding, Hints, shapes};
use crate::pseudonym;
use hashbrown::HashMap;
use model::{Class, FieldType};
use regex::bytes::Regex;
use std::ops::Range;

/// Finds personal and secret values inside a text.
///
/// Two passes: one over the bytes for what is recognised by its shape (addresses, numbers,
/// `name=value`), one for the anchors of [`TEXT_RULES`].
pub(super) struct TextScanner {
    anchors: Regex,
    by_anchor: HashMap<&'static [u8], Vec<AnchorRule>, foldhash::fast::RandomState>,
    labels: HashMap<&'static [u8], Label, foldhash::fast::RandomState>,
}

struct AnchorRule {
    rule: &'static TextRule,
    pattern: Option<Regex>,
}

/// A name that makes the value behind it personal or secret.
#[derive(Clone, Copy)]
struct Label {
    rule: &'static FieldRule,
    /// Only as the whole label.
    whole: bool,
}

impl TextScanner {
    pub(super) fn new() -> TextScanner {
        let mut by_anchor: HashMap<&[u8], Vec<AnchorRule>, _> = HashMap::default();
        let mut anchors: Vec<String> = Vec::new();
        for rule in TEXT_RULES {
            for anchor in rule.anchors {
                let pattern = (!rule.pattern.is_empty()).then(|| ascii(rule.pattern));
                by_anchor.entry(anchor.as_bytes()).or_default().push(AnchorRule { rule, pattern });
                anchors.push(regex::escape(anchor));
            }
        }
        let mut labels = HashMap::default();
        for rule in
            FIELD_RULES.iter().filter(|rule| rule.in_text && rule.types.has(FieldType::Text))
        {
            for name in rule.names {
                let bare = name.strip_prefix('=');
                let label = Label { rule, whole: bare.is_some() };
                labels.entry(bare.unwrap_or(name).as_bytes()).or_insert(label);
            }
        }
        let anchors = Regex::new(&format!("(?-u:{})", anchors.join("|")));
        TextScanner { anchors: anchors.expect("escaped words are a pattern"), by_anchor, labels }
    }

    /// Replaces `out` by what is in `text`: ascending, without overlaps.
    pub(super) fn find(&self, text: &str, hints: Hints, out: &mut Vec<Finding>) {
        out.clear();
        if text.len() < 3 {
            return;
        }
        if hints.secret && !pseudonym::is_pseudonym(text) && checks::looks_random(text.trim()) {
            out.push(Finding { start: 0, end: text.len(), class: Class::Secret, kind: "secret" });
            return;
        }
        let mut turned = Vec::new();
        shapes::find(text, hints, out, &mut turned, |out, at| self.find_labelled(text, at, out));
        self.find_anchored(text, hints, out);
        // What cuts into a pseudonym has taken its kind or code for a value.
        out.retain(|finding| {
            let cuts = |span: &Range<usize>, at| span.start < at && at < span.end;
            !turned.iter().any(|span| cuts(span, finding.start) || cuts(span, finding.end))
        });
        if out.len() > 1 || out.first().is_some_and(|one| one.start >= one.end) {
            settle(text, out);
        }
    }

    fn find_anchored(&self, text: &str, hints: Hints, out: &mut Vec<Finding>) {
        let bytes = text.as_bytes();
        for anchor in self.anchors.find_iter(bytes) {
            let Some(rules) = self.by_anchor.get(anchor.as_bytes()) else { continue };
            for AnchorRule { rule, pattern } in rules {
                let is_sentence = rule.class != Class::Secret;
                if (is_sentence && !hints.sentences)
                    || (hints.web && anchor.as_bytes().contains(&b'/') && is_sentence)
                    || !stands_after(&bytes[..anchor.start()], rule)
                {
                    continue;
                }
                let from = if rule.place == Place::Anchor { anchor.start() } else { anchor.end() };
                match pattern {
                    Some(pattern) => push_groups(text, from, rule, pattern, out),
                    None => push_word_before(text, anchor.start(), rule, out),
                }
            }
        }
    }

    /// The value behind a `=` or `:` at `at`, if the name before it says that it is one.
    fn find_labelled(&self, text: &str, at: usize, out: &mut Vec<Finding>) {
        let bytes = text.as_bytes();
        let Some((name, quoted)) = name_before(bytes, at) else { return };
        let words = Words::of(&bytes[name.clone()]);
        let Some(label) = self.label(&words) else { return };
        let rule = label.rule;
        if bytes[at] == b':' && !quoted && !may_stand_before_colon(rule, &words) {
            return;
        }
        let spaced = bytes[at] == b':' || at > name.end + usize::from(quoted);
        let Some((start, mut end)) = value_after(bytes, at + 1, spaced) else { return };
        let (start, is_cookie) = match words.word(words.count() - 1) {
            b"authorization" => (after_scheme(bytes, start), false),
            b"cookie" => (start, true),
            _ => (start, false),
        };
        // The value goes on behind the scheme, a cookie to the end of the line.
        if start > end || is_cookie {
            let rest = &bytes[start..];
            let is_end =
                |byte: &u8| matches!(byte, b'\n' | b'\r' | b'"') || (!is_cookie && *byte == b' ');
            end = start + rest.iter().position(is_end).unwrap_or(rest.len());
        }
        // In `new user: name=ada` the name comes after the next separator.
        let is_pair = bytes[at] == b':' && !quoted && bytes[start..end].contains(&b'=');
        if is_pair && rule.class != Class::Secret {
            return;
        }
        if is_value_of(rule, &words, &text[start..end]) {
            out.push(Finding { start, end, class: rule.class, kind: rule.kind });
        }
    }

    fn label(&self, words: &Words) -> Option<Label> {
        let count = words.count();
        (count.saturating_sub(4)..count).find_map(|from| {
            let label = self.labels.get(words.span(from, count))?;
            (!label.whole || from == 0).then_some(*label)
        })
    }
}

fn ascii(pattern: &str) -> Regex {
    Regex::new(&format!(r"\A(?-u:{pattern})")).expect("the patterns of the table are tested")
}

fn stands_after(before: &[u8], rule: &TextRule) -> bool {
    let ends_with = |ends: &[&str]| ends.iter().any(|end| before.ends_with(end.as_bytes()));
    if ends_with(rule.unless) {
        return false;
    }
    match rule.before {
        [] => !before.last().is_some_and(u8::is_ascii_alphanumeric),
        ends => ends_with(ends),
    }
}

fn push_groups(text: &str, from: usize, rule: &TextRule, pattern: &Regex, out: &mut Vec<Finding>) {
    let Some(groups) = pattern.captures(&text.as_bytes()[from..]) else { return };
    let first = usize::from(groups.len() > 1);
    for group in groups.iter().skip(first).flatten() {
        push(text, from + group.start(), from + group.end(), rule, out);
    }
}

/// The word that ends at `end`: back to a blank or an opening bracket.
fn push_word_before(text: &str, end: usize, rule: &TextRule, out: &mut Vec<Finding>) {
    let before = &text.as_bytes()[..end];
    let is_edge = |byte: &u8| byte.is_ascii_whitespace() || *byte == b'(';
    let start = before.iter().rposition(is_edge).map_or(0, |edge| edge + 1);
    push(text, start, end, rule, out);
}

fn push(text: &str, start: usize, mut end: usize, rule: &TextRule, out: &mut Vec<Finding>) {
    if rule.class != Class::Secret {
        while end > start && matches!(text.as_bytes()[end - 1], b'.' | b',' | b';' | b':') {
            end -= 1;
        }
    }
    // A pattern that counts bytes may end inside a character.
    while !text.is_char_boundary(end) {
        end += 1;
    }
    let value = &text[start..end];
    if value.is_empty() || !(rule.check)(value.as_bytes()) || pseudonym::is_pseudonym(value) {
        return;
    }
    out.push(Finding { start, end, class: rule.class, kind: rule.kind });
}

/// The name that ends before a separator at `at`, and whether it stands in quotes.
fn name_before(bytes: &[u8], at: usize) -> Option<(Range<usize>, bool)> {
    const NAME_BYTES_MAX: usize = 64;
    let mut end = at;
    if end > 0 && bytes[end - 1] == b' ' {
        end -= 1;
    }
    let quoted = end > 0 && matches!(bytes[end - 1], b'"' | b'\'');
    if quoted {
        end -= 1;
        if end > 0 && bytes[end - 1] == b'\\' {
            end -= 1;
        }
    }
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.".contains(byte);
    let window = &bytes[end.saturating_sub(NAME_BYTES_MAX)..end];
    let length = window.iter().rev().take_while(|byte| is_name(byte)).count();
    (length >= 2).then(|| (end - length..end, quoted))
}

/// Where the value behind a separator starts and ends.
fn value_after(bytes: &[u8], mut at: usize, spaced: bool) -> Option<(usize, usize)> {
    let blanks = bytes[at..].iter().take_while(|&&byte| byte == b' ').count();
    if spaced && blanks <= 2 {
        at += blanks;
    }
    if bytes.get(at) == Some(&b'\\') && matches!(bytes.get(at + 1), Some(b'"' | b'\'')) {
        let rest = &bytes[at + 2..];
        let end = rest.iter().position(|&byte| byte == b'\\').unwrap_or(rest.len());
        return Some((at + 2, at + 2 + end));
    }
    match *bytes.get(at)? {
        quote @ (b'"' | b'\'') => {
            let rest = &bytes[at + 1..];
            let mut escaped = false;
            let end = rest.iter().position(|&byte| {
                let ends = byte == quote && !escaped;
                escaped = byte == b'\\' && !escaped;
                ends
            });
            Some((at + 1, at + 1 + end.unwrap_or(rest.len())))
        }
        b'[' | b'{' | b'=' => None,
        _ => {
            let is_end = |byte: &u8| byte.is_ascii_whitespace() || b",;&\"')]}<>|".contains(byte);
            let rest = &bytes[at..];
            Some((at, at + rest.iter().position(is_end).unwrap_or(rest.len())))
        }
    }
}

/// `Bearer abc` starts at `abc`.
fn after_scheme(bytes: &[u8], start: usize) -> usize {
    const SCHEMES: [&str; 6] = ["bearer", "basic", "apikey", "token", "digest", "negotiate"];
    let letters = bytes[start..].iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let word = &bytes[start..start + letters];
    let is_scheme = SCHEMES.iter().any(|scheme| scheme.as_bytes().eq_ignore_ascii_case(word));
    let goes_on = bytes.get(start + letters) == Some(&b' ');
    if is_scheme && goes_on { start + letters + 1 } else { start }
}

/// `user: ada` names a user; `login: failed` does not.
fn may_stand_before_colon(rule: &FieldRule, words: &Words) -> bool {
    const VAGUE: [&str; 9] =
        ["login", "session", "account", "owner", "actor", "principal", "gps", "lat", "serial"];
    let last = words.word(words.count() - 1);
    !VAGUE.iter().any(|vague| vague.as_bytes() == last)
        && (rule.class != Class::Special || words.count() > 1)
}

/// The last word on a value that stands behind a name.
fn is_value_of(rule: &FieldRule, words: &Words, value: &str) -> bool {
    let bytes = value.as_bytes();
    if bytes.is_empty() || pseudonym::is_pseudonym(value) || checks::is_nothing(bytes) {
        return false;
    }
    if rule.values.is_some_and(|looks_right| !looks_right(value)) {
        return false;
    }
    let digits = bytes.iter().filter(|byte| byte.is_ascii_digit()).count();
    match rule.kind {
        "ip" => bytes[0].is_ascii_alphabetic() && !bytes.contains(&b':'),
        "mac" => bytes.iter().filter(|byte| byte.is_ascii_hexdigit()).count() >= 12,
        "phone" => digits >= 6,
        "card" | "iban" => digits >= 10,
        "position" | "device" => digits >= 1,
        "session" => bytes.len() >= 6,
        "user" if words.word(words.count() - 1).ends_with(b"uid") => {
            // Numbers below 1000 are accounts of the system, not of people.
            digits < bytes.len() || bytes.len() > 3
        }
        _ => true,
    }
}

/// Sorts the findings and drops all but the best of those that overlap.
fn settle(text: &str, out: &mut Vec<Finding>) {
    out.retain(|finding| finding.start < finding.end && finding.end <= text.len());
    out.sort_by_key(|finding| (finding.start, usize::MAX - finding.end));
    let mut kept = 0;
    for at in 0..out.len() {
        let next = out[at].clone();
        if kept > 0 && out[kept - 1].end > next.start {
            if strength(&next) > strength(&out[kept - 1]) {
                out[kept - 1] = next;
            }
            continue;
        }
        out[kept] = next;
        kept += 1;
    }
    out.truncate(kept);
}

/// Of two that overlap a secret wins, then the longer, then what has a shape of its own.
fn strength(finding: &Finding) -> (bool, usize, bool) {
    let shaped = !matches!(finding.kind, "user" | "password" | "token" | "key" | "secret");
    (finding.class == Class::Secret, finding.end - finding.start, shaped)
}

/// Whether `word` is a prefix of machine names that hold an address.
pub(super) fn is_host_prefix(word: &[u8]) -> bool {
    HOST_PREFIXES.iter().any(|prefix| word.eq_ignore_ascii_case(prefix.as_bytes()))
}
