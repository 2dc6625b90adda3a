//! Buckets over fields whose types are known: the groups of their fold, and how they are chosen.

use super::super::EsError;
use super::super::bind::{Binder, literal_number};
use super::super::date_format::DateFormat;
use super::super::fields::{Found, Kind as FieldKind};
use super::super::parse::Literal;
use super::super::zone::{UTC, Zone};
use super::choose::{self, Allowance, Allowed, Bucket, Chosen, Ends};
use super::key::Key;
use super::metric::Metrics;
use super::order::Orders;
use super::{
    Aggregation, Choice, Composite, Filters, Histogram, Kind, Ranges, Source, Step, Terms,
};
use crate::{Group, GroupBy};
use std::collections::HashSet;
use storage::Filter;

/// How the keys of buckets are shown.
#[derive(Clone)]
pub(super) struct Shown {
    /// `None`: no table has the field.
    pub(super) kind: Option<FieldKind>,
    pub(super) format: DateFormat,
    pub(super) zone: Zone,
}

/// An aggregation into buckets, ready to be run.
pub(super) struct Plan<'a> {
    /// `None`: no row can be in a bucket.
    pub(super) groups: Option<Vec<Group>>,
    /// Rows outside of this cannot be in a bucket.
    pub(super) narrow: Filter,
    pub(super) orders: Orders,
    pub(super) shape: Shape<'a>,
}

/// What kind of buckets.
pub(super) enum Shape<'a> {
    Terms {
        spec: &'a Terms,
        shown: Shown,
        allowance: Allowance,
        missing: Option<Key>,
        all: Vec<Key>,
    },
    Histogram {
        spec: &'a Histogram,
        shown: Shown,
        ends: Ends,
    },
    /// `ranges`: key, from, to; in their order.
    Ranges {
        spec: &'a Ranges,
        shown: Shown,
        ranges: Vec<(Option<String>, Option<f64>, Option<f64>)>,
    },
    Filters(&'a Filters),
    Composite {
        spec: &'a Composite,
        shown: Vec<Shown>,
        after: Option<Vec<Key>>,
    },
}

