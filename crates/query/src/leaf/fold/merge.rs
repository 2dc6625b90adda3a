//! Partial folds merged by value, and the answer as arrays.

use super::group::{Interner, Keys};
use super::partial::{Part, Partial};
use super::quantile::Sample;
use crate::{Measure, QueryError};
use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Float64Builder, Int64Array, ListBuilder, StringArray,
    UInt32Array, UInt64Array,
};
use arrow::datatypes::DataType;
use datasketches::hll::{HllSketch, HllType};
use hashbrown::HashTable;
use roaring::RoaringBitmap;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use storage::Ordinals;

/// Precision of approximate distinct counts: 2^14 registers, about 0.8 % standard error.
const HLL_LG_K: u8 = 14;
/// The place in [`Merger::direct`] of a code without a group.
const NO_GROUP: u32 = u32::MAX;

/// All partials so far.
pub(super) struct Merger {
    dimensions: Vec<Ids>,
    /// Global group numbers by their codes …
    table: HashTable<u32>,
    /// … and by the code where there is a single dimension.
    direct: Vec<u32>,
    hasher: foldhash::fast::FixedState,
    /// For each group and dimension 0 for missing, otherwise 1 + the id.
    codes: Vec<u32>,
    groups: usize,
    measures: Vec<Merged>,
    groups_max: usize,
}

/// Numbers for values across views.
struct Ids {
    /// Numbers that all views share take the place of `strings`.
    shared: Option<Arc<Ordinals>>,
    strings: Interner<String>,
    longs: Interner<i64>,
    doubles: Interner<u64>,
}

/// One measure across views; only the lists that it needs are filled.
struct Merged {
    measure: Measure,
    counts: Vec<u64>,
    longs: Vec<i128>,
    doubles: Vec<f64>,
    strings: Vec<Option<String>>,
    ids: Ids,
    sets: Vec<RoaringBitmap>,
    sketches: Vec<HllSketch>,
    samples: Vec<Sample>,
}

impl Ids {
    fn new(shared: Option<Arc<Ordinals>>) -> Ids {
        let strings = Interner::new();
        Ids { shared, strings, longs: Interner::new(), doubles: Interner::new() }
    }

    fn of(&mut self, keys: Keys) -> Vec<u32> {
        match keys {
            Keys::Strings(keys) => match &self.shared {
                Some(shared) => shared.numbers(&keys),
                None => keys.into_iter().map(|k| self.strings.number(k)).collect(),
            },
            Keys::Shared(numbers) => numbers,
            Keys::Longs(keys) => keys.into_iter().map(|k| self.longs.number(k)).collect(),
            Keys::Doubles(keys) => keys.into_iter().map(|k| self.doubles.number(k)).collect(),
        }
    }

    /// One hash for each value, the same in every run.
    fn hashes(&self, keys: &Keys) -> Vec<u64> {
        let hasher = foldhash::quality::FixedState::default();
        match keys {
            Keys::Strings(keys) => keys.iter().map(|key| hasher.hash_one(key.as_str())).collect(),
            Keys::Shared(numbers) => self.shared.as_ref().map_or_else(Vec::new, |shared| {
                shared.with_terms(|terms| {
                    numbers.iter().map(|&number| hasher.hash_one(terms.get(number))).collect()
                })
            }),
            Keys::Longs(keys) => keys.iter().map(|key| hasher.hash_one(key)).collect(),
            Keys::Doubles(keys) => keys.iter().map(|key| hasher.hash_one(key)).collect(),
        }
    }

    /// The place of each id in the order of the values.
    fn ranks(&self, ty: &DataType) -> Arc<[u32]> {
        fn ranks<K>(keys: &[K], compare: impl Fn(&K, &K) -> Ordering) -> Vec<u32> {
            let mut order: Vec<u32> = (0..keys.len() as u32).collect();
            order.sort_by(|&a, &b| compare(&keys[a as usize], &keys[b as usize]));
            let mut ranks = vec![0; keys.len()];
            (0..).zip(order).for_each(|(rank, id)| ranks[id as usize] = rank);
            ranks
        }
        match ty {
            DataType::Utf8 => match &self.shared {
                Some(shared) => shared.ranks(),
                None => ranks(self.strings.keys(), Ord::cmp).into(),
            },
            DataType::Float64 => {
                let compare = |a: &u64, b: &u64| f64::from_bits(*a).total_cmp(&f64::from_bits(*b));
                ranks(self.doubles.keys(), compare).into()
            }
            _ => ranks(self.longs.keys(), Ord::cmp).into(),
        }
    }

