//! The small language of a copy file: which rows (`where`), and values that are made of columns
//! (`value`). It is worked out here, the same for every source.
//!
//! ```text
//! condition   a and b, a or b, not a, (a), x = y, x != y, <, <=, >, >=, x in (y, …), x is null
//! value       column, "column", 'text', 12.5, true, false,
//!             lower(x), upper(x), trim(x), first(x, 3), day(x), month(x), hour(x), concat(x, …)
//! ```
//!
//! What is compared with null is not so, as in SQL.

use crate::{Cell, CopiedRows};
use model::Timestamp;
use std::borrow::Cow;
use std::cmp::Ordering;

/// Something that is worked out for each row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expression {
    Column(String),
    Text(String),
    Number(f64),
    Bool(bool),
    Call(Function, Vec<Expression>),
    Not(Box<Expression>),
    Both(Box<Expression>, Box<Expression>),
    Either(Box<Expression>, Box<Expression>),
    Compare(Box<Expression>, Comparison, Box<Expression>),
    OneOf(Box<Expression>, Vec<Expression>),
    IsNull(Box<Expression>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    Lower,
    Upper,
    Trim,
    First,
    Day,
    Month,
    Hour,
    Concat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// What an expression comes to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Worth<'a> {
    Null,
    Bool(bool),
    Number(f64),
    Date(i64),
    Text(Cow<'a, str>),
}

const FUNCTIONS: [(&str, Function, usize, usize); 8] = [
    ("lower", Function::Lower, 1, 1),
    ("upper", Function::Upper, 1, 1),
    ("trim", Function::Trim, 1, 1),
    ("first", Function::First, 2, 2),
    ("day", Function::Day, 1, 1),
    ("month", Function::Month, 1, 1),
    ("hour", Function::Hour, 1, 1),
    ("concat", Function::Concat, 1, 16),
];

impl Expression {
    /// Reads a condition or a value.
    pub(crate) fn parse(text: &str) -> Result<Expression, String> {
        let tokens = tokens(text)?;
        let mut parser = Parser { tokens: &tokens, at: 0, depth: 0 };
        let expression = parser.either()?;
        match parser.peek() {
            None => Ok(expression),
            Some(token) => Err(format!("`{}` is not expected there", token.shown())),
        }
    }

    /// The columns that it mentions.
    pub(crate) fn columns(&self) -> Vec<&str> {
        let mut all = Vec::new();
        self.collect(&mut all);
        all.sort_unstable();
        all.dedup();
        all
    }

    fn collect<'e>(&'e self, out: &mut Vec<&'e str>) {
        match self {
            Expression::Column(name) => out.push(name),
            Expression::Text(_) | Expression::Number(_) | Expression::Bool(_) => {}
            Expression::Call(_, parts) => parts.iter().for_each(|part| part.collect(out)),
            Expression::Not(one) | Expression::IsNull(one) => one.collect(out),
            Expression::Both(one, other)
            | Expression::Either(one, other)
            | Expression::Compare(one, _, other) => {
                one.collect(out);
                other.collect(out);
            }
            Expression::OneOf(one, others) => {
                one.collect(out);
                others.iter().for_each(|other| other.collect(out));
            }
        }
    }

    /// Whether it holds for a row.
    pub(crate) fn holds<'r>(
        &'r self,
        rows: &'r CopiedRows,
        row: usize,
        place: &dyn Fn(&str) -> Option<usize>,
    ) -> bool {
        self.worth(rows, row, place) == Worth::Bool(true)
    }

    /// Works it out for a row; `place` finds the cell of a column.
    pub(crate) fn worth<'r>(
        &'r self,
        rows: &'r CopiedRows,
        row: usize,
        place: &dyn Fn(&str) -> Option<usize>,
    ) -> Worth<'r> {
        let worth = |part: &'r Expression| part.worth(rows, row, place);
        match self {
            Expression::Column(name) => match place(name) {
                Some(place) => of_cell(rows, rows.row(row)[place]),
                None => Worth::Null,
            },
            Expression::Text(text) => Worth::Text(text.as_str().into()),
            Expression::Number(number) => Worth::Number(*number),
            Expression::Bool(value) => Worth::Bool(*value),
            Expression::Call(function, parts) => {
                function.call(parts.iter().map(worth).collect::<Vec<_>>().as_slice())
            }
            Expression::Not(one) => match worth(one) {
                Worth::Bool(value) => Worth::Bool(!value),
                _ => Worth::Null,
            },
            Expression::Both(one, other) => match (worth(one), worth(other)) {
                (Worth::Bool(false), _) | (_, Worth::Bool(false)) => Worth::Bool(false),
                (Worth::Bool(true), Worth::Bool(true)) => Worth::Bool(true),
                _ => Worth::Null,
            },
            Expression::Either(one, other) => match (worth(one), worth(other)) {
                (Worth::Bool(true), _) | (_, Worth::Bool(true)) => Worth::Bool(true),
                (Worth::Bool(false), Worth::Bool(false)) => Worth::Bool(false),
                _ => Worth::Null,
            },
            Expression::Compare(one, comparison, other) => {
                match compare(&worth(one), &worth(other)) {
                    Some(ordering) => Worth::Bool(comparison.holds(ordering)),
                    None => Worth::Null,
                }
            }
            Expression::OneOf(one, others) => {
                let one = worth(one);
                if one == Worth::Null {
                    return Worth::Null;
                }
                let is_equal =
                    |other: &'r Expression| compare(&one, &worth(other)) == Some(Ordering::Equal);
                Worth::Bool(others.iter().any(is_equal))
            }
            Expression::IsNull(one) => Worth::Bool(worth(one) == Worth::Null),
        }
    }
}