impl<'a> Plan<'a> {
    /// Plans an aggregation into buckets; `None` for those that are none or only narrow.
    pub(super) fn of(
        binder: &Binder<'_>,
        aggregation: &'a Aggregation,
        metrics: &Metrics,
    ) -> Result<Option<Plan<'a>>, EsError> {
        Ok(Some(match &aggregation.kind {
            Kind::Terms(spec) => Plan::terms(binder, spec, aggregation, metrics)?,
            Kind::Histogram(spec) => Plan::histogram(binder, spec, aggregation, metrics)?,
            Kind::Ranges(spec) => Plan::ranges(binder, spec)?,
            Kind::Filters(spec) => Plan::filters(binder, spec)?,
            Kind::Composite(spec) => Plan::composite(binder, spec)?,
            _ => return Ok(None),
        }))
    }

    fn terms(
        binder: &Binder<'_>,
        spec: &'a Terms,
        aggregation: &Aggregation,
        metrics: &Metrics,
    ) -> Result<Plan<'a>, EsError> {
        let orders = Orders::plan(binder, &spec.order, &aggregation.below, metrics)?;
        let found = grouped(binder, &spec.field)?;
        let shown = shown(found.as_ref(), spec.format.as_deref(), UTC)?;
        let (mut missing, mut allowance, mut narrow) = (None, Allowance::default(), Filter::All);
        let groups = if let Some(found) = &found {
            if let Some(literal) = &spec.missing {
                missing = binder.stored_values(found, literal)?.first().map(Key::of_value);
            }
            if let (Some(Choice::Values(values)), None) = (&spec.include, &spec.missing) {
                let each = values.iter().map(|value| binder.stored_values(found, value));
                let each = each.collect::<Result<Vec<_>, EsError>>()?;
                narrow = Filter::Terms(spec.field.clone(), each.into_iter().flatten().collect());
            }
            allowance.include = allowed(binder, found, spec.include.as_ref())?;
            allowance.exclude = allowed(binder, found, spec.exclude.as_ref())?;
            let keep_missing = spec.missing.is_some();
            Some(vec![Group { by: GroupBy::Terms(spec.field.clone()), keep_missing }])
        } else if let Some(literal) = &spec.missing {
            // Every row is without a value.
            missing = Some(match literal {
                Literal::Text(text) => Key::Text(text.clone()),
                Literal::Long(number) => Key::Long(*number),
                Literal::Double(number) => Key::Double(*number),
                Literal::Bool(flag) => Key::Bool(*flag),
            });
            Some(vec![Group { by: GroupBy::Filters(vec![Filter::All]), keep_missing: false }])
        } else {
            None
        };
        let shape = Shape::Terms { spec, shown, allowance, missing, all: Vec::new() };
        Ok(Plan { groups, narrow, orders, shape })
    }

    fn histogram(
        binder: &Binder<'_>,
        spec: &'a Histogram,
        aggregation: &Aggregation,
        metrics: &Metrics,
    ) -> Result<Plan<'a>, EsError> {
        let orders = Orders::plan(binder, &spec.order, &aggregation.below, metrics)?;
        let found = grouped(binder, &spec.field)?;
        if let Some(found) = &found {
            stepped(found, spec.step)?;
        }
        let zone = match spec.step {
            Step::Date(calendar) => calendar.zone,
            Step::Number { .. } => UTC,
        };
        let dates = matches!(spec.step, Step::Date(_));
        let shown = shown(found.as_ref(), spec.format.as_deref(), zone)?;
        let end = |end: &Option<Literal>| -> Result<Option<f64>, EsError> {
            end.as_ref()
                .map(|end| number_or_date(binder, end, dates, &shown.format, zone))
                .transpose()
        };
        let extended = (end(&spec.extended.0)?, end(&spec.extended.1)?);
        let hard = (end(&spec.hard.0)?, end(&spec.hard.1)?);
        let turned = |(from, to): (Option<f64>, Option<f64>)| {
            from.zip(to).is_some_and(|(from, to)| from > to)
        };
        if turned(extended) || turned(hard) {
            return Err(EsError::illegal(
                "[extended_bounds.min] cannot be greater than [extended_bounds.max]",
            ));
        }
        let groups = found
            .map(|_| vec![Group { by: step_group(&spec.field, spec.step), keep_missing: false }]);
        let shape = Shape::Histogram { spec, shown, ends: Ends { extended, hard } };
        Ok(Plan { groups, narrow: Filter::All, orders, shape })
    }

    fn ranges(binder: &Binder<'_>, spec: &'a Ranges) -> Result<Plan<'a>, EsError> {
        let found = grouped(binder, &spec.field)?;
        if let Some(found) = &found {
            let fits =
                if spec.dates { found.kind == FieldKind::Date } else { found.kind.is_number() };
            if !fits {
                let word = if spec.dates { "date_range" } else { "range" };
                return Err(unsupported(found, word));
            }
        }
        let shown = shown(found.as_ref(), spec.format.as_deref(), spec.zone)?;
        let dates = spec.dates || found.as_ref().is_some_and(|found| found.kind == FieldKind::Date);
        let mut ranges = Vec::with_capacity(spec.ranges.len());
        for range in &spec.ranges {
            let end = |end: &Option<Literal>| -> Result<Option<f64>, EsError> {
                end.as_ref()
                    .map(|end| number_or_date(binder, end, dates, &shown.format, spec.zone))
                    .transpose()
            };
            ranges.push((range.key.clone(), end(&range.from)?, end(&range.to)?));
        }
        let low = |end: Option<f64>| end.unwrap_or(f64::NEG_INFINITY);
        let high = |end: Option<f64>| end.unwrap_or(f64::INFINITY);
        ranges.sort_by(|left, right| {
            low(left.1).total_cmp(&low(right.1)).then(high(left.2).total_cmp(&high(right.2)))
        });
        let groups = found.map(|_| {
            let ranges = ranges.iter().map(|(_, from, to)| (*from, *to)).collect();
            vec![Group {
                by: GroupBy::Ranges { field: spec.field.clone(), ranges },
                keep_missing: false,
            }]
        });
        let shape = Shape::Ranges { spec, shown, ranges };
        Ok(Plan { groups, narrow: Filter::All, orders: Orders::default(), shape })
    }

    fn filters(binder: &Binder<'_>, spec: &'a Filters) -> Result<Plan<'a>, EsError> {
        let mut filters: Vec<Filter> =
            spec.queries.iter().map(|query| binder.condition(query)).collect::<Result<_, _>>()?;
        if spec.other.is_some() {
            filters.push(super::super::bind::unscored(Filter::any(filters.clone())).negate());
        }
        let groups = Some(vec![Group { by: GroupBy::Filters(filters), keep_missing: false }]);
        let shape = Shape::Filters(spec);
        Ok(Plan { groups, narrow: Filter::All, orders: Orders::default(), shape })
    }

    fn composite(binder: &Binder<'_>, spec: &'a Composite) -> Result<Plan<'a>, EsError> {
        let (mut groups, mut showns, mut mapped) = (Vec::new(), Vec::new(), true);
        for source in &spec.sources {
            let found = grouped(binder, &source.field)?;
            let zone = match source.step {
                Some(Step::Date(calendar)) => calendar.zone,
                _ => UTC,
            };
            if let (Some(found), Some(step)) = (&found, source.step) {
                stepped(found, step)?;
            }
            mapped &= found.is_some() || source.missing_bucket;
            showns.push(shown(found.as_ref(), source.format.as_deref(), zone)?);
            let by = match source.step {
                Some(step) => step_group(&source.field, step),
                None => GroupBy::Terms(source.field.clone()),
            };
            groups.push(Group { by, keep_missing: source.missing_bucket });
        }
        let after = match &spec.after {
            None => None,
            Some(members) => {
                let mut keys = Vec::with_capacity(spec.sources.len());
                for (source, shown) in spec.sources.iter().zip(&showns) {
                    let value = members.get(&source.name).ok_or_else(|| {
                        EsError::illegal(format!("Missing value for [after.{}]", source.name))
                    })?;
                    keys.push(after_key(binder, source, shown, value)?);
                }
                Some(keys)
            }
        };
        let groups = mapped.then_some(groups);
        let shape = Shape::Composite { spec, shown: showns, after };
        Ok(Plan { groups, narrow: Filter::All, orders: Orders::default(), shape })
    }

    /// Chooses among the groups found below one bucket.
    pub(super) fn choose(&self, metrics: &Metrics, found: Vec<Bucket>) -> Result<Chosen, EsError> {
        match &self.shape {
            Shape::Terms { spec, allowance, missing, all, .. } => {
                let same = |key: &Key| missing.as_ref() == Some(key);
                if found.iter().any(|bucket| bucket.keys.first().is_some_and(same))
                    && found.iter().any(|bucket| bucket.keys.first() == Some(&Key::Null))
                {
                    return Err(EsError::illegal(
                        "the value of [missing] is also a value of the field; choose another",
                    ));
                }
                choose::terms(spec, allowance, &self.orders, metrics, all, found)
            }
            Shape::Histogram { spec, ends, .. } => {
                choose::histogram(spec, *ends, &self.orders, metrics, found)
            }
            Shape::Ranges { ranges, .. } => Ok(choose::places(ranges.len(), found)),
            Shape::Filters(spec) => {
                let count = spec.queries.len() + usize::from(spec.other.is_some());
                Ok(choose::places(count, found))
            }
            Shape::Composite { spec, after, .. } => {
                Ok(choose::composite(spec, after.as_deref(), found))
            }
        }
    }

    /// Whether far fewer buckets may be shown than there are groups.
    pub(super) fn is_choosy(&self) -> bool {
        matches!(self.shape, Shape::Terms { .. } | Shape::Composite { .. })
    }
}

