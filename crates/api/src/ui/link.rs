//! Links to our own pages: everything a page shows is in its URL.

use std::fmt;

/// A path of ours with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    path: String,
    params: Vec<(&'static str, String)>,
}

impl Link {
    /// A link to `path`, a path that needs no escapes.
    pub(super) fn to(path: &str) -> Link {
        Link { path: path.to_owned(), params: Vec::new() }
    }

    /// The same link with `part` behind its path, escaped.
    pub(super) fn part(mut self, part: &str) -> Link {
        self.path.push('/');
        encode(part, &mut self.path);
        self
    }

    /// The same link with this parameter in place of all others of its name; an empty value takes
    /// it away.
    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Link {
        let value = value.into();
        self.params.retain(|(key, _)| *key != name);
        if !value.is_empty() {
            self.params.push((name, value));
        }
        self
    }

    /// The same link with one more parameter of this name.
    pub(super) fn and(mut self, name: &'static str, value: impl Into<String>) -> Link {
        self.params.push((name, value.into()));
        self
    }

    /// The same link without this parameter.
    pub(super) fn without(self, name: &'static str) -> Link {
        self.with(name, "")
    }

    /// The same parameters at another path, which needs no escapes.
    pub(super) fn at(mut self, path: &str) -> Link {
        path.clone_into(&mut self.path);
        self
    }

    /// The path, for the action of a form.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The parameters, for the hidden fields of a form.
    pub(super) fn params(&self) -> &[(&'static str, String)] {
        &self.params
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.path.clone();
        for (place, (name, value)) in self.params.iter().enumerate() {
            text.push(if place == 0 { '?' } else { '&' });
            text.push_str(name);
            text.push('=');
            encode(value, &mut text);
        }
        f.write_str(&text)
    }
}

impl maud::Render for Link {
    fn render_to(&self, buffer: &mut String) {
        self.to_string().render_to(buffer);
    }
}

/// Writes `text` so that it means itself in a path and in a parameter.
fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b',' | b':' => {
                out.push(char::from(byte));
            }
            _ => {
                out.push('%');
                for half in [byte >> 4, byte & 15] {
                    out.push(char::from_digit(u32::from(half), 16).unwrap_or('0'));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_mean_what_they_were_given() {
        let link = Link::to("/_ui/search").with("table", "logs").with("q", "a:\"b c\" & d=é");
        assert_eq!(link.to_string(), "/_ui/search?table=logs&q=a:%22b%20c%22%20%26%20d%3d%c3%a9");
        assert_eq!(link.clone().without("q").to_string(), "/_ui/search?table=logs");
        assert_eq!(link.with("table", "x").without("q").to_string(), "/_ui/search?table=x");
        assert_eq!(
            Link::to("/a").part("b/c").and("x", "1").and("x", "2").to_string(),
            "/a/b%2fc?x=1&x=2"
        );
    }
}
