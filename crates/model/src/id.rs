use std::fmt;

/// Which table. Never used twice, not even after a table was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId(pub u32);

/// Which field of a table: its place in [`Schema::fields`](crate::Schema::fields).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldId(pub u32);

/// The number of a row in the order of the write-ahead log, unique on a node, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Seq(pub u64);

/// Which segment. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId(pub u64);

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The `_id` of a row whose writer gave none: twenty characters that spell the row's [`Seq`].
///
/// Such a row needs no stored `_id` and no look-up when it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GeneratedId(pub Seq);

/// Crockford's base 32, lower case: sorts like the number it spells.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

impl GeneratedId {
    const PREFIX: &str = "_seq-00";

    /// Reads an id back; `None` if `text` was not made by [`GeneratedId`].
    pub fn parse(text: &str) -> Option<GeneratedId> {
        let digits = text.strip_prefix(Self::PREFIX)?;
        if digits.len() != 13 {
            return None;
        }
        let mut number: u64 = 0;
        for byte in digits.bytes() {
            let digit = DIGITS.iter().position(|&candidate| candidate == byte)? as u64;
            number = number.checked_mul(32)?.checked_add(digit)?;
        }
        Some(GeneratedId(Seq(number)))
    }
}

impl fmt::Display for GeneratedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [b'0'; 13];
        let mut rest = self.0.0;
        for place in digits.iter_mut().rev() {
            *place = DIGITS[(rest % 32) as usize];
            rest /= 32;
        }
        f.write_str(Self::PREFIX)?;
        f.write_str(std::str::from_utf8(&digits).expect("the digits are ASCII"))
    }
}

/// A text that is no id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id")]
pub struct IdError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_ids_spell_their_number() {
        for number in [0, 1, 31, 32, 1_807_201_457, u64::MAX] {
            let text = GeneratedId(Seq(number)).to_string();
            assert_eq!(text.len(), 20);
            assert_eq!(GeneratedId::parse(&text), Some(GeneratedId(Seq(number))));
        }
        assert_eq!(GeneratedId::parse("_seq-00zzzzzzzzzzzzz"), None, "too large for 64 bits");
        assert_eq!(GeneratedId::parse("my-own-id"), None);
    }
}
