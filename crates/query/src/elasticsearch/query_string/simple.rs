//! The language of `simple_query_string`: `"quick fox" +(brown | red) -lazy jump*`.
//!
//! A text never has a mistake: what makes no sense as an operator is a word.

use super::super::parse::too_many_clauses;
use super::super::{CLAUSES_MAX, DEPTH_MAX, EsError};
use super::{Leaf, Occur, Tree};

/// Reads a text. `all`: words without an operator between them must all match.
pub(in super::super) fn parse_simple(text: &str, all: bool) -> Result<Tree, EsError> {
    let usual = if all { Occur::Must } else { Occur::Should };
    let mut parser = Simple { chars: text.chars().collect(), place: 0, usual, leaves: 0 };
    let mut whole = Level::default();
    while parser.place < parser.chars.len() {
        // A closing parenthesis without a partner is passed over.
        let part = parser.level(0)?;
        whole.join(None, usual, part);
    }
    Ok(whole.tree())
}

struct Simple {
    chars: Vec<char>,
    place: usize,
    usual: Occur,
    leaves: usize,
}

/// The clauses so far, bound from left to right.
#[derive(Default)]
struct Level {
    clauses: Vec<(Occur, Tree)>,
    operator: Option<Occur>,
}

impl Level {
    fn join(&mut self, asked: Option<Occur>, usual: Occur, branch: Tree) {
        if branch == Tree::Nothing {
            return;
        }
        let operator = asked.unwrap_or(usual);
        match self.operator {
            Some(before) if before != operator => {
                let left = std::mem::take(&mut self.clauses);
                self.clauses = vec![(operator, Tree::Clauses(left))];
            }
            None => self.clauses.iter_mut().for_each(|(occur, _)| *occur = operator),
            Some(_) => {}
        }
        if !self.clauses.is_empty() {
            self.operator = Some(operator);
        }
        self.clauses.push((operator, branch));
    }

    fn tree(mut self) -> Tree {
        match self.clauses.len() {
            0 => Tree::Nothing,
            1 => self.clauses.pop().map_or(Tree::Nothing, |(_, tree)| tree),
            _ => Tree::Clauses(self.clauses),
        }
    }
}

impl Simple {
    fn level(&mut self, depth: usize) -> Result<Tree, EsError> {
        let mut level = Level::default();
        let (mut operator, mut negated) = (None, false);
        while let Some(&c) = self.chars.get(self.place) {
            self.place += 1;
            let branch = match c {
                ')' => break,
                '(' if depth < DEPTH_MAX => self.level(depth + 1)?,
                '+' => {
                    operator = Some(Occur::Must);
                    continue;
                }
                '|' => {
                    operator = Some(Occur::Should);
                    continue;
                }
                '-' => {
                    negated = !negated;
                    continue;
                }
                '(' => continue,
                '"' => self.phrase()?,
                c if c.is_whitespace() => {
                    negated = false;
                    continue;
                }
                _ => {
                    self.place -= 1;
                    self.word()?
                }
            };
            let branch = match (negated, branch) {
                (true, Tree::Nothing) | (false, Tree::Nothing) => Tree::Nothing,
                (true, branch) => Tree::Clauses(vec![(Occur::MustNot, branch)]),
                (false, branch) => branch,
            };
            level.join(operator.take(), self.usual, branch);
            negated = false;
        }
        Ok(level.tree())
    }

    fn leaf(&mut self, leaf: Leaf) -> Result<Tree, EsError> {
        self.leaves += 1;
        if self.leaves > CLAUSES_MAX {
            return Err(too_many_clauses());
        }
        Ok(Tree::Leaf { field: None, leaf })
    }

    /// A phrase up to its closing quote; a quote without a partner is passed over.
    fn phrase(&mut self) -> Result<Tree, EsError> {
        let start = self.place;
        let mut text = String::new();
        while let Some(&c) = self.chars.get(self.place) {
            self.place += 1;
            match c {
                '"' => {
                    let slop = self.tilde().map(|slop| slop.unwrap_or(0));
                    return if text.trim().is_empty() {
                        Ok(Tree::Nothing)
                    } else {
                        self.leaf(Leaf::Phrase { text, slop })
                    };
                }
                '\\' => {
                    text.extend(self.chars.get(self.place));
                    self.place += 1;
                }
                other => text.push(other),
            }
        }
        self.place = start;
        Ok(Tree::Nothing)
    }

    /// `~` and its number, if that is what stands here.
    fn tilde(&mut self) -> Option<Option<u32>> {
        if self.chars.get(self.place) != Some(&'~') {
            return None;
        }
        self.place += 1;
        let start = self.place;
        while self.chars.get(self.place).is_some_and(char::is_ascii_digit) {
            self.place += 1;
        }
        let digits: String = self.chars[start..self.place].iter().collect();
        Some(digits.parse().ok())
    }

    fn word(&mut self) -> Result<Tree, EsError> {
        let (mut text, mut raw) = (String::new(), String::new());
        let mut open_end = false;
        while let Some(&c) = self.chars.get(self.place) {
            if c.is_whitespace() || matches!(c, '"' | '|' | '+' | '(' | ')') {
                break;
            }
            self.place += 1;
            let end = self.chars.get(self.place).is_none_or(|next| {
                next.is_whitespace() || matches!(next, '"' | '|' | '+' | '(' | ')')
            });
            match c {
                '*' if end => open_end = true,
                '\\' => {
                    if let Some(&escaped) = self.chars.get(self.place) {
                        self.place += 1;
                        push(escaped, &mut text, &mut raw);
                    }
                }
                '~' if end || self.chars.get(self.place).is_some_and(char::is_ascii_digit) => {
                    return Err(EsError::illegal(
                        "fuzzy words (`~`) are not supported by Clerestory; escape it as `\\~`",
                    ));
                }
                other => push(other, &mut text, &mut raw),
            }
        }
        match (text.is_empty(), open_end) {
            (true, false) => Ok(Tree::Nothing),
            (_, true) => self.leaf(Leaf::Wildcard(raw + "*")),
            (false, false) => self.leaf(Leaf::Words(text)),
        }
    }
}

/// Adds a character that means itself.
fn push(c: char, text: &mut String, raw: &mut String) {
    if matches!(c, '*' | '?' | '\\') {
        raw.push('\\');
    }
    text.push(c);
    raw.push(c);
}
