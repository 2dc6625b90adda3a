//! Groups that are too small to be told about.
//!
//! Whoever may only count what is special, or who holds a grant with a least group, is told about
//! groups of people and never about one. For such a question the leaf also counts, in every group,
//! the rows of each *subject* (the person or device that a row is about), and keeps a group to
//! itself if
//!
//! * it has fewer than `k` subjects,
//! * one subject has more than half of its rows (dominance),
//! * it differs by fewer than `k` subjects from a group that the same caller was told about in
//!   another question (differencing),
//! * or what is kept back could be computed from the rest: then the next smallest groups are kept
//!   back too, until these have `k` subjects together (suppression of the complement).
//!
//! A question without groups that is too small gets an error. What this does not stop is said in
//! `docs/protection.md`.

use super::field;
use super::{Job, fold};
use crate::{Ask, Group, GroupBy, Measure, MeasureOf, QueryError, Question, guard};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, UInt64Array};
use arrow::datatypes::UInt64Type;
use arrow::row::{RowConverter, SortField};
use model::{Field, Table};
use protection::{Permit, subject_column};
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use storage::Filter;

/// The rule that a question is under.
pub(super) struct Rule {
    /// The fewest subjects of a group.
    least: u32,
    /// The field that says whom a row is about; `None`: every row is a subject of its own.
    subject: Option<String>,
}

impl Rule {
    /// The rule for `question`, if it is under one.
    ///
    /// # Errors
    /// [`QueryError::NotPermitted`] if it asks for more than counts and groups, or if nothing in
    /// its tables says whom a row is about.
    pub(super) fn of(job: &Job<'_>, question: &Question) -> Result<Option<Rule>, QueryError> {
        let (least, special) = least(&job.scope.permit, job.tables, question);
        let Some(least) = least else { return Ok(None) };
        let refuse = |why| {
            let field = special.clone().unwrap_or_else(|| "_id".to_owned());
            Err(QueryError::NotPermitted { field, why })
        };
        if matches!(question.ask, Ask::Rows { .. } | Ask::Top { .. }) {
            return refuse("is only counted in groups: ask for counts and groups, not for rows");
        }
        let subjects: BTreeSet<Option<String>> =
            job.tables.iter().map(|table| subject_column(table)).collect();
        let mut subjects = subjects.into_iter();
        let (Some(subject), None) = (subjects.next(), subjects.next()) else {
            return refuse("is only counted in groups of people: ask one table at a time");
        };
        if subject.is_none()
            && job.tables.iter().any(|table| table.kind == model::TableKind::Events)
        {
            return refuse(
                "is only counted in groups of people, and no field says whom a row is about",
            );
        }
        Ok(Some(Rule { least, subject }))
    }

    /// How many rows match, if they are of enough subjects.
    pub(super) fn count(&self, job: &Job<'_>, filter: &Filter) -> Result<ArrayRef, QueryError> {
        let rows = [MeasureOf { measure: Measure::Rows, filter: None }];
        Ok(self.fold(job, filter, &[], &rows)?.swap_remove(0))
    }

    /// The groups that may be told about.
    pub(super) fn fold(
        &self,
        job: &Job<'_>,
        filter: &Filter,
        groups: &[Group],
        measures: &[MeasureOf],
    ) -> Result<Vec<ArrayRef>, QueryError> {
        let told = fold::fold(job, filter, groups, measures)?;
        let width = groups.len();
        let rows = told.first().map_or(0, |column| column.len());
        let crowds = self.crowds(job, filter, groups, measures)?;
        let keys = Keys::new(&told[..width])?;
        let question = self.question(job, filter, groups, measures);
        let found: Vec<(Vec<u8>, Option<&Crowd>)> = (0..rows)
            .map(|row| {
                let key = keys.of(row);
                let crowd = crowds.get(&key);
                (key, crowd)
            })
            .collect();
        let shown = self.told(job, question, &found);
        if width == 0 && rows == 1 && !shown[0] {
            return Err(QueryError::TooFewSubjects { least: self.least });
        }
        let shown = BooleanArray::from(shown);
        told.iter()
            .map(|column| {
                arrow::compute::filter(column, &shown)
                    .map_err(|_| QueryError::Internal("leaving out groups".to_owned()))
            })
            .collect()
    }

