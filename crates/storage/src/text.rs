//! Cuts text into terms: Elasticsearch's standard analyzer, plus pseudonyms as whole terms.
//!
//! Word boundaries follow Unicode's rules (UAX #29) as far as the standard analyzer shows them:
//! letters, digits and `_` make a word; `.`, `'` and `:` join between two letters; `.`, `,` and `;`
//! join between two digits (`3.14` and `10.0.0.1` stay whole); every ideograph and kana stands
//! alone. Terms are lower case and cut after 255 characters.
//! A pseudonym or tag (`email:` and 26 characters) is one term, so that a person can be searched
//! inside text without being read there.

use tantivy::tokenizer::{Token, TokenStream, Tokenizer};

/// The name under which the tokenizer is registered; part of the segment format.
pub(crate) const TOKENIZER: &str = "clerestory";

const TERM_CHARACTERS_MAX: usize = 255;
const PSEUDONYM_DIGITS: usize = 26;

/// Cuts `text` as stored text is cut: position and term.
pub fn analyze(text: &str) -> Vec<(usize, String)> {
    let mut words = Words::new(text);
    let mut terms = Vec::new();
    let mut term = String::new();
    while let Some((start, end)) = words.next_word() {
        term.clear();
        push_lower_case(&text[start..end], &mut term);
        terms.push((terms.len(), term.clone()));
    }
    terms
}

/// The tokenizer for Tantivy.
#[derive(Clone, Default)]
pub(crate) struct StandardTokenizer {
    token: Token,
}

impl Tokenizer for StandardTokenizer {
    type TokenStream<'a> = StandardTokens<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> StandardTokens<'a> {
        self.token.reset();
        StandardTokens { text, words: Words::new(text), token: &mut self.token }
    }
}

pub(crate) struct StandardTokens<'a> {
    text: &'a str,
    words: Words<'a>,
    token: &'a mut Token,
}

impl TokenStream for StandardTokens<'_> {
    fn advance(&mut self) -> bool {
        let Some((start, end)) = self.words.next_word() else {
            return false;
        };
        self.token.text.clear();
        push_lower_case(&self.text[start..end], &mut self.token.text);
        self.token.position = self.token.position.wrapping_add(1);
        self.token.offset_from = start;
        self.token.offset_to = end;
        true
    }

    fn token(&self) -> &Token {
        self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        self.token
    }
}

fn push_lower_case(word: &str, out: &mut String) {
    if word.is_ascii() {
        out.push_str(word);
        out.make_ascii_lowercase();
    } else {
        out.extend(word.chars().flat_map(char::to_lowercase));
    }
}

/// What a character does at a word boundary.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Letter,
    Digit,
    /// `_` and marks that go with what stands before them.
    Joiner,
    Ideograph,
    /// Joins two letters: `:` `·`.
    MidLetter,
    /// Joins two digits: `,` `;`.
    MidNumber,
    /// Joins two letters or two digits: `.` `'`.
    MidBoth,
    Other,
}

fn kind_of(character: char) -> Kind {
    match character {
        'a'..='z' | 'A'..='Z' => Kind::Letter,
        '0'..='9' => Kind::Digit,
        '_' => Kind::Joiner,
        '.' | '\'' | '\u{2018}' | '\u{2019}' | '\u{2024}' | '\u{fe52}' | '\u{ff07}'
        | '\u{ff0e}' => Kind::MidBoth,
        ':' | '\u{b7}' | '\u{387}' | '\u{2027}' => Kind::MidLetter,
        ',' | ';' => Kind::MidNumber,
        _ if character.is_ascii() => Kind::Other,
        '\u{3040}'..='\u{30ff}'
        | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{3ffff}' => Kind::Ideograph,
        '\u{300}'..='\u{36f}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}' => Kind::Joiner,
        _ if character.is_alphabetic() => Kind::Letter,
        _ if character.is_numeric() => Kind::Digit,
        _ => Kind::Other,
    }
}

