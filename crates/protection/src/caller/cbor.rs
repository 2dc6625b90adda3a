//! The part of CBOR (RFC 8949) that authenticators write: whole numbers, bytes, text, arrays and
//! maps of known length.

/// One item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item<'a> {
    Number(i64),
    Bytes(&'a [u8]),
    Text(&'a str),
    Array(Vec<Item<'a>>),
    /// In the order of the bytes.
    Map(Vec<(Item<'a>, Item<'a>)>),
    /// true, false, null: nothing here asks which.
    Simple,
}

/// Deeper than any authenticator writes.
const DEPTH_MAX: usize = 8;
/// More members than any authenticator writes.
const MEMBERS_MAX: u64 = 64;

/// Reads one item from the front of `bytes`.
pub(super) fn read<'a>(bytes: &mut &'a [u8]) -> Option<Item<'a>> {
    read_item(bytes, 0)
}

fn read_item<'a>(bytes: &mut &'a [u8], depth: usize) -> Option<Item<'a>> {
    if depth > DEPTH_MAX {
        return None;
    }
    let (first, rest) = bytes.split_first()?;
    *bytes = rest;
    let argument = argument(first & 31, bytes)?;
    let number = i64::try_from(argument).ok();
    let count = || (argument <= MEMBERS_MAX).then_some(argument);
    Some(match first >> 5 {
        0 => Item::Number(number?),
        1 => Item::Number(-1 - number?),
        2 => Item::Bytes(take(bytes, argument)?),
        3 => Item::Text(std::str::from_utf8(take(bytes, argument)?).ok()?),
        4 => {
            let items = (0..count()?).map(|_| read_item(bytes, depth + 1));
            Item::Array(items.collect::<Option<_>>()?)
        }
        5 => {
            let member = |_| Some((read_item(bytes, depth + 1)?, read_item(bytes, depth + 1)?));
            Item::Map((0..count()?).map(member).collect::<Option<_>>()?)
        }
        7 if (20..=22).contains(&(first & 31)) => Item::Simple,
        _ => return None,
    })
}

fn argument(short: u8, bytes: &mut &[u8]) -> Option<u64> {
    let length = match short {
        0..=23 => return Some(u64::from(short)),
        24..=27 => 1_u64 << (short - 24),
        _ => return None,
    };
    let number = take(bytes, length)?;
    Some(number.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

fn take<'a>(bytes: &mut &'a [u8], length: u64) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
    *bytes = rest;
    Some(taken)
}

impl<'a> Item<'a> {
    /// The member of a map with this name.
    pub(super) fn text_member(&self, name: &str) -> Option<&Item<'a>> {
        self.members()?.iter().find(|(key, _)| *key == Item::Text(name)).map(|(_, item)| item)
    }

    /// The member of a map with this number.
    pub(super) fn member(&self, number: i64) -> Option<&Item<'a>> {
        self.members()?.iter().find(|(key, _)| *key == Item::Number(number)).map(|(_, item)| item)
    }

    fn members(&self) -> Option<&[(Item<'a>, Item<'a>)]> {
        match self {
            Item::Map(members) => Some(members),
            _ => None,
        }
    }

    pub(super) fn bytes(&self) -> Option<&'a [u8]> {
        match self {
            Item::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub(super) fn number(&self) -> Option<i64> {
        match self {
            Item::Number(number) => Some(*number),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(bytes: &[u8]) -> Option<Item<'_>> {
        let mut rest = bytes;
        read(&mut rest).filter(|_| rest.is_empty())
    }

    #[test]
    fn examples_of_rfc_8949() {
        for (bytes, expected) in [
            (&b"\x00"[..], Item::Number(0)),
            (b"\x17", Item::Number(23)),
            (b"\x18\x64", Item::Number(100)),
            (b"\x19\x03\xe8", Item::Number(1000)),
            (b"\x1b\x00\x00\x00\xe8\xd4\xa5\x10\x00", Item::Number(1_000_000_000_000)),
            (b"\x20", Item::Number(-1)),
            (b"\x39\x03\xe7", Item::Number(-1000)),
            (b"\x44\x01\x02\x03\x04", Item::Bytes(&[1, 2, 3, 4])),
            (b"\x64IETF", Item::Text("IETF")),
            (b"\xf5", Item::Simple),
            (b"\x83\x01\x02\x03", Item::Array([1, 2, 3].map(Item::Number).to_vec())),
        ] {
            assert_eq!(parse(bytes), Some(expected));
        }
        let map = parse(b"\xa2\x61a\x01\x20\x41\x05").unwrap();
        assert_eq!(map.text_member("a").and_then(Item::number), Some(1));
        assert_eq!(map.member(-1).and_then(Item::bytes), Some(&[5][..]));
        assert_eq!(map.member(2), None);
        // Indefinite lengths, floats, tags, more than there is, too deep.
        for wrong in [
            &b"\x9f\x01\xff"[..],
            b"\xf9\x00\x00",
            b"\xc1\x00",
            b"\x5b\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
            &[0x81; 64],
            b"",
        ] {
            assert_eq!(parse(wrong), None, "{wrong:x?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }
    }
}
