//! Where the parts of a file of metrics stand.

use super::model::ModelError;

/// Where the parts of a file stand.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Lines {
    items: Vec<Item>,
    tops: Vec<(String, usize)>,
}

#[derive(Clone, Debug, PartialEq)]
struct Item {
    section: String,
    name: String,
    /// The line of each key.
    keys: Vec<(String, usize)>,
}

impl Lines {
    /// Finds sections, items and keys by their indentation. The file was parsed before, so this
    /// only has to be right for files that are written one key a line; others get the line of
    /// their item, or of the section.
    pub(super) fn new(yaml: &str) -> Lines {
        let mut lines = Lines::default();
        let mut section = String::new();
        let mut item: Vec<(String, usize)> = Vec::new();
        let mut name = None;
        // How far the items of the section, and the keys of an item, stand to the right.
        let (mut item_column, mut key_column) = (None, 0);
        for (number, line) in (1..).zip(yaml.lines()) {
            let text = line.trim_start();
            let column = line.len() - text.len();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let starts_item =
                text.starts_with("- ") && item_column.is_none_or(|known| known == column);
            let is_top = column == 0 && !text.starts_with("- ");
            let inner = if starts_item { text[2..].trim_start() } else { text };
            if starts_item {
                item_column = Some(column);
                key_column = line.len() - inner.len();
            }
            if (starts_item || is_top) && !item.is_empty() {
                lines.push(&section, name.take(), std::mem::take(&mut item));
            }
            if let Some(flow) = inner.strip_prefix('{').filter(|_| starts_item) {
                name = flow_name(flow);
                item.push(("name".to_owned(), number));
                continue;
            }
            let Some((key, value)) = inner.split_once(':') else { continue };
            let key = key.trim_matches(['"', '\'', ' ']).to_owned();
            if is_top {
                lines.tops.push((key.clone(), number));
                (section, item_column) = (key, None);
                continue;
            }
            if !starts_item && column != key_column {
                continue;
            }
            if key == "name" {
                name = Some(plain(value));
            }
            item.push((key, number));
        }
        lines.push(&section, name, item);
        lines
    }

    fn push(&mut self, section: &str, name: Option<String>, keys: Vec<(String, usize)>) {
        let (section, name) = (section.to_owned(), name.unwrap_or_default());
        self.items.push(Item { section, name, keys });
    }

    /// The line of a section.
    pub(super) fn top(&self, key: &str) -> usize {
        self.tops.iter().find(|(top, _)| top == key).map_or(1, |(_, line)| *line)
    }

    /// The line of a key of an item, or of the item if the key is not written.
    pub(super) fn of(&self, section: &str, name: &str, key: &str) -> usize {
        let item = self.items.iter().find(|item| item.section == section && item.name == name);
        let line = item.and_then(|item| {
            let exact = item.keys.iter().find(|(written, _)| written == key);
            exact.or_else(|| item.keys.first()).map(|(_, line)| *line)
        });
        line.unwrap_or_else(|| self.top(section))
    }

    /// An error at a key of an item, or at the item if the key is not written.
    pub(super) fn error(
        &self,
        section: &str,
        name: &str,
        key: &str,
        message: String,
    ) -> ModelError {
        ModelError { line: self.of(section, name, key), message }
    }

    /// Whether every name of a section comes once; the error stands at the last of two.
    pub(super) fn once<'a>(
        &self,
        section: &str,
        what: &str,
        names: impl Iterator<Item = &'a String>,
    ) -> Result<(), ModelError> {
        let mut seen: Vec<&String> = Vec::new();
        for name in names {
            if !seen.contains(&name) {
                seen.push(name);
                continue;
            }
            let mut last_first = self.items.iter().rev();
            let item = last_first.find(|item| item.section == section && item.name == *name);
            let line = item.and_then(|item| item.keys.first()).map(|(_, line)| *line);
            let message = format!("two {what} are called `{name}`");
            return Err(ModelError { line: line.unwrap_or_else(|| self.top(section)), message });
        }
        Ok(())
    }
}

/// The name in an item that is written `{name: a, …}`.
fn flow_name(flow: &str) -> Option<String> {
    let (_, rest) = flow.split_once("name:")?;
    Some(plain(rest.split([',', '}']).next().unwrap_or(rest)))
}

fn plain(value: &str) -> String {
    let value = value.split(" #").next().unwrap_or(value);
    value.trim().trim_matches(['"', '\'']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_nested_lists_are_not_those_of_the_item() {
        let lines = Lines::new(
            "metrics:\n  # a comment: here\n  - name: way\n    steps:\n      - name: first\n        \
             filter: x\n    window: 1d\n  - {name: flow, type: simple}\n",
        );
        assert_eq!(lines.of("metrics", "way", "steps"), 4);
        assert_eq!(lines.of("metrics", "way", "window"), 7);
        assert_eq!(lines.of("metrics", "way", "filter"), 3);
        assert_eq!(lines.of("metrics", "flow", "type"), 8);
        assert_eq!(lines.of("metrics", "first", "filter"), 1);
    }
}