    fn array(&self, ty: &DataType, codes: impl Iterator<Item = u32>) -> ArrayRef {
        let id = |code: u32| code.checked_sub(1).map(|id| id as usize);
        match ty {
            DataType::Utf8 if self.shared.is_some() => {
                let shared = self.shared.as_ref().expect("it was just seen");
                shared.with_terms(|terms| {
                    let value = |code: u32| code.checked_sub(1).map(|number| terms.get(number));
                    Arc::new(codes.map(value).collect::<StringArray>())
                })
            }
            DataType::Utf8 => {
                let keys = self.strings.keys();
                let value = |code| id(code).and_then(|id| keys.get(id)).map(String::as_str);
                Arc::new(codes.map(value).collect::<StringArray>())
            }
            DataType::Float64 => {
                let keys = self.doubles.keys();
                let value = |code| id(code).and_then(|id| keys.get(id)).map(|b| f64::from_bits(*b));
                Arc::new(codes.map(value).collect::<Float64Array>())
            }
            ty => {
                let keys = self.longs.keys();
                let values = codes.map(|code| id(code).and_then(|id| keys.get(id)).copied());
                match ty {
                    DataType::Boolean => {
                        Arc::new(values.map(|v| v.map(|v| v != 0)).collect::<BooleanArray>())
                    }
                    DataType::UInt32 => {
                        Arc::new(values.map(|v| v.map(|v| v as u32)).collect::<UInt32Array>())
                    }
                    _ => Arc::new(values.collect::<Int64Array>()),
                }
            }
        }
    }
}

impl Merger {
    /// An empty answer.
    /// `shared`: for each dimension, and `counted`: for each measure, the numbers that all
    /// partials share.
    pub(super) fn new(
        shared: Vec<Option<Arc<Ordinals>>>,
        measures: &[Measure],
        counted: Vec<Option<Arc<Ordinals>>>,
        groups_max: usize,
    ) -> Merger {
        let merged = |(measure, shared): (&Measure, Option<Arc<Ordinals>>)| Merged {
            measure: measure.clone(),
            counts: Vec::new(),
            longs: Vec::new(),
            doubles: Vec::new(),
            strings: Vec::new(),
            ids: Ids::new(shared),
            sets: Vec::new(),
            sketches: Vec::new(),
            samples: Vec::new(),
        };
        Merger {
            groups: usize::from(shared.is_empty()),
            dimensions: shared.into_iter().map(Ids::new).collect(),
            table: HashTable::new(),
            direct: Vec::new(),
            hasher: foldhash::fast::FixedState::default(),
            codes: Vec::new(),
            measures: measures.iter().zip(counted).map(merged).collect(),
            groups_max,
        }
    }

    /// Adds the groups of one partial and gives the number that each has among all. The order of
    /// calls decides the last bits of sums of floats, so it has to be the same every time.
    pub(super) fn add(&mut self, partial: Partial) -> Result<Vec<u32>, QueryError> {
        let Partial { keys, codes, rows, measures } = partial;
        let ids: Vec<Vec<u32>> =
            self.dimensions.iter_mut().zip(keys).map(|(ids, keys)| ids.of(keys)).collect();
        let width = ids.len();
        let mut groups = vec![0u32; rows.len()];
        if width > 0 {
            let mut global = vec![0; width];
            for (group, codes) in groups.iter_mut().zip(codes.chunks_exact(width)) {
                for ((global, &code), ids) in global.iter_mut().zip(codes).zip(&ids) {
                    *global = if code == 0 { 0 } else { ids[code as usize - 1] + 1 };
                }
                *group = self.group(&global);
            }
            if self.groups > self.groups_max {
                return Err(QueryError::TooManyGroups { limit: self.groups_max });
            }
        }
        for (merged, part) in self.measures.iter_mut().zip(measures) {
            merged.add(part, &groups, self.groups);
        }
        Ok(groups)
    }

