//! Words: `match` and its relatives, `multi_match`, `query_string`.

use super::super::fields::{Found, Kind};
use super::super::parse::{
    Across, Literal, Match, MultiMatch, Range, Style, TextQuery, Weighted, Words,
};
use super::super::query_string::{Leaf, Occur, Tree};
use super::{Binder, CLAUSES_MAX, EsError, all_of, best, boosted, constant, push_should};
use model::Value;
use std::collections::HashSet;
use storage::{Filter, Pattern, analyze};

/// A field and how much it counts.
type Target<'a> = (Found<'a>, f32);

impl<'a> Binder<'a> {
    pub(super) fn match_one(&self, asked: &Match) -> Result<Filter, EsError> {
        if asked.field == "_id" {
            return Ok(self.ids(std::iter::once(asked.text.to_text())));
        }
        let found = match self.resolve_searched(&asked.field) {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(Filter::Nothing),
            Err(error) => return soften(Err(error), asked.words.lenient),
        };
        soften(self.match_of(&found, &asked.text, asked.style, &asked.words), asked.words.lenient)
    }

    /// A text asked of one field.
    fn match_of(
        &self,
        found: &Found<'_>,
        text: &Literal,
        style: Style,
        words: &Words,
    ) -> Result<Filter, EsError> {
        if found.kind == Kind::Text {
            let ways = self.stored_texts(found, &text.to_text());
            let ways = ways.iter().map(|text| words_filter(&found.name, text, style, words));
            return Ok(best(ways.collect(), 0.0));
        }
        let open = found.kind == Kind::Keyword && !found.is_pseudonymised();
        if open && matches!(style, Style::PhrasePrefix { .. } | Style::BoolPrefix) {
            return self.prefix(found, &text.to_text(), false);
        }
        self.term_of(found, text, false)
    }

    pub(super) fn multi_match(&self, asked: &MultiMatch) -> Result<Filter, EsError> {
        let targets = self.targets(&asked.fields)?;
        if asked.across == Across::Cross {
            return self.cross(&targets, &asked.text, &asked.words, asked.tie_breaker);
        }
        self.over(&targets, asked.across, asked.tie_breaker, |found| {
            let filter = self.match_of(found, &asked.text, asked.style, &asked.words);
            soften(filter, asked.words.lenient)
        })
    }

