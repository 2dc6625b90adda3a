//! Where a copy stands in a binary log: the transactions that it has, and rows of the next one.
//!
//! A position is 16 bytes and a text: how many transactions there were (big-endian; a later place
//! has more), how many rows of the next one, and the transactions themselves: MariaDB's list of one
//! `domain-server-number` for each domain, or MySQL's set of `uuid:first-last`.

use crate::Position;
use mysql_async::{GnoInterval, Sid};
use std::collections::BTreeMap;
use std::fmt::Write;

/// The transactions that were seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// MariaDB: the last of each domain, with the server that wrote it.
    Domains(BTreeMap<u32, (u32, u64)>),
    /// MySQL: of each server the numbers, as ranges that do not touch; last one included.
    Sets(BTreeMap<[u8; 16], Vec<(u64, u64)>>),
}

/// A place in a binary log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) seen: Seen,
    /// Rows of the transaction behind them.
    pub(super) rows: u64,
}

/// What orders places.
pub(super) type Rank = (u64, u64);

impl Seen {
    /// Reads MariaDB's `0-1-100,1-1-7`; an empty text is the beginning.
    pub(super) fn domains(text: &str) -> Option<Seen> {
        let mut domains = BTreeMap::new();
        for gtid in text.split(',').map(str::trim).filter(|gtid| !gtid.is_empty()) {
            let mut parts = gtid.splitn(3, '-');
            let domain = parts.next()?.parse().ok()?;
            let server = parts.next()?.parse().ok()?;
            domains.insert(domain, (server, parts.next()?.parse().ok()?));
        }
        Some(Seen::Domains(domains))
    }

    /// Reads MySQL's `uuid:1-5:7,uuid:1-3`; `None` also for sets with tags.
    pub(super) fn sets(text: &str) -> Option<Seen> {
        let mut sets: BTreeMap<[u8; 16], Vec<(u64, u64)>> = BTreeMap::new();
        for set in text.split(',').map(str::trim).filter(|set| !set.is_empty()) {
            let mut parts = set.split(':');
            let server = parse_uuid(parts.next()?)?;
            for range in parts {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                sets.entry(server).or_default().push((first.parse().ok()?, last.parse().ok()?));
            }
        }
        sets.values_mut().for_each(|ranges| ranges.sort_unstable());
        Some(Seen::Sets(sets))
    }

    /// Adds a transaction of MariaDB.
    pub(super) fn add_domain(&mut self, domain: u32, server: u32, number: u64) {
        if let Seen::Domains(domains) = self {
            domains.insert(domain, (server, number));
        }
    }

    /// Adds a transaction of MySQL.
    pub(super) fn add_set(&mut self, server: [u8; 16], number: u64) {
        let Seen::Sets(sets) = self else { return };
        let ranges = sets.entry(server).or_default();
        let at = ranges.partition_point(|(first, _)| *first <= number);
        if at > 0 && ranges[at - 1].1 >= number {
            return;
        }
        ranges.insert(at, (number, number));
        if at + 1 < ranges.len() && ranges[at].1 + 1 == ranges[at + 1].0 {
            ranges[at].1 = ranges.remove(at + 1).1;
        }
        if at > 0 && ranges[at - 1].1 + 1 == ranges[at].0 {
            ranges[at - 1].1 = ranges.remove(at).1;
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        match self {
            Seen::Domains(domains) => domains.values().map(|(_, number)| number).sum(),
            Seen::Sets(sets) => {
                sets.values().flatten().map(|(first, last)| last.saturating_sub(*first) + 1).sum()
            }
        }
    }

    /// As the server writes them.
    pub(super) fn to_text(&self) -> String {
        let mut text = String::new();
        match self {
            Seen::Domains(domains) => {
                for (place, (domain, (server, number))) in domains.iter().enumerate() {
                    let comma = if place > 0 { "," } else { "" };
                    let _ = write!(text, "{comma}{domain}-{server}-{number}");
                }
            }
            Seen::Sets(sets) => {
                for (place, (server, ranges)) in sets.iter().enumerate() {
                    let _ = write!(text, "{}{}", if place > 0 { "," } else { "" }, uuid(server));
                    for (first, last) in ranges {
                        let _ = write!(text, ":{first}-{last}");
                    }
                }
            }
        }
        text
    }

    /// For a request to MySQL.
    pub(super) fn to_sids(&self) -> Vec<Sid<'static>> {
        let Seen::Sets(sets) = self else { return Vec::new() };
        let sid = |(server, ranges): (&[u8; 16], &Vec<(u64, u64)>)| {
            let intervals = ranges.iter().map(|(first, last)| GnoInterval::new(*first, last + 1));
            Sid::new(*server).with_intervals(intervals.collect())
        };
        sets.iter().map(sid).collect()
    }
}