    fn group(&mut self, codes: &[u32]) -> u32 {
        if let [code] = codes {
            return self.group_of_one(*code);
        }
        let hash = |codes: &[u32]| {
            let mut hasher = self.hasher.build_hasher();
            codes.hash(&mut hasher);
            std::hash::Hasher::finish(&hasher)
        };
        let width = codes.len();
        let of = |group: u32| &self.codes[group as usize * width..][..width];
        let entry =
            self.table.entry(hash(codes), |&group| of(group) == codes, |&group| hash(of(group)));
        match entry {
            hashbrown::hash_table::Entry::Occupied(known) => *known.get(),
            hashbrown::hash_table::Entry::Vacant(place) => {
                let group = self.groups as u32;
                place.insert(group);
                self.groups += 1;
                self.codes.extend_from_slice(codes);
                group
            }
        }
    }

    /// The codes of a single dimension are close together: a table needs no hash.
    fn group_of_one(&mut self, code: u32) -> u32 {
        let place = code as usize;
        if place >= self.direct.len() {
            self.direct.resize((place + 1).max(self.direct.len() * 2), NO_GROUP);
        }
        if self.direct[place] == NO_GROUP {
            self.direct[place] = self.groups as u32;
            self.groups += 1;
            self.codes.push(code);
        }
        self.direct[place]
    }

    /// The answer: group columns, then measures, in the order of the keys, missing ones last.
    pub(super) fn finish(
        mut self,
        group_types: &[DataType],
        measure_types: &[DataType],
    ) -> Result<Vec<ArrayRef>, QueryError> {
        let (mut arrays, order) = self.finish_groups(group_types);
        for (mut merged, ty) in std::mem::take(&mut self.measures).into_iter().zip(measure_types) {
            merged.grow(self.groups);
            arrays.push(merged.array(&order, ty)?);
        }
        Ok(arrays)
    }

    /// The answer where the first key is the start of a piece of time and each measure a set of
    /// distinct values: for each window the union of the pieces that begin in it. The first column
    /// is the place of the window.
    pub(super) fn finish_windows(
        mut self,
        group_types: &[DataType],
        windows: &[(i64, i64)],
        check: &dyn Fn() -> Result<(), QueryError>,
    ) -> Result<Vec<ArrayRef>, QueryError> {
        let width = self.dimensions.len();
        for merged in &mut self.measures {
            merged.grow(self.groups);
        }
        let start = |group: usize| {
            let code = self.codes[group * width].checked_sub(1)?;
            self.dimensions[0].longs.keys().get(code as usize).copied()
        };
        // Groups by their other keys, in the order of these, each with its pieces by time.
        let rest_types = &group_types[1..];
        let ranks: Vec<Arc<[u32]>> =
            self.dimensions[1..].iter().zip(rest_types).map(|(ids, ty)| ids.ranks(ty)).collect();
        let rank = |group: usize| -> Vec<u32> {
            let codes = &self.codes[group * width + 1..][..width - 1];
            let rank = |(code, ranks): (&u32, &Arc<[u32]>)| match code {
                0 => u32::MAX,
                code => ranks[*code as usize - 1],
            };
            codes.iter().zip(&ranks).map(rank).collect()
        };
        let mut series: BTreeMap<Vec<u32>, Vec<(i64, usize)>> = BTreeMap::new();
        for group in 0..self.groups {
            if let Some(start) = start(group) {
                series.entry(rank(group)).or_default().push((start, group));
            }
        }
        series.values_mut().for_each(|pieces| pieces.sort_unstable());
        let (mut places, mut first_of) = (Vec::new(), Vec::new());
        let mut counts: Vec<Vec<u64>> = vec![Vec::new(); self.measures.len()];
        let mut unions: Vec<Union> = vec![Union::default(); series.len() * self.measures.len()];
        for (place, &(from, to)) in (0_u32..).zip(windows) {
            for (number, pieces) in series.values().enumerate() {
                check()?;
                let first = pieces.partition_point(|(start, _)| *start < from);
                let end = pieces.partition_point(|(start, _)| *start < to);
                if first >= end {
                    continue;
                }
                places.push(place);
                first_of.push(pieces[first].1);
                for (at, merged) in self.measures.iter().enumerate() {
                    let union = &mut unions[number * self.measures.len() + at];
                    union.reach(first, end, |piece| &merged.sets[pieces[piece].1]);
                    counts[at].push(union.set.len());
                }
            }
        }
        let mut arrays: Vec<ArrayRef> = vec![Arc::new(UInt32Array::from(places))];
        for (at, (ids, ty)) in self.dimensions.iter().zip(group_types).enumerate().skip(1) {
            let codes = first_of.iter().map(|group| self.codes[group * width + at]);
            arrays.push(ids.array(ty, codes));
        }
        arrays.extend(
            counts.into_iter().map(|counts| Arc::new(UInt64Array::from(counts)) as ArrayRef),
        );
        Ok(arrays)
    }