/// A field that is grouped by; texts and sealed fields cannot be.
fn grouped<'f>(binder: &Binder<'f>, name: &str) -> Result<Option<Found<'f>>, EsError> {
    if matches!(name, "_id" | "_index") {
        return Err(EsError::illegal(format!("[{name}] cannot be grouped by; it is not a field")));
    }
    match binder.fields.resolve(name)? {
        Some(found) if found.kind == FieldKind::Text => {
            Err(EsError::fielddata(name, found.table()))
        }
        Some(found) if found.kind == FieldKind::Sealed => Err(EsError::illegal(format!(
            "[{name}] is sealed: its values are counted, not grouped by"
        ))),
        found => Ok(found),
    }
}

fn unsupported(found: &Found<'_>, word: &str) -> EsError {
    EsError::illegal(format!(
        "Field [{}] of type [{}] is not supported for aggregation [{word}]",
        found.name,
        found.kind.as_str()
    ))
}

fn stepped(found: &Found<'_>, step: Step) -> Result<(), EsError> {
    match (step, found.kind) {
        (Step::Date(_), FieldKind::Date) => Ok(()),
        (Step::Date(_), _) => Err(unsupported(found, "date_histogram")),
        (Step::Number { .. }, FieldKind::Long | FieldKind::Double) => Ok(()),
        (Step::Number { .. }, _) => Err(unsupported(found, "histogram")),
    }
}

