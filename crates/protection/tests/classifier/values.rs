//! Values of persons and things and credentials, each as its issuer makes them.

use crate::random::Random;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use model::{Class, FieldType};

/// A kind of value that is known by its structure or by the words around it.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// At least.
    pub(crate) class: Class,
    pub(crate) make: fn(&mut Random) -> String,
    /// The sentence that makes it known, with `{}` in the place of the value; empty: any sentence.
    pub(crate) around: &'static str,
}

/// A text with a value at a place.
pub(crate) struct Case {
    pub(crate) text: String,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Case {
    /// `value` in the place of `{}`.
    pub(crate) fn new(around: &str, value: &str) -> Case {
        let start = around.find("{}").expect("a sentence has a place");
        Case { text: around.replacen("{}", value, 1), start, end: start + value.len() }
    }
}

/// Sentences that say nothing about the value in them.
const SENTENCES: &[&str] = &[
    "{}",
    "sent to {} in 12 ms",
    "the value was {}, it said",
    "refused: {}",
    "note \"{}\" saved",
    "[{}] ok",
    "2026-11-23T14:05:03Z INFO c.e.Import - row 17 has {} in column 3",
    "see ({}).",
    "<td>{}</td>",
    "{\"seen\":\"{}\",\"n\":1}",
    "получено {} вчера",
    "已收到 {} 谢谢",
    "größe 12, {} übernommen",
];

pub(crate) fn case(kind: &Kind, random: &mut Random) -> Case {
    let value = (kind.make)(random);
    let around = if kind.around.is_empty() { random.pick(SENTENCES) } else { kind.around };
    Case::new(around, &value)
}

const fn shaped(name: &'static str, class: Class, make: fn(&mut Random) -> String) -> Kind {
    Kind { name, class, make, around: "" }
}

const fn told(
    name: &'static str,
    class: Class,
    around: &'static str,
    make: fn(&mut Random) -> String,
) -> Kind {
    Kind { name, class, make, around }
}

use Class::{Personal, Secret, Special};

pub(crate) const KINDS: &[Kind] = &[
    shaped("e-mail", Personal, email),
    shaped("phone, international", Personal, phone),
    shaped("phone, north american", Personal, phone_american),
    shaped("ipv4", Personal, ipv4),
    shaped("ipv6", Personal, ipv6),
    shaped("mac", Personal, mac),
    shaped("payment card", Personal, card),
    shaped("iban", Personal, iban),
    shaped("social security number", Personal, ssn),
    shaped("cpf", Personal, cpf),
    shaped("json web token", Secret, jwt),
    shaped("aws key id", Secret, |random| {
        format!("AKIA{}", random.spell("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16))
    }),
    shaped("github token", Secret, |random| format!("ghp_{}", random.word(36))),
    shaped("github fine-grained", Secret, |random| {
        format!("github_pat_{}_{}", random.word(22), random.word(59))
    }),
    shaped("gitlab token", Secret, |random| format!("glpat-{}", random.word(20))),
    shaped("slack token", Secret, |random| {
        format!("xoxb-{}-{}-{}", random.digits(12), random.digits(13), random.word(24))
    }),
    shaped("slack webhook", Secret, |random| {
        format!(
            "hooks.slack.com/services/T{}/B{}/{}",
            random.spell("0123456789ABCDEF", 8),
            random.spell("0123456789ABCDEF", 8),
            random.word(24)
        )
    }),
    shaped("google key", Secret, |random| format!("AIza{}", random.word(35))),
    shaped("google access token", Secret, |random| format!("ya29.{}", random.word(60))),
    shaped("google client secret", Secret, |random| format!("GOCSPX-{}", random.word(28))),
    shaped("stripe key", Secret, |random| format!("sk_live_{}", random.word(24))),
    shaped("npm token", Secret, |random| format!("npm_{}", random.word(36))),
    shaped("pypi token", Secret, |random| format!("pypi-AgEIcHlwaS5vcmc{}", random.word(40))),
    shaped("sendgrid key", Secret, |random| format!("SG.{}.{}", random.word(22), random.word(43))),
    shaped("hugging face token", Secret, |random| format!("hf_{}", random.word(34))),
    shaped("voice assistant token", Secret, |random| format!("Atza|{}", random.word(90))),
    shaped("shopify token", Secret, |random| format!("shpat_{}", random.hex(32))),
    shaped("digitalocean token", Secret, |random| format!("dop_v1_{}", random.hex(64))),
    shaped("language model key", Secret, |random| format!("sk-ant-api03-{}", random.word(60))),
    told("telegram bot token", Secret, "GET /bot5033418399:{}/getMe", |random| {
        format!("AA{}", random.word(33))
    }),
    shaped("mailgun key", Secret, |random| format!("key-{}", random.hex(32))),
    shaped("own key", Secret, |random| format!("cls_{}", random.word(40))),
    shaped("private key", Secret, |random| {
        format!(
            "-----BEGIN EC PRIVATE KEY-----\n{}\n{}\n-----END EC PRIVATE KEY-----",
            random.word(64),
            random.word(40)
        )
    }),
    told("login in a url", Secret, "dial postgres://{}@db.internal:5432/fleet", |random| {
        format!("app:{}", random.word(12))
    }),
    told("bearer header", Secret, "> Authorization: Bearer {}", |random| random.word(40)),
    told("basic header", Secret, "-H 'Authorization: Basic {}'", |random| {
        STANDARD.encode(format!("ada:{}", random.word(10)))
    }),
    told("password", Secret, "login with password={} failed", |random| random.word(10)),
    told("password in json", Secret, "{\"user\":1,\"password\":\"{}\"}", |random| random.word(14)),
    told("password option", Secret, "mysqldump --password {} fleet", |random| random.word(12)),
    told("key in a query", Secret, "GET /v1/x?n=1&api_key={}&m=2 HTTP/1.1", |random| {
        random.hex(32)
    }),
    told("cookie", Secret, "Cookie: {}", |random| format!("sid={}; theme=dark", random.word(30))),
    told(
        "account key",
        Secret,
        "DefaultEndpointsProtocol=https;AccountKey={};EndpointSuffix=x",
        |random| STANDARD.encode(random.word(64)),
    ),
    told("token in a query", Secret, "callback?state=1&access_token={}", |random| random.word(50)),
    told("invalid user", Personal, "Invalid user {} from 100.64.1.2 port 4711", |random| {
        random.pick(&["pi", "test", "user", "ada", "git", "by", "the"]).to_owned()
    }),
    told("home folder", Personal, "open /home/{}/notes.txt: no such file", |random| {
        random.spell("abcdefghijkl", 6)
    }),
    told("user in a label", Personal, "audit: user_id={} did it", |random| {
        format!("usr-{}", random.hex(8))
    }),
    told("device in a label", Personal, "device_id={} is back", |random| {
        format!("dev-{}", random.hex(8))
    }),
    told("network name", Personal, "joined ssid=\"{}\"", |random| {
        format!("Brookfield {}", random.digits(2))
    }),
    told("latitude", Special, "fix lat={} ok", |random| {
        format!("{}.{}", random.below(90), random.digits(5))
    }),
    told("heart rate", Special, "\"heart_rate\": {}, x", |random| {
        random.between(50, 120).to_string()
    }),
];

/// A field that says by its name what it holds.
pub(crate) struct NamedField {
    pub(crate) name: &'static str,
    pub(crate) ty: FieldType,
    pub(crate) class: Class,
    pub(crate) make: fn(&mut Random) -> String,
}

const fn field(
    name: &'static str,
    ty: FieldType,
    class: Class,
    make: fn(&mut Random) -> String,
) -> NamedField {
    NamedField { name, ty, class, make }
}

use FieldType::{Ip, Keyword, Text};

pub(crate) const FIELDS: &[NamedField] = &[
    field("user.email", Keyword, Personal, email),
    field("contactEmail", Text, Personal, email),
    field("to", Keyword, Personal, email),
    field("x", Keyword, Personal, email),
    field("phone_number", Keyword, Personal, phone),
    field("callback", Keyword, Personal, phone),
    field("client_ip", Ip, Personal, ipv4),
    field("peer", Keyword, Personal, ipv6),
    field("wifi.bssid", Keyword, Personal, mac),
    field("radio", Keyword, Personal, mac),
    field("billing.iban", Keyword, Personal, iban),
    field("bank", Keyword, Personal, iban),
    field("card_number", Keyword, Personal, card),
    field("payment", Keyword, Personal, card),
    field("ssn", Keyword, Personal, ssn),
    field("tax", Keyword, Personal, cpf),
    field("device_id", Keyword, Personal, |random| random.hex(16)),
    field("device.serialNumber", Keyword, Personal, |random| random.word(12)),
    field("imei", Keyword, Personal, |random| random.digits(15)),
    field("ssid", Keyword, Personal, |random| random.word(8)),
    field("session_id", Keyword, Personal, |random| random.word(32)),
    field("userId", Keyword, Personal, |random| random.digits(7)),
    field("account.id", Keyword, Personal, |random| random.digits(9)),
    field("user_uuid", Keyword, Personal, |random| random.hex(32)),
    field("home_address", Text, Personal, |random| format!("{} Juniper Lane", random.below(99))),
    field("gps", Keyword, Special, position),
    field("location", Keyword, Special, position),
    field("heart_rate", Keyword, Special, |random| random.digits(2)),
    field("birth_date", Keyword, Special, |random| {
        format!("19{}-0{}-1{}", random.digits(2), random.between(1, 9), random.digits(1))
    }),
    field("body_fat_percent", Keyword, Special, |random| random.digits(2)),
    field("gender", Keyword, Special, |random| random.pick(&["f", "m", "x"]).to_owned()),
    field("access_token", Keyword, Secret, |random| random.word(40)),
    field("token", Keyword, Secret, |random| random.word(40)),
    field("db_password", Keyword, Secret, |random| random.word(9)),
    field("apiKey", Keyword, Secret, |random| random.hex(32)),
    field("headers.authorization", Text, Secret, |random| format!("Bearer {}", random.word(40))),
    field("http.cookie", Text, Secret, |random| format!("a={}", random.word(20))),
    field("client_secret", Keyword, Secret, |random| random.word(30)),
    field("blob", Keyword, Secret, jwt),
    field("pem", Text, Secret, |random| {
        format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----", random.word(64))
    }),
];

pub(crate) fn email(random: &mut Random) -> String {
    let start = random.pick(&[
        "hazel",
        "ada.l",
        "o.brook",
        "j_m",
        "first+tag",
        "x",
        "maría",
        "info",
        "k-17",
    ]);
    let domain = random.pick(&[
        "example.org",
        "example.com",
        "mail.example.net",
        "exämple.org",
        "example.co.uk",
        "example.museum",
    ]);
    format!("{start}{}@{domain}", random.below(900))
}

fn phone(random: &mut Random) -> String {
    let number = random.digits(9);
    let (a, b, c) = (&number[..3], &number[3..6], &number[6..]);
    match random.below(5) {
        0 => format!("+49 171 {a}{b}{}", &c[..1]),
        1 => format!("+1-555-{a}-{}", &number[3..7]),
        2 => format!("+44 20 {} {}", &number[..4], &number[4..8]),
        3 => format!("+33 (0)1 {} {} {}", &number[..2], &number[2..4], &number[4..6]),
        _ => format!("+91{a}{b}{c}0"),
    }
}

fn phone_american(random: &mut Random) -> String {
    let (area, rest) = (random.between(201, 990), random.digits(4));
    let middle = random.between(201, 990);
    match random.below(2) {
        0 => format!("({area}) {middle}-{rest}"),
        _ => format!("{area}-{middle}-{rest}"),
    }
}

fn ipv4(random: &mut Random) -> String {
    format!("100.{}.{}.{}", random.between(64, 128), random.below(256), random.below(255))
}

fn ipv6(random: &mut Random) -> String {
    match random.below(3) {
        0 => format!("2001:db8::{}:{}1", random.hex(4).trim_start_matches('0'), random.digits(1)),
        1 => format!(
            "fe80::{:x}:{:x}",
            random.between(0x1000, 0xffff),
            random.between(0x1000, 0xffff)
        ),
        _ => format!(
            "2001:db8:{:x}:1:2:3:4:{:x}",
            random.between(1, 0xffff),
            random.between(1, 0xffff)
        ),
    }
}

fn mac(random: &mut Random) -> String {
    let separator = random.pick(&[":", "-"]);
    let octets: Vec<String> = (0..5).map(|_| random.hex(2)).collect();
    format!("02{separator}{}", octets.join(separator))
}

fn card(random: &mut Random) -> String {
    let mut digits = random.pick(&["4", "51", "6011", "37"]).to_owned();
    let length = if digits == "37" { 14 } else { 15 };
    digits.push_str(&random.digits(length - digits.len()));
    // The last digit makes the Luhn sum.
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, u32::from(digit - b'0')) {
            (0, digit) if digit > 4 => digit * 2 - 9,
            (0, digit) => digit * 2,
            (_, digit) => digit,
        })
        .sum();
    digits.push_str(&((10 - sum % 10) % 10).to_string());
    if digits.len() == 16 && random.below(2) == 0 {
        let groups: Vec<&str> = (0..4).map(|group| &digits[group * 4..group * 4 + 4]).collect();
        return groups.join(random.pick(&[" ", "-"]));
    }
    digits
}

fn iban(random: &mut Random) -> String {
    let (country, bban) = match random.below(3) {
        0 => ("DE", random.digits(18)),
        1 => ("GB", format!("WEST{}", random.digits(14))),
        _ => ("NL", format!("ABNA{}", random.digits(10))),
    };
    let rest = format!("{bban}{country}00").bytes().fold(0_u64, |rest, byte| match byte {
        b'0'..=b'9' => (rest * 10 + u64::from(byte - b'0')) % 97,
        letter => (rest * 100 + u64::from(letter - b'A') + 10) % 97,
    });
    let whole = format!("{country}{:02}{bban}", 98 - rest);
    if random.below(2) == 0 {
        return whole;
    }
    let groups: Vec<&str> = whole
        .as_bytes()
        .chunks(4)
        .map(|group| std::str::from_utf8(group).expect("ASCII"))
        .collect();
    groups.join(" ")
}

/// Numbers from 987-65-4320 on were kept for advertising; the areas below 900 are people's, and
/// the form is what counts.
fn ssn(random: &mut Random) -> String {
    format!(
        "{:03}-{:02}-{:04}",
        random.between(1, 666),
        random.between(1, 100),
        random.between(1, 10_000)
    )
}

fn cpf(random: &mut Random) -> String {
    let mut digits: Vec<u32> = (0..9).map(|_| random.below(10) as u32).collect();
    for _ in 0..2 {
        let weight = digits.len() as u32 + 1;
        let sum: u32 =
            digits.iter().zip((2..=weight).rev()).map(|(digit, weight)| digit * weight).sum();
        digits.push(match sum % 11 {
            0 | 1 => 0,
            rest => 11 - rest,
        });
    }
    let text: String = digits.iter().map(u32::to_string).collect();
    format!("{}.{}.{}-{}", &text[..3], &text[3..6], &text[6..9], &text[9..])
}

fn jwt(random: &mut Random) -> String {
    let payload = format!("{{\"sub\":\"{}\"}}", random.word(12));
    format!(
        "{}.{}.{}",
        URL_SAFE_NO_PAD.encode("{\"alg\":\"HS256\"}"),
        URL_SAFE_NO_PAD.encode(payload),
        random.word(43)
    )
}

fn position(random: &mut Random) -> String {
    format!("{}.{},-{}.{}", random.below(89), random.digits(4), random.below(179), random.digits(4))
}
