//! How much each person was given today.

use super::Denied;
use crate::grant::Quota;
use crate::records::{RecordError, RecordStore};
use model::Timestamp;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

const KIND: &str = "quota_used";
const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// Counts are written ahead by this part of the quota, so that not every answer writes: what is
/// on disk is never less than what was given.
const AHEAD: u64 = 16;

/// Counts what every person with a quota is given in a day (UTC).
///
/// The count on disk runs ahead of the one in memory, and is what counts after a crash: a quota
/// may then end a sixteenth early, never late.
#[derive(Default)]
pub(super) struct Meter {
    records: Option<Arc<dyn RecordStore>>,
    used: Mutex<HashMap<String, Count>>,
}

#[derive(Clone, Copy, Default)]
struct Count {
    used: Used,
    saved: Used,
}

/// The id is the account's name.
#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Used {
    /// Since 1970.
    day: i64,
    rows: u64,
    bytes: u64,
    queries: u64,
}

impl Used {
    /// Those of the day of `now`. A clock that was set back does not give a day twice.
    fn on(self, now: Timestamp) -> Used {
        let day = now.0.div_euclid(DAY_MS);
        if day > self.day { Used { day, ..Used::default() } } else { self }
    }

    fn plus(self, more: Used) -> Used {
        Used {
            day: self.day,
            rows: self.rows.saturating_add(more.rows),
            bytes: self.bytes.saturating_add(more.bytes),
            queries: self.queries.saturating_add(more.queries),
        }
    }

    fn is_within(self, quota: &Quota) -> bool {
        let within = |used: u64, limit: Option<u64>| limit.is_none_or(|limit| used <= limit);
        within(self.rows, quota.rows)
            && within(self.bytes, quota.bytes)
            && within(self.queries, quota.queries)
    }

    fn is_at_most(self, other: Used) -> bool {
        self.day == other.day
            && self.rows <= other.rows
            && self.bytes <= other.bytes
            && self.queries <= other.queries
    }
}

impl Meter {
    pub(super) fn open(records: Arc<dyn RecordStore>) -> Result<Meter, RecordError> {
        let damaged = |_| RecordError::Damaged { kind: KIND.to_owned() };
        let counts = records.list(KIND)?.into_iter().map(|(name, bytes)| {
            let saved: Used = serde_json::from_slice(&bytes).map_err(damaged)?;
            Ok((name, Count { used: saved, saved }))
        });
        let used = Mutex::new(counts.collect::<Result<_, RecordError>>()?);
        Ok(Meter { records: Some(records), used })
    }

    /// Whether one more question, and one more row, would be within `quota`.
    pub(super) fn check(&self, name: &str, quota: &Quota, now: Timestamp) -> Result<(), Denied> {
        if *quota == Quota::NONE {
            return Ok(());
        }
        let counts = self.used.lock();
        let used = counts.get(name).copied().unwrap_or_default().used.on(now);
        let next = Used { queries: 1, rows: 1, bytes: 1, ..Used::default() };
        if used.plus(next).is_within(quota) { Ok(()) } else { Err(used_up(quota, used)) }
    }

    /// Counts a question, if it is within all of `quotas`.
    pub(super) fn charge_query(
        &self,
        name: &str,
        quotas: Vec<Quota>,
        now: Timestamp,
    ) -> Result<(), Denied> {
        self.charge(name, &quotas, Used { queries: 1, ..Used::default() }, now)
    }

    /// Counts an answer, if it is within all of `quotas`.
    pub(super) fn charge_answer(
        &self,
        name: &str,
        quotas: &[Quota],
        rows: u64,
        bytes: u64,
        now: Timestamp,
    ) -> Result<(), Denied> {
        self.charge(name, quotas, Used { rows, bytes, ..Used::default() }, now)
    }

