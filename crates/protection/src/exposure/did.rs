use super::ExposureQuestion;
use crate::audit::{Documents, Event, EventKind, FieldTouched, Record, RecordId};
use crate::grant::Action;
use crate::release::Use;
use model::Timestamp;
use roaring::RoaringTreemap;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Who did read, from the audit record. Shown every record from `from` on, in order.
#[derive(Debug)]
pub struct Readings {
    question: ExposureQuestion,
    /// Only reads that saw one of these rows; `None`: all.
    rows: Option<RoaringTreemap>,
    /// The latest time of any record so far: a clock that was set back hides nothing.
    latest: Timestamp,
    /// Intents whose end was not seen yet.
    open: HashMap<RecordId, Intent>,
    readers: BTreeMap<String, Reader>,
}

#[derive(Debug)]
struct Intent {
    at: Timestamp,
    event: Event,
    uses: BTreeSet<Use>,
}

/// What one account read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reader {
    /// Reads that gave rows out.
    pub reads: u64,
    /// Reads that counted or computed over rows, and gave none out.
    pub computations: u64,
    /// Reads whose end is not recorded: they count as reads of everything.
    pub unfinished: u64,
    /// The rows that went out, each once, by number. Of computations there are none.
    pub rows: RoaringTreemap,
    /// Computations covered rows below this number, as far as they fit their filters.
    pub computed_below: u64,
    /// Bytes that went out.
    pub bytes: u64,
    /// What was done with the fields.
    pub uses: BTreeSet<Use>,
    /// With which credentials.
    pub credentials: BTreeSet<String>,
    /// The first read.
    pub first: Option<Timestamp>,
    /// The last one.
    pub last: Option<Timestamp>,
    /// The audit records of the intents.
    pub records: Vec<RecordId>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq)]
pub struct DidRead {
    /// By account.
    pub readers: BTreeMap<String, Reader>,
    /// All rows that went out to anybody, each once.
    pub rows: RoaringTreemap,
}

impl Readings {
    /// Of everything in question, or only of reads that saw one of `rows` of the table.
    pub fn new(question: ExposureQuestion, rows: Option<RoaringTreemap>) -> Readings {
        let latest = Timestamp(i64::MIN);
        Readings { question, rows, latest, open: HashMap::new(), readers: BTreeMap::new() }
    }

    /// Takes the next record.
    pub fn see(&mut self, record: Record) {
        let Record { id, at, event } = record;
        self.latest = self.latest.max(at);
        match event.kind {
            // Ordered by when it was written: with a clock set back a read counts at all times
            // between what the clock said and what it had said before.
            EventKind::ReadIntent if at < self.question.to && self.latest >= self.question.from => {
                let uses = self.uses_in_question(&event, at);
                if !uses.is_empty() {
                    self.open.insert(id, Intent { at, event, uses });
                }
            }
            EventKind::ReadEnd => {
                if let Some((id, intent)) =
                    event.refers_to.and_then(|id| Some((id, self.open.remove(&id)?)))
                {
                    self.finish(id, intent, Some(event));
                }
            }
            _ => {}
        }
    }

    /// What was done with fields in question; nothing if none was touched.
    fn uses_in_question(&self, event: &Event, at: Timestamp) -> BTreeSet<Use> {
        let table = self.question.table.as_str();
        let touched = event.fields.iter().filter(|touched| touched.table == table);
        let in_question = touched.filter(|touched| {
            self.question.fields.iter().any(|field| match meaning(touched, &field.name) {
                Meaning::Other => false,
                Meaning::Itself => true,
                // Of several fields those of the recorded class.
                Meaning::Among => touched.class.is_none() || touched.class == field.class_at(at),
            })
        });
        in_question.filter_map(|touched| touched.how).collect()
    }

    fn finish(&mut self, id: RecordId, intent: Intent, end: Option<Event>) {
        let table = self.question.table.as_str();
        let is_released = end.as_ref().is_none_or(|end| end.outcome == "released");
        if !is_released {
            return;
        }
        let documents = end.as_ref().and_then(|end| {
            end.read.iter().find(|read| read.table == table).map(|read| &read.documents)
        });
        // An end without documents says nothing about which they were: all, then.
        let saw = match (&self.rows, documents) {
            (None, _) | (_, None) => true,
            (Some(rows), Some(Documents::Rows(read))) => !rows.is_disjoint(read),
            (Some(rows), Some(Documents::AllBelow(end))) => {
                rows.min().is_some_and(|first| first < *end)
            }
        };
        if !saw {
            return;
        }
        let reader = self.readers.entry(intent.event.who).or_default();
        let computes = matches!(intent.event.action, Some(Action::Count | Action::Aggregate));
        match (&end, documents, computes) {
            (None, _, _) => reader.unfinished += 1,
            (Some(_), _, true) => reader.computations += 1,
            (Some(_), _, false) => reader.reads += 1,
        }
        match documents {
            Some(Documents::Rows(read)) => match &self.rows {
                Some(rows) => reader.rows |= rows & read,
                None => reader.rows |= read,
            },
            Some(Documents::AllBelow(end)) => {
                reader.computed_below = reader.computed_below.max(*end);
            }
            None => {}
        }
        reader.bytes += end.and_then(|end| end.bytes).unwrap_or(0);
        reader.uses.extend(intent.uses);
        reader.credentials.insert(intent.event.credential);
        reader.first = Some(reader.first.map_or(intent.at, |first| first.min(intent.at)));
        reader.last = reader.last.max(Some(intent.at));
        reader.records.push(id);
    }

    /// The answer. What never ended counts as read.
    pub fn finished(mut self) -> DidRead {
        for (id, intent) in std::mem::take(&mut self.open) {
            self.finish(id, intent, None);
        }
        let mut rows = RoaringTreemap::new();
        for reader in self.readers.values_mut() {
            reader.records.sort_unstable();
            rows |= &reader.rows;
        }
        DidRead { readers: self.readers, rows }
    }
}

/// What a recorded name says about a field.
enum Meaning {
    Other,
    Itself,
    /// It is one of several: the name is a pattern, or an object above it.
    Among,
}

fn meaning(touched: &FieldTouched, path: &str) -> Meaning {
    let name = touched.field.as_str();
    let name = name.strip_suffix(".keyword").unwrap_or(name);
    let is_below = path.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
    if name == path {
        Meaning::Itself
    } else if is_below
        || (name.contains('*') && crate::release::fits(name.as_bytes(), path.as_bytes()))
    {
        Meaning::Among
    } else {
        Meaning::Other
    }
}
