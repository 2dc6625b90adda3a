//! Alerts as they stand in the catalog: applied files, how each alert is, silences.

use super::decide::{GroupState, Phase, State};
use super::rule::{self, Rule};
use model::Timestamp;
use protection::caller::Role;
use protection::{RecordError, RecordStore};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

const FILES: &str = "alert_file";
const STATES: &str = "alert_state";
const SILENCES: &str = "alert_silence";
/// So many events of an alert are kept.
pub(super) const EVENTS_KEPT: usize = 100;

/// A file that somebody applied; the newest one that declares an alert counts.
#[derive(Clone, Serialize, Deserialize)]
struct StoredFile {
    by: String,
    /// With which of the author's roles alerts read.
    roles: Vec<String>,
    at: i64,
    yaml: String,
    /// Alerts that are removed by it; then `yaml` is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    removes: Vec<String>,
}

/// An applied file.
pub(super) struct Applied {
    pub(super) by: String,
    pub(super) roles: Vec<Role>,
    pub(super) at: Timestamp,
    pub(super) yaml: String,
    pub(super) rules: Vec<Rule>,
    pub(super) removes: Vec<String>,
}

/// How an alert is.
#[derive(Clone, Debug, Default)]
pub(super) struct Status {
    /// When it was looked at last.
    pub(super) evaluated_at: Option<i64>,
    /// Why that did not work.
    pub(super) trouble: Option<String>,
    /// It reads no more until it is applied again: its author may not.
    pub(super) stopped: bool,
    pub(super) groups: State,
    /// The newest last.
    pub(super) events: Vec<StoredEvent>,
}

/// Something that was told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct StoredEvent {
    pub(super) at: i64,
    pub(super) group: Vec<String>,
    pub(super) fires: bool,
    pub(super) value: Option<f64>,
    pub(super) expected: Option<f64>,
    /// Whether nobody was told, because it was silenced.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) silenced: bool,
}

#[derive(Serialize, Deserialize)]
struct StoredStatus {
    evaluated_at: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trouble: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    stopped: bool,
    groups: Vec<StoredGroup>,
    events: Vec<StoredEvent>,
}

#[derive(Serialize, Deserialize)]
struct StoredGroup {
    group: Vec<String>,
    phase: String,
    since: Option<i64>,
    value: Option<f64>,
    expected: Option<f64>,
}

/// Nobody is told until then.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Silence {
    pub(super) until: i64,
    pub(super) by: String,
    pub(super) why: String,
}

/// All alerts of a node.
#[derive(Default)]
pub(crate) struct Alerts {
    /// Oldest first.
    pub(super) files: Vec<Arc<Applied>>,
    pub(super) status: BTreeMap<String, Status>,
    pub(super) silences: BTreeMap<String, Silence>,
}

fn damaged(kind: &str) -> RecordError {
    RecordError::Damaged { kind: kind.to_owned() }
}

impl Alerts {
    /// Reads them from the catalog.
    pub(crate) fn load(records: &dyn RecordStore) -> Result<Alerts, RecordError> {
        let mut alerts = Alerts::default();
        for (_, bytes) in records.list(FILES)? {
            let stored: StoredFile = serde_json::from_slice(&bytes).map_err(|_| damaged(FILES))?;
            alerts.files.push(Arc::new(applied(stored).ok_or_else(|| damaged(FILES))?));
        }
        for (name, bytes) in records.list(STATES)? {
            let stored: StoredStatus =
                serde_json::from_slice(&bytes).map_err(|_| damaged(STATES))?;
            alerts.status.insert(name, stored.into());
        }
        for (name, bytes) in records.list(SILENCES)? {
            let stored = serde_json::from_slice(&bytes).map_err(|_| damaged(SILENCES))?;
            alerts.silences.insert(name, stored);
        }
        Ok(alerts)
    }

    /// The file that declares `name` now, and the alert.
    pub(super) fn find(&self, name: &str) -> Option<(&Arc<Applied>, &Rule)> {
        for file in self.files.iter().rev() {
            if file.removes.iter().any(|removed| removed == name) {
                return None;
            }
            if let Some(rule) = file.rules.iter().find(|rule| rule.name == name) {
                return Some((file, rule));
            }
        }
        None
    }