impl Worth<'_> {
    /// Adds it as a cell.
    pub(crate) fn push(&self, rows: &mut CopiedRows) {
        match self {
            Worth::Null => rows.push(Cell::Null),
            Worth::Bool(value) => rows.push(Cell::Bool(*value)),
            Worth::Number(value) if value.fract() == 0.0 && value.abs() < 9e15 => {
                rows.push(Cell::Long(*value as i64));
            }
            Worth::Number(value) => rows.push(Cell::Double(*value)),
            Worth::Date(ms) => rows.push(Cell::Date(*ms)),
            Worth::Text(text) => rows.push_text(text),
        }
    }

    fn text(&self) -> Option<Cow<'_, str>> {
        Some(match self {
            Worth::Null => return None,
            Worth::Bool(value) => value.to_string().into(),
            Worth::Number(value) => value.to_string().into(),
            Worth::Date(ms) => Timestamp(*ms).to_rfc3339().into(),
            Worth::Text(text) => Cow::Borrowed(text),
        })
    }
}

fn of_cell(rows: &CopiedRows, cell: Cell) -> Worth<'_> {
    match cell {
        Cell::Null | Cell::Unchanged => Worth::Null,
        Cell::Bool(value) => Worth::Bool(value),
        Cell::Long(value) => Worth::Number(value as f64),
        Cell::Double(value) => Worth::Number(value),
        Cell::Date(ms) => Worth::Date(ms),
        Cell::Text(..) | Cell::Json(..) => Worth::Text(rows.text(cell).unwrap_or_default().into()),
    }
}

