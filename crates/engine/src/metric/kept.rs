//! Applied files of metrics, all that ever were.

use crate::error::EngineError;
use model::{Table, Timestamp};
use protection::{Pseudonyms, RecordStore};
use query::TileDefinition;
use query::metrics::MetricModel;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The kind of the catalog's records that hold applied files.
const RECORDS: &str = "metric_file";

/// An applied file as it is kept.
#[derive(Serialize, Deserialize)]
struct StoredFile {
    by: String,
    at: i64,
    yaml: String,
}

/// One applied file.
pub(super) struct Applied {
    pub(super) by: String,
    pub(super) at: Timestamp,
    pub(super) yaml: String,
    pub(super) model: MetricModel,
}

/// All files that were ever applied, oldest first. A metric is what the newest file that declares
/// it says.
pub(crate) struct Metrics {
    files: Vec<Arc<Applied>>,
}

impl Metrics {
    /// Reads them from the catalog.
    pub(crate) fn load(records: &dyn RecordStore) -> Result<Metrics, String> {
        let mut stored = records.list(RECORDS).map_err(|error| error.to_string())?;
        stored.sort();
        let mut files = Vec::with_capacity(stored.len());
        for (number, bytes) in stored {
            let file: StoredFile = serde_json::from_slice(&bytes)
                .map_err(|_| format!("metric file {number} is damaged"))?;
            let model = MetricModel::parse(&file.yaml)
                .map_err(|error| format!("metric file {number}: {error}"))?;
            let at = Timestamp(file.at);
            files.push(Arc::new(Applied { by: file.by, at, yaml: file.yaml, model }));
        }
        Ok(Metrics { files })
    }

    /// The newest file that declares `name`.
    pub(super) fn find(&self, name: &str) -> Option<&Arc<Applied>> {
        self.versions(name).pop()
    }

    /// The files that declare `name`, oldest first: the n-th is its version n + 1.
    pub(super) fn versions(&self, name: &str) -> Vec<&Arc<Applied>> {
        self.files.iter().filter(|file| file.model.metric(name).is_some()).collect()
    }

    /// The files of which at least one metric is in force, oldest first.
    pub(super) fn in_force(&self) -> Vec<&Arc<Applied>> {
        let is_newest = |file: &&Arc<Applied>| {
            let metrics = file.model.metrics().iter();
            metrics.filter_map(|m| self.find(&m.name)).any(|newest| Arc::ptr_eq(newest, file))
        };
        self.files.iter().filter(is_newest).collect()
    }

    /// Keeps a file that was checked.
    pub(super) fn keep(
        &mut self,
        records: &dyn RecordStore,
        file: Applied,
    ) -> Result<(), EngineError> {
        let stored = StoredFile { by: file.by.clone(), at: file.at.0, yaml: file.yaml.clone() };
        let bytes = serde_json::to_vec(&stored)
            .map_err(|_| EngineError::internal("a metric file that cannot be written"))?;
        let number = format!("{:08}", self.files.len());
        records
            .put(RECORDS, &number, &bytes)
            .map_err(|error| EngineError::unavailable(error.to_string()))?;
        self.files.push(Arc::new(file));
        Ok(())
    }

    /// The file that declares `name` now.
    pub(crate) fn model_of(&self, name: &str) -> Option<&MetricModel> {
        self.find(name).map(|file| &file.model)
    }

    /// The tiles that answer the metrics as they are now, over one table.
    pub(crate) fn tiles(&self, table: &Arc<Table>, pseudonyms: &Pseudonyms) -> Vec<TileDefinition> {
        let mut tiles = Vec::new();
        for name in self.names() {
            let Some(model) = self.model_of(name) else { continue };
            if let Some(metric) = model.metric(name) {
                tiles.extend(model.tiles(metric, table, pseudonyms));
            }
        }
        tiles
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        let all = self.files.iter().flat_map(|file| file.model.metrics());
        let mut names: Vec<&str> = all.map(|metric| metric.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}
