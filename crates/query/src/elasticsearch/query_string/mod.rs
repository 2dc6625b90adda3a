//! The language of `query_string`: `status:active AND (title:"quick fox" OR -tag:old)`.

mod lexer;
mod simple;

pub(super) use simple::parse_simple;

use super::parse::too_many_clauses;
use super::{CLAUSES_MAX, DEPTH_MAX, EsError};
use lexer::{Token, lex, position};

/// What a text asks for, before any field is known.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Tree {
    /// An empty text.
    Nothing,
    /// `*:*`
    All,
    /// One condition; without a field it goes to the fields of the query.
    Leaf { field: Option<String>, leaf: Leaf },
    /// Several.
    Clauses(Vec<(Occur, Tree)>),
    /// `…^2`
    Boosted(Box<Tree>, f32),
}

/// One condition.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Leaf {
    /// Words that stand side by side in the question; on a keyword field the whole text.
    Words(String),
    /// `"…"~2`
    Phrase { text: String, slop: Option<u32> },
    /// `wor*`, `w?rd`: with its escapes.
    Wildcard(String),
    /// `/wo.*/`
    Regexp(String),
    /// `[a TO b}`, `>=a`: the ends with whether they are part of it.
    Range { from: Option<(String, bool)>, to: Option<(String, bool)> },
    /// `_exists_:field`
    Exists,
}

/// How a clause takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Occur {
    Must,
    Should,
    MustNot,
}

/// Which parts of the language are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Full,
    /// A word may not begin with `*` or `?`.
    NoLeadingWildcard,
}

impl Tree {
    /// How many conditions it has.
    pub(super) fn leaves(&self) -> usize {
        match self {
            Tree::Nothing | Tree::All => 0,
            Tree::Leaf { .. } => 1,
            Tree::Boosted(inner, _) => inner.leaves(),
            Tree::Clauses(clauses) => clauses.iter().map(|(_, tree)| tree.leaves()).sum(),
        }
    }

    /// Calls `see` with every condition and its field, if it names one.
    pub(super) fn leaves_of<'a>(&'a self, see: &mut dyn FnMut(Option<&'a str>, &'a Leaf)) {
        match self {
            Tree::Nothing | Tree::All => {}
            Tree::Leaf { field, leaf } => see(field.as_deref(), leaf),
            Tree::Boosted(inner, _) => inner.leaves_of(see),
            Tree::Clauses(clauses) => clauses.iter().for_each(|(_, tree)| tree.leaves_of(see)),
        }
    }
}

/// Reads a text. `all`: words without an operator between them must all match.
pub(super) fn parse(text: &str, dialect: Dialect, all: bool) -> Result<Tree, EsError> {
    let tokens = lex(text).map_err(|(why, token)| failed(text, token, &why))?;
    let mut parser = Parser { text, tokens: &tokens, place: 0, dialect, all, depth: 0, leaves: 0 };
    let tree = parser.clauses(None)?;
    if parser.place < tokens.len() {
        return Err(failed(text, parser.place, "unmatched closing parenthesis"));
    }
    Ok(tree)
}

/// What is wrong with a text, at which of its tokens.
fn failed(text: &str, token: usize, why: &str) -> EsError {
    let shown: String = text.chars().take(200).collect();
    let at = position(text, token);
    EsError::query(format!("Failed to parse query [{shown}]: {why} (at character {at})"))
}

struct Parser<'a> {
    text: &'a str,
    tokens: &'a [Token],
    place: usize,
    dialect: Dialect,
    all: bool,
    depth: usize,
    leaves: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Conjunction {
    None,
    And,
    Or,
}

#[derive(Clone, Copy, PartialEq)]
enum Modifier {
    None,
    Required,
    Prohibited,
}