/// Dates are written as text in a copy file.
fn compare(one: &Worth<'_>, other: &Worth<'_>) -> Option<Ordering> {
    let date = |text: &str| {
        let day = || Timestamp::parse_rfc3339(&format!("{text}T00:00:00Z"));
        Timestamp::parse_rfc3339(text).or_else(day).map(|at| at.0)
    };
    match (one, other) {
        (Worth::Text(one), Worth::Text(other)) => Some(one.cmp(other)),
        (Worth::Number(one), Worth::Number(other)) => one.partial_cmp(other),
        (Worth::Bool(one), Worth::Bool(other)) => Some(one.cmp(other)),
        (Worth::Date(one), Worth::Date(other)) => Some(one.cmp(other)),
        (Worth::Date(one), Worth::Text(other)) => Some(one.cmp(&date(other)?)),
        (Worth::Text(one), Worth::Date(other)) => Some(date(one)?.cmp(other)),
        (Worth::Number(one), Worth::Text(other)) => one.partial_cmp(&other.parse().ok()?),
        (Worth::Text(one), Worth::Number(other)) => one.parse::<f64>().ok()?.partial_cmp(other),
        _ => None,
    }
}

impl Comparison {
    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Comparison::Equal => ordering.is_eq(),
            Comparison::NotEqual => ordering.is_ne(),
            Comparison::Less => ordering.is_lt(),
            Comparison::LessOrEqual => ordering.is_le(),
            Comparison::Greater => ordering.is_gt(),
            Comparison::GreaterOrEqual => ordering.is_ge(),
        }
    }
}