    fn charge(
        &self,
        name: &str,
        quotas: &[Quota],
        more: Used,
        now: Timestamp,
    ) -> Result<(), Denied> {
        if quotas.is_empty() {
            return Ok(());
        }
        let mut counts = self.used.lock();
        let mut count = counts.get(name).copied().unwrap_or_default();
        let before = count.used.on(now);
        count.used = before.plus(more);
        if let Some(quota) = quotas.iter().find(|quota| !count.used.is_within(quota)) {
            return Err(used_up(quota, before));
        }
        if !count.used.is_at_most(count.saved) {
            count.saved = ahead(count.used, quotas);
            self.save(name, count.saved).map_err(Denied::MeterUnavailable)?;
        }
        counts.insert(name.to_owned(), count);
        Ok(())
    }

    fn save(&self, name: &str, used: Used) -> Result<(), RecordError> {
        let Some(records) = &self.records else { return Ok(()) };
        let bytes = serde_json::to_vec(&used).expect("numbers only");
        records.put(KIND, name, &bytes)
    }

    pub(super) fn settle(&self) -> Result<(), RecordError> {
        let mut counts = self.used.lock();
        for (name, count) in counts.iter_mut().filter(|(_, count)| count.saved != count.used) {
            self.save(name, count.used)?;
            count.saved = count.used;
        }
        Ok(())
    }
}

fn ahead(used: Used, quotas: &[Quota]) -> Used {
    let more = |limit: fn(&Quota) -> Option<u64>| {
        quotas.iter().filter_map(limit).min().map_or(0, |limit| limit / AHEAD)
    };
    used.plus(Used {
        day: 0,
        rows: more(|quota| quota.rows),
        bytes: more(|quota| quota.bytes),
        queries: more(|quota| quota.queries),
    })
}

fn used_up(quota: &Quota, used: Used) -> Denied {
    let again = Timestamp((used.day + 1).saturating_mul(DAY_MS));
    Denied::Quota { quota: quota.to_string(), again }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meter(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::MemoryRecords;

    const NOON: Timestamp = Timestamp(20_000 * DAY_MS + DAY_MS / 2);

    fn rows(rows: u64) -> Quota {
        Quota { rows: Some(rows), ..Quota::NONE }
    }

    fn answer(meter: &Meter, more: u64, now: Timestamp) -> bool {
        meter.charge_answer("ada", &[rows(160)], more, 0, now).is_ok()
    }

    #[test]
    fn a_day_has_its_measure() {
        let meter = Meter::default();
        assert!(answer(&meter, 100, NOON) && !answer(&meter, 61, NOON) && answer(&meter, 60, NOON));
        let said = meter.check("ada", &rows(160), NOON).unwrap_err().to_string();
        assert!(said.contains("160 rows a day is used up"), "{said}");
        assert!(meter.check("bob", &rows(160), NOON).is_ok());
        let tomorrow = Timestamp(NOON.0 + DAY_MS);
        assert!(answer(&meter, 160, tomorrow));
        assert!(!answer(&meter, 1, NOON), "a clock set back does not give the day twice");
    }

    #[test]
    fn a_crash_gives_nothing_back() {
        let records: Arc<dyn RecordStore> = Arc::new(MemoryRecords::new());
        let meter = Meter::open(Arc::clone(&records)).unwrap();
        assert!(answer(&meter, 100, NOON));
        let after_crash = Meter::open(Arc::clone(&records)).unwrap();
        assert!(!answer(&after_crash, 51, NOON), "100 given, 110 on disk");
        assert!(answer(&after_crash, 50, NOON));
        meter.settle().unwrap();
        let after_stop = Meter::open(records).unwrap();
        assert!(answer(&after_stop, 60, NOON));
    }

    #[test]
    fn questions_are_counted_apart() {
        let meter = Meter::default();
        let quota = Quota { queries: Some(2), ..Quota::NONE };
        let ask = || meter.charge_query("ada", vec![quota], NOON);
        assert!(ask().is_ok() && ask().is_ok() && ask().is_err());
    }
}