impl Parser<'_> {
    fn peek(&self, ahead: usize) -> Option<&Token> {
        self.tokens.get(self.place + ahead)
    }

    fn take(&mut self, token: &Token) -> bool {
        let found = self.peek(0) == Some(token);
        self.place += usize::from(found);
        found
    }

    fn fail(&self, why: &str) -> EsError {
        failed(self.text, self.place, why)
    }

    /// Clauses up to the end or a closing parenthesis, in which `field` holds.
    fn clauses(&mut self, field: Option<&str>) -> Result<Tree, EsError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.fail("too many nested parentheses"));
        }
        let mut clauses: Vec<(Occur, Tree)> = Vec::new();
        while self.peek(0).is_some_and(|token| *token != Token::Close) {
            if let Some(words) = self.word_run() {
                let leaf = self.leaf(field, Leaf::Words(words))?;
                self.add(&mut clauses, Conjunction::None, Modifier::None, leaf);
                continue;
            }
            let conjunction = self.conjunction();
            if conjunction != Conjunction::None && clauses.is_empty() {
                self.place -= 1;
                return Err(self.fail("an operator needs a clause before it"));
            }
            let modifier = self.modifier();
            let clause = self.clause(field)?;
            self.add(&mut clauses, conjunction, modifier, clause);
        }
        self.depth -= 1;
        Ok(match clauses.pop() {
            None => Tree::Nothing,
            Some((Occur::Must | Occur::Should, tree)) if clauses.is_empty() => tree,
            Some(last) => {
                clauses.push(last);
                Tree::Clauses(clauses)
            }
        })
    }

    /// Two or more plain words in a row, none of which an operator belongs to.
    fn word_run(&mut self) -> Option<String> {
        let mut words = self.plain_word(0)?.to_owned();
        let mut count = 1;
        while let Some(word) = self.plain_word(count) {
            let bound = matches!(
                self.peek(count + 1),
                Some(Token::Colon | Token::Tilde(_) | Token::Boost(_) | Token::And | Token::Or)
            );
            if bound {
                break;
            }
            words.push(' ');
            words.push_str(word);
            count += 1;
        }
        if count < 2 {
            return None;
        }
        self.place += count;
        Some(words)
    }

    fn plain_word(&self, ahead: usize) -> Option<&str> {
        match self.peek(ahead)? {
            Token::Word { text, wildcard: false, .. } if !text.starts_with(['<', '>']) => {
                Some(text)
            }
            _ => None,
        }
    }

    fn conjunction(&mut self) -> Conjunction {
        if self.take(&Token::And) {
            Conjunction::And
        } else if self.take(&Token::Or) {
            Conjunction::Or
        } else {
            Conjunction::None
        }
    }

    fn modifier(&mut self) -> Modifier {
        if self.take(&Token::Plus) {
            Modifier::Required
        } else if self.take(&Token::Minus) || self.take(&Token::Not) {
            Modifier::Prohibited
        } else {
            Modifier::None
        }
    }

    /// Lucene's rule for how the operators around a clause bind it and the one before it.
    fn add(
        &self,
        clauses: &mut Vec<(Occur, Tree)>,
        conjunction: Conjunction,
        modifier: Modifier,
        tree: Tree,
    ) {
        if let Some((before, _)) = clauses.last_mut().filter(|(occur, _)| *occur != Occur::MustNot)
        {
            match conjunction {
                Conjunction::And => *before = Occur::Must,
                Conjunction::Or if self.all => *before = Occur::Should,
                _ => {}
            }
        }
        let required = match modifier {
            Modifier::Prohibited => {
                clauses.push((Occur::MustNot, tree));
                return;
            }
            Modifier::Required => true,
            Modifier::None if self.all => conjunction != Conjunction::Or,
            Modifier::None => conjunction == Conjunction::And,
        };
        clauses.push((if required { Occur::Must } else { Occur::Should }, tree));
    }

    fn clause(&mut self, field: Option<&str>) -> Result<Tree, EsError> {
        if let (Some(Token::Word { text, raw, .. }), Some(Token::Colon)) =
            (self.peek(0), self.peek(1))
        {
            let everything =
                raw == "*" && matches!(self.peek(2), Some(Token::Word { raw, .. }) if raw == "*");
            let name = text.clone();
            if everything {
                self.place += 3;
                return self.boosted(Tree::All);
            }
            self.place += 2;
            if name == "_exists_" {
                return self.exists();
            }
            return self.value(Some(&name));
        }
        self.value(field)
    }

    fn exists(&mut self) -> Result<Tree, EsError> {
        let name = match self.peek(0) {
            Some(Token::Word { text, .. } | Token::Quoted(text)) => text.clone(),
            _ => return Err(self.fail("_exists_ needs the name of a field")),
        };
        self.place += 1;
        let leaf = self.leaf(Some(&name), Leaf::Exists)?;
        self.boosted(leaf)
    }

    fn value(&mut self, field: Option<&str>) -> Result<Tree, EsError> {
        let Some(token) = self.peek(0).cloned() else {
            return Err(self.fail("it ends where a clause is expected"));
        };
        self.place += 1;
        let leaf = match token {
            Token::Open => {
                let inner = self.clauses(field)?;
                if !self.take(&Token::Close) {
                    return Err(self.fail("missing closing parenthesis"));
                }
                return self.boosted(inner);
            }
            Token::Quoted(text) => {
                let slop = self.tilde()?;
                Leaf::Phrase { text, slop }
            }
            Token::Regexp(pattern) => Leaf::Regexp(pattern),
            Token::Range { from, to } => Leaf::Range { from, to },
            Token::Word { text, .. } if field.is_some() && text.starts_with(['<', '>']) => {
                self.comparison(&text)?
            }
            Token::Word { raw, wildcard: true, .. } => {
                if self.dialect == Dialect::NoLeadingWildcard
                    && raw != "*"
                    && raw.starts_with(['*', '?'])
                {
                    return Err(
                        self.fail("'*' or '?' not allowed as first character in WildcardQuery")
                    );
                }
                Leaf::Wildcard(raw)
            }
            Token::Word { text, .. } => {
                if matches!(self.peek(0), Some(Token::Tilde(_))) {
                    return Err(self.fail("fuzzy words (`~`) are not supported by Clerestory"));
                }
                Leaf::Words(text)
            }
            _ => {
                self.place -= 1;
                return Err(self.fail("an operator stands where a clause is expected"));
            }
        };
        let leaf = self.leaf(field, leaf)?;
        self.boosted(leaf)
    }

    fn tilde(&mut self) -> Result<Option<u32>, EsError> {
        let Some(Token::Tilde(amount)) = self.peek(0) else { return Ok(None) };
        let slop = if amount.is_empty() { Ok(0) } else { amount.parse::<u32>() };
        self.place += 1;
        slop.map(Some).map_err(|_| self.fail("the number behind `~` is not a whole number"))
    }

    /// `>=10`, `>"2026-01-01"`
    fn comparison(&mut self, text: &str) -> Result<Leaf, EsError> {
        let included = text[1..].starts_with('=');
        let rest = &text[if included { 2 } else { 1 }..];
        let value = match (rest, self.peek(0)) {
            ("", Some(Token::Word { text, .. } | Token::Quoted(text))) => {
                let value = text.clone();
                self.place += 1;
                value
            }
            ("", _) => return Err(self.fail("a comparison needs a value")),
            (rest, _) => rest.to_owned(),
        };
        Ok(if text.starts_with('>') {
            Leaf::Range { from: Some((value, included)), to: None }
        } else {
            Leaf::Range { from: None, to: Some((value, included)) }
        })
    }

    fn boosted(&mut self, tree: Tree) -> Result<Tree, EsError> {
        let Some(Token::Boost(amount)) = self.peek(0) else { return Ok(tree) };
        let boost: Option<f32> = amount.parse().ok();
        self.place += 1;
        match boost.filter(|boost| boost.is_finite() && *boost >= 0.0) {
            Some(boost) => Ok(Tree::Boosted(Box::new(tree), boost)),
            None => Err(self.fail("the number behind `^` is not a positive number")),
        }
    }

    fn leaf(&mut self, field: Option<&str>, leaf: Leaf) -> Result<Tree, EsError> {
        self.leaves += 1;
        if self.leaves > CLAUSES_MAX {
            return Err(too_many_clauses());
        }
        Ok(Tree::Leaf { field: field.map(str::to_owned), leaf })
    }
}

#[cfg(test)]
mod tests;
