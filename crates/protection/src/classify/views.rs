//! Other spellings of a text, read as what they stand for: percent codes, full-width characters,
//! characters without width, `ada at example dot org`, letters with blanks between, base 64.
//!
//! A view is the text in its plain spelling and knows where each of its bytes comes from; the
//! same rules are asked about it, and what they find is taken back to the text as it is.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use std::borrow::Cow;
use std::ops::Range;

/// A text in its plain spelling.
pub(super) struct View {
    pub(super) text: String,
    /// Where each byte of `text` comes from in the source.
    from: Vec<(u32, u32)>,
}

impl View {
    /// The plain spelling of `source`, which is shorter than 4 GiB.
    pub(super) fn of(source: &str) -> View {
        let mut view = View {
            text: String::with_capacity(source.len()),
            from: Vec::with_capacity(source.len()),
        };
        let spoken = Spoken::of(source);
        let mut at = 0;
        while at < source.len() {
            let (plain, length) = unit(source, at, spoken);
            if let Some(plain) = plain {
                view.text.push(plain);
                let from = (at as u32, (at + length) as u32);
                view.from.extend(std::iter::repeat_n(from, plain.len_utf8()));
            }
            at += length;
        }
        view
    }

    /// Where a part of the view stands in the source.
    pub(super) fn source(&self, part: Range<usize>) -> Range<usize> {
        self.from[part.start].0 as usize..self.from[part.end - 1].1 as usize
    }
}

/// Which words and blanks of a text stand for signs.
#[derive(Clone, Copy)]
struct Spoken {
    /// `at` and `dot` without brackets: only where both are.
    bare: bool,
    /// Blanks around `@` and dots.
    wide: bool,
}

impl Spoken {
    fn of(source: &str) -> Spoken {
        let has = |word: &str| {
            let bytes = source.as_bytes();
            bytes.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word.as_bytes()))
        };
        Spoken { bare: has(" at ") && has_spoken_domain(source), wide: source.contains(" @ ") }
    }
}

/// ` dot ` before the end of a domain that is no word of a sentence.
fn has_spoken_domain(source: &str) -> bool {
    const ENDS: [&str; 30] = [
        "app", "au", "br", "ca", "ch", "cn", "co", "com", "de", "dev", "edu", "es", "eu", "fr",
        "gov", "info", "io", "jp", "kr", "museum", "mx", "net", "nl", "online", "org", "pl", "ru",
        "se", "shop", "uk",
    ];
    let mut words = source.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let mut follows_dot = false;
    words.any(|word| {
        let is_end = follows_dot && ENDS.iter().any(|end| word.eq_ignore_ascii_case(end));
        follows_dot = word.eq_ignore_ascii_case("dot");
        is_end
    })
}

/// The next unit of the source: what it stands for, and how many bytes it takes.
fn unit(source: &str, at: usize, spoken: Spoken) -> (Option<char>, usize) {
    let bytes = source.as_bytes();
    match bytes[at] {
        b'%' => match percent(&bytes[at..]) {
            Some((byte, length)) => (Some(char::from(byte)), length),
            None => (Some('%'), 1),
        },
        b' ' | b'[' | b'(' | b'{' | b'<' => {
            if let Some((sign, length)) = spoken_sign(&bytes[at..], spoken) {
                (Some(sign), length)
            } else if bytes[at] == b' ' && stands_between_letters(source, at) {
                (None, 1)
            } else {
                (Some(char::from(bytes[at])), 1)
            }
        }
        byte if byte < 0x80 => (Some(char::from(byte)), 1),
        _ => {
            let c = source[at..].chars().next().expect("the place is inside the text");
            (plain(c), c.len_utf8())
        }
    }
}

/// `%40`, also `%2540`; only what stands for a visible ASCII character or a blank.
fn percent(bytes: &[u8]) -> Option<(u8, usize)> {
    let mut at = 1;
    while bytes.get(at..at + 2) == Some(b"25")
        && bytes.get(at + 2).is_some_and(u8::is_ascii_hexdigit)
    {
        at += 2;
    }
    let digit = |place: usize| char::from(*bytes.get(place)?).to_digit(16);
    let byte = (digit(at)? * 16 + digit(at + 1)?) as u8;
    (byte == b' ' || byte.is_ascii_graphic()).then_some((byte, at + 2))
}