    /// Which of the groups of a question, each with its key and whom it is about, the caller is
    /// told about; these are remembered.
    fn told(
        &self,
        job: &Job<'_>,
        question: u64,
        groups: &[(Vec<u8>, Option<&Crowd>)],
    ) -> Vec<bool> {
        let mut shown = vec![false; groups.len()];
        let (mut kept_back, mut candidates) = (BTreeSet::new(), Vec::new());
        for (row, (_, crowd)) in groups.iter().enumerate() {
            match crowd.filter(|crowd| crowd.is_large(self.least)) {
                Some(crowd) => candidates.push((crowd, row)),
                None => kept_back.extend(crowd.iter().flat_map(|crowd| crowd.subjects())),
            }
        }
        // The largest first: what is kept back from the rest are the smallest.
        candidates.sort_by_key(|(crowd, row)| (std::cmp::Reverse(crowd.len()), *row));
        let permit = &job.scope.permit;
        let mut told_of = Vec::new();
        for (crowd, row) in candidates {
            let id = hashed(&(question, &groups[row].0));
            let near = crowd.columns.iter().enumerate().any(|(at, column)| {
                permit.is_near(hashed(&(id, at)), &column.subjects, self.least)
            });
            match near {
                true => kept_back.extend(crowd.subjects()),
                false => told_of.push((crowd, row, id)),
            }
        }
        let is_whole = |kept_back: &BTreeSet<u32>| {
            kept_back.is_empty() || kept_back.len() >= self.least as usize
        };
        while !is_whole(&kept_back) {
            let Some((crowd, _, _)) = told_of.pop() else { break };
            kept_back.extend(crowd.subjects());
        }
        for (crowd, row, id) in told_of {
            shown[row] = true;
            for (at, column) in crowd.columns.iter().enumerate() {
                permit.remember(hashed(&(id, at)), &column.subjects);
            }
        }
        shown
    }

    /// The field that says whom a row is about, if not every row is a subject of its own.
    pub(super) fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// Which groups of entities the caller is told about. `keys` are the group columns; for each
    /// group `parts` lists the subjects behind each of its numbers, the whole group first. A
    /// subject may come several times.
    ///
    /// # Errors
    /// [`QueryError::TooFewSubjects`] if there is only the one group without a key, too small.
    pub(super) fn told_of_entities(
        &self,
        job: &Job<'_>,
        question: &Question,
        keys: &[ArrayRef],
        parts: &[Vec<Vec<u32>>],
    ) -> Result<Vec<bool>, QueryError> {
        let mut timeless = question.ask.clone();
        for table in job.tables {
            if let Some(field) = &table.time_field {
                forget_range(&mut timeless, field);
            }
        }
        let tables: Vec<u32> = job.tables.iter().map(|table| table.id.0).collect();
        let id = hashed(&(tables, format!("{timeless:?}")));
        let crowds: Vec<Crowd> = parts.iter().map(|parts| Crowd::of_entities(parts)).collect();
        let rows = Keys::new(keys)?;
        let found: Vec<(Vec<u8>, Option<&Crowd>)> =
            crowds.iter().enumerate().map(|(row, crowd)| (rows.of(row), Some(crowd))).collect();
        let shown = self.told(job, id, &found);
        match shown.as_slice() {
            [false] if keys.is_empty() => Err(QueryError::TooFewSubjects { least: self.least }),
            _ => Ok(shown),
        }
    }

