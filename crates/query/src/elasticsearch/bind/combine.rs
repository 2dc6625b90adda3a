//! Putting filters together, with and without their scores.

use storage::Filter;

/// A condition that scores 1 wherever it holds, as Elasticsearch's term-level queries over
/// several terms do.
pub(super) fn constant(filter: Filter) -> Filter {
    match filter {
        Filter::Nothing => Filter::Nothing,
        filter => Filter::Score(Box::new(filter), 1.0),
    }
}

pub(super) fn boosted(filter: Filter, boost: f32) -> Filter {
    match filter {
        filter if boost == 1.0 => filter,
        Filter::Nothing => Filter::Nothing,
        Filter::Score(inner, score) => Filter::Score(inner, score * boost),
        Filter::All => Filter::Score(Box::new(Filter::All), boost),
        filter => Filter::Boost(Box::new(filter), boost),
    }
}

/// The best of several scores.
pub(super) fn best(of: Vec<Filter>, tie_breaker: f32) -> Filter {
    let mut of: Vec<Filter> = of.into_iter().filter(|filter| *filter != Filter::Nothing).collect();
    match of.len() {
        0 => Filter::Nothing,
        1 => of.remove(0),
        _ => Filter::Best { of, tie_breaker },
    }
}

/// Every one; `All` only where nothing else is.
pub(super) fn all_of(mut parts: Vec<Filter>) -> Filter {
    if parts.contains(&Filter::Nothing) {
        return Filter::Nothing;
    }
    match parts.len() {
        0 => Filter::All,
        1 => parts.remove(0),
        _ => Filter::And(parts),
    }
}

/// Adds `should` clauses: `at_least` of them, or none of them but their scores.
pub(super) fn push_should(parts: &mut Vec<Filter>, mut should: Vec<Filter>, at_least: usize) {
    if should.is_empty() {
        return;
    }
    if at_least == 0 {
        if parts.is_empty() {
            parts.push(Filter::Score(Box::new(Filter::All), 0.0));
        }
        should.push(Filter::Score(Box::new(Filter::All), 0.0));
        parts.push(Filter::any(should));
    } else if at_least == 1 && should.len() == 1 {
        parts.extend(should);
    } else {
        parts.push(Filter::Or { of: should, at_least });
    }
}

/// The same rows without anything that only matters for their score.
pub(in super::super) fn unscored(filter: Filter) -> Filter {
    match filter {
        Filter::Boost(inner, _) | Filter::Score(inner, _) => unscored(*inner),
        Filter::And(of) => {
            let parts: Vec<Filter> = of.into_iter().map(unscored).collect();
            all_of(parts.into_iter().filter(|part| *part != Filter::All).collect())
        }
        Filter::Or { of, at_least } => {
            let of: Vec<Filter> = of.into_iter().map(unscored).collect();
            let certain = of.iter().filter(|part| **part == Filter::All).count();
            if certain >= at_least && !of.is_empty() {
                return Filter::All;
            }
            let mut of: Vec<Filter> = of
                .into_iter()
                .filter(|part| !matches!(part, Filter::All | Filter::Nothing))
                .collect();
            let at_least = at_least - certain;
            match of.len() {
                count if count < at_least => Filter::Nothing,
                1 => of.remove(0),
                _ => Filter::Or { of, at_least },
            }
        }
        Filter::Best { of, .. } => unscored(Filter::Or { of, at_least: 1 }),
        Filter::Not(inner) => match unscored(*inner) {
            Filter::Nothing => Filter::All,
            Filter::All => Filter::Nothing,
            inner => inner.negate(),
        },
        other => other,
    }
}

/// The score of every row that matches, where it is the same for all.
pub(in super::super) fn same_score(filter: &Filter) -> Option<f32> {
    match filter {
        Filter::All => Some(1.0),
        Filter::Nothing | Filter::Not(_) => Some(0.0),
        Filter::Score(_, score) => Some(*score),
        Filter::Boost(inner, boost) => same_score(inner).map(|score| score * boost),
        Filter::And(of) => of.iter().map(same_score).sum(),
        Filter::Or { of, .. } | Filter::Best { of, .. } if of.len() == 1 => same_score(&of[0]),
        _ => None,
    }
}