/// ` at `, `(at)`, ` [dot] `, ` @ `: the sign and how many bytes it takes.
fn spoken_sign(bytes: &[u8], spoken: Spoken) -> Option<(char, usize)> {
    let blanks = |from: usize| bytes[from..].iter().take_while(|&&byte| byte == b' ').count();
    let mut at = blanks(0).min(2);
    let led = at > 0;
    let close = match bytes.get(at)? {
        b'[' => Some(b']'),
        b'(' => Some(b')'),
        b'{' => Some(b'}'),
        b'<' => Some(b'>'),
        _ => None,
    };
    if close.is_some() {
        at += 1;
        at += blanks(at).min(1);
    }
    let rest = &bytes[at..];
    let says = |word: &str| {
        rest.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()))
    };
    let (sign, length, is_word) = match rest.first()? {
        b'@' => ('@', 1, false),
        b'.' => ('.', 1, false),
        _ if says("at") => ('@', 2, true),
        _ if says("dot") => ('.', 3, true),
        _ => return None,
    };
    at += length;
    let trailing = blanks(at);
    match close {
        Some(close) => {
            at += trailing.min(1);
            if bytes.get(at) != Some(&close) {
                return None;
            }
            at += 1;
            at += blanks(at).min(1);
        }
        None if !led || trailing == 0 || !(if is_word { spoken.bare } else { spoken.wide }) => {
            return None;
        }
        None => at += trailing.min(2),
    }
    bytes
        .get(at)
        .is_some_and(|next| next.is_ascii_alphanumeric() || *next >= 0x80)
        .then_some((sign, at))
}

/// Between single characters with single blanks between, at least five of them:
/// `a d a @ b . o r g`.
fn stands_between_letters(source: &str, at: usize) -> bool {
    const LETTERS_MIN: usize = 5;
    let after = singles(source[at + 1..].chars());
    let before = singles(source[..at].chars().rev());
    before > 0 && after > 0 && before + after >= LETTERS_MIN
}

/// How many single characters come, at most five, each with a blank or an end behind it.
fn singles(mut chars: impl Iterator<Item = char>) -> usize {
    let mut count = 0;
    while count < 5 {
        match (chars.next(), chars.next()) {
            (Some(' ') | None, _) => break,
            (Some(_), Some(' ')) => count += 1,
            (Some(_), None) => return count + 1,
            _ => break,
        }
    }
    count
}

/// What a character is read as; `None` for those without width.
fn plain(c: char) -> Option<char> {
    let ascii = |zero: char, base: u8| Some(char::from(base + (c as u32 - zero as u32) as u8));
    match c {
        '\u{ad}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{2064}'
        | '\u{feff}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{180e}' => None,
        '\u{ff01}'..='\u{ff5e}' => ascii('\u{ff01}', b'!'),
        '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{3000}' => Some(' '),
        '\u{2010}'..='\u{2015}' | '\u{2212}' => Some('-'),
        '\u{fe6b}' => Some('@'),
        '\u{660}'..='\u{669}' => ascii('\u{660}', b'0'),
        '\u{6f0}'..='\u{6f9}' => ascii('\u{6f0}', b'0'),
        '\u{966}'..='\u{96f}' => ascii('\u{966}', b'0'),
        c => Some(c),
    }
}