    /// The subjects of each group, and of what each measure is computed from.
    fn crowds(
        &self,
        job: &Job<'_>,
        filter: &Filter,
        groups: &[Group],
        measures: &[MeasureOf],
    ) -> Result<HashMap<Vec<u8>, Crowd>, QueryError> {
        let mut by_subject = groups.to_vec();
        if let Some(subject) = &self.subject {
            by_subject.push(Group { by: GroupBy::Terms(subject.clone()), keep_missing: false });
        }
        let mut counted = vec![MeasureOf { measure: Measure::Rows, filter: None }];
        counted.extend(measures.iter().filter_map(contribution));
        let found = fold::fold(job, filter, &by_subject, &counted)?;
        let (keys, rest) = found.split_at(groups.len());
        let rows = found.first().map_or(0, |column| column.len());
        let keys = Keys::new(keys)?;
        let (subjects, counts) = match &self.subject {
            Some(_) => (hashes(&rest[0])?, &rest[1..]),
            None => (Vec::new(), rest),
        };
        let counts: Vec<&UInt64Array> =
            counts.iter().map(|column| column.as_primitive::<UInt64Type>()).collect();
        let mut crowds: HashMap<Vec<u8>, Crowd> = HashMap::new();
        for row in 0..rows {
            let crowd = crowds.entry(keys.of(row)).or_insert_with(|| Crowd::new(counts.len()));
            for (column, counts) in crowd.columns.iter_mut().zip(&counts) {
                match subjects.get(row) {
                    Some(&subject) => column.add(subject, counts.value(row)),
                    None => column.add_rows(counts.value(row)),
                }
            }
        }
        crowds.values_mut().flat_map(|crowd| &mut crowd.columns).for_each(Column::settle);
        Ok(crowds)
    }

    /// What the question asks, without what moves with time: a dashboard that asks again a minute
    /// later asks the same.
    fn question(
        &self,
        job: &Job<'_>,
        filter: &Filter,
        groups: &[Group],
        measures: &[MeasureOf],
    ) -> u64 {
        let tables: Vec<u32> = job.tables.iter().map(|table| table.id.0).collect();
        let mut timeless = filter.clone();
        for table in job.tables {
            if let Some(field) = &table.time_field {
                timeless = without_range(timeless, field);
            }
        }
        hashed(&(tables, format!("{timeless:?} {groups:?} {measures:?}")))
    }
}

/// The fewest subjects of a group that the caller may be told about, and the field that asks for
/// most of them if it is a field.
pub(super) fn least(
    permit: &Permit,
    tables: &[Arc<Table>],
    question: &Question,
) -> (Option<u32>, Option<String>) {
    let mut least: Option<u32> = None;
    let mut special = None;
    for table in tables {
        least = least.max(permit.least_group_of_rows(table.id));
        guard::mentions(question, &mut |name, _| {
            for field in meant(table, name) {
                let here = permit.least_group(table.id, field);
                if here > least {
                    least = here;
                    special = Some(name.to_owned());
                }
            }
        });
    }
    let groups = match &question.ask {
        Ask::Fold { groups, .. } => groups.as_slice(),
        Ask::Funnel(funnel) => &funnel.groups,
        Ask::Retention(retention) => &retention.groups,
        Ask::Count | Ask::Rows { .. } | Ask::Top { .. } => &[],
    };
    for group in groups {
        if let GroupBy::Mapped { mapping, .. } = &group.by {
            least = least.max(mapping.least);
        }
    }
    (least, special)
}

/// The field of this name, or for an object all fields below it.
fn meant<'a>(table: &'a Table, name: &'a str) -> Vec<&'a Field> {
    match field::find(table, name) {
        Some(found) => vec![found.field],
        None => {
            let is_below = |field: &&Field| {
                let rest = field.name.as_str().strip_prefix(name);
                rest.is_some_and(|rest| rest.starts_with('.'))
            };
            table.schema.fields().iter().filter(is_below).collect()
        }
    }
}

/// Which rows a measure is computed from, as a count; `None`: all of the group.
fn contribution(of: &MeasureOf) -> Option<MeasureOf> {
    let values = match &of.measure {
        Measure::Rows if of.filter.is_none() => return None,
        Measure::Rows => Measure::Rows,
        Measure::Values(name)
        | Measure::Sum(name)
        | Measure::Min(name)
        | Measure::Max(name)
        | Measure::Mean(name)
        | Measure::SumOfSquares(name)
        | Measure::Distinct(name)
        | Measure::DistinctApprox(name)
        | Measure::Quantiles(name, _) => Measure::Values(name.clone()),
    };
    Some(MeasureOf { measure: values, filter: of.filter.clone() })
}

/// Whom a group is about.
struct Crowd {
    /// The group itself, then what each measure is computed from.
    columns: Vec<Column>,
}

#[derive(Default)]
struct Column {
    /// Hashes, ascending; empty where every row is a subject of its own.
    subjects: Vec<u32>,
    rows: u64,
    /// Rows of the subject with most of them.
    most: u64,
    count: u64,
}

