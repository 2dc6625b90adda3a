//! The pass over the bytes of a text: addresses, numbers and `name=value`, each tried only where
//! a byte starts it.

use super::checks::{self, iban_length};
use super::text::is_host_prefix;
use super::{Finding, Hints, views};
use crate::pseudonym;
use model::Class;
use std::ops::Range;

/// Appends what is recognised by its shape, and to `turned` where pseudonyms stand; calls `label`
/// at each separator of a name and a value, which says where to go on. Whether there are signs of
/// another spelling, see [`views`].
pub(super) fn find(
    text: &str,
    hints: Hints,
    out: &mut Vec<Finding>,
    turned: &mut Vec<Range<usize>>,
    mut label: impl FnMut(&mut Vec<Finding>, usize) -> Option<usize>,
) -> bool {
    let bytes = text.as_bytes();
    let mut spelled = false;
    let mut at = 0;
    while at < bytes.len() {
        let step = match STARTS[usize::from(bytes[at])] {
            Start::None => {
                at += 1;
                continue;
            }
            Start::Digit => {
                spelled |= is_letter_spaced(bytes, at);
                digits(bytes, at, hints, out)
            }
            Start::Plus => international_phone(bytes, at, out),
            Start::Dash => mac(bytes, at, b'-', out),
            Start::At => {
                spelled |= before(bytes, at) == Some(&b' ') && bytes.get(at + 1) == Some(&b' ');
                email(text, at, out)
            }
            Start::Equals if hints.sentences => label(out, at),
            Start::Equals => None,
            Start::Colon => colon(text, at, out, turned)
                .or_else(|| if hints.sentences { label(out, at) } else { None }),
            Start::Percent => {
                spelled = spelled || views::is_percent_code(bytes, at);
                None
            }
            Start::High => {
                spelled = spelled || views::is_suspect(bytes, at);
                None
            }
        };
        at = step.unwrap_or(at + 1);
    }
    spelled
}

/// `4 1 1 1`: digits with blanks between.
fn is_letter_spaced(bytes: &[u8], at: usize) -> bool {
    matches!(
        bytes.get(at + 1..at + 6),
        Some([b' ', one, b' ', two, b' ']) if one.is_ascii_digit() && two.is_ascii_digit()
    )
}

#[derive(Clone, Copy)]
enum Start {
    None,
    Digit,
    Colon,
    At,
    Equals,
    Plus,
    Dash,
    Percent,
    /// The first byte of a character that [`views::is_suspect`] asks about.
    High,
}

const STARTS: [Start; 256] = {
    let mut starts = [Start::None; 256];
    let mut digit = b'0';
    while digit <= b'9' {
        starts[digit as usize] = Start::Digit;
        digit += 1;
    }
    starts[b':' as usize] = Start::Colon;
    starts[b'@' as usize] = Start::At;
    starts[b'=' as usize] = Start::Equals;
    starts[b'+' as usize] = Start::Plus;
    starts[b'-' as usize] = Start::Dash;
    starts[b'%' as usize] = Start::Percent;
    let high = [0xc2, 0xd9, 0xdb, 0xe0, 0xe2, 0xef];
    let mut place = 0;
    while place < high.len() {
        starts[high[place]] = Start::High;
        place += 1;
    }
    starts
};

fn personal(start: usize, end: usize, kind: &'static str) -> Finding {
    Finding { start, end, class: Class::Personal, kind }
}

fn is_word(byte: Option<&u8>) -> bool {
    byte.is_some_and(u8::is_ascii_alphanumeric)
}

fn before(bytes: &[u8], at: usize) -> Option<&u8> {
    at.checked_sub(1).map(|previous| &bytes[previous])
}

/// A run of digits starts at `at`: IPv4, host name, phone, card, IBAN. Returns where to go on.
fn digits(bytes: &[u8], at: usize, hints: Hints, out: &mut Vec<Finding>) -> Option<usize> {
    let run_end = at + bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let previous = before(bytes, at);
    let length = run_end - at;
    if is_word(previous) {
        let found = if length >= 2 { iban(bytes, at) } else { None };
        return Some(match found {
            Some((start, end)) => {
                out.push(personal(start, end, "iban"));
                end
            }
            None => run_end,
        });
    }
    let next = bytes.get(run_end);
    if length <= 3 && next == Some(&b'.') && bytes.get(run_end + 1).is_some_and(u8::is_ascii_digit)
    {
        return Some(dotted(bytes, at, hints, out));
    }
    if length <= 3
        && next == Some(&b'-')
        && previous == Some(&b'-')
        && let Some((start, end)) = host_with_address(bytes, at)
    {
        out.push(personal(start, end, "ip"));
        return Some(end);
    }
    if !hints.version
        && length >= 3
        && let Some((start, end, kind)) = grouped_number(bytes, at, run_end, hints)
    {
        out.push(personal(start, end, kind));
        return Some(end);
    }
    Some(run_end)
}