/// Whether the character that starts with the byte at `at`, which is no ASCII, may be written in
/// the place of a sign or hide between two.
pub(super) fn is_suspect(bytes: &[u8], at: usize) -> bool {
    let next = |offset: usize| bytes.get(at + offset).copied().unwrap_or(0);
    match bytes[at] {
        0xc2 => matches!(next(1), 0xa0 | 0xad),
        0xd9 => (0xa0..=0xa9).contains(&next(1)),
        0xdb => (0xb0..=0xb9).contains(&next(1)),
        0xe0 => next(1) == 0xa5 && (0xa6..=0xaf).contains(&next(2)),
        0xe2 => match (next(1), next(2)) {
            (0x80, 0x8b..=0x8f | 0xaa..=0xaf) | (0x81, 0xa0..=0xa4) => true,
            // A dash between digits.
            (0x80, 0x90..=0x95) | (0x88, 0x92) => next(3).is_ascii_digit(),
            _ => false,
        },
        // Full-width digits, letters and signs, but not what Chinese and Japanese end sentences with.
        0xef => match (next(1), next(2)) {
            (0xbb, 0xbf) => true,
            (0xbc, byte) => (0x90..=0xba).contains(&byte) || byte == 0x8b,
            (0xbd, byte) => (0x81..=0x9a).contains(&byte),
            (0xb9, 0xab) => true,
            _ => false,
        },
        _ => false,
    }
}

/// Whether a percent sign starts the code of a character.
pub(super) fn is_percent_code(bytes: &[u8], at: usize) -> bool {
    percent(&bytes[at..]).is_some()
}

/// The plain spelling of a value on its own, from which its pseudonym is made.
pub(super) fn plain_value<'a>(kind: &str, value: &'a str) -> Cow<'a, str> {
    let bytes = value.as_bytes();
    let is_email = kind == "email";
    if is_email && !value.contains('@') {
        let mut found = None;
        base64_runs(value, |run, plain| {
            if run == (0..value.trim_end_matches('=').len()) && plain.contains('@') {
                found = Some(plain.to_owned());
            }
        });
        if let Some(plain) = found {
            return Cow::Owned(plain);
        }
    }
    let is_odd = |(at, &byte): (usize, &u8)| match byte {
        b'%' => is_percent_code(bytes, at),
        b' ' | b'[' | b'(' => is_email,
        byte => byte >= 0x80 && is_suspect(bytes, at),
    };
    if bytes.iter().enumerate().any(is_odd) {
        return Cow::Owned(View::of(value).text);
    }
    Cow::Borrowed(value)
}

/// The shortest run that is read as base 64: 12 bytes of text.
const RUN_BYTES_MIN: usize = 16;
/// The longest.
const RUN_BYTES_MAX: usize = 64 << 10;

/// Calls `found` for each run of base 64 that stands for a text, with its place (without the
/// padding) and the text.
pub(super) fn base64_runs(text: &str, mut found: impl FnMut(Range<usize>, &str)) {
    let bytes = text.as_bytes();
    let mut probe = RUN_BYTES_MIN - 1;
    // Every run of that length has a byte at one of these places.
    while probe < bytes.len() {
        if !IN_BASE64[usize::from(bytes[probe])] {
            probe += RUN_BYTES_MIN;
            continue;
        }
        let is_in = |byte: &&u8| IN_BASE64[usize::from(**byte)];
        let before = bytes[..probe].iter().rev().take(RUN_BYTES_MAX).take_while(is_in).count();
        let start = probe - before;
        let end = probe + bytes[probe..].iter().take(RUN_BYTES_MAX).take_while(is_in).count();
        if end - start >= RUN_BYTES_MIN
            && let Some(plain) = decode(&bytes[start..end])
        {
            found(start..end, &plain);
        }
        probe = end + RUN_BYTES_MIN;
    }
}

/// The text that a run stands for. Nearly every word and path fails at its first bytes.
fn decode(run: &[u8]) -> Option<String> {
    let engine =
        if run.iter().any(|byte| b"-_".contains(byte)) { URL_SAFE_NO_PAD } else { STANDARD_NO_PAD };
    // A run of one character too many has no meaning; its last one may belong to what follows.
    let run = if run.len() % 4 == 1 { &run[..run.len() - 1] } else { run };
    let mut start = [0; 12];
    engine.decode_slice(&run[..RUN_BYTES_MIN], &mut start).ok()?;
    if !start.iter().all(|&byte| is_text(byte)) {
        return None;
    }
    let plain = String::from_utf8(engine.decode(run).ok()?).ok()?;
    plain.bytes().all(is_text).then_some(plain)
}