impl Column {
    fn add(&mut self, subject: u32, rows: u64) {
        if rows > 0 {
            self.subjects.push(subject);
            self.count += 1;
            self.rows += rows;
            self.most = self.most.max(rows);
        }
    }

    fn add_rows(&mut self, rows: u64) {
        self.count += rows;
        self.rows += rows;
        self.most = self.most.max(u64::from(rows > 0));
    }

    fn settle(&mut self) {
        self.subjects.sort_unstable();
    }

    /// Nobody, or enough of whom none stands for most.
    fn is_large(&self, least: u32) -> bool {
        self.count == 0 || (self.count >= u64::from(least) && self.most * 2 <= self.rows)
    }
}

impl Crowd {
    fn new(columns: usize) -> Crowd {
        Crowd { columns: (0..columns).map(|_| Column::default()).collect() }
    }

    /// A group of entities: for each of its numbers the subjects, some maybe several times.
    fn of_entities(parts: &[Vec<u32>]) -> Crowd {
        let column = |part: &Vec<u32>| {
            let mut subjects = part.clone();
            subjects.sort_unstable();
            let mut column = Column::default();
            subjects.chunk_by(|a, b| a == b).for_each(|of| column.add(of[0], of.len() as u64));
            column
        };
        Crowd { columns: parts.iter().map(column).collect() }
    }

    fn len(&self) -> u64 {
        self.columns[0].count
    }

    fn subjects(&self) -> impl Iterator<Item = u32> {
        self.columns[0].subjects.iter().copied()
    }

    fn is_large(&self, least: u32) -> bool {
        self.columns[0].count > 0 && self.columns.iter().all(|column| column.is_large(least))
    }
}

/// Group keys as bytes that are equal for equal keys.
struct Keys(Option<arrow::row::Rows>);

impl Keys {
    fn new(columns: &[ArrayRef]) -> Result<Keys, QueryError> {
        if columns.is_empty() {
            return Ok(Keys(None));
        }
        let wrong = |_| QueryError::Internal("the keys of groups".to_owned());
        let types = columns.iter().map(|column| SortField::new(column.data_type().clone()));
        let converter = RowConverter::new(types.collect()).map_err(wrong)?;
        Ok(Keys(Some(converter.convert_columns(columns).map_err(wrong)?)))
    }

    fn of(&self, row: usize) -> Vec<u8> {
        self.0.as_ref().map_or_else(Vec::new, |rows| rows.row(row).as_ref().to_vec())
    }
}

/// The filters of a question about entities without their conditions on `field` from when to when.
fn forget_range(ask: &mut Ask, field: &str) {
    let forget = |filter: &mut Filter| {
        *filter = without_range(std::mem::replace(filter, Filter::All), field);
    };
    match ask {
        Ask::Funnel(funnel) => {
            forget(&mut funnel.first);
            funnel.then.iter_mut().for_each(forget);
        }
        Ask::Retention(retention) => {
            forget(&mut retention.among);
            retention.until = None;
        }
        Ask::Count | Ask::Rows { .. } | Ask::Top { .. } | Ask::Fold { .. } => {}
    }
}

/// A short hash of a subject.
pub(super) fn subject_hash(subject: &str) -> u32 {
    hashed(&Some(subject)) as u32
}

/// A short hash of each subject. Two that share one count once in a comparison of crowds, never
/// in the size of one.
fn hashes(subjects: &ArrayRef) -> Result<Vec<u32>, QueryError> {
    let strings = subjects
        .as_string_opt::<i32>()
        .ok_or_else(|| QueryError::Internal("subjects that are no pseudonyms".to_owned()))?;
    Ok(strings.iter().map(|subject| hashed(&subject) as u32).collect())
}

fn hashed(what: &impl Hash) -> u64 {
    foldhash::quality::FixedState::default().hash_one(what)
}

/// The filter without its conditions on `field` from when to when.
fn without_range(filter: Filter, name: &str) -> Filter {
    match filter {
        Filter::Range { field, .. } if field == name => Filter::All,
        Filter::And(parts) => {
            let parts = parts.into_iter().map(|part| without_range(part, name));
            parts.fold(Filter::All, Filter::and)
        }
        Filter::Score(inner, score) => Filter::Score(Box::new(without_range(*inner, name)), score),
        other => other,
    }
}

#[cfg(test)]
mod tests;
