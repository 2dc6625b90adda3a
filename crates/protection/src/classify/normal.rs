use super::{checks, views};
use std::fmt::Write;

/// Appends the one spelling of `value` that its pseudonym is made from, so that the same person,
/// address or device gets the same pseudonym wherever it is written.
pub(crate) fn normalise(kind: &str, value: &str, out: &mut String) {
    let plain = views::plain_value(kind, value.trim());
    let value = plain.trim();
    match kind {
        "email" => lower(value.strip_prefix("mailto:").unwrap_or(value), out),
        "user" | "device" | "address" | "name" => words(value, out),
        "ip" => match checks::ip_of(value) {
            Some(address) => write!(out, "{address}").expect("a string takes everything"),
            None => lower(value, out),
        },
        "mac" => {
            let digits = value.bytes().filter(u8::is_ascii_hexdigit).count();
            let is_mac = matches!(digits, 12 | 16)
                && value.bytes().all(|byte| byte.is_ascii_hexdigit() || b":-.".contains(&byte));
            let kept = |c: &char| !is_mac || c.is_ascii_hexdigit();
            out.extend(value.chars().filter(kept).flat_map(char::to_lowercase));
        }
        "phone" => {
            let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
            let number = digits(value);
            let international = number.strip_prefix("00").filter(|_| !value.starts_with('+'));
            match number.len() {
                0..=4 => lower(value, out),
                _ => out.push_str(international.unwrap_or(&number)),
            }
        }
        "card" | "iban" => {
            let kept = value.chars().filter(|c| !matches!(c, ' ' | '-'));
            out.extend(kept.flat_map(char::to_uppercase));
        }
        _ => out.push_str(value),
    }
}

fn lower(value: &str, out: &mut String) {
    if value.is_ascii() {
        out.push_str(value);
        let start = out.len() - value.len();
        out[start..].make_ascii_lowercase();
    } else {
        out.extend(value.chars().flat_map(char::to_lowercase));
    }
}

/// Lower case, one blank between words.
fn words(value: &str, out: &mut String) {
    if !value.contains(char::is_whitespace) {
        return lower(value, out);
    }
    for (number, word) in value.split_whitespace().enumerate() {
        if number > 0 {
            out.push(' ');
        }
        lower(word, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: &str, spellings: &[&str], expected: &str) {
        for spelling in spellings {
            let mut out = String::new();
            normalise(kind, spelling, &mut out);
            assert_eq!(out, expected, "{kind} {spelling}");
        }
    }

    #[test]
    fn one_value_has_one_spelling() {
        check(
            "email",
            &["Ada@Example.org", " ada@example.org", "mailto:ada@example.org"],
            "ada@example.org",
        );
        check("email", &["ÅSA@example.org"], "åsa@example.org");
        check(
            "email",
            &[
                "ada%40example.org",
                "ada at example dot org",
                "ada\u{200b}@example.org",
                "ａｄａ＠example.org",
                "YWRhQGV4YW1wbGUub3Jn",
            ],
            "ada@example.org",
        );
        check(
            "ip",
            &["83.149.9.216", "::ffff:83.149.9.216", "83.149.9.216:443", "ip-83-149-9-216"],
            "83.149.9.216",
        );
        check("ip", &["2001:DB8:0:0::1", "[2001:db8::1]:443"], "2001:db8::1");
        check("ip", &["Gateway.local"], "gateway.local");
        check(
            "mac",
            &["00:1A:2B:3C:4D:5E", "00-1a-2b-3c-4d-5e", "001a.2b3c.4d5e", "001A2B3C4D5E"],
            "001a2b3c4d5e",
        );
        check("mac", &["Unknown MAC"], "unknown mac");
        check("phone", &["+49 171 123-4567", "0049 (171) 1234567", "491711234567"], "491711234567");
        check("card", &["4111 1111-1111 1111"], "4111111111111111");
        check("user", &["Ada ", "ADA"], "ada");
        check("name", &["Ada  Lovelace", "ada lovelace"], "ada lovelace");
        check("ssid", &["My WiFi "], "My WiFi");
        check("session", &["aB"], "aB");
    }
}
