//! The kinds of values. A kind is written before every pseudonym, so that one that was given out
//! once stays known as long as the process runs.

use parking_lot::RwLock;

/// The kinds of persons and things that the standard rules find; those of credentials stand behind
/// `secret-` in a tag and need no list.
const STANDARD: [&str; 16] = [
    "email", "phone", "ip", "mac", "ssid", "user", "account", "session", "device", "name",
    "address", "card", "iban", "position", "body", "birth",
];

/// Kinds beyond the standard ones: the credentials' and a company's own. Never emptied; bounded by
/// [`KINDS_MAX`].
static OTHERS: RwLock<Vec<&'static str>> = RwLock::new(Vec::new());

/// So many kinds a process can know, over all rules it ever read.
const KINDS_MAX: usize = 1_000;
/// The longest kind.
pub(crate) const KIND_BYTES_MAX: usize = 32;
/// Before the kind of a tag.
pub(crate) const SECRET_PREFIX: &str = "secret-";

/// Why a text is no kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum KindError {
    /// Not of the form that pseudonyms are known by.
    #[error(
        "`kind` is 1 to 32 lower-case letters, digits, `-` and `_`, and does not start with `secret-`"
    )]
    Form,
    /// Rules were changed very often; the list starts afresh with the process.
    #[error("too many different kinds since the start; restart the server")]
    TooMany,
}

/// The kind as it is kept for good.
pub(super) fn intern(kind: &str) -> Result<&'static str, KindError> {
    let is_kind =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    if kind.is_empty()
        || kind.len() > KIND_BYTES_MAX
        || kind.starts_with(SECRET_PREFIX)
        || !kind.bytes().all(is_kind)
    {
        return Err(KindError::Form);
    }
    if let Some(known) = find(kind) {
        return Ok(known);
    }
    let mut others = OTHERS.write();
    if let Some(&known) = others.iter().find(|known| **known == kind) {
        return Ok(known);
    }
    if others.len() == KINDS_MAX {
        return Err(KindError::TooMany);
    }
    let kept: &'static str = Box::leak(kind.into());
    others.push(kept);
    Ok(kept)
}

/// The kind that is written so, if there is one.
pub(crate) fn find(kind: &str) -> Option<&'static str> {
    let standard = STANDARD.iter().find(|known| **known == kind);
    standard.copied().or_else(|| OTHERS.read().iter().find(|known| **known == kind).copied())
}

/// All kinds that a pseudonym can have.
pub(crate) fn all() -> Vec<&'static str> {
    STANDARD.iter().chain(OTHERS.read().iter()).copied().collect()
}

/// The longest kind that `text` ends with.
pub(crate) fn at_end_of(text: &str) -> Option<&'static str> {
    let longest = |kinds: &[&'static str]| {
        kinds.iter().filter(|kind| text.ends_with(**kind)).max_by_key(|kind| kind.len()).copied()
    };
    longest(&STANDARD).into_iter().chain(longest(&OTHERS.read())).max_by_key(|kind| kind.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_kept_once() {
        let one = intern("loyalty-card").unwrap();
        assert!(std::ptr::eq(one, intern("loyalty-card").unwrap()));
        assert_eq!(find("loyalty-card"), Some(one));
        assert_eq!(at_end_of("x-loyalty-card"), Some(one));
        assert_eq!(at_end_of("my-ip"), Some("ip"));
        assert_eq!(find("no such kind"), None);
    }

    #[test]
    fn a_kind_has_a_form() {
        for text in ["", "Email", "e mail", "é", "secret-x", &"k".repeat(33)] {
            assert_eq!(intern(text), Err(KindError::Form), "{text}");
        }
    }
}
