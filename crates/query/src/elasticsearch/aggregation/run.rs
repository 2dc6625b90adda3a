//! Runs a tree of aggregations, one fold for each level.

use super::super::bind::Binder;
use super::super::columns::{Cell, CellColumn};
use super::super::{BUCKETS_MAX, EsError};
use super::choose::Bucket;
use super::key::{Key, Path};
use super::metric::Metrics;
use super::plan::{Plan, Shape};
use super::{Aggregation, Kind, pipeline, render};
use crate::{Ask, Group, Measure, MeasureOf, Question};
use arrow::array::RecordBatch;
use serde_json::{Map, Value, json};
use std::cell::Cell as Counter;
use std::collections::{HashMap, HashSet};
use storage::Filter;

/// The most terms that a level hands down as a condition on the rows of the next.
const NARROW_TERMS_MAX: usize = 1_000;

/// Runs aggregations by asking questions.
pub(in super::super) struct Runner<'a> {
    pub(in super::super) binder: Binder<'a>,
    /// Answers one question.
    pub(in super::super) ask: &'a dyn Fn(&Question) -> Result<RecordBatch, EsError>,
    /// Names carry the type of their aggregation.
    pub(in super::super) typed_keys: bool,
    buckets: Counter<usize>,
    hits: Counter<usize>,
}

/// The rows that a level looks at, and the groups it is in.
#[derive(Clone)]
pub(super) struct Level {
    /// The query with its scores, for the rows that are shown.
    pub(super) query: Filter,
    /// The same rows without scores, narrowed on the way down.
    pub(super) filter: Filter,
    pub(super) groups: Vec<Group>,
}

/// A bucket that the next level is computed for.
pub(super) struct Parent {
    pub(super) path: Path,
    pub(super) count: u64,
    cells: Vec<Cell>,
}

type Members = Map<String, Value>;