fn step_group(field: &str, step: Step) -> GroupBy {
    match step {
        Step::Date(calendar) => calendar.group(field),
        Step::Number { interval, offset } => {
            GroupBy::Number { field: field.to_owned(), interval, offset }
        }
    }
}

fn shown(found: Option<&Found<'_>>, format: Option<&str>, zone: Zone) -> Result<Shown, EsError> {
    let kind = found.map(|found| found.kind);
    let format = match (format, kind) {
        (None, _) => DateFormat::default(),
        (Some(format), Some(FieldKind::Date) | None) => DateFormat::parse(format)?,
        (Some(_), Some(_)) => {
            return Err(EsError::illegal(
                "[format] is supported by Clerestory on date fields only",
            ));
        }
    };
    Ok(Shown { kind, format, zone })
}

fn number_or_date(
    binder: &Binder<'_>,
    value: &Literal,
    dates: bool,
    format: &DateFormat,
    zone: Zone,
) -> Result<f64, EsError> {
    match value {
        Literal::Long(number) if dates => Ok(*number as f64),
        Literal::Double(number) if dates => Ok(*number),
        value if dates => {
            let text = value.to_text();
            // What an answer showed with another format can always be given back.
            let own = binder.date(&text, format, zone, false);
            own.or_else(|error| {
                binder.date(&text, &DateFormat::default(), zone, false).map_err(|_| error)
            })
            .map(|millis| millis as f64)
        }
        value => literal_number(value),
    }
}

fn allowed(
    binder: &Binder<'_>,
    found: &Found<'_>,
    choice: Option<&Choice>,
) -> Result<Option<Allowed>, EsError> {
    Ok(match choice {
        None => None,
        Some(Choice::Values(values)) => {
            let mut keys = HashSet::new();
            for value in values {
                keys.extend(binder.stored_values(found, value)?.iter().map(Key::of_value));
            }
            Some(Allowed::Keys(keys))
        }
        Some(Choice::Regexp(_)) if found.kind.is_number() => {
            return Err(EsError::illegal(format!(
                "Aggregation cannot support regular expression style include/exclude settings as \
                 they can only be applied to string fields. Use an array of values for \
                 include/exclude clauses on [{}]",
                found.name
            )));
        }
        Some(Choice::Regexp(pattern)) => {
            let regex = regex::RegexBuilder::new(&format!("^(?:{pattern})$"))
                .dot_matches_new_line(true)
                .size_limit(1 << 20)
                .build();
            Some(Allowed::Regexp(regex.map_err(|_| {
                EsError::illegal(format!("failed to parse the regular expression [{pattern}]"))
            })?))
        }
    })
}

fn after_key(
    binder: &Binder<'_>,
    source: &Source,
    shown: &Shown,
    value: &serde_json::Value,
) -> Result<Key, EsError> {
    if value.is_null() {
        return Ok(Key::Null);
    }
    let literal = super::super::parse::literal(value, "after")?;
    let dates = shown.kind == Some(FieldKind::Date);
    Ok(match (shown.kind, source.step) {
        (Some(FieldKind::Keyword | FieldKind::Ip), _) => Key::Text(literal.to_text()),
        (Some(FieldKind::Bool), _) => match literal {
            Literal::Bool(flag) => Key::Bool(flag),
            other => Key::Bool(other.to_text() == "true"),
        },
        (None, _) => Key::Null,
        (Some(FieldKind::Long), None) => match literal {
            Literal::Long(number) => Key::Long(number),
            other => Key::Double(literal_number(&other)?),
        },
        (Some(_), _) => {
            let number = number_or_date(binder, &literal, dates, &shown.format, shown.zone)?;
            if dates { Key::Long(number as i64) } else { Key::Double(number) }
        }
    })
}
