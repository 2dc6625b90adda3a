//! What a pattern cannot say: checksums, ranges, how random a value looks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Digits of a payment card: a known issuer, its length, and the Luhn sum.
pub(super) fn is_card(digits: &[u8]) -> bool {
    let number = |places: usize| {
        digits.iter().take(places).fold(0_u32, |sum, &digit| sum * 10 + u32::from(digit - b'0'))
    };
    if !(13..=19).contains(&digits.len()) {
        return false;
    }
    let issued = match (number(1), digits.len()) {
        (4, 13 | 16 | 19) => true,
        (5, 16) => (51..=55).contains(&number(2)),
        (2, 16) => (2221..=2720).contains(&number(4)),
        (3, 15) => matches!(number(2), 34 | 37),
        (3, 14) => matches!(number(2), 36 | 38) || (300..=305).contains(&number(3)),
        (3, 16) => (3528..=3589).contains(&number(4)),
        (6, 16) => {
            number(4) == 6011 || matches!(number(2), 62 | 65) || (644..=649).contains(&number(3))
        }
        (6, 17..=19) => number(2) == 62,
        _ => false,
    };
    issued && luhn(digits)
}

/// As [`is_card`], for a text; blanks and dashes do not count.
pub(super) fn is_card_text(text: &str) -> bool {
    let digits: Vec<u8> = text.bytes().filter(|byte| !b" -".contains(byte)).collect();
    digits.iter().all(u8::is_ascii_digit) && is_card(&digits)
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, &digit)| {
            let digit = u32::from(digit - b'0');
            match (place % 2, digit) {
                (0, _) => digit,
                (_, 0..=4) => digit * 2,
                _ => digit * 2 - 9,
            }
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Nine digits of a social security number of the United States: no area, group or serial of
/// zeros, no area that is never given out.
pub(super) fn is_ssn(digits: &[u8]) -> bool {
    let (area, rest) = digits.split_at(3);
    let given_out = area != b"000" && area != b"666" && area[0] != b'9';
    given_out && rest[..2] != *b"00" && rest[2..] != *b"0000"
}

/// `455.908.673-71`: a taxpayers' number of Brazil, with both of its check digits.
pub(super) fn is_cpf(text: &[u8]) -> bool {
    let has_form = text.len() == 14 && (text[3], text[7], text[11]) == (b'.', b'.', b'-');
    let digits: Vec<u32> = text
        .iter()
        .filter(|byte| byte.is_ascii_digit())
        .map(|digit| u32::from(digit - b'0'))
        .collect();
    let is_checked = |place: usize| {
        let weights = (2..=place as u32 + 1).rev();
        let sum: u32 = digits.iter().zip(weights).map(|(digit, weight)| digit * weight).sum();
        let rest = sum % 11;
        digits[place] == if rest < 2 { 0 } else { 11 - rest }
    };
    has_form && digits.len() == 11 && is_checked(9) && is_checked(10)
}

/// The lengths of IBANs by country (ISO 13616 registry).
const IBAN_LENGTHS: &str = "AD24AE23AL28AT20AZ28BA20BE16BG22BH22BI27BR29BY28CH21CR22CY28CZ24DE22\
DJ27DK18DO28EE20EG29ES24FI18FK18FO18FR27GB22GE22GI23GL18GR27GT28HN28HR21HU28IE22IL23IQ23IS26IT27\
JO30KW30KZ20LB28LC32LI21LT20LU20LV21LY25MC27MD24ME22MK19MN20MR27MT31MU30NI28NL18NO15OM23PK24PL28\
PS29PT25QA29RO24RS22RU33SA24SC31SD18SE24SI19SK24SM27SO23ST25SV28TL23TN24TR26UA29VA22VG24XK20YE30";

/// How long an IBAN that starts with these letters is; `None` for letters of no country.
pub(super) fn iban_length(country: &[u8]) -> Option<usize> {
    let entry = IBAN_LENGTHS.as_bytes().chunks_exact(4).find(|entry| &entry[..2] == country)?;
    Some(usize::from(entry[2] - b'0') * 10 + usize::from(entry[3] - b'0'))
}

/// An IBAN without blanks: its country's length and the remainder of 1 by 97.
pub(super) fn is_iban(text: &[u8]) -> bool {
    let is_length = text.len() > 4 && iban_length(&text[..2]) == Some(text.len());
    if !is_length || !text[2..4].iter().all(u8::is_ascii_digit) {
        return false;
    }
    let mut rest = 0_u32;
    for &byte in text[4..].iter().chain(&text[..4]) {
        rest = match byte {
            b'0'..=b'9' => (rest * 10 + u32::from(byte - b'0')) % 97,
            b'A'..=b'Z' => (rest * 100 + u32::from(byte - b'A') + 10) % 97,
            _ => return false,
        };
    }
    rest == 1
}

/// Reads four octets at the start of `text`; the address and how many bytes it takes.
pub(super) fn ipv4_at(text: &[u8], separator: u8) -> Option<(Ipv4Addr, usize)> {
    let mut octets = [0; 4];
    let mut at = 0;
    for (place, octet) in octets.iter_mut().enumerate() {
        if place > 0 {
            if text.get(at) != Some(&separator) {
                return None;
            }
            at += 1;
        }
        let start = at;
        let mut value = 0_u16;
        while at < start + 3 && text.get(at).is_some_and(u8::is_ascii_digit) {
            value = value * 10 + u16::from(text[at] - b'0');
            at += 1;
        }
        if at == start || (text[start] == b'0' && at - start > 1) {
            return None;
        }
        *octet = u8::try_from(value).ok()?;
    }
    match text.get(at) {
        Some(byte) if byte.is_ascii_digit() => None,
        _ => Some((Ipv4Addr::from(octets), at)),
    }
}

/// Words that stand before the octets in the names of rented machines and dial-in lines.
pub(super) const HOST_PREFIXES: [&str; 12] =
    ["ip", "ec2", "host", "static", "dsl", "adsl", "cpe", "dyn", "pool", "ppp", "dhcp", "cable"];

/// The address in a machine's name such as `ip-10-77-20-248`.
pub(crate) fn ip_of_host(name: &str) -> Option<Ipv4Addr> {
    let (prefix, octets) = name.split_once('-')?;
    if !HOST_PREFIXES.iter().any(|known| prefix.eq_ignore_ascii_case(known)) {
        return None;
    }
    let (address, bytes) = ipv4_at(octets.as_bytes(), b'-')?;
    (bytes == octets.len()).then_some(address)
}

/// An address as people write it: alone, with a port, in brackets, as a machine's name. One
/// that is written as IPv6 but is IPv4 comes back as IPv4.
pub(crate) fn ip_of(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let bare = bare.split_once('%').map_or(bare, |(address, _zone)| address);
    let address = match bare.parse::<IpAddr>() {
        Ok(address) => address,
        Err(_) => match text.parse::<std::net::SocketAddr>() {
            Ok(address) => address.ip(),
            Err(_) => IpAddr::V4(ip_of_host(text)?),
        },
    };
    Some(address.to_canonical())
}

/// Addresses of nobody: unspecified, broadcast, net masks.
pub(super) fn is_nobody(address: Ipv4Addr) -> bool {
    let bits = u32::from(address);
    let is_mask = bits.leading_ones() >= 8 && bits.leading_ones() + bits.trailing_zeros() == 32;
    bits == 0 || is_mask
}

/// Whether an IPv6 text is of a form that networks use, and no path of a program (`ab::c1`).
pub(super) fn is_ipv6(text: &str) -> bool {
    let usual = text.starts_with("::") || text.starts_with(['2', '3', 'f', 'F']);
    usual
        && text.bytes().any(|byte| byte.is_ascii_digit())
        && text.parse::<Ipv6Addr>().is_ok_and(|address| !address.is_unspecified())
}

/// Whether a value looks like made by a random generator: long, no blanks, several kinds of
/// characters, spread evenly. Only asked under names that suggest a secret.
pub(crate) fn looks_random(text: &str) -> bool {
    let bytes = text.as_bytes();
    if !(16..=4096).contains(&bytes.len()) {
        return false;
    }
    let mut counts = [0_u16; 128];
    for &byte in bytes {
        if !(byte.is_ascii_alphanumeric() || b"+/=_-.~|".contains(&byte)) {
            return false;
        }
        counts[usize::from(byte)] += 1;
    }
    let some = |range: std::ops::RangeInclusive<u8>| {
        range.map(|byte| usize::from(counts[usize::from(byte)])).sum::<usize>()
    };
    let (digits, lower, upper) = (some(b'0'..=b'9'), some(b'a'..=b'z'), some(b'A'..=b'Z'));
    if digits < 2 || lower + upper < 2 {
        return false;
    }
    let total = bytes.len() as f64;
    let bits: f64 = counts
        .iter()
        .filter(|&&count| count > 0)
        .map(|&count| f64::from(count) / total)
        .map(|share| -share * share.log2())
        .sum();
    bits >= 3.0 && (lower == 0 || upper == 0 || bits >= 3.3)
}

/// Two to four words that each start with a capital, and the small words that stand between; or,
/// in a script without capitals, words without blanks: a person's name, or a thing's that a
/// person gave.
pub(super) fn looks_like_person(text: &str) -> bool {
    const SMALL: [&str; 26] = [
        "af", "al", "bat", "ben", "bin", "bint", "d'", "da", "das", "de", "del", "den", "der",
        "di", "do", "dos", "du", "e", "el", "ibn", "la", "ten", "ter", "van", "von", "y",
    ];
    let text = text.trim();
    if (2..=4).contains(&text.chars().count()) && text.chars().all(is_east_asian) {
        return true;
    }
    let mut words = 0;
    for word in text.split(' ') {
        if SMALL.contains(&word) {
            continue;
        }
        let mut letters = word.chars();
        let starts = letters.next().is_some_and(|first| {
            first.is_uppercase()
                || (!first.is_ascii() && first.is_alphabetic() && !first.is_lowercase())
        });
        if !starts || !letters.all(is_of_a_name) {
            return false;
        }
        words += 1;
    }
    (2..=4).contains(&words)
}

/// Letters, marks that stand on letters, and what joins two names.
fn is_of_a_name(c: char) -> bool {
    let is_mark = matches!(c, '\u{300}'..='\u{36f}' | '\u{900}'..='\u{dff}' | '\u{e00}'..='\u{e7f}' | '\u{200c}' | '\u{200d}');
    c.is_alphabetic() || (is_mark && !c.is_numeric()) || "'’-.·・".contains(c)
}

/// The scripts of China, Japan and Korea, in which names are short and have no blanks.
fn is_east_asian(c: char) -> bool {
    matches!(c, '\u{3041}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}')
}

/// `52.52,13.40`: two decimal degrees.
pub(super) fn looks_like_position(text: &str) -> bool {
    let text = text.trim().trim_start_matches(['(', '[']).trim_end_matches([')', ']']);
    let Some((lat, lon)) = text.split_once([',', ';', ' ']) else { return false };
    let degrees = |text: &str, most: f64| {
        text.contains('.') && text.trim().parse::<f64>().is_ok_and(|value| value.abs() <= most)
    };
    degrees(lat, 90.0) && degrees(lon, 180.0)
}

/// A number of one thing: long hexadecimal, a UUID, or letters with at least four digits.
pub(super) fn looks_like_identifier(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digits = bytes.iter().filter(|byte| byte.is_ascii_digit()).count();
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_:".contains(byte);
    let hexadecimal = bytes.iter().filter(|byte| byte.is_ascii_hexdigit()).count();
    (6..=128).contains(&bytes.len())
        && bytes.iter().all(plain)
        && (digits >= 4 || (digits >= 1 && hexadecimal >= 8 && hexadecimal * 10 >= bytes.len() * 8))
}

/// A telephone number that fills the whole value: 7 to 15 digits and what people put between.
pub(super) fn looks_like_phone(text: &str) -> bool {
    let text = text.trim();
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    (7..=15).contains(&digits)
        && text.len() <= 24
        && text.starts_with(['+', '(', '0'])
        && text.bytes().all(|byte| byte.is_ascii_digit() || b"+()-/. ".contains(&byte))
}

/// Years that somebody can have lived.
pub(super) fn looks_like_age(text: &str) -> bool {
    text.parse::<f64>().is_ok_and(|age| (1.0..=120.0).contains(&age))
}

/// `PWD=/tmp` is where a program runs, not a password.
pub(super) fn is_no_folder(text: &str) -> bool {
    !text.starts_with(['/', '~', '\\', '.']) && text.as_bytes().get(1) != Some(&b':')
}

/// No word of the sentences that programs write about users in general.
pub(super) fn is_user(value: &[u8]) -> bool {
    const WORDS: [&str; 14] = [
        "user", "invalid", "the", "a", "an", "illegal", "this", "that", "unknown", "by", "for",
        "from", "child", "is",
    ];
    !WORDS.iter().any(|word| value.eq_ignore_ascii_case(word.as_bytes()))
        && value.iter().any(|&byte| byte.is_ascii_alphanumeric() || byte >= 0x80)
}

/// No word of a sentence about authentication.
pub(super) fn is_header_token(value: &[u8]) -> bool {
    !value.iter().all(|byte| byte.is_ascii_lowercase() || *byte == b'-')
}

/// `dXNlcjpwYXNz`: base 64 with a colon inside, as in a `Basic` header.
pub(super) fn is_basic_header(value: &[u8]) -> bool {
    use base64::Engine;
    let engine = base64::engine::general_purpose::STANDARD_NO_PAD;
    let value = value.trim_ascii_end();
    let unpadded = value.iter().rposition(|&byte| byte != b'=').map_or(0, |last| last + 1);
    engine.decode(&value[..unpadded]).is_ok_and(|plain| plain.contains(&b':'))
}

/// Values that stand for no value.
pub(super) fn is_nothing(value: &[u8]) -> bool {
    const NOTHING: [&str; 13] = [
        "-",
        "--",
        "null",
        "(null)",
        "none",
        "nil",
        "n/a",
        "unknown",
        "undefined",
        "true",
        "false",
        "unset",
        "?",
    ];
    value.iter().all(|&byte| byte == b'*' || byte == b'x')
        || NOTHING.iter().any(|nothing| value.eq_ignore_ascii_case(nothing.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_have_an_issuer_and_a_sum() {
        for card in ["4111111111111111", "5555555555554444", "378282246310005", "6011111111111117"]
        {
            assert!(is_card(card.as_bytes()), "{card}");
            let mut wrong = card.as_bytes().to_vec();
            let last = wrong.len() - 1;
            wrong[last] = b'0' + (wrong[last] - b'0' + 1) % 10;
            assert!(!is_card(&wrong), "{card} with another last digit");
        }
        assert!(!is_card(b"1431857103000"), "milliseconds");
        assert!(!is_card(b"0000000000000000"));
        assert!(!is_card(b""));
    }

    #[test]
    fn ibans_have_a_length_and_a_sum() {
        assert!(is_iban(b"DE89370400440532013000"));
        assert!(is_iban(b"GB82WEST12345698765432"));
        assert!(!is_iban(b"DE89370400440532013001"));
        assert!(!is_iban(b"DE8937040044053201300"));
        assert!(!is_iban(b"ZZ89370400440532013000"));
        assert!(!is_iban(b"DE"));
    }

    #[test]
    fn addresses_are_read_as_people_write_them() {
        let v4: IpAddr = "10.77.20.248".parse().unwrap();
        for text in [
            "10.77.20.248",
            " 10.77.20.248 ",
            "10.77.20.248:22",
            "::ffff:10.77.20.248",
            "ip-10-77-20-248",
            "[::ffff:a4d:14f8]:80",
        ] {
            assert_eq!(ip_of(text), Some(v4), "{text}");
        }
        assert_eq!(ip_of("fe80::1%eth0"), "fe80::1".parse().ok());
        assert_eq!(ip_of("ip-10-77-20"), None);
        assert_eq!(ip_of("rack-10-77-20-248"), None);
        assert_eq!(ipv4_at(b"1.2.3.4567", b'.'), None);
        assert_eq!(ipv4_at(b"1.2.3.256", b'.'), None);
        assert_eq!(ipv4_at(b"01.2.3.4", b'.'), None);
        assert!(is_nobody(Ipv4Addr::new(255, 255, 255, 0)) && is_nobody(Ipv4Addr::new(0, 0, 0, 0)));
        assert!(!is_nobody(Ipv4Addr::new(10, 0, 0, 1)) && !is_nobody(Ipv4Addr::new(127, 0, 0, 1)));
        assert!(is_ipv6("2001:db8::8a2e:370:7334") && is_ipv6("::1"));
        assert!(!is_ipv6("::") && !is_ipv6("ab::c1") && !is_ipv6("10:05:03"));
    }

    #[test]
    fn random_values_are_told_from_words() {
        for random in [
            "8f14e45fceea167a5a36dedd4bea2543",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY1",
            "550e8400-e29b-41d4-a716-446655440000",
        ] {
            assert!(looks_random(random), "{random}");
        }
        for word in
            ["", "comma", "authentication-required", "aaaaaaaaaaaaaaaa11", "2015-03-27T13:06:56"]
        {
            assert!(!looks_random(word), "{word}");
        }
    }

    #[test]
    fn shapes_of_whole_values() {
        for name in
            ["João da Silva", "Sanne van den Berg", "王小明", "김민준", "प्रिया शर्मा", "محمد الحسن"]
        {
            assert!(looks_like_person(name), "{name}");
        }
        assert!(!looks_like_person("de la") && !looks_like_person("设备管理系统"));
        assert!(is_ssn(b"123456789") && !is_ssn(b"000456789") && !is_ssn(b"912456789"));
        assert!(is_cpf(b"111.444.777-35") && !is_cpf(b"111.444.777-36") && !is_cpf(b"111.444.777"));
        assert!(looks_like_person("Ada Lovelace") && looks_like_person("José María O'Neil"));
        assert!(
            !looks_like_person("front door")
                && !looks_like_person("Kitchen2 Lamp")
                && !looks_like_person("Ada")
        );
        assert!(looks_like_position("52.52,13.405") && looks_like_position("[-33.9, 151.2]"));
        assert!(!looks_like_position("100,200") && !looks_like_position("91.0,10.0"));
        assert!(looks_like_identifier("SN-00123") && looks_like_identifier("a1b2c3d4e5f6"));
        assert!(!looks_like_identifier("iPhone12,1") && !looks_like_identifier("/dev/sda1"));
        assert!(looks_like_phone("+49 171 1234567") && !looks_like_phone("2015-03-27"));
        assert!(is_basic_header(b"dXNlcjpwYXNz") && !is_basic_header(b"authentication"));
    }
}