fn is_text(byte: u8) -> bool {
    byte >= 0x80 || byte == b' ' || byte.is_ascii_graphic() || matches!(byte, b'\n' | b'\r' | b'\t')
}

const IN_BASE64: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] =
            (byte as u8).is_ascii_alphanumeric() || matches!(byte as u8, b'+' | b'/' | b'-' | b'_');
        byte += 1;
    }
    table
};

/// Parts of a long text that overlap, so that work on a part stays small.
pub(super) fn windows(
    text: &str,
    length: usize,
    overlap: usize,
) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    let mut done = text.is_empty();
    std::iter::from_fn(move || {
        if done {
            return None;
        }
        let end = text.floor_char_boundary(start + length);
        let window = start..end;
        done = end == text.len();
        start = text.floor_char_boundary(end.saturating_sub(overlap));
        Some(window)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(source: &str, plain: &str) {
        let view = View::of(source);
        assert_eq!(view.text, plain);
        assert_eq!(view.from.len(), view.text.len());
    }

    #[test]
    fn other_spellings_are_read() {
        check("ada%40example.org", "ada@example.org");
        check("ada%2540example%2Eorg 100% %zz %0A %", "ada@example.org 100% %zz %0A %");
        check("ada\u{200b}@exa\u{ad}mple.org", "ada@example.org");
        check("ａｄａ＠ｅｘａｍｐｌｅ．ｏｒｇ", "ada@example.org");
        check("ada at example dot org", "ada@example.org");
        check(
            "ada [at] example [dot] org, ada(AT)example(DOT)org",
            "ada@example.org, ada@example.org",
        );
        check("ada @ example . org", "ada@example.org");
        check("a d a @ e x . o r g", "ada@ex.org");
        check("4 1 1 1 1 1 1 1", "41111111");
        check("٠١٢ ۳۴", "012 34");
    }

    #[test]
    fn plain_words_stay() {
        for text in [
            "at the dot",
            "look at the dot in the corner",
            "look at that",
            "a b c d",
            "I am at a loss. Yes",
            "f(at)",
            "größe 漢字",
            "(1) [2] {3} <4>",
            "array[at]",
            "end . Start",
        ] {
            check(text, text);
        }
    }

    #[test]
    fn a_view_knows_where_it_comes_from() {
        let source = "to ada%40example.org now";
        let view = View::of(source);
        let at = view.text.find("ada").unwrap();
        assert_eq!(&source[view.source(at..at + "ada@example.org".len())], "ada%40example.org");
    }

    #[test]
    fn base64_is_told_from_words() {
        let runs = |text: &str| {
            let mut all = Vec::new();
            base64_runs(text, |run, plain| all.push(format!("{run:?} {plain}")));
            all.join("; ")
        };
        assert_eq!(runs("x YWRhQGV4YW1wbGUub3Jn y"), "2..22 ada@example.org");
        assert_eq!(runs("{\"b\":\"dXNlcj1hZGEmcGFzc3dvcmQ9eA==\"}"), "6..32 user=ada&password=x");
        for text in [
            "/presentations/logstash-monitorama-2013/images/kibana",
            "8f14e45fceea167a5a36dedd4bea2543",
            "550e8400-e29b-41d4-a716-446655440000",
            "internationalization",
            "ThisIsAVeryLongCamelCaseNameOfAJavaClass",
        ] {
            assert_eq!(runs(text), "", "{text}");
        }
    }

    #[test]
    fn windows_overlap_and_end() {
        let text = "日本語".repeat(50);
        let all: Vec<_> = windows(&text, 100, 10).collect();
        assert_eq!((all[0].start, all.last().unwrap().end), (0, text.len()));
        for pair in all.windows(2) {
            assert!(pair[1].start <= pair[0].end - 9 && pair[1].end > pair[0].end);
        }
        assert_eq!(windows("", 10, 1).count(), 0);
        assert_eq!(windows("abc", 10, 1).next(), Some(0..3));
    }
}