impl Place {
    pub(super) fn rank(&self) -> Rank {
        (self.seen.count(), self.rows)
    }

    /// `None` if the text of it is longer than a position may be.
    pub(super) fn to_position(&self) -> Option<Position> {
        let (count, rows) = self.rank();
        let mut bytes = Vec::with_capacity(64);
        bytes.extend_from_slice(&count.to_be_bytes());
        bytes.extend_from_slice(&rows.to_be_bytes());
        bytes.extend_from_slice(self.seen.to_text().as_bytes());
        (bytes.len() <= Position::BYTES_MAX).then(|| Position::new(&bytes))
    }

    pub(super) fn from_position(position: &Position, is_maria: bool) -> Option<Place> {
        let (_, rows) = rank_of(position)?;
        let text = std::str::from_utf8(&position.bytes()[16..]).ok()?;
        let seen = if is_maria { Seen::domains(text)? } else { Seen::sets(text)? };
        Some(Place { seen, rows })
    }
}

/// The rank of a position, without reading the rest of it.
pub(super) fn rank_of(position: &Position) -> Option<Rank> {
    let (count, rest) = position.bytes().split_first_chunk::<8>()?;
    let rows = rest.first_chunk::<8>()?;
    Some((u64::from_be_bytes(*count), u64::from_be_bytes(*rows)))
}

fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'-').collect();
    if digits.len() != 32 || !digits.is_ascii() {
        return None;
    }
    let mut bytes = [0; 16];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

/// A UUID as it is written: 8-4-4-4-12 hex digits.
pub(super) fn uuid(bytes: &[u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (place, byte) in bytes.iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back_and_are_ordered() {
        let mut place = Place { seen: Seen::domains("0-1-100,3-2-7").unwrap(), rows: 0 };
        let mut positions = vec![place.to_position().unwrap()];
        place.rows = 300;
        positions.push(place.to_position().unwrap());
        place.seen.add_domain(3, 9, 8);
        place.rows = 0;
        positions.push(place.to_position().unwrap());
        assert!(positions.is_sorted());
        assert_eq!(place.seen.to_text(), "0-1-100,3-9-8");
        assert_eq!(Place::from_position(&positions[2], true), Some(place));
        assert_eq!(rank_of(&positions[1]), Some((107, 300)));
        assert_eq!(Place::from_position(&Position::new(b"x"), true), None);
    }

    #[test]
    fn sets_grow_and_close_their_gaps() {
        let server = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
        let mut seen = Seen::sets(&format!("{server}:1-5:9")).unwrap();
        let id = parse_uuid(server).unwrap();
        for number in [7, 6, 8, 8, 12] {
            seen.add_set(id, number);
        }
        assert_eq!(seen.to_text(), format!("{server}:1-9:12-12"));
        assert_eq!(seen.count(), 10);
        assert_eq!(Seen::sets(&seen.to_text()), Some(seen.clone()));
        assert_eq!(seen.to_sids()[0].intervals()[0].end(), 10, "the end is not included");
        assert_eq!(Seen::sets("no-uuid:1"), None);
    }
}