/// Numbers with dots between: an address, a version, or longer than either. Returns their end.
fn dotted(bytes: &[u8], at: usize, hints: Hints, out: &mut Vec<Finding>) -> usize {
    let all = bytes[at..].iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
    let mut end = at + all;
    while bytes[end - 1] == b'.' {
        end -= 1;
    }
    // The taxpayers' number of Brazil: 455.908.673-71.
    let with_check =
        bytes.get(at..end + 3).filter(|_| end - at == 11 && !is_word(bytes.get(end + 3)));
    if with_check.is_some_and(checks::is_cpf) {
        out.push(personal(at, end + 3, "account"));
        return end + 3;
    }
    let follows_number =
        before(bytes, at) == Some(&b'.') && at >= 2 && bytes[at - 2].is_ascii_digit();
    if let Some((address, length)) = checks::ipv4_at(&bytes[at..end], b'.')
        && at + length == end
        && !follows_number
        && !is_word(bytes.get(end))
        && !hints.version
        && !checks::is_nobody(address)
        && !follows_version_word(bytes, at)
    {
        out.push(personal(at, end, "ip"));
    }
    end
}

/// `Firefox/2.0.0.4`, `version 2.4.1.7`, `rv:1.9.0.14`, `fw=2.4.1.7` are versions.
fn follows_version_word(bytes: &[u8], at: usize) -> bool {
    const WORDS: [&str; 10] =
        ["version", "ver", "v", "rv", "firmware", "fw", "release", "build", "revision", "driver"];
    let Some(&separator) = before(bytes, at) else { return false };
    if !matches!(separator, b'/' | b' ' | b':' | b'=' | b'"' | b'\'') {
        return false;
    }
    let mut end = at - 1;
    while end > 0 && matches!(bytes[end - 1], b' ' | b':' | b'=' | b'"' | b'\'') {
        end -= 1;
    }
    let word = bytes[..end].iter().rev().take_while(|byte| byte.is_ascii_alphabetic()).count();
    let start = end - word;
    if separator == b'/' {
        // A product and its version; a part of a path or URL has more before it.
        let is_product = match before(bytes, start) {
            Some(b'.') => bytes[start].is_ascii_uppercase(),
            Some(b'/' | b'-' | b'_' | b'=') => false,
            _ => true,
        };
        return word >= 2 && end == at - 1 && is_product;
    }
    WORDS.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(&bytes[start..end]))
}

/// `ip-10-77-20-248`: from the prefix to the last octet.
fn host_with_address(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let letters = bytes[..at - 1]
        .iter()
        .rev()
        .take(8)
        .take_while(|byte| byte.is_ascii_alphanumeric())
        .count();
    let start = at - 1 - letters;
    if !is_host_prefix(&bytes[start..at - 1]) || is_word(before(bytes, start)) {
        return None;
    }
    let (_, length) = checks::ipv4_at(&bytes[at..], b'-')?;
    let end = at + length;
    let goes_on =
        bytes.get(end) == Some(&b'-') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit);
    (!goes_on && !is_word(bytes.get(end))).then_some((start, end))
}

