use super::checks::{self, HOST_PREFIXES};
use super::rule::{FieldRule, Place, RuleSet, TextRule};
use super::views::{self, View};
use super::words::Words;
use super::{Finding, Hints, shapes};
use crate::pseudonym;
use hashbrown::HashMap;
use model::{Class, FieldType};
use regex::bytes::Regex;
use std::ops::Range;
use std::sync::Arc;

/// Finds personal and secret values inside a text.
///
/// One pass over the bytes for what is recognised by its shape (addresses, numbers,
/// `name=value`), one for the anchors of the rules on text; then the same over the plain spelling
/// of what is written in another one.
///
/// The time it takes grows with the length of the text and not faster, whoever wrote it: a
/// pattern sees a bounded part of the text, and what was found is not looked through again.
pub(super) struct TextScanner {
    anchors: Regex,
    by_anchor: HashMap<Box<[u8]>, Vec<Arc<TextRule>>, foldhash::fast::RandomState>,
    /// Rules without an anchor.
    free: Vec<Arc<TextRule>>,
    labels: HashMap<Box<[u8]>, Label, foldhash::fast::RandomState>,
}

/// A name that makes the value behind it personal or secret.
struct Label {
    rule: Arc<FieldRule>,
    /// Only as the whole label.
    whole: bool,
}

/// Signs of an address that is spelled in words.
const SPELLED: [&str; 11] =
    ["(at)", "[at]", "{at}", "( at ", "[ at ", "(AT)", "[AT]", "dot ", "DOT ", "(dot)", "[dot]"];

/// So much of a text the pattern of a credential sees at first, and so much if it matches to the
/// end of that.
const SECRET_WINDOWS: [usize; 2] = [2 << 10, 64 << 10];
/// The same for sentences.
const SENTENCE_WINDOWS: [usize; 2] = [512, 4 << 10];
/// Rules without an anchor and other spellings are asked about parts of this length.
const PART_BYTES: usize = 16 << 10;
/// So far two parts overlap.
const PART_OVERLAP: usize = 1 << 10;
/// What is found and longer than this is not looked through again.
const LONG_BYTES: usize = 256;

impl TextScanner {
    pub(super) fn new(rules: &RuleSet) -> TextScanner {
        let mut by_anchor: HashMap<Box<[u8]>, Vec<Arc<TextRule>>, _> = HashMap::default();
        let mut anchors: Vec<String> = SPELLED.iter().map(|sign| regex::escape(sign)).collect();
        for rule in &rules.texts {
            for anchor in &rule.anchors {
                by_anchor.entry(anchor.as_bytes().into()).or_default().push(Arc::clone(rule));
                anchors.push(regex::escape(anchor));
            }
        }
        let mut labels: HashMap<Box<[u8]>, Label, _> = HashMap::default();
        let in_text = |rule: &&Arc<FieldRule>| rule.in_text && rule.types.has(FieldType::Text);
        for rule in rules.fields.iter().filter(in_text) {
            for name in &rule.fields {
                let label = Label { rule: Arc::clone(rule), whole: name.whole };
                match labels.entry(name.joined.as_bytes().into()) {
                    hashbrown::hash_map::Entry::Vacant(entry) => {
                        entry.insert(label);
                    }
                    // A rule of a company comes later, and can raise.
                    hashbrown::hash_map::Entry::Occupied(mut entry) => {
                        if entry.get().rule.class < rule.class {
                            entry.insert(label);
                        }
                    }
                }
            }
        }
        let anchors = Regex::new(&format!("(?-u:{})", anchors.join("|")));
        let free = rules.texts.iter().filter(|rule| rule.anchors.is_empty()).cloned().collect();
        TextScanner {
            anchors: anchors.expect("escaped words are a pattern"),
            by_anchor,
            free,
            labels,
        }
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
        if self.find_plain(text, hints, out) {
            self.find_spelled(text, hints, out);
        }
        self.find_encoded(text, hints, out);
        if out.len() > 1 {
            settle(out);
        }
    }

