//! `top_hits`: the first rows of each bucket.

use super::super::EsError;
use super::super::hits::{self, HitsSpec};
use super::key::bucket_filter;
use super::run::{Level, Parent, Runner};
use serde_json::{Map, Value};
use storage::Filter;

/// Each bucket is a question of its own.
const BUCKETS_WITH_HITS_MAX: usize = 200;

impl Runner<'_> {
    pub(super) fn top_hits(
        &self,
        spec: &HitsSpec,
        level: &Level,
        parents: &[Parent],
    ) -> Result<Vec<Map<String, Value>>, EsError> {
        self.count_hits(parents.len(), BUCKETS_WITH_HITS_MAX)?;
        parents
            .iter()
            .map(|parent| {
                let mut narrow = level.filter.clone();
                for (group, key) in level.groups.iter().zip(&parent.path) {
                    narrow = narrow.and(bucket_filter(group, key));
                }
                let scored = level.query.clone().and(Filter::Score(Box::new(narrow), 0.0));
                let rows = (!parent.path.is_empty()).then_some(parent.count);
                let hits = hits::fetch(&self.binder, self.ask, spec, scored, rows)?;
                let mut members = Map::new();
                members.insert("hits".to_owned(), hits);
                Ok(members)
            })
            .collect()
    }
}
