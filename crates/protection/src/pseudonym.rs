use crate::classify::kind::{self, KIND_BYTES_MAX, SECRET_PREFIX};
use crate::classify::{Classifier, Finding, Hints, normalise};
use crate::keys::{Family, KeyRing, MacKey};
use foldhash::quality::RandomState;
use model::{Class, Field, FieldType};
use parking_lot::{Mutex, RwLock};
use std::fmt;
use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

mod epoch;

use epoch::Epoch;
pub use epoch::Renewal;

/// Turns personal values into pseudonyms and credentials into tags: the same value under the
/// same ring always gives the same, and nobody without the ring can go back or forth.
///
/// A pseudonym is `kind:` and 26 characters of lower-case base 32 (RFC 4648, extended hex
/// alphabet) that spell a code: the first 16 bytes of HMAC-SHA256 over the kind, a NUL and the
/// normalised value, through the permutation of an epoch (`epoch`). A tag is `secret-kind:` and
/// the same under another key.
///
/// The epoch is that of what is stored: [`Pseudonyms::enter`] moves on when the store does. Who
/// makes something of several pseudonyms looks at [`Pseudonyms::epoch`] before and after: it only
/// rises, so what was made in between is of one epoch if both are the same.
pub struct Pseudonyms {
    personal: MacKey,
    secret: MacKey,
    epoch: RwLock<Arc<Epoch>>,
    /// Its number, which is set last.
    number: AtomicU32,
    classifier: Classifier,
    hasher: RandomState,
    shards: Box<[Mutex<Shard>]>,
}

/// Characters that spell 128 bits.
const CODE_CHARS: usize = 26;
const CODE_BYTES: usize = 16;

const SHARDS: usize = 16;
const SLOTS: usize = 8192;
/// Longer values are rare, and not worth their place.
const CACHED_VALUE_BYTES_MAX: usize = 128;

/// The last values of some hashes. A slot holds one value; a newer one with the same slot takes
/// its place, so the whole is bounded.
#[derive(Default)]
struct Shard {
    slots: Vec<Option<Slot>>,
}

struct Slot {
    hash: u64,
    epoch: u32,
    is_secret: bool,
    /// The kind, then the value as it was written.
    text: Box<str>,
    kind_bytes: usize,
    code: [u8; CODE_BYTES],
}

impl Pseudonyms {
    /// Pseudonyms under `ring`; questions are read by the standard rules.
    pub fn new(ring: &KeyRing) -> Pseudonyms {
        Pseudonyms::with_classifier(ring, &Classifier::standard())
    }

    /// Pseudonyms under `ring`; questions are read by the rules of `classifier`, which must be the
    /// sealer's: what is stored as a pseudonym is looked for as one.
    pub fn with_classifier(ring: &KeyRing, classifier: &Classifier) -> Pseudonyms {
        let newest = ring.generations(Family::Pseudonym).last().map_or(0, |newest| newest.number);
        Pseudonyms::of_epoch(ring, classifier, newest).expect("the newest epoch has a key")
    }