/// Walks over the words of a text.
struct Words<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Words<'a> {
    fn new(text: &'a str) -> Words<'a> {
        Words { text, at: 0 }
    }

    fn next_word(&mut self) -> Option<(usize, usize)> {
        let (start, first) = loop {
            let character = self.text[self.at..].chars().next()?;
            match kind_of(character) {
                Kind::Letter | Kind::Digit | Kind::Joiner => break (self.at, kind_of(character)),
                Kind::Ideograph => {
                    let start = self.at;
                    self.at += character.len_utf8();
                    return Some((start, self.at));
                }
                _ => self.at += character.len_utf8(),
            }
        };
        let mut end = start;
        let mut last = first;
        let mut characters = 0;
        let mut rest = self.text[start..].char_indices().peekable();
        while let Some((offset, character)) = rest.next() {
            if characters == TERM_CHARACTERS_MAX {
                break;
            }
            match kind_of(character) {
                kind @ (Kind::Letter | Kind::Digit) => {
                    last = kind;
                    end = start + offset + character.len_utf8();
                }
                Kind::Joiner => end = start + offset + character.len_utf8(),
                middle @ (Kind::MidLetter | Kind::MidNumber | Kind::MidBoth) => {
                    if character == ':'
                        && let Some(whole) = pseudonym_end(self.text, start + offset + 1)
                    {
                        // `ip:…` is one term and ends here.
                        self.at = whole;
                        return Some((start, whole));
                    }
                    let next = rest.peek().map_or(Kind::Other, |&(_, next)| kind_of(next));
                    let joins = match middle {
                        Kind::MidLetter => last == Kind::Letter && next == Kind::Letter,
                        Kind::MidNumber => last == Kind::Digit && next == Kind::Digit,
                        _ => last == next && matches!(last, Kind::Letter | Kind::Digit),
                    };
                    if !joins {
                        break;
                    }
                }
                Kind::Ideograph | Kind::Other => {
                    // `secret-jwt:…`: the kind of a tag has a dash in it.
                    if character == '-'
                        && &self.text[start..end] == "secret"
                        && let Some(whole) = tag_end(self.text, start + offset + 1)
                    {
                        self.at = whole;
                        return Some((start, whole));
                    }
                    break;
                }
            }
            characters += 1;
        }
        self.at = end;
        Some((start, end))
    }
}

/// If 26 base-32 digits and then no further word character stand at `at`: where they end.
fn pseudonym_end(text: &str, at: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let end = at + PSEUDONYM_DIGITS;
    let digits = bytes.get(at..end)?;
    let is_digit = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'v').contains(byte);
    let followed = bytes.get(end).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    (digits.iter().all(is_digit) && !followed).then_some(end)
}

/// If a kind of letters, digits, `_` and `-`, a colon and 26 digits stand at `at`: where they end.
fn tag_end(text: &str, at: usize) -> Option<usize> {
    let kind = text.get(at..)?.bytes().take(40);
    let length =
        kind.take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')).count();
    if text.as_bytes().get(at + length) != Some(&b':') {
        return None;
    }
    pseudonym_end(text, at + length + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let terms: Vec<String> = analyze(text).into_iter().map(|(_, term)| term).collect();
        assert_eq!(terms, expected, "terms of {text:?}");
        let mut tokenizer = StandardTokenizer::default();
        let mut stream = tokenizer.token_stream(text);
        let mut streamed = Vec::new();
        while stream.advance() {
            streamed.push(stream.token().text.clone());
        }
        assert_eq!(streamed, expected, "stream of {text:?}");
    }

    #[test]
    fn words_are_cut_as_the_standard_analyzer_cuts_them() {
        check("The QUICK brown-fox, it's 3.14!", &["the", "quick", "brown", "fox", "it's", "3.14"]);
        check("GET /a/b.png?x=1 HTTP/1.1", &["get", "a", "b.png", "x", "1", "http", "1.1"]);
        check("10.0.0.1:8080", &["10.0.0.1", "8080"]);
        check("foo_bar v2.x 1,000", &["foo_bar", "v2", "x", "1,000"]);
        check("Straße ÜBER", &["straße", "über"]);
        check("東京 タワー", &["東", "京", "タ", "ワ", "ー"]);
        check("", &[]);
        check("... --- '", &[]);
    }

    #[test]
    fn pseudonyms_and_tags_stay_whole() {
        check(
            "from ip:0123456789abcdefghijklmnop, port 22",
            &["from", "ip:0123456789abcdefghijklmnop", "port", "22"],
        );
        check(
            "key=secret-aws_key:0123456789abcdefghijklmnop.",
            &["key", "secret-aws_key:0123456789abcdefghijklmnop"],
        );
        check("ip:0123456789abcdefghijklmnopq", &["ip", "0123456789abcdefghijklmnopq"]);
    }

    #[test]
    fn a_word_without_end_is_cut() {
        let terms = analyze(&"x".repeat(600));
        assert_eq!(terms.iter().map(|(_, term)| term.len()).collect::<Vec<_>>(), [255, 255, 90]);
    }
}