    /// Replaces `out` by what is in `text` as it is written, overlaps and all. Whether there are
    /// signs of another spelling.
    pub(super) fn find_plain(&self, text: &str, hints: Hints, out: &mut Vec<Finding>) -> bool {
        out.clear();
        let mut turned = Vec::new();
        let mut spelled = shapes::find(text, hints, out, &mut turned, |out, at| {
            self.find_labelled(text, at, out)
        });
        spelled |= self.find_anchored(text, hints, out);
        self.find_free(text, out);
        // What cuts into a pseudonym has taken its kind or code for a value.
        if !turned.is_empty() {
            let cuts = |at: usize| {
                let next = turned.partition_point(|span: &Range<usize>| span.end <= at);
                turned.get(next).is_some_and(|span| span.start < at)
            };
            out.retain(|finding| !cuts(finding.start) && !cuts(finding.end));
        }
        spelled
    }

    fn find_spelled(&self, text: &str, hints: Hints, out: &mut Vec<Finding>) {
        let mut found = Vec::new();
        for part in views::windows(text, PART_BYTES, PART_OVERLAP) {
            let view = View::of(&text[part.clone()]);
            self.find_plain(&view.text, hints, &mut found);
            out.extend(found.drain(..).map(|finding| {
                let source = view.source(finding.start..finding.end);
                let (start, end) = (part.start + source.start, part.start + source.end);
                Finding { start, end, ..finding }
            }));
        }
    }

    /// A run of base 64 with something inside is taken as a whole.
    fn find_encoded(&self, text: &str, hints: Hints, out: &mut Vec<Finding>) {
        let mut found = Vec::new();
        views::base64_runs(text, |run, plain| {
            self.find_plain(plain, hints, &mut found);
            if let Some(best) = found.iter().max_by_key(|finding| strength(finding)) {
                out.push(Finding { start: run.start, end: run.end, ..best.clone() });
            }
        });
    }

    /// Whether there are signs of an address that is spelled in words.
    fn find_anchored(&self, text: &str, hints: Hints, out: &mut Vec<Finding>) -> bool {
        let bytes = text.as_bytes();
        let mut spelled = false;
        let mut found_to = 0;
        for anchor in self.anchors.find_iter(bytes) {
            let Some(rules) = self.by_anchor.get(anchor.as_bytes()) else {
                spelled = true;
                continue;
            };
            if anchor.start() < found_to {
                continue;
            }
            for rule in rules {
                let is_sentence = rule.class != Class::Secret;
                if (is_sentence && !hints.sentences)
                    || (hints.web && anchor.as_bytes().contains(&b'/') && is_sentence)
                    || !stands_after(&bytes[..anchor.start()], rule)
                {
                    continue;
                }
                let from = if rule.place == Place::Anchor { anchor.start() } else { anchor.end() };
                match &rule.pattern {
                    Some(pattern) => push_groups(text, from, rule, pattern, out),
                    None => push_word_before(text, anchor.start(), rule, out),
                }
                if let Some(last) = out.last()
                    && last.start >= anchor.start()
                    && last.end - last.start > LONG_BYTES
                {
                    found_to = found_to.max(last.end);
                }
            }
        }
        spelled
    }

    fn find_free(&self, text: &str, out: &mut Vec<Finding>) {
        for rule in &self.free {
            let Some(pattern) = &rule.pattern else { continue };
            let first = usize::from(pattern.captures_len() > 1);
            for part in views::windows(text, PART_BYTES, PART_OVERLAP) {
                for groups in pattern.captures_iter(&text.as_bytes()[part.clone()]) {
                    for group in groups.iter().skip(first).flatten() {
                        push(text, part.start + group.start(), part.start + group.end(), rule, out);
                    }
                }
            }
        }
    }