    /// The same of one epoch; `None` if its key was destroyed or never made.
    pub fn of_epoch(ring: &KeyRing, classifier: &Classifier, epoch: u32) -> Option<Pseudonyms> {
        Some(Pseudonyms {
            // These stay when an epoch ends, and belong to no epoch.
            personal: ring.mac_key("pseudonym-of-value"),
            secret: ring.mac_key("tag-of-secret"),
            epoch: RwLock::new(Arc::new(Epoch::of(ring, epoch)?)),
            number: AtomicU32::new(epoch),
            classifier: classifier.clone(),
            hasher: RandomState::default(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        })
    }

    /// The pseudonym of `value`, normalised as its kind asks: e-mail in lower case, addresses and
    /// numbers without what people put between.
    pub fn of(&self, kind: &str, value: &str) -> String {
        let mut out = String::with_capacity(kind.len() + 1 + CODE_CHARS);
        self.push(Class::Personal, kind, value, &mut out);
        out
    }

    /// The tag that is stored in the place of a credential.
    pub fn tag(&self, kind: &str, value: &str) -> String {
        let mut out = String::with_capacity(SECRET_PREFIX.len() + kind.len() + 1 + CODE_CHARS);
        self.push(Class::Secret, kind, value, &mut out);
        out
    }

    /// What to look for in the stored values of `field`, for a literal of a question about it.
    ///
    /// A pseudonym stands for itself; the rest is turned as values of the field are turned on
    /// their way in. Sealed fields have nothing to look for: their literal comes back unchanged.
    pub fn literal(&self, field: &Field, literal: &str) -> String {
        match field.class {
            _ if field.withheld => literal.to_owned(),
            Some(class @ (Class::Personal | Class::Secret)) => {
                let mut out = String::new();
                self.push_whole(class, field, literal, &mut out);
                out
            }
            Some(Class::Special) => literal.to_owned(),
            Some(Class::Open) | None => self.text_of(open_hints(&self.classifier, field), literal),
        }
    }

    /// Free text of a question: what the classifier finds inside is replaced as in stored text.
    pub fn query_text(&self, text: &str) -> String {
        self.text_of(Some(OpenReading::plain(Hints::TEXT)), text)
    }

    fn text_of(&self, reading: Option<OpenReading>, text: &str) -> String {
        let Some(reading) = reading else { return text.to_owned() };
        let mut findings = Vec::new();
        reading.find(&self.classifier, text, &mut findings);
        let mut out = String::with_capacity(text.len());
        self.push_replaced(text, &findings, &mut out);
        out
    }

    /// Appends `text` with every finding replaced.
    pub(crate) fn push_replaced(&self, text: &str, findings: &[Finding], out: &mut String) {
        let mut at = 0;
        for finding in findings {
            out.push_str(&text[at..finding.start]);
            let value = &text[finding.start..finding.end];
            self.push(finding.class, finding.kind, value, out);
            at = finding.end;
        }
        out.push_str(&text[at..]);
    }

    /// Appends what stands for a whole value of a personal or secret field. The empty string and
    /// what was turned before stand for themselves.
    pub(crate) fn push_whole(&self, class: Class, field: &Field, value: &str, out: &mut String) {
        let was_turned = kind_of_pseudonym(value).is_some_and(|kind| match class {
            Class::Secret => kind.starts_with(SECRET_PREFIX),
            _ => is_known(kind) || kind == field.kind,
        });
        if was_turned || value.is_empty() {
            out.push_str(value);
        } else {
            self.push(class, &field.kind, value, out);
        }
    }

    fn push(&self, class: Class, kind: &str, value: &str, out: &mut String) {
        let is_secret = class == Class::Secret;
        if is_secret {
            out.push_str(SECRET_PREFIX);
        }
        out.push_str(kind);
        out.push(':');
        spell(self.code(is_secret, kind, value), out);
    }

    fn code(&self, is_secret: bool, kind: &str, value: &str) -> [u8; CODE_BYTES] {
        // A secret's own text is not kept in memory longer than it takes.
        if is_secret || value.len() > CACHED_VALUE_BYTES_MAX {
            return self.compute(is_secret, kind, value).1;
        }
        let hash = self.hasher.hash_one((kind, value));
        let shard = &self.shards[hash as usize % SHARDS];
        let slot = (hash >> 32) as usize % SLOTS;
        let epoch = self.epoch();
        let is_it = |slot: &Slot| {
            slot.hash == hash
                && slot.epoch == epoch
                && slot.is_secret == is_secret
                && slot.text.as_bytes()[..slot.kind_bytes] == *kind.as_bytes()
                && slot.text.as_bytes()[slot.kind_bytes..] == *value.as_bytes()
        };
        let known = shard
            .lock()
            .slots
            .get(slot)
            .and_then(|slot| slot.as_ref().filter(|slot| is_it(slot)).map(|slot| slot.code));
        if let Some(code) = known {
            return code;
        }
        let (epoch, code) = self.compute(is_secret, kind, value);
        let text = [kind, value].concat().into_boxed_str();
        let mut shard = shard.lock();
        if shard.slots.is_empty() {
            shard.slots.resize_with(SLOTS, || None);
        }
        shard.slots[slot] =
            Some(Slot { hash, epoch, is_secret, text, kind_bytes: kind.len(), code });
        code
    }

    /// The code, and the epoch that it is of.
    fn compute(&self, is_secret: bool, kind: &str, value: &str) -> (u32, [u8; CODE_BYTES]) {
        let mut message = String::with_capacity(kind.len() + 1 + value.len());
        message.push_str(kind);
        message.push('\0');
        if is_secret {
            message.push_str(value.trim());
        } else {
            normalise(kind, value, &mut message);
        }
        let key = if is_secret { &self.secret } else { &self.personal };
        let mut code = [0; CODE_BYTES];
        code.copy_from_slice(&key.sign(message.as_bytes())[..CODE_BYTES]);
        let epoch = self.epoch.read();
        (epoch.number(), epoch.turn(code))
    }
}

impl fmt::Debug for Pseudonyms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pseudonyms(…)")
    }
}

/// How the values of an open field are read, on the way in and in a question alike.
#[derive(Clone, Copy)]
pub(crate) struct OpenReading {
    hints: Hints,
    /// A person ruled that the field is open, so a value that is personal as a whole stays;
    /// credentials never do.
    whole_personal_stays: bool,
}