impl Function {
    fn call(self, parts: &[Worth<'_>]) -> Worth<'static> {
        let text = |change: &dyn Fn(&str) -> String| match parts[0].text() {
            Some(text) => Worth::Text(change(&text).into()),
            None => Worth::Null,
        };
        let cut = |ms: i64| match parts[0] {
            Worth::Date(at) => Worth::Date(at.div_euclid(ms) * ms),
            _ => Worth::Null,
        };
        match self {
            Function::Lower => text(&str::to_lowercase),
            Function::Upper => text(&str::to_uppercase),
            Function::Trim => text(&|text| text.trim().to_owned()),
            Function::First => match parts[1] {
                Worth::Number(count) if count >= 0.0 => {
                    text(&|text| text.chars().take(count as usize).collect())
                }
                _ => Worth::Null,
            },
            Function::Day => cut(86_400_000),
            Function::Hour => cut(3_600_000),
            Function::Month => match parts[0] {
                Worth::Date(at) => {
                    let text = Timestamp(at).to_rfc3339();
                    let month = text.get(..7).map(|month| format!("{month}-01T00:00:00Z"));
                    let month = month.and_then(|month| Timestamp::parse_rfc3339(&month));
                    month.map_or(Worth::Null, |month| Worth::Date(month.0))
                }
                _ => Worth::Null,
            },
            Function::Concat => {
                Worth::Text(parts.iter().filter_map(Worth::text).collect::<String>().into())
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Quoted(String),
    Text(String),
    Number(f64),
    Sign(&'static str),
}

impl Token {
    fn shown(&self) -> String {
        match self {
            Token::Word(word) => word.clone(),
            Token::Quoted(_) => "a quoted name".to_owned(),
            Token::Text(_) => "a text".to_owned(),
            Token::Number(_) => "a number".to_owned(),
            Token::Sign(sign) => (*sign).to_owned(),
        }
    }
}

const SIGNS: [&str; 11] = ["<=", ">=", "!=", "<>", "==", "(", ")", ",", "=", "<", ">"];

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut all = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        if let Some(sign) = SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
            all.push(Token::Sign(sign));
            rest = &rest[sign.len()..];
        } else if first == '\'' || first == '"' {
            let end = rest[1..].find(first).ok_or("a quote is not closed")? + 1;
            let inside = rest[1..end].to_owned();
            all.push(if first == '"' { Token::Quoted(inside) } else { Token::Text(inside) });
            rest = &rest[end + 1..];
        } else if first.is_ascii_digit() || first == '-' {
            let end = rest[1..].find(|c: char| !c.is_ascii_digit() && c != '.');
            let end = end.map_or(rest.len(), |end| end + 1);
            let number = rest[..end].parse().map_err(|_| "a number does not read")?;
            all.push(Token::Number(number));
            rest = &rest[end..];
        } else if first.is_alphabetic() || first == '_' {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            all.push(Token::Word(rest[..end].to_owned()));
            rest = &rest[end..];
        } else {
            return Err(format!("`{first}` is not expected there"));
        }
        rest = rest.trim_start();
    }
    Ok(all)
}

struct Parser<'t> {
    tokens: &'t [Token],
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn takes_word(&mut self, word: &str) -> bool {
        let is_it = matches!(self.peek(), Some(Token::Word(w)) if w.eq_ignore_ascii_case(word));
        self.at += usize::from(is_it);
        is_it
    }

    fn takes_sign(&mut self, sign: &str) -> bool {
        let is_it = matches!(self.peek(), Some(Token::Sign(s)) if *s == sign);
        self.at += usize::from(is_it);
        is_it
    }

    fn expect(&mut self, sign: &str) -> Result<(), String> {
        if self.takes_sign(sign) { Ok(()) } else { Err(format!("`{sign}` is missing")) }
    }

    fn either(&mut self) -> Result<Expression, String> {
        self.depth += 1;
        if self.depth > 32 {
            return Err("too many parentheses".to_owned());
        }
        let mut left = self.both()?;
        while self.takes_word("or") {
            left = Expression::Either(Box::new(left), Box::new(self.both()?));
        }
        self.depth -= 1;
        Ok(left)
    }

    fn both(&mut self) -> Result<Expression, String> {
        let mut left = self.not()?;
        while self.takes_word("and") {
            left = Expression::Both(Box::new(left), Box::new(self.not()?));
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Expression, String> {
        if self.takes_word("not") {
            return Ok(Expression::Not(Box::new(self.comparison()?)));
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Expression, String> {
        let left = self.value()?;
        let comparison = match self.peek() {
            Some(Token::Sign("=" | "==")) => Comparison::Equal,
            Some(Token::Sign("!=" | "<>")) => Comparison::NotEqual,
            Some(Token::Sign("<")) => Comparison::Less,
            Some(Token::Sign("<=")) => Comparison::LessOrEqual,
            Some(Token::Sign(">")) => Comparison::Greater,
            Some(Token::Sign(">=")) => Comparison::GreaterOrEqual,
            _ => return self.in_or_null(left),
        };
        self.at += 1;
        Ok(Expression::Compare(Box::new(left), comparison, Box::new(self.value()?)))
    }

    fn in_or_null(&mut self, left: Expression) -> Result<Expression, String> {
        if self.takes_word("is") {
            let negated = self.takes_word("not");
            if !self.takes_word("null") {
                return Err("`null` is missing behind `is`".to_owned());
            }
            let is_null = Expression::IsNull(Box::new(left));
            return Ok(if negated { Expression::Not(Box::new(is_null)) } else { is_null });
        }
        let before = self.at;
        let negated = self.takes_word("not");
        if !self.takes_word("in") {
            self.at = before;
            return Ok(left);
        }
        self.expect("(")?;
        let one_of = Expression::OneOf(Box::new(left), self.list()?);
        Ok(if negated { Expression::Not(Box::new(one_of)) } else { one_of })
    }

    /// Values up to the closing parenthesis.
    fn list(&mut self) -> Result<Vec<Expression>, String> {
        let mut all = vec![self.value()?];
        while self.takes_sign(",") {
            all.push(self.value()?);
        }
        self.expect(")")?;
        Ok(all)
    }

    fn value(&mut self) -> Result<Expression, String> {
        if self.takes_sign("(") {
            let inside = self.either()?;
            self.expect(")")?;
            return Ok(inside);
        }
        let token = self.peek().cloned().ok_or("something is missing at the end")?;
        self.at += 1;
        match token {
            Token::Text(text) => Ok(Expression::Text(text)),
            Token::Number(number) => Ok(Expression::Number(number)),
            Token::Quoted(name) => Ok(Expression::Column(name)),
            Token::Word(word) if word.eq_ignore_ascii_case("true") => Ok(Expression::Bool(true)),
            Token::Word(word) if word.eq_ignore_ascii_case("false") => Ok(Expression::Bool(false)),
            Token::Word(word) if self.takes_sign("(") => {
                let name = word.to_ascii_lowercase();
                let known = FUNCTIONS.iter().find(|(known, ..)| *known == name);
                let Some((_, function, least, most)) = known else {
                    let names: Vec<&str> = FUNCTIONS.iter().map(|(name, ..)| *name).collect();
                    return Err(format!("`{name}` is none of {}", names.join(", ")));
                };
                self.depth += 1;
                if self.depth > 32 {
                    return Err("too many parentheses".to_owned());
                }
                let parts = self.list()?;
                self.depth -= 1;
                if parts.len() < *least || parts.len() > *most {
                    return Err(format!("`{name}` takes {least} to {most} values"));
                }
                Ok(Expression::Call(*function, parts))
            }
            Token::Word(word) => Ok(Expression::Column(word)),
            Token::Sign(sign) => Err(format!("`{sign}` is not expected there")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Op;

    fn rows() -> CopiedRows {
        let mut rows = CopiedRows::new(5);
        rows.start(Op::Put);
        rows.push(Cell::Long(7));
        rows.push_text("  Ada ");
        rows.push(Cell::Date(1_764_430_381_000)); // 2025-11-29T15:33:01Z
        rows.push(Cell::Null);
        rows.push(Cell::Bool(true));
        rows
    }

    fn place(name: &str) -> Option<usize> {
        ["n", "name", "at", "gone", "active"].iter().position(|known| *known == name)
    }

    #[test]
    fn conditions() {
        let rows = rows();
        for (text, holds) in [
            ("n = 7", true),
            ("n != 7", false),
            ("n >= 7 and n < 8 and active = true", true),
            ("n in (1, 7)", true),
            ("n not in (1, 7)", false),
            ("gone is null", true),
            ("gone is not null", false),
            ("gone = 1 or n > 6", true),
            ("not (gone = 1)", false),
            ("not gone = 1", false),
            ("at > '2025-11-01'", true),
            ("at < '2025-11-29T15:33:01Z'", false),
            ("lower(trim(name)) = 'ada'", true),
            ("\"n\" = 7", true),
            ("active", true),
            ("unknown = 1", false),
        ] {
            let condition = Expression::parse(text).unwrap();
            assert_eq!(condition.holds(&rows, 0, &place), holds, "{text}");
        }
    }

    #[test]
    fn values() {
        let rows = rows();
        let text = |text: &str| Worth::Text(text.to_owned().into());
        for (expression, worth) in [
            ("first(trim(name), 2)", text("Ad")),
            ("upper(trim(name))", text("ADA")),
            ("concat(n, '-', trim(name), gone)", text("7-Ada")),
            ("day(at)", Worth::Date(1_764_374_400_000)),
            ("month(at)", Worth::Date(1_761_955_200_000)),
            ("lower(gone)", Worth::Null),
        ] {
            let parsed = Expression::parse(expression).unwrap();
            assert_eq!(parsed.worth(&rows, 0, &place), worth, "{expression}");
        }
        assert_eq!(Expression::parse("a = 1 and b > lower(c)").unwrap().columns(), ["a", "b", "c"]);
    }

    #[test]
    fn mistakes_are_named() {
        for (text, part) in [
            ("", "missing at the end"),
            ("n =", "missing at the end"),
            ("n = 'a", "not closed"),
            ("n = 1 1", "not expected"),
            ("sleep(1)", "none of"),
            ("first(n)", "takes 2"),
            ("n is 1", "`null` is missing"),
            ("n; drop", "`;` is not expected"),
            ("(n = 1", "`)` is missing"),
        ] {
            let error = Expression::parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(Expression::parse(&"(".repeat(100_000)).is_err(), "no deep recursion");
    }
}