    /// The value behind a `=` or `:` at `at`, if the name before it says that it is one. Where to
    /// go on, if that is far.
    fn find_labelled(&self, text: &str, at: usize, out: &mut Vec<Finding>) -> Option<usize> {
        let bytes = text.as_bytes();
        let (name, quoted) = name_before(bytes, at)?;
        let words = Words::of(&bytes[name.clone()]);
        let rule = &self.label(&words)?.rule;
        if bytes[at] == b':' && !quoted && !may_stand_before_colon(rule, &words) {
            return None;
        }
        // `systemd-user:session` names a part of a program.
        let is_list = name.start > 0 && b"{,[".contains(&bytes[name.start - 1]);
        let is_tight = bytes[at] == b':' && !quoted && bytes.get(at + 1) != Some(&b' ');
        if is_tight && !is_list && rule.class != Class::Secret {
            return None;
        }
        let spaced = bytes[at] == b':' || at > name.end + usize::from(quoted);
        let (start, mut end) = value_after(bytes, at + 1, spaced)?;
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
            return None;
        }
        if is_value_of(rule, &words, &text[start..end]) {
            out.push(Finding { start, end, class: rule.class, kind: rule.kind });
        }
        (end - start > LONG_BYTES).then_some(end)
    }

    fn label(&self, words: &Words) -> Option<&Label> {
        let count = words.count();
        (count.saturating_sub(4)..count).find_map(|from| {
            let label = self.labels.get(words.span(from, count))?;
            (!label.whole || from == 0).then_some(label)
        })
    }
}

fn stands_after(before: &[u8], rule: &TextRule) -> bool {
    let ends_with = |ends: &[String]| ends.iter().any(|end| before.ends_with(end.as_bytes()));
    if ends_with(&rule.unless_after) {
        return false;
    }
    match rule.after.as_slice() {
        [] => !before.last().is_some_and(u8::is_ascii_alphanumeric),
        ends => ends_with(ends),
    }
}

fn push_groups(text: &str, from: usize, rule: &TextRule, pattern: &Regex, out: &mut Vec<Finding>) {
    let rest = &text.as_bytes()[from..];
    let windows = if rule.class == Class::Secret { SECRET_WINDOWS } else { SENTENCE_WINDOWS };
    for window in windows {
        let seen = &rest[..rest.len().min(window)];
        let Some(whole) = pattern.find(seen) else { return };
        // What ends where the window does may go on.
        let is_cut = seen.len() < rest.len() && whole.end() == seen.len();
        if is_cut && window < windows[1] {
            continue;
        }
        if pattern.captures_len() == 1 {
            return push(text, from, from + whole.end(), rule, out);
        }
        let groups = pattern.captures(seen);
        for group in groups.iter().flat_map(|groups| groups.iter().skip(1)).flatten() {
            push(text, from + group.start(), from + group.end(), rule, out);
        }
        return;
    }
}

/// The word that ends at `end`: back to a blank or an opening bracket.
fn push_word_before(text: &str, end: usize, rule: &TextRule, out: &mut Vec<Finding>) {
    let before = &text.as_bytes()[..end];
    let is_edge = |byte: &u8| byte.is_ascii_whitespace() || *byte == b'(';
    let start = before.iter().rposition(is_edge).map_or(0, |edge| edge + 1);
    push(text, start, end, rule, out);
}

fn push(text: &str, mut start: usize, mut end: usize, rule: &TextRule, out: &mut Vec<Finding>) {
    if rule.class != Class::Secret {
        while end > start && matches!(text.as_bytes()[end - 1], b'.' | b',' | b';' | b':') {
            end -= 1;
        }
    }
    // A pattern that counts bytes may cut a character.
    start = text.floor_char_boundary(start);
    end = text.ceil_char_boundary(end);
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
    if !rule.takes_value(value) {
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

/// Sorts the findings. Those that overlap become one that covers them all and is named after the
/// strongest, so that nothing that was found is left in the clear.
pub(super) fn settle(out: &mut Vec<Finding>) {
    out.sort_unstable_by_key(|finding| (finding.start, usize::MAX - finding.end));
    out.dedup_by(|next, kept| {
        if next.start >= kept.end {
            return false;
        }
        if strength(next) > strength(kept) {
            (kept.class, kept.kind) = (next.class, next.kind);
        }
        kept.end = kept.end.max(next.end);
        true
    });
}

/// The stricter class is stronger, then the longer, then what has a shape of its own.
fn strength(finding: &Finding) -> (Class, usize, bool) {
    let shaped = !matches!(finding.kind, "user" | "password" | "token" | "key" | "secret");
    (finding.class, finding.end - finding.start, shaped)
}

/// Whether `word` is a prefix of machine names that hold an address.
pub(super) fn is_host_prefix(word: &[u8]) -> bool {
    HOST_PREFIXES.iter().any(|prefix| word.eq_ignore_ascii_case(prefix.as_bytes()))
}
