//! The part of Prometheus' query language that dashboards need over declared metrics.
//!
//! `name`, `name{label="value", other=~"a|b"}`, and `sum by (label) (name{…})`; `avg`, `min`, `max`
//! and `group` stand for the same, because a metric by a label is what the metric says it is, not
//! the sum of anything.

/// A metric, its filters, and the labels that its series have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// The metric.
    pub metric: String,
    /// Each label has one of these values.
    pub filters: Vec<(String, Vec<String>)>,
    /// What the series are cut by.
    pub by: Vec<String>,
}

/// The words that may stand before `by`.
const WORDS: [&str; 5] = ["sum", "avg", "min", "max", "group"];
/// The longest expression, in bytes.
const TEXT_MAX: usize = 4096;

impl Selector {
    /// Reads an expression.
    ///
    /// # Errors
    /// What is not understood, and what is.
    pub fn parse(text: &str) -> Result<Selector, String> {
        if text.len() > TEXT_MAX {
            return Err(format!("an expression has at most {TEXT_MAX} characters"));
        }
        let mut reader = Reader { rest: text };
        let selector = reader.expression()?;
        match reader.rest.trim_start() {
            "" if selector.metric.is_empty() => Err("the expression names no metric".to_owned()),
            "" => Ok(selector),
            rest => Err(format!(
                "`{}` is not understood; write name, name{{label=\"value\"}} or \
                 sum by (label) (name)",
                rest.split_whitespace().next().unwrap_or(rest)
            )),
        }
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn expression(&mut self) -> Result<Selector, String> {
        let start = self.rest;
        let word = self.word();
        if !WORDS.contains(&word.as_str()) {
            self.rest = start;
            return self.selector();
        }
        let mut by = self.by()?;
        self.expect("(")?;
        let mut selector = self.expression()?;
        self.expect(")")?;
        by.extend(self.by()?);
        selector.by.extend(by);
        Ok(selector)
    }

    fn by(&mut self) -> Result<Vec<String>, String> {
        let Some(rest) = self.rest.trim_start().strip_prefix("by") else { return Ok(Vec::new()) };
        self.rest = rest;
        self.expect("(")?;
        let mut labels = Vec::new();
        loop {
            if self.take(")") {
                return Ok(labels);
            }
            let label = self.label()?;
            labels.push(label);
            if !self.take(",") {
                self.expect(")")?;
                return Ok(labels);
            }
        }
    }

    fn selector(&mut self) -> Result<Selector, String> {
        let mut selector = Selector { metric: self.word(), ..Selector::default() };
        if !self.take("{") {
            return Ok(selector);
        }
        while !self.take("}") {
            let label = self.label()?;
            let values = self.matcher(&label)?;
            match (label.as_str(), values.as_slice()) {
                ("__name__", [name]) => selector.metric.clone_from(name),
                ("__name__", _) => return Err("__name__ has one value".to_owned()),
                _ => selector.filters.push((label, values)),
            }
            if !self.take(",") {
                self.expect("}")?;
                break;
            }
        }
        Ok(selector)
    }

    /// The values that a label may have.
    fn matcher(&mut self, label: &str) -> Result<Vec<String>, String> {
        if self.take("=~") {
            let text = self.string()?;
            let values: Vec<String> = text.split('|').map(str::to_owned).collect();
            let is_plain = |value: &String| {
                !value.is_empty()
                    && value.chars().all(|c| c.is_alphanumeric() || "_-:/ ".contains(c))
            };
            return match values.iter().all(is_plain) {
                true => Ok(values),
                false => Err(format!(
                    "`{label}=~` takes values with `|` between them, no other expression"
                )),
            };
        }
        if self.take("=") {
            return Ok(vec![self.string()?]);
        }
        Err(format!("`{label}` needs `=` or `=~`; other comparisons are not understood"))
    }

    fn string(&mut self) -> Result<String, String> {
        let rest = self.rest.trim_start();
        let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\'' | '`'));
        let Some(quote) = quote else { return Err("a value stands in quotes".to_owned()) };
        let mut text = String::new();
        let mut characters = rest[1..].char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                c if c == quote => {
                    self.rest = &rest[1 + at + 1..];
                    return Ok(text);
                }
                '\\' if quote != '`' => text.extend(characters.next().map(|(_, next)| next)),
                other => text.push(other),
            }
        }
        Err("a value has no end".to_owned())
    }

    /// A label, bare or in quotes.
    fn label(&mut self) -> Result<String, String> {
        if self.rest.trim_start().starts_with(['"', '\'']) {
            return self.string();
        }
        match self.word() {
            word if word.is_empty() => Err("a label is missing".to_owned()),
            word => Ok(word),
        }
    }

    fn word(&mut self) -> String {
        let rest = self.rest.trim_start();
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '.');
        let (word, after) = rest.split_at(rest.find(|c| !is_part(c)).unwrap_or(rest.len()));
        self.rest = after;
        word.to_owned()
    }

    fn take(&mut self, sign: &str) -> bool {
        match self.rest.trim_start().strip_prefix(sign) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, sign: &str) -> Result<(), String> {
        match self.take(sign) {
            true => Ok(()),
            false => Err(format!("a `{sign}` is missing")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Selector {
        Selector::parse(text).unwrap()
    }

    #[test]
    fn what_dashboards_write_is_read() {
        assert_eq!(read("activations").metric, "activations");
        let full =
            read(r#"sum by (model, "account.plan") (a{region="eu\"x", model=~"cam-3|b_1",})"#);
        assert_eq!(full.by, ["model", "account.plan"]);
        assert_eq!(full.filters[0], ("region".to_owned(), vec!["eu\"x".to_owned()]));
        assert_eq!(full.filters[1].1, ["cam-3", "b_1"]);
        assert_eq!(read("avg(x) by (model)").by, ["model"]);
        assert_eq!(read(r#"{__name__="x"}"#).metric, "x");
        assert_eq!(read("summary").metric, "summary");
    }

    #[test]
    fn everything_else_is_refused_with_what_would_be_right() {
        let error = |text: &str| Selector::parse(text).unwrap_err();
        assert!(error("rate(x[5m])").contains("not understood"));
        assert!(error("x + y").contains("not understood"));
        assert!(error(r#"x{a!="b"}"#).contains("needs `=`"));
        assert!(error(r#"x{a=~"b.*"}"#).contains("no other expression"));
        assert!(error("").contains("no metric"));
        assert!(error(r#"x{a="b"#).contains("no end"));
        assert!(error("sum by (a x").contains("missing"));
        for text in ["{", "x{é=\"ü\"}", "sum(sum(sum(", "\"", "x{a='\\"] {
            let _ = Selector::parse(text);
        }
    }
}