    /// The group columns in the order of the keys, missing ones last, and for each of their rows
    /// the number that [`Merger::add`] gave the group.
    pub(super) fn finish_groups(&self, group_types: &[DataType]) -> (Vec<ArrayRef>, Vec<u32>) {
        let width = self.dimensions.len();
        let ranks: Vec<Arc<[u32]>> =
            self.dimensions.iter().zip(group_types).map(|(ids, ty)| ids.ranks(ty)).collect();
        let rank = |group: u32, place: usize| match self.codes[group as usize * width + place] {
            0 => u32::MAX,
            code => ranks[place][code as usize - 1],
        };
        let mut order: Vec<u32> = (0..self.groups as u32).collect();
        order.sort_unstable_by(|&a, &b| {
            (0..width)
                .map(|at| rank(a, at).cmp(&rank(b, at)))
                .find(|o| o.is_ne())
                .unwrap_or(a.cmp(&b))
        });
        let mut arrays = Vec::with_capacity(width + self.measures.len());
        for (place, (ids, ty)) in self.dimensions.iter().zip(group_types).enumerate() {
            let codes = order.iter().map(|&group| self.codes[group as usize * width + place]);
            arrays.push(ids.array(ty, codes));
        }
        (arrays, order)
    }
}

/// The union of some pieces that follow each other.
#[derive(Clone, Default)]
struct Union {
    first: usize,
    end: usize,
    set: RoaringBitmap,
}

impl Union {
    /// Becomes the union of the pieces from `first` to before `end`; what it has is kept if it only
    /// has to grow.
    fn reach<'a>(&mut self, first: usize, end: usize, piece: impl Fn(usize) -> &'a RoaringBitmap) {
        if first != self.first || end < self.end {
            (self.first, self.end) = (first, first);
            self.set.clear();
        }
        for at in self.end..end {
            self.set |= piece(at);
        }
        self.end = end;
    }
}

impl Merged {
    fn grow(&mut self, groups: usize) {
        self.counts.resize(groups, 0);
        match self.measure {
            Measure::Rows | Measure::Values(_) => {}
            Measure::Distinct(_) => self.sets.resize_with(groups, RoaringBitmap::new),
            Measure::DistinctApprox(_) => self.sketches.resize_with(groups, sketch),
            Measure::Quantiles(_, _) => self.samples.resize_with(groups, Sample::default),
            Measure::Sum(_) | Measure::Mean(_) | Measure::SumOfSquares(_) => {
                self.longs.resize(groups, 0);
                self.doubles.resize(groups, 0.0);
            }
            Measure::Min(_) | Measure::Max(_) => {
                self.longs.resize(groups, 0);
                self.doubles.resize(groups, 0.0);
                self.strings.resize(groups, None);
            }
        }
    }