/// Groups of digits with one blank or dash between: a card, a North American phone number, or a
/// social security number of the United States.
fn grouped_number(
    bytes: &[u8],
    at: usize,
    run_end: usize,
    hints: Hints,
) -> Option<(usize, usize, &'static str)> {
    const DIGITS_MAX: usize = 19;
    let in_brackets =
        run_end - at == 3 && before(bytes, at) == Some(&b'(') && bytes.get(run_end) == Some(&b')');
    if run_end - at < 12 && !in_brackets && !matches!(bytes.get(run_end), Some(b' ' | b'-')) {
        return None;
    }
    let mut digits = [0; DIGITS_MAX + 1];
    let mut groups = [0; 8];
    let (mut count, mut group, mut end) = (0, 0, at);
    let mut place = at;
    while count <= DIGITS_MAX {
        match bytes.get(place) {
            Some(&digit) if digit.is_ascii_digit() => {
                digits[count] = digit;
                count += 1;
                groups[group] += 1;
                end = place + 1;
            }
            Some(b' ' | b'-') if end == place && group + 1 < groups.len() => group += 1,
            Some(b')') if in_brackets && place == run_end => {
                group += 1;
                end = place + 1;
                if bytes.get(place + 1) == Some(&b' ') {
                    place += 1;
                }
                end = end.max(place + 1);
            }
            _ => break,
        }
        place += 1;
    }
    if count > DIGITS_MAX || is_word(bytes.get(end)) || !bytes[end - 1].is_ascii_digit() {
        return None;
    }
    let groups = &groups[..=group];
    let groups = groups.strip_suffix(&[0]).unwrap_or(groups);
    let is_card_grouping = match groups {
        // One in ten numbers has the checksum: without groups only the usual lengths count.
        [length] => hints.card || (14..=16).contains(length),
        [4, 6, 4 | 5] => true,
        [first @ .., last] => first.iter().all(|&group| group == 4) && (1..=4).contains(last),
        [] => false,
    };
    if is_card_grouping && checks::is_card(&digits[..count]) {
        return Some((at, end, "card"));
    }
    if groups == [3, 2, 4] && bytes[run_end] == b'-' && checks::is_ssn(&digits[..9]) {
        return Some((at, end, "account"));
    }
    let is_phone = groups == [3, 3, 4]
        && (in_brackets || bytes[run_end] == b'-')
        && (b'2'..=b'9').contains(&digits[0])
        && (b'2'..=b'9').contains(&digits[3]);
    is_phone.then(|| (at - usize::from(in_brackets), end, "phone"))
}

/// `+49 171 1234567`: plus, 8 to 15 digits, single separators between.
fn international_phone(bytes: &[u8], at: usize, out: &mut Vec<Finding>) -> Option<usize> {
    if is_word(before(bytes, at)) || !matches!(bytes.get(at + 1), Some(b'1'..=b'9')) {
        return None;
    }
    let (mut count, mut end, mut place) = (0, at, at + 1);
    loop {
        match bytes.get(place) {
            Some(byte) if byte.is_ascii_digit() => {
                count += 1;
                end = place + 1;
            }
            Some(b' ' | b'-' | b'.' | b'/' | b'(' | b')') if place - end < 2 => {}
            _ => break,
        }
        place += 1;
    }
    if !(8..=15).contains(&count) || is_word(bytes.get(end)) {
        return None;
    }
    out.push(personal(at, end, "phone"));
    Some(end)
}

/// An IBAN whose check digits start at `at`, also in groups of four with blanks.
fn iban(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let start = at.checked_sub(2)?;
    let country = &bytes[start..at];
    if !country.iter().all(u8::is_ascii_uppercase) || is_word(before(bytes, start)) {
        return None;
    }
    let length = iban_length(country)?;
    let mut compact = [0; 34];
    let (mut count, mut place) = (0, start);
    while count < length {
        match *bytes.get(place)? {
            byte @ (b'0'..=b'9' | b'A'..=b'Z') => {
                compact[count] = byte;
                count += 1;
            }
            b' ' if count.is_multiple_of(4) && bytes[place - 1] != b' ' => {}
            _ => return None,
        }
        place += 1;
    }
    (!is_word(bytes.get(place)) && checks::is_iban(&compact[..length])).then_some((start, place))
}

/// A colon: inside a pseudonym, a MAC or an IPv6 address. Returns where to go on.
fn colon(
    text: &str,
    at: usize,
    out: &mut Vec<Finding>,
    turned: &mut Vec<Range<usize>>,
) -> Option<usize> {
    let bytes = text.as_bytes();
    if let Some(pseudonym) = pseudonym::pseudonym_around(text, at) {
        let end = pseudonym.end;
        turned.push(pseudonym);
        return Some(end);
    }
    mac(bytes, at, b':', out).or_else(|| ipv6(text, at, out))
}