    /// The fields that patterns mean; none given means all.
    fn targets(&self, fields: &[Weighted]) -> Result<Vec<Target<'a>>, EsError> {
        let everything = [Weighted { field: "*".to_owned(), boost: 1.0 }];
        let fields = if fields.is_empty() { &everything } else { fields };
        let mut targets = Vec::new();
        for weighted in fields {
            let pattern = weighted.field.contains('*');
            let names = if pattern {
                self.fields.expand(&weighted.field)
            } else {
                vec![weighted.field.clone()]
            };
            for name in names {
                if targets.len() == CLAUSES_MAX {
                    return Err(EsError::illegal(format!(
                        "field expansion for [{}] matches too many fields, limit: {CLAUSES_MAX}",
                        weighted.field
                    )));
                }
                // A pattern means what can be searched; a name that is asked for must be able to.
                let found = if pattern {
                    self.resolve_searched(&name).unwrap_or(None)
                } else {
                    self.resolve_searched(&name)?
                };
                targets.extend(found.map(|found| (found, weighted.boost)));
            }
        }
        Ok(targets)
    }

    fn over(
        &self,
        targets: &[Target<'a>],
        across: Across,
        tie_breaker: f32,
        filter: impl Fn(&Found<'a>) -> Result<Filter, EsError>,
    ) -> Result<Filter, EsError> {
        let mut each = Vec::with_capacity(targets.len());
        for (found, boost) in targets {
            match filter(found)? {
                Filter::Nothing => {}
                filter => each.push(boosted(filter, *boost)),
            }
        }
        Ok(match across {
            Across::Most if each.len() > 1 => Filter::any(each),
            _ => best(each, tie_breaker),
        })
    }

    /// Every word in any of the fields, as if they were one.
    fn cross(
        &self,
        targets: &[Target<'a>],
        text: &Literal,
        words: &Words,
        tie_breaker: f32,
    ) -> Result<Filter, EsError> {
        let terms = distinct(analyze(&self.literals.query_text(&text.to_text())));
        let each: Vec<Filter> = terms
            .iter()
            .map(|term| {
                self.over(targets, Across::Best, tie_breaker, |found| match found.kind {
                    Kind::Text => Ok(Filter::Term(found.name.clone(), Value::Str(term.clone()))),
                    _ => soften(self.term_of(found, &Literal::Text(term.clone()), false), true),
                })
            })
            .collect::<Result<_, _>>()?;
        let needed = needed(words, each.len());
        Ok(match each.len() {
            0 if words.empty_is_all => Filter::All,
            count if count < needed || count == 0 => Filter::Nothing,
            count if count == needed => all_of(each),
            _ => Filter::Or { of: each, at_least: needed },
        })
    }

    pub(super) fn text_query(&self, asked: &TextQuery) -> Result<Filter, EsError> {
        let mut needs_targets = false;
        asked.tree.leaves_of(&mut |field, _| needs_targets |= field.is_none());
        let targets = if needs_targets { self.targets(&asked.fields)? } else { Vec::new() };
        let mut cost = 0;
        self.tree(asked, &asked.tree, &targets, true, &mut cost)
    }

    fn tree(
        &self,
        asked: &TextQuery,
        tree: &Tree,
        targets: &[Target<'a>],
        outermost: bool,
        cost: &mut usize,
    ) -> Result<Filter, EsError> {
        match tree {
            Tree::Nothing if asked.words.empty_is_all => Ok(Filter::All),
            Tree::Nothing => Ok(Filter::Nothing),
            Tree::All => Ok(Filter::All),
            Tree::Boosted(inner, boost) => {
                Ok(boosted(self.tree(asked, inner, targets, outermost, cost)?, *boost))
            }
            Tree::Leaf { field: None, leaf: Leaf::Wildcard(text) }
                if text == "*" && asked.fields.is_empty() =>
            {
                Ok(Filter::All)
            }
            Tree::Leaf { field: Some(field), leaf: Leaf::Exists } => self.exists(field),
            Tree::Leaf { field, leaf } => {
                let own;
                let targets = match field {
                    Some(field) => {
                        own = self.targets(&[Weighted { field: field.clone(), boost: 1.0 }])?;
                        &own
                    }
                    None => targets,
                };
                *cost += targets.len();
                if *cost > CLAUSES_MAX.saturating_mul(16) {
                    return Err(super::super::parse::too_many_clauses());
                }
                let lenient =
                    asked.words.lenient || field.as_ref().is_some_and(|field| field.contains('*'));
                self.over(targets, asked.across, asked.tie_breaker, |found| {
                    soften(self.leaf(asked, found, leaf, outermost), lenient)
                })
            }
            Tree::Clauses(clauses) => self.clauses(asked, clauses, targets, outermost, cost),
        }
    }

    fn clauses(
        &self,
        asked: &TextQuery,
        clauses: &[(Occur, Tree)],
        targets: &[Target<'a>],
        outermost: bool,
        cost: &mut usize,
    ) -> Result<Filter, EsError> {
        let (mut parts, mut should, mut not) = (Vec::new(), Vec::new(), Vec::new());
        for (occur, tree) in clauses {
            let filter = self.tree(asked, tree, targets, false, cost)?;
            match occur {
                Occur::Must => parts.push(filter),
                Occur::Should => should.push(filter),
                Occur::MustNot => not.push(super::unscored(filter).negate()),
            }
        }
        let usual = usize::from(parts.is_empty() && !should.is_empty());
        let at_least = match &asked.words.at_least {
            Some(at_least) if outermost => at_least.of(should.len()),
            _ => usual,
        };
        if at_least > should.len() {
            return Ok(Filter::Nothing);
        }
        push_should(&mut parts, should, at_least);
        parts.extend(not);
        Ok(all_of(parts))
    }

    fn leaf(
        &self,
        asked: &TextQuery,
        found: &Found<'_>,
        leaf: &Leaf,
        outermost: bool,
    ) -> Result<Filter, EsError> {
        match leaf {
            Leaf::Words(text) => {
                let at_least = asked.words.at_least.clone().filter(|_| outermost);
                let words = Words { at_least, ..asked.words.clone() };
                self.match_of(found, &Literal::Text(text.clone()), Style::Anywhere, &words)
            }
            Leaf::Phrase { text, slop } => {
                let style = Style::Phrase { slop: slop.unwrap_or(asked.slop) };
                self.match_of(found, &Literal::Text(text.clone()), style, &asked.words)
            }
            Leaf::Wildcard(pattern) => {
                let lower = found.kind == Kind::Text;
                let pattern = if lower { pattern.to_lowercase() } else { pattern.clone() };
                self.pattern_of(found, Pattern::Wildcard(pattern), false)
            }
            Leaf::Regexp(pattern) => {
                if pattern.chars().count() > 1_000 {
                    return Err(EsError::illegal(
                        "a regular expression may have at most 1000 characters",
                    ));
                }
                self.pattern_of(found, Pattern::Regexp(pattern.clone()), false)
            }
            Leaf::Range { from, to } => {
                let end = |end: &Option<(String, bool)>| {
                    end.as_ref().map(|(text, included)| (Literal::Text(text.clone()), *included))
                };
                let field = found.name.clone();
                let (from, to) = (end(from), end(to));
                let range = Range { field, from, to, format: None, zone: asked.zone };
                self.range_of(found, &range)
            }
            Leaf::Exists => Ok(constant(Filter::Exists(found.name.clone()))),
        }
    }
}

/// With `lenient` a literal that does not fit the field matches nothing.
fn soften(result: Result<Filter, EsError>, lenient: bool) -> Result<Filter, EsError> {
    match result {
        Err(error) if lenient && error.status == 400 => Ok(Filter::Nothing),
        other => other,
    }
}

fn distinct(terms: Vec<(usize, String)>) -> Vec<String> {
    let mut seen = HashSet::new();
    terms.into_iter().map(|(_, term)| term).filter(|term| seen.insert(term.clone())).collect()
}

fn needed(words: &Words, count: usize) -> usize {
    match &words.at_least {
        _ if words.all => count,
        Some(at_least) => at_least.of(count).max(1),
        None => 1,
    }
}

/// A text asked of a text field.
fn words_filter(field: &str, text: &str, style: Style, words: &Words) -> Filter {
    let mut terms = analyze(text);
    let field = field.to_owned();
    let term = |term: String| Filter::Term(field.clone(), Value::Str(term));
    match (terms.len(), style) {
        (0, _) => {
            if words.empty_is_all {
                Filter::All
            } else {
                Filter::Nothing
            }
        }
        (1, Style::Anywhere | Style::Phrase { .. }) => term(terms.remove(0).1),
        (1, Style::PhrasePrefix { .. } | Style::BoolPrefix) => {
            let prefix = terms.remove(0).1;
            constant(Filter::Prefix { field, prefix, ignore_case: false })
        }
        (_, Style::Anywhere) => {
            let mut terms = distinct(terms);
            let at_least = needed(words, terms.len());
            match terms.len() {
                count if count < at_least => Filter::Nothing,
                1 => term(terms.remove(0)),
                _ => Filter::Words { field, terms, at_least },
            }
        }
        (_, Style::Phrase { slop }) => Filter::Phrase { field, terms, slop, last_is_prefix: false },
        (_, Style::PhrasePrefix { slop }) => {
            Filter::Phrase { field, terms, slop, last_is_prefix: true }
        }
        (_, Style::BoolPrefix) => {
            let last = terms.pop().map(|(_, last)| last).unwrap_or_default();
            let mut of: Vec<Filter> = distinct(terms).into_iter().map(term).collect();
            of.push(constant(Filter::Prefix {
                field: field.clone(),
                prefix: last,
                ignore_case: false,
            }));
            let at_least = needed(words, of.len());
            if of.len() < at_least { Filter::Nothing } else { Filter::Or { of, at_least } }
        }
    }
}