impl<'a> Runner<'a> {
    pub(in super::super) fn new(
        binder: Binder<'a>,
        ask: &'a dyn Fn(&Question) -> Result<RecordBatch, EsError>,
        typed_keys: bool,
    ) -> Runner<'a> {
        Runner { binder, ask, typed_keys, buckets: Counter::new(0), hits: Counter::new(0) }
    }

    /// The `aggregations` of an answer, over the rows of `query`.
    pub(in super::super) fn run(
        &self,
        aggregations: &[Aggregation],
        query: Filter,
    ) -> Result<Members, EsError> {
        let metrics = Metrics::plan(&self.binder, aggregations)?;
        let filter = super::super::bind::unscored(query.clone());
        let level = Level { query, filter, groups: Vec::new() };
        let cells = if metrics.measures.is_empty() {
            Vec::new()
        } else {
            let mut rows = self.fold(&level, &[], &metrics.measures)?;
            rows.pop().map(|bucket| bucket.cells).unwrap_or_default()
        };
        let root = Parent { path: Vec::new(), count: 1, cells };
        let mut answers = self.level(aggregations, &level, &metrics, &[root])?;
        let mut answer = answers.pop().unwrap_or_default();
        pipeline::apply(aggregations, &mut answer, self.typed_keys)?;
        Ok(answer)
    }

    /// Counts something that an answer has only so many of.
    pub(super) fn count_hits(&self, more: usize, most: usize) -> Result<(), EsError> {
        self.hits.set(self.hits.get() + more);
        if self.hits.get() > most {
            return Err(EsError::illegal(format!(
                "[top_hits] would be computed for more than {most} buckets; ask for fewer"
            )));
        }
        Ok(())
    }

    /// What each of `parents` has below it, in their order.
    fn level(
        &self,
        aggregations: &[Aggregation],
        level: &Level,
        metrics: &Metrics,
        parents: &[Parent],
    ) -> Result<Vec<Members>, EsError> {
        let mut answers: Vec<Members> = parents.iter().map(|_| Members::new()).collect();
        let mut planned = metrics.planned.iter().peekable();
        for (place, aggregation) in aggregations.iter().enumerate() {
            if let Some((_, metric, cells)) = planned.next_if(|(at, ..)| *at == place) {
                for (answer, parent) in answers.iter_mut().zip(parents) {
                    let own = parent.cells.get(cells.clone()).unwrap_or(&[]);
                    self.put(answer, aggregation, metric.type_word(), metric.render(own));
                }
                continue;
            }
            let (word, members) = match &aggregation.kind {
                Kind::Pipeline(_) => continue,
                Kind::TopHits(spec) => ("top_hits", self.top_hits(spec, level, parents)?),
                Kind::Filter(_) | Kind::Missing(_) | Kind::Global => (
                    render::type_word(aggregation, None),
                    self.narrowing(aggregation, level, parents)?,
                ),
                _ => self.buckets(aggregation, level, parents)?,
            };
            for (answer, members) in answers.iter_mut().zip(members) {
                self.put(answer, aggregation, word, members);
            }
        }
        Ok(answers)
    }

    fn put(&self, answer: &mut Members, aggregation: &Aggregation, word: &str, members: Members) {
        let name = if self.typed_keys {
            format!("{word}#{}", aggregation.name)
        } else {
            aggregation.name.clone()
        };
        let mut out = Members::new();
        if let Some(meta) = &aggregation.meta {
            out.insert("meta".to_owned(), meta.clone());
        }
        out.extend(members);
        answer.insert(name, Value::Object(out));
    }

    /// `filter`, `missing`, `global`: one bucket in each parent, over fewer (or all) rows.
    fn narrowing(
        &self,
        aggregation: &Aggregation,
        level: &Level,
        parents: &[Parent],
    ) -> Result<Vec<Members>, EsError> {
        let inner = match &aggregation.kind {
            Kind::Filter(query) => {
                let own = self.binder.condition(query)?;
                Level { filter: both(&level.filter, own), ..level.clone() }
            }
            Kind::Missing(field) => {
                let own = Filter::Exists(field.clone()).negate();
                let own =
                    if self.binder.fields.resolve(field)?.is_some() { own } else { Filter::All };
                Level { filter: both(&level.filter, own), ..level.clone() }
            }
            _ => Level { query: Filter::All, filter: Filter::All, groups: Vec::new() },
        };
        let metrics = Metrics::plan(&self.binder, &aggregation.below)?;
        let any = parents.iter().any(|parent| parent.count > 0);
        let found = if inner.filter == Filter::Nothing || !any {
            Vec::new()
        } else {
            self.fold(&inner, &[], &metrics.measures)?
        };
        let mut by_path: HashMap<Path, Bucket> =
            found.into_iter().map(|bucket| (bucket.keys.clone(), bucket)).collect();
        self.spend(parents.len())?;
        let inner_parents: Vec<Parent> = parents
            .iter()
            .map(|parent| match by_path.remove(&parent.path) {
                Some(bucket) => {
                    Parent { path: parent.path.clone(), count: bucket.count, cells: bucket.cells }
                }
                None => Parent { path: parent.path.clone(), count: 0, cells: Vec::new() },
            })
            .collect();
        let below = self.level(&aggregation.below, &inner, &metrics, &inner_parents)?;
        Ok(inner_parents
            .iter()
            .zip(below)
            .map(|(parent, below)| {
                let mut members = Members::new();
                members.insert("doc_count".to_owned(), json!(parent.count));
                members.extend(below);
                members
            })
            .collect())
    }

    /// Many buckets in each parent.
    fn buckets(
        &self,
        aggregation: &Aggregation,
        level: &Level,
        parents: &[Parent],
    ) -> Result<(&'static str, Vec<Members>), EsError> {
        let metrics = Metrics::plan(&self.binder, &aggregation.below)?;
        let Some(mut plan) = Plan::of(&self.binder, aggregation, &metrics)? else {
            return Err(EsError::parsing(
                "an aggregation without buckets cannot have any below it",
            ));
        };
        self.learn_all_terms(&mut plan)?;
        let own = plan.groups.clone().unwrap_or_default();
        let late = self.late_measures(&plan, &metrics);
        let found = if plan.groups.is_some() && parents.iter().any(|parent| parent.count > 0) {
            let mut measures = metrics.measures.clone();
            measures.extend(plan.orders.extra.iter().cloned());
            let first = Level { filter: both(&level.filter, plan.narrow.clone()), ..level.clone() };
            self.fold_some(&first, &own, &measures, |place| !late.contains(&place))?
        } else {
            Vec::new()
        };

        let mut by_parent = share(found, parents, level.groups.len());
        let mut chosen = Vec::with_capacity(parents.len());
        for place in 0..parents.len() {
            let choice = plan.choose(&metrics, by_parent.remove(&place).unwrap_or_default())?;
            self.spend(choice.buckets.len())?;
            chosen.push(choice);
        }

        let mut inner_parents: Vec<Parent> = Vec::new();
        for (parent, choice) in parents.iter().zip(&chosen) {
            inner_parents.extend(choice.buckets.iter().map(|bucket| Parent {
                path: parent.path.iter().chain(&bucket.keys).cloned().collect(),
                count: bucket.count,
                cells: bucket.cells.clone(),
            }));
        }
        let mut inner = level.clone();
        inner.filter = both(&inner.filter, narrowed(&own, chosen.iter().flat_map(|c| &c.buckets)));
        inner.groups.extend(own);
        if !late.is_empty() && inner_parents.iter().any(|parent| parent.count > 0) {
            self.measure_late(&inner, &metrics, &late, &mut inner_parents)?;
        }
        let mut below =
            self.level(&aggregation.below, &inner, &metrics, &inner_parents)?.into_iter();
        let members = chosen.iter().map(|choice| {
            let own: Vec<Members> = below.by_ref().take(choice.buckets.len()).collect();
            render::buckets(&plan, choice, own)
        });
        let members = members.collect();
        Ok((render::type_word(aggregation, Some(&plan)), members))
    }

    /// Which measures wait until the buckets are chosen: those that cost much and are not
    /// needed for the choice.
    fn late_measures(&self, plan: &Plan<'_>, metrics: &Metrics) -> HashSet<usize> {
        let mut late = HashSet::new();
        if plan.is_choosy() {
            for (place, (_, metric, cells)) in metrics.planned.iter().enumerate() {
                if metric.is_heavy() && !plan.orders.needed.contains(&place) {
                    late.extend(cells.clone());
                }
            }
        }
        late
    }

    fn measure_late(
        &self,
        level: &Level,
        metrics: &Metrics,
        late: &HashSet<usize>,
        parents: &mut [Parent],
    ) -> Result<(), EsError> {
        let found = self.fold_some(level, &[], &metrics.measures, |place| late.contains(&place))?;
        let mut by_path: HashMap<Path, Vec<Cell>> =
            found.into_iter().map(|bucket| (bucket.keys, bucket.cells)).collect();
        for parent in parents {
            let Some(cells) = by_path.remove(&parent.path) else { continue };
            for (place, cell) in
                cells.into_iter().enumerate().filter(|(place, _)| late.contains(place))
            {
                if let Some(slot) = parent.cells.get_mut(place) {
                    *slot = cell;
                }
            }
        }
        Ok(())
    }

    /// With `min_doc_count` of 0 every term of the field is a bucket.
    fn learn_all_terms(&self, plan: &mut Plan<'_>) -> Result<(), EsError> {
        let (Shape::Terms { spec, all, .. }, Some(groups)) = (&mut plan.shape, &plan.groups) else {
            return Ok(());
        };
        if spec.min_doc_count > 0 {
            return Ok(());
        }
        let level = Level { query: Filter::All, filter: Filter::All, groups: Vec::new() };
        let found = self.fold(&level, groups, &[])?;
        *all = found
            .into_iter()
            .flat_map(|bucket| bucket.keys)
            .filter(|key| *key != Key::Null)
            .collect();
        Ok(())
    }

    fn spend(&self, buckets: usize) -> Result<(), EsError> {
        self.buckets.set(self.buckets.get() + buckets);
        if self.buckets.get() > BUCKETS_MAX {
            return Err(EsError::too_many_buckets(self.buckets.get()));
        }
        Ok(())
    }

    fn fold(
        &self,
        level: &Level,
        own: &[Group],
        measures: &[MeasureOf],
    ) -> Result<Vec<Bucket>, EsError> {
        self.fold_some(level, own, measures, |_| true)
    }

    /// The groups of a level and `own` within, with the measures that `wanted` says; the cells
    /// of the others are empty.
    fn fold_some(
        &self,
        level: &Level,
        own: &[Group],
        measures: &[MeasureOf],
        wanted: impl Fn(usize) -> bool,
    ) -> Result<Vec<Bucket>, EsError> {
        let groups: Vec<Group> = level.groups.iter().chain(own).cloned().collect();
        let mut asked = vec![MeasureOf { measure: Measure::Rows, filter: None }];
        let places: Vec<Option<usize>> = (0..measures.len())
            .map(|place| {
                wanted(place).then(|| {
                    asked.push(measures[place].clone());
                    asked.len() - 1
                })
            })
            .collect();
        let width = groups.len();
        let ask = Ask::Fold { groups, measures: asked };
        let batch = (self.ask)(&Question { filter: level.filter.clone(), ask })?;
        let keys: Vec<CellColumn> =
            (0..width).map(|place| CellColumn::at(&batch, place)).collect::<Result<_, _>>()?;
        let count = CellColumn::at(&batch, width)?;
        let columns: Vec<Option<CellColumn>> = places
            .iter()
            .map(|place| place.map(|place| CellColumn::at(&batch, width + place)).transpose())
            .collect::<Result<_, _>>()?;
        let bucket = |row: usize| Bucket {
            keys: keys.iter().map(|column| Key::of(column.cell(row))).collect(),
            count: count.cell(row).count(),
            cells: columns
                .iter()
                .map(|column| column.as_ref().map_or(Cell::Null, |column| column.cell(row)))
                .collect(),
        };
        Ok((0..batch.num_rows()).map(bucket).collect())
    }
}

