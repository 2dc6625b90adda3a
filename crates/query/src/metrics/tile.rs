//! Of which measures tiles are kept.

use super::condition;
use super::model::{Metric, MetricModel};
use crate::TileDefinition;
use crate::leaf::field;
use model::Table;
use protection::Pseudonyms;
use std::sync::Arc;
use storage::Filter;

impl MetricModel {
    /// The tiles that answer a metric over one table: one for each of its measures there, by those
    /// dimensions of the metric that are the table's own fields. A measure that does not fit the table as it is has none: a question
    /// will say why.
    pub fn tiles(
        &self,
        metric: &Metric,
        table: &Arc<Table>,
        pseudonyms: &Pseudonyms,
    ) -> Vec<TileDefinition> {
        let dimensions: Vec<String> = metric
            .dimensions
            .iter()
            .filter(|name| {
                field::column_kind(std::slice::from_ref(table), name).is_ok_and(|k| k.is_some())
            })
            .cloned()
            .collect();
        let here = self.measures_of(metric).into_iter();
        let here = here.filter(|measure| measure.table == table.name.as_str());
        here.filter_map(|measure| {
            let filter = match &measure.condition {
                Some(written) => condition::filter(written, table, pseudonyms).ok()?,
                None => Filter::All,
            };
            Some(TileDefinition {
                time: measure.time_field(table).ok()?.to_owned(),
                measure: measure.aggregate.measure(),
                filter,
                dimensions: dimensions.clone(),
            })
        })
        .collect()
    }
}
