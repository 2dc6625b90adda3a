//! Names and words that do not get in: see section 1 of the style page.
#![expect(clippy::unwrap_used, reason = "tests are free")]

use std::fs;
use std::path::{Path, PathBuf};

/// A file or folder is called after the thing it works on.
const NAMES: &[&str] = &["utils", "util", "common", "helpers", "helper", "misc", "stuff"];

/// Spelt in two halves, so that this list does not find itself.
const UNFINISHED: &[(&str, &str)] = &[
    ("TO", "DO"),
    ("FIX", "ME"),
    ("XX", "X:"),
    ("todo", "!("),
    ("unimplemented", "!("),
    ("not yet ", "implemented"),
    ("#[ig", "nore"),
    ("allow(", "dead_code)"),
];

#[test]
fn no_file_has_a_name_that_says_nothing() {
    let bad: Vec<PathBuf> = sources()
        .into_iter()
        .filter(|path| {
            path.iter().filter_map(|part| part.to_str()).any(|part| {
                let stem = part.strip_suffix(".rs").unwrap_or(part);
                NAMES.contains(&stem)
            })
        })
        .collect();
    assert!(bad.is_empty(), "name the thing it works on: {bad:?}");
}

#[test]
fn nothing_is_left_unfinished() {
    let mut found = Vec::new();
    for path in sources() {
        let text = fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate() {
            for (start, end) in UNFINISHED {
                if line.contains(&format!("{start}{end}")) {
                    found.push(format!("{}:{}: {start}{end}", path.display(), number + 1));
                }
            }
        }
    }
    assert!(found.is_empty(), "finish it or write it into an issue:\n{}", found.join("\n"));
}

fn sources() -> Vec<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = Vec::new();
    for folder in ["crates", "xtask"] {
        collect(&workspace.join(folder), Path::new(folder), &mut files);
    }
    assert!(files.len() > 20, "the sources are found");
    files
        .into_iter()
        .map(|file| workspace.join(file))
        .map(|file| file.canonicalize().unwrap())
        .collect()
}

fn collect(folder: &Path, shown: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let shown = shown.join(path.file_name().unwrap());
        if path.is_dir() {
            collect(&path, &shown, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(shown);
        }
    }
}