/// Six or eight pairs of hexadecimal digits; the first separator is at `at`.
fn mac(bytes: &[u8], at: usize, separator: u8, out: &mut Vec<Finding>) -> Option<usize> {
    let start = at.checked_sub(2)?;
    if bytes.get(at + 3) != Some(&separator) || !bytes[start].is_ascii_hexdigit() {
        return None;
    }
    let is_pair = |start: usize| {
        bytes.get(start..start + 2).is_some_and(|pair| pair.iter().all(u8::is_ascii_hexdigit))
    };
    let mut pairs = 0;
    let mut end = start;
    while pairs < 9 && is_pair(start + pairs * 3) {
        end = start + pairs * 3 + 2;
        pairs += 1;
        if bytes.get(end) != Some(&separator) {
            break;
        }
    }
    let edge = |byte: Option<&u8>| is_word(byte) || byte == Some(&separator);
    if !matches!(pairs, 6 | 8) || edge(before(bytes, start)) || edge(bytes.get(end)) {
        return None;
    }
    let nobody = bytes[start..end].iter().all(|byte| matches!(byte, b'0' | b':' | b'-'))
        || bytes[start..end].iter().all(|byte| matches!(byte, b'f' | b'F' | b':' | b'-'));
    if !nobody {
        out.push(personal(start, end, "mac"));
    }
    Some(end)
}

fn ipv6(text: &str, at: usize, out: &mut Vec<Finding>) -> Option<usize> {
    let bytes = text.as_bytes();
    let is_part = |byte: &u8| byte.is_ascii_hexdigit() || *byte == b':';
    let left = bytes[..at].iter().rev().take(4).take_while(|byte| byte.is_ascii_hexdigit()).count();
    let start = at - left;
    let right = bytes[at..].iter().take(42).take_while(|byte| is_part(byte)).count();
    let mut end = at + right;
    if right < 2 || !bytes[at + 1..end].contains(&b':') {
        return None;
    }
    // The dotted end of an IPv4 address that is written as IPv6.
    if bytes.get(end) == Some(&b'.') {
        let octet = bytes[..end].iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
        if let Some((_, length)) = checks::ipv4_at(&bytes[end - octet..], b'.') {
            end = end - octet + length;
        }
    }
    while end > start + 2 && bytes[end - 1] == b':' && bytes[end - 2] != b':' {
        end -= 1;
    }
    let edge = |byte: Option<&u8>| is_word(byte) || byte == Some(&b':');
    if edge(before(bytes, start)) || is_word(bytes.get(end)) || !checks::is_ipv6(&text[start..end])
    {
        return None;
    }
    out.push(personal(start, end, "ip"));
    Some(end)
}

/// An `@`: an e-mail address, the login before an address, or the user part of a URL.
fn email(text: &str, at: usize, out: &mut Vec<Finding>) -> Option<usize> {
    let bytes = text.as_bytes();
    if let Some((start, has_password)) = url_user(bytes, at) {
        out.push(if has_password {
            Finding { start, end: at, class: Class::Secret, kind: "url-login" }
        } else {
            personal(start, at, "user")
        });
        return None;
    }
    let is_local =
        |byte: &u8| byte.is_ascii_alphanumeric() || b"._%+-'".contains(byte) || *byte >= 0x80;
    let is_domain =
        |byte: &u8| byte.is_ascii_alphanumeric() || b".-".contains(byte) || *byte >= 0x80;
    let local = bytes[..at].iter().rev().take(64).take_while(|byte| is_local(byte)).count();
    let mut start = at - local;
    while start < at
        && (matches!(bytes[start], b'.' | b'\'' | b'-') || !text.is_char_boundary(start))
    {
        start += 1;
    }
    let domain = bytes[at + 1..].iter().take(253).take_while(|byte| is_domain(byte)).count();
    let mut end = at + 1 + domain;
    while end > at + 1 && (matches!(bytes[end - 1], b'.' | b'-') || !text.is_char_boundary(end)) {
        end -= 1;
    }
    if start == at || end == at + 1 {
        return None;
    }
    let domain = &text[at + 1..end];
    if checks::ip_of(domain).is_some() {
        out.push(personal(start, at, "user"));
        return None;
    }
    let (_, top) = domain.rsplit_once('.')?;
    if top.len() < 2 || !top.bytes().all(|byte| byte.is_ascii_alphabetic() || byte >= 0x80) {
        return None;
    }
    out.push(personal(start, end, "email"));
    Some(end)
}

/// Where the part between `://` and the `@` starts, and whether it holds a password.
fn url_user(bytes: &[u8], at: usize) -> Option<(usize, bool)> {
    const USER_BYTES_MAX: usize = 256;
    let is_user = |byte: &u8| !byte.is_ascii_whitespace() && !b"/\"'<>@?#".contains(byte);
    let length =
        bytes[..at].iter().rev().take(USER_BYTES_MAX).take_while(|byte| is_user(byte)).count();
    let start = at - length;
    let password = bytes[start..at].iter().position(|&byte| byte == b':');
    (length > 0 && bytes[..start].ends_with(b"://")).then_some((start, password.is_some()))
}