/// The groups of each parent, by its place; those of no parent are dropped. Their keys are cut
/// down to what follows the parent's.
fn share(found: Vec<Bucket>, parents: &[Parent], depth: usize) -> HashMap<usize, Vec<Bucket>> {
    let mut shares: HashMap<usize, Vec<Bucket>> = HashMap::new();
    if depth == 0 {
        shares.insert(0, found);
        return shares;
    }
    let places: HashMap<&[Key], usize> =
        parents.iter().enumerate().map(|(place, parent)| (&*parent.path, place)).collect();
    for mut bucket in found {
        let Some(&place) = places.get(&bucket.keys[..depth]) else { continue };
        bucket.keys.drain(..depth);
        shares.entry(place).or_default().push(bucket);
    }
    shares
}

fn both(left: &Filter, right: Filter) -> Filter {
    match (left, right) {
        (Filter::Nothing, _) | (_, Filter::Nothing) => Filter::Nothing,
        (left, right) => left.clone().and(right),
    }
}

/// What the rows of the chosen buckets have in common, where that is short to say.
fn narrowed<'b>(own: &[Group], chosen: impl Iterator<Item = &'b Bucket>) -> Filter {
    let [Group { by: crate::GroupBy::Terms(field), .. }] = own else { return Filter::All };
    let mut keys = HashSet::new();
    for bucket in chosen {
        keys.insert(&bucket.keys[0]);
        if keys.len() > NARROW_TERMS_MAX {
            return Filter::All;
        }
    }
    let missing = keys.remove(&Key::Null);
    let mut keys: Vec<&Key> = keys.into_iter().collect();
    keys.sort();
    let terms = Filter::Terms(field.clone(), keys.into_iter().filter_map(Key::to_value).collect());
    if missing { Filter::any(vec![terms, Filter::Exists(field.clone()).negate()]) } else { terms }
}