impl OpenReading {
    pub(crate) fn plain(hints: Hints) -> OpenReading {
        OpenReading { hints, whole_personal_stays: false }
    }

    pub(crate) fn find(self, classifier: &Classifier, text: &str, out: &mut Vec<Finding>) {
        classifier.find(text, self.hints, out);
        if self.whole_personal_stays
            && let [one] = out.as_slice()
            && one.class != Class::Secret
            && one.start == 0
            && one.end == text.len()
        {
            out.clear();
        }
    }
}

/// How to read the values of a field that is open or not yet ruled; `None` if they are no strings.
pub(crate) fn open_hints(classifier: &Classifier, field: &Field) -> Option<OpenReading> {
    if field.companion_of.is_some() {
        return None;
    }
    match field.ty {
        FieldType::Keyword | FieldType::Text | FieldType::Ip | FieldType::GeoPoint => {}
        _ => return None,
    }
    Some(OpenReading {
        hints: classifier.hints(field.name.as_str()),
        whole_personal_stays: field.is_opened_by_person() && field.ty != FieldType::Text,
    })
}

/// Whether `text` is a pseudonym or a tag of a kind that the classifier knows.
pub fn is_pseudonym(text: &str) -> bool {
    kind_of_pseudonym(text).is_some_and(is_known)
}

fn is_known(kind: &str) -> bool {
    kind.starts_with(SECRET_PREFIX) || kind::find(kind).is_some()
}

/// The part before the colon, if `text` has the form of a pseudonym of any kind.
fn kind_of_pseudonym(text: &str) -> Option<&str> {
    let colon = text.len().checked_sub(CODE_CHARS + 1)?;
    let bytes = text.as_bytes();
    let has_form = (1..=SECRET_PREFIX.len() + KIND_BYTES_MAX).contains(&colon)
        && bytes[colon] == b':'
        && bytes[..colon].iter().all(is_kind)
        && is_code(&bytes[colon + 1..]);
    has_form.then(|| &text[..colon])
}

/// Where the pseudonym or tag inside `text` stands whose colon is at `colon`.
pub(crate) fn pseudonym_around(text: &str, colon: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let end = colon + 1 + CODE_CHARS;
    let goes_on = bytes.get(end).is_some_and(u8::is_ascii_alphanumeric);
    if !is_code(bytes.get(colon + 1..end)?) || goes_on {
        return None;
    }
    let length =
        bytes[..colon].iter().rev().take(KIND_BYTES_MAX).take_while(|b| is_kind(b)).count();
    let word = &text[colon - length..colon];
    let kind_bytes = match word.rfind(SECRET_PREFIX) {
        Some(start) => word.len() - start,
        None => kind::at_end_of(word)?.len(),
    };
    Some(colon - kind_bytes..end)
}

fn is_kind(byte: &u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(byte)
}

fn is_code(bytes: &[u8]) -> bool {
    // The last character spells three bits, and two that are always zero.
    bytes.len() == CODE_CHARS
        && bytes.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'v'))
        && digit_of(bytes[CODE_CHARS - 1]) & 0b11 == 0
}

fn digit_of(character: u8) -> u8 {
    match character {
        b'0'..=b'9' => character - b'0',
        _ => character - b'a' + 10,
    }
}

