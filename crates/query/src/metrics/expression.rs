//! Arithmetic over named numbers: `errors / hours * 1000`.

use std::fmt;

/// How deep parentheses may nest.
const DEPTH_MAX: usize = 32;
/// The longest expression, in bytes.
const TEXT_MAX: usize = 4096;

/// An expression over names.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    /// A metric or a measure.
    Name(String),
    /// A number as it stands.
    Number(f64),
    /// The opposite.
    Negative(Box<Expression>),
    /// Two sides.
    Binary(Operator, Box<Expression>, Box<Expression>),
}

/// What is done with two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`; nothing where the divisor is zero.
    Divide,
}

impl Operator {
    /// The sign for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Operator::Add => "+",
            Operator::Subtract => "-",
            Operator::Multiply => "*",
            Operator::Divide => "/",
        }
    }

    /// The result; nothing where it is no number.
    pub(super) fn of(self, left: f64, right: f64) -> Option<f64> {
        let result = match self {
            Operator::Add => left + right,
            Operator::Subtract => left - right,
            Operator::Multiply => left * right,
            Operator::Divide if right == 0.0 => return None,
            Operator::Divide => left / right,
        };
        result.is_finite().then_some(result)
    }
}

impl Expression {
    /// Reads `+ - * /`, parentheses, numbers and names.
    ///
    /// # Errors
    /// What was found where something else should stand.
    pub(super) fn parse(text: &str) -> Result<Expression, String> {
        if text.len() > TEXT_MAX {
            return Err(format!("an expression has at most {TEXT_MAX} characters"));
        }
        let mut reader = Reader { rest: text, depth: 0 };
        let expression = reader.sum()?;
        match reader.rest.trim_start() {
            "" => Ok(expression),
            rest => Err(format!("`{}` cannot stand here", first_of(rest))),
        }
    }

    /// Every name in it, in order, maybe several times.
    pub fn names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.collect(&mut names);
        names
    }

    fn collect<'a>(&'a self, names: &mut Vec<&'a str>) {
        match self {
            Expression::Name(name) => names.push(name),
            Expression::Number(_) => {}
            Expression::Negative(inner) => inner.collect(names),
            Expression::Binary(_, left, right) => {
                left.collect(names);
                right.collect(names);
            }
        }
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expression::Name(name) => f.write_str(name),
            Expression::Number(number) => write!(f, "{number}"),
            Expression::Negative(inner) => write!(f, "-{inner}"),
            Expression::Binary(operator, left, right) => {
                write!(f, "({left} {} {right})", operator.as_str())
            }
        }
    }
}

struct Reader<'a> {
    rest: &'a str,
    depth: usize,
}

impl Reader<'_> {
    fn sum(&mut self) -> Result<Expression, String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err("parentheses are nested too deep".to_owned());
        }
        let mut left = self.product()?;
        while let Some(operator) = self.operator(&[Operator::Add, Operator::Subtract]) {
            left = Expression::Binary(operator, Box::new(left), Box::new(self.product()?));
        }
        self.depth -= 1;
        Ok(left)
    }

    fn product(&mut self) -> Result<Expression, String> {
        let mut left = self.factor()?;
        while let Some(operator) = self.operator(&[Operator::Multiply, Operator::Divide]) {
            left = Expression::Binary(operator, Box::new(left), Box::new(self.factor()?));
        }
        Ok(left)
    }

    fn operator(&mut self, known: &[Operator]) -> Option<Operator> {
        let rest = self.rest.trim_start();
        let found = known.iter().find(|operator| rest.starts_with(operator.as_str()))?;
        self.rest = &rest[1..];
        Some(*found)
    }

    fn factor(&mut self) -> Result<Expression, String> {
        let rest = self.rest.trim_start();
        if let Some(rest) = rest.strip_prefix('-') {
            self.depth += 1;
            if self.depth > DEPTH_MAX {
                return Err("too many signs in a row".to_owned());
            }
            self.rest = rest;
            let inner = self.factor()?;
            self.depth -= 1;
            return Ok(Expression::Negative(Box::new(inner)));
        }
        if let Some(rest) = rest.strip_prefix('(') {
            self.rest = rest;
            let inner = self.sum()?;
            let Some(rest) = self.rest.trim_start().strip_prefix(')') else {
                return Err("a `)` is missing".to_owned());
            };
            self.rest = rest;
            return Ok(inner);
        }
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
        let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        self.rest = after;
        match word.chars().next() {
            None if rest.is_empty() => Err("the expression ends too early".to_owned()),
            None => Err(format!("`{}` cannot stand here", first_of(rest))),
            Some(first) if first.is_ascii_alphabetic() => Ok(Expression::Name(word.to_owned())),
            Some(_) => match word.parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(Expression::Number(number)),
                _ => Err(format!("`{word}` is no number")),
            },
        }
    }
}

fn first_of(text: &str) -> &str {
    text.split_whitespace().next().unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_bind_before_sums_and_from_the_left() {
        let read = |text: &str| Expression::parse(text).unwrap().to_string();
        assert_eq!(read("a - b - c * 2"), "((a - b) - (c * 2))");
        assert_eq!(read("1000 * errors/ hours"), "((1000 * errors) / hours)");
        assert_eq!(read("-(a+b) / -c"), "(-(a + b) / -c)");
        assert_eq!(Expression::parse("a / (b + a)").unwrap().names(), ["a", "b", "a"]);
    }

    #[test]
    fn what_is_no_expression_is_named() {
        let error = |text: &str| Expression::parse(text).unwrap_err();
        assert_eq!(error("a +"), "the expression ends too early");
        assert_eq!(error("a b"), "`b` cannot stand here");
        assert_eq!(error("a + ; drop"), "`;` cannot stand here");
        assert_eq!(error("(a"), "a `)` is missing");
        assert_eq!(error("1.2.3"), "`1.2.3` is no number");
        assert!(error(&"(".repeat(5000)).contains("at most"));
        assert!(error(&"(".repeat(100)).contains("nested"));
        assert!(error(&"-".repeat(100)).contains("signs"));
    }

    #[test]
    fn nothing_is_divided_by_zero() {
        assert_eq!(Operator::Divide.of(1.0, 0.0), None);
        assert_eq!(Operator::Divide.of(1.0, 4.0), Some(0.25));
        assert_eq!(Operator::Multiply.of(f64::MAX, 2.0), None);
    }
}