    /// All names, in order.
    pub(super) fn names(&self) -> Vec<String> {
        let all = self.files.iter().flat_map(|file| file.rules.iter().map(|rule| &rule.name));
        let mut names: Vec<String> = all.cloned().collect();
        names.sort_unstable();
        names.dedup();
        names.retain(|name| self.find(name).is_some());
        names
    }

    /// The files that ever declared or removed `name`, newest first.
    pub(super) fn history(&self, name: &str) -> impl Iterator<Item = &Arc<Applied>> {
        self.files.iter().rev().filter(move |file| {
            file.rules.iter().any(|rule| rule.name == name)
                || file.removes.iter().any(|removed| removed == name)
        })
    }

    /// Adds a file, durably.
    pub(super) fn add(
        &mut self,
        records: &dyn RecordStore,
        file: Applied,
    ) -> Result<(), RecordError> {
        let stored = StoredFile {
            by: file.by.clone(),
            roles: file.roles.iter().map(|role| role.as_str().to_owned()).collect(),
            at: file.at.0,
            yaml: file.yaml.clone(),
            removes: file.removes.clone(),
        };
        let bytes = serde_json::to_vec(&stored).expect("strings and numbers only");
        records.put(FILES, &format!("{:08}", self.files.len()), &bytes)?;
        self.files.push(Arc::new(file));
        Ok(())
    }

    /// Keeps how an alert is, durably.
    pub(super) fn keep(
        &mut self,
        records: &dyn RecordStore,
        name: &str,
        status: Status,
    ) -> Result<(), RecordError> {
        let bytes = serde_json::to_vec(&StoredStatus::from(&status)).expect("no map with odd keys");
        records.put(STATES, name, &bytes)?;
        self.status.insert(name.to_owned(), status);
        Ok(())
    }

    /// Keeps a silence, durably; `None` ends it.
    pub(super) fn silence(
        &mut self,
        records: &dyn RecordStore,
        name: &str,
        silence: Option<Silence>,
    ) -> Result<(), RecordError> {
        match silence {
            None => {
                records.delete(SILENCES, name)?;
                self.silences.remove(name);
            }
            Some(silence) => {
                let bytes = serde_json::to_vec(&silence).expect("strings and numbers only");
                records.put(SILENCES, name, &bytes)?;
                self.silences.insert(name.to_owned(), silence);
            }
        }
        Ok(())
    }
}

fn applied(stored: StoredFile) -> Option<Applied> {
    let rules = if stored.yaml.is_empty() { Vec::new() } else { rule::parse(&stored.yaml).ok()? };
    let roles: Option<Vec<Role>> = stored.roles.iter().map(|role| role.parse().ok()).collect();
    Some(Applied {
        by: stored.by,
        roles: roles?,
        at: Timestamp(stored.at),
        yaml: stored.yaml,
        rules,
        removes: stored.removes,
    })
}

impl From<StoredStatus> for Status {
    fn from(stored: StoredStatus) -> Status {
        let group = |stored: StoredGroup| {
            let phase = match (stored.phase.as_str(), stored.since) {
                ("firing", Some(since)) => Phase::Firing(since),
                ("pending", Some(since)) => Phase::Pending(since),
                _ => Phase::Quiet,
            };
            let state = GroupState { phase, value: stored.value, expected: stored.expected };
            (stored.group, state)
        };
        Status {
            evaluated_at: stored.evaluated_at,
            trouble: stored.trouble,
            stopped: stored.stopped,
            groups: stored.groups.into_iter().map(group).collect(),
            events: stored.events,
        }
    }
}

impl From<&Status> for StoredStatus {
    fn from(status: &Status) -> StoredStatus {
        let group = |(group, state): (&Vec<String>, &GroupState)| {
            let (phase, since) = word(state.phase);
            StoredGroup {
                group: group.clone(),
                phase: phase.to_owned(),
                since,
                value: state.value,
                expected: state.expected,
            }
        };
        StoredStatus {
            evaluated_at: status.evaluated_at,
            trouble: status.trouble.clone(),
            stopped: status.stopped,
            groups: status.groups.iter().map(group).collect(),
            events: status.events.clone(),
        }
    }
}

/// A phase as a word, and since when.
pub(super) fn word(phase: Phase) -> (&'static str, Option<i64>) {
    match phase {
        Phase::Quiet => ("quiet", None),
        Phase::Pending(since) => ("pending", Some(since)),
        Phase::Firing(since) => ("firing", Some(since)),
    }
}
