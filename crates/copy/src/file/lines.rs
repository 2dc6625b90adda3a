//! Where the parts of a copy file stand.

use super::FileError;

/// The keys of a file with their indentation.
pub(super) struct Lines(Vec<Key>);

struct Key {
    line: usize,
    indent: usize,
    key: String,
}

impl Lines {
    /// The file was parsed before, so this only has to be right for files that are written one key
    /// a line; in others the nearest key above is found.
    pub(super) fn new(yaml: &str) -> Lines {
        let mut keys = Vec::new();
        for (line, text) in (1..).zip(yaml.lines()) {
            let inside = text.trim_start();
            let Some(end) = inside.find(": ").or_else(|| inside.strip_suffix(':').map(str::len))
            else {
                continue;
            };
            if inside.starts_with('#') {
                continue;
            }
            let key = inside[..end].trim_matches(['"', '\'']).to_owned();
            keys.push(Key { line, indent: text.len() - inside.len(), key });
        }
        Lines(keys)
    }

    /// The line of the key at a path, or of the nearest one above it.
    pub(super) fn find(&self, path: &[&str]) -> usize {
        let (mut from, mut to, mut line) = (0, self.0.len(), 1);
        for wanted in path {
            let indent = self.0[from..to].iter().map(|key| key.indent).min();
            let is_it = |key: &Key| Some(key.indent) == indent && key.key == *wanted;
            let Some(found) = self.0[from..to].iter().position(is_it) else { break };
            let found = from + found;
            line = self.0[found].line;
            let after = self.0[found + 1..to].iter();
            let below = after.take_while(|key| key.indent > self.0[found].indent).count();
            (from, to) = (found + 1, found + 1 + below);
        }
        line
    }

    pub(super) fn error(&self, path: &[&str], message: String) -> FileError {
        FileError { line: self.find(path), message }
    }
}