fn spell(code: [u8; CODE_BYTES], out: &mut String) {
    const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
    let mut bits = u128::from_be_bytes(code);
    let mut text = [0; CODE_CHARS];
    // 25 digits of five bits, then the three that are left.
    text[CODE_CHARS - 1] = DIGITS[((bits & 0b111) << 2) as usize];
    bits >>= 3;
    for place in text[..CODE_CHARS - 1].iter_mut().rev() {
        *place = DIGITS[(bits & 31) as usize];
        bits >>= 5;
    }
    out.push_str(std::str::from_utf8(&text).expect("the digits are ASCII"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{FieldName, Ruling, Timestamp};

    fn field(name: &str, ty: FieldType, class: Class, kind: &str) -> Field {
        let mut field = Field::new(FieldName::parse(name).unwrap(), ty, "");
        field.class = Some(class);
        field.kind = kind.to_owned();
        field
    }

    #[test]
    fn the_same_value_has_one_pseudonym_under_one_ring() {
        let (one, other) =
            (Pseudonyms::new(&KeyRing::in_memory()), Pseudonyms::new(&KeyRing::in_memory()));
        let pseudonym = one.of("email", "Ada@Example.org");
        assert!(pseudonym.starts_with("email:") && pseudonym.len() == 6 + CODE_CHARS);
        assert_eq!(one.of("email", " ada@example.org"), pseudonym, "normalised");
        assert_eq!(one.of("email", "Ada@Example.org"), pseudonym, "cached");
        assert_ne!(one.of("user", "ada@example.org")[5..], pseudonym[6..], "by kind");
        assert_ne!(other.of("email", "ada@example.org"), pseudonym, "by ring");
        assert_ne!(
            one.tag("email", "ada@example.org")[13..],
            pseudonym[6..],
            "tags have their own key"
        );
        assert!(is_pseudonym(&pseudonym) && is_pseudonym(&one.tag("jwt", "x")));
    }

    #[test]
    fn the_code_spells_128_bits() {
        let mut text = String::new();
        spell([0; 16], &mut text);
        spell([255; 16], &mut text);
        spell([0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], &mut text);
        // As base32hex of RFC 4648 spells them, lower case, without padding.
        let expected =
            ["0".repeat(26), format!("{}s", "v".repeat(25)), format!("g{}4", "0".repeat(24))];
        assert_eq!(text, expected.concat());
    }

    #[test]
    fn a_pseudonym_is_known_by_sight() {
        let code = "0123456789abcdefghijklmno0";
        assert!(is_pseudonym(&format!("ip:{code}")) && is_pseudonym(&format!("secret-aws:{code}")));
        assert!(!is_pseudonym(&format!("model:{code}")), "no kind of ours");
        assert!(!is_pseudonym(&format!("ip:{}1", &code[1..])), "last character");
        assert!(!is_pseudonym(code) && !is_pseudonym("ip:") && !is_pseudonym(""));
        assert!(!is_pseudonym(&format!("ip:{}w", &code[1..])));
        assert!(!is_pseudonym(&format!("日:{code}")));
    }

    #[test]
    fn literals_are_turned_like_values() {
        let pseudonyms = Pseudonyms::new(&KeyRing::in_memory());
        let ip = pseudonyms.of("ip", "83.149.9.216");
        let client_ip = field("client_ip", FieldType::Ip, Class::Personal, "ip");
        assert_eq!(pseudonyms.literal(&client_ip, "83.149.9.216"), ip);
        assert_eq!(pseudonyms.literal(&client_ip, &ip), ip, "a pseudonym stands for itself");
        let message = field("message", FieldType::Text, Class::Open, "");
        assert_eq!(
            pseudonyms.literal(&message, "from 83.149.9.216 port"),
            format!("from {ip} port")
        );
        assert_eq!(pseudonyms.query_text("83.149.9.216"), ip);
        let host = field("host", FieldType::Keyword, Class::Open, "");
        assert_eq!(pseudonyms.literal(&host, "ip-83-149-9-216"), ip);
        assert_eq!(pseudonyms.literal(&host, "web-1"), "web-1");
        let firmware = field("firmware", FieldType::Keyword, Class::Open, "");
        assert_eq!(pseudonyms.literal(&firmware, "2.4.1.7"), "2.4.1.7");
        let token = field("token", FieldType::Keyword, Class::Secret, "token");
        assert_eq!(pseudonyms.literal(&token, "abc"), pseudonyms.tag("token", "abc"));
        let weight = field("weight", FieldType::Double, Class::Special, "body");
        assert_eq!(pseudonyms.literal(&weight, "72.5"), "72.5");
    }

    #[test]
    fn what_a_person_ruled_open_stays_but_for_credentials() {
        let pseudonyms = Pseudonyms::new(&KeyRing::in_memory());
        let mut gateway = field("gateway_ip", FieldType::Ip, Class::Open, "");
        let ruling = |by: &str| Ruling {
            by: by.into(),
            at: Timestamp(0),
            reason: "ours".into(),
            class: Some(Class::Open),
            kind: String::new(),
            rules: 0,
        };
        gateway.rulings = vec![ruling("grace")];
        assert_eq!(pseudonyms.literal(&gateway, "10.0.0.1"), "10.0.0.1");
        let key = "AKIAIOSFODNN7EXAMPLE";
        assert_eq!(pseudonyms.literal(&gateway, key), pseudonyms.tag("aws", key));
        gateway.rulings = vec![ruling(Ruling::CLASSIFIER)];
        assert_eq!(pseudonyms.literal(&gateway, "10.0.0.1"), pseudonyms.of("ip", "10.0.0.1"));
    }

    #[test]
    fn the_cache_is_bounded_and_right() {
        let pseudonyms = Pseudonyms::new(&KeyRing::in_memory());
        let plain = |number: u32| pseudonyms.of("device", &format!("dev-{number}"));
        let first: Vec<String> = (0..2000).map(plain).collect();
        assert_eq!((0..2000).map(plain).collect::<Vec<_>>(), first);
        assert!(pseudonyms.shards.iter().all(|shard| shard.lock().slots.len() <= SLOTS));
    }
}