    /// Adds a part; `targets[i]` is the global group of its group `i`.
    fn add(&mut self, part: Part, targets: &[u32], groups: usize) {
        self.grow(groups);
        let largest = matches!(self.measure, Measure::Max(_));
        let targets = targets.iter().map(|&target| target as usize);
        match part {
            Part::Nothing => {}
            Part::Counts(counts) => {
                targets.zip(counts).for_each(|(at, count)| self.counts[at] += count);
            }
            Part::LongSums(sums, seen) => {
                for ((at, sum), seen) in targets.zip(sums).zip(seen) {
                    self.longs[at] += sum;
                    self.counts[at] += seen;
                }
            }
            Part::DoubleSums(sums, seen) => {
                for ((at, sum), seen) in targets.zip(sums).zip(seen) {
                    self.doubles[at] += sum;
                    self.counts[at] += seen;
                }
            }
            Part::LongEnds(ends, seen) => {
                for ((at, end), seen) in targets.zip(ends).zip(seen).filter(|(_, seen)| *seen > 0) {
                    let end = i128::from(end);
                    let better = if largest { end > self.longs[at] } else { end < self.longs[at] };
                    if self.counts[at] == 0 || better {
                        self.longs[at] = end;
                    }
                    self.counts[at] += seen;
                }
            }
            Part::DoubleEnds(ends, seen) => {
                for ((at, end), seen) in targets.zip(ends).zip(seen).filter(|(_, seen)| *seen > 0) {
                    let before = self.doubles[at];
                    if self.counts[at] == 0 || (if largest { end > before } else { end < before }) {
                        self.doubles[at] = end;
                    }
                    self.counts[at] += seen;
                }
            }
            Part::StringEnds(ends) => {
                for (at, end) in targets.zip(ends) {
                    let Some(end) = end else { continue };
                    let better = self.strings[at]
                        .as_ref()
                        .is_none_or(|before| if largest { end > *before } else { end < *before });
                    if better {
                        self.strings[at] = Some(end);
                    }
                }
            }
            Part::Sets(keys, sets) if matches!(self.measure, Measure::DistinctApprox(_)) => {
                let hashes = self.ids.hashes(&keys);
                for (at, set) in targets.zip(sets) {
                    set.into_iter()
                        .for_each(|place| self.sketches[at].update(hashes[place as usize]));
                }
            }
            Part::Sets(keys, sets) => {
                let ids = self.ids.of(keys);
                for (at, set) in targets.zip(sets) {
                    let mut here: Vec<u32> = set.into_iter().map(|p| ids[p as usize]).collect();
                    here.sort_unstable();
                    let here = RoaringBitmap::from_sorted_iter(here);
                    if let Ok(here) = here {
                        self.sets[at] |= here;
                    }
                }
            }
            Part::Bitmaps(sets) => {
                targets.zip(sets).for_each(|(at, set)| self.sets[at] |= set);
            }
            Part::Samples(samples) => {
                targets.zip(samples).for_each(|(at, sample)| self.samples[at].merge(sample));
            }
        }
    }

    fn array(mut self, order: &[u32], ty: &DataType) -> Result<ArrayRef, QueryError> {
        let order = || order.iter().map(|&group| group as usize);
        let seen = |at: usize| self.counts[at] > 0;
        Ok(match &self.measure {
            Measure::Rows | Measure::Values(_) => {
                Arc::new(UInt64Array::from_iter_values(order().map(|at| self.counts[at])))
            }
            // Counts are there if nothing had to be merged.
            Measure::Distinct(_) => {
                let count = |at: usize| self.counts[at] + self.sets[at].len();
                Arc::new(UInt64Array::from_iter_values(order().map(count)))
            }
            Measure::DistinctApprox(_) => {
                let count =
                    |at: usize| self.counts[at] + self.sketches[at].estimate().round() as u64;
                Arc::new(UInt64Array::from_iter_values(order().map(count)))
            }
            Measure::SumOfSquares(_) => {
                let sum = |at: usize| seen(at).then(|| self.doubles[at]);
                Arc::new(order().map(sum).collect::<Float64Array>())
            }
            Measure::Mean(_) => {
                let mean = |at: usize| {
                    let sum = self.longs[at] as f64 + self.doubles[at];
                    seen(at).then(|| sum / self.counts[at] as f64)
                };
                Arc::new(order().map(mean).collect::<Float64Array>())
            }
            Measure::Sum(field) | Measure::Min(field) | Measure::Max(field) => match ty {
                DataType::Utf8 => {
                    let mut strings = std::mem::take(&mut self.strings);
                    Arc::new(order().map(|at| strings[at].take()).collect::<StringArray>())
                }
                DataType::Int64 => {
                    let long = |at: usize| {
                        let long = seen(at).then(|| i64::try_from(self.longs[at]));
                        long.transpose().map_err(|_| too_large(field))
                    };
                    Arc::new(order().map(long).collect::<Result<Int64Array, _>>()?)
                }
                _ => {
                    let double = |at: usize| seen(at).then(|| self.doubles[at]);
                    Arc::new(order().map(double).collect::<Float64Array>())
                }
            },
            Measure::Quantiles(_, ranks) => {
                let mut builder = ListBuilder::new(Float64Builder::new());
                for at in order() {
                    match std::mem::take(&mut self.samples[at]).quantiles(ranks) {
                        Some(quantiles) => {
                            builder.values().append_slice(&quantiles);
                            builder.append(true);
                        }
                        None => builder.append(false),
                    }
                }
                Arc::new(builder.finish())
            }
        })
    }
}

fn too_large(field: &str) -> QueryError {
    QueryError::Invalid(format!(
        "the sum of `{field}` does not fit into 64 bits; narrow the question with a filter"
    ))
}

fn sketch() -> HllSketch {
    HllSketch::new(HLL_LG_K, HllType::Hll8).expect("the precision is allowed")
}
