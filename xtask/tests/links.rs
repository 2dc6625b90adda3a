//! Every relative link of every page leads somewhere.
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn relative_links_in_pages_exist() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut pages = Vec::new();
    collect(&workspace, &mut pages);
    assert!(pages.iter().any(|page| page.ends_with("README.md")), "the README is a page");
    let mut broken = Vec::new();
    for page in &pages {
        let text = fs::read_to_string(page).unwrap();
        for target in links(&text) {
            let file = target.split('#').next().unwrap_or("");
            let outside = target.contains("://") || target.starts_with("mailto:");
            if outside || file.is_empty() {
                continue;
            }
            let there = page.parent().unwrap().join(file);
            if !there.try_exists().unwrap() {
                broken.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
}

fn collect(folder: &Path, pages: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder is readable") {
        let path = entry.expect("the folder is readable").path();
        let name = path.file_name().expect("an entry has a name").to_string_lossy().into_owned();
        if path.is_dir() {
            // Build output, demo data and version control hold no pages of ours.
            let foreign = name.starts_with('.') || name == "target" || name == "node_modules";
            if !foreign && !name.starts_with("clerestory-") {
                collect(&path, pages);
            }
        } else if name.ends_with(".md") {
            pages.push(path);
        }
    }
}

/// The targets of `[text](target)`, outside code.
fn links(text: &str) -> Vec<String> {
    let mut targets = Vec::new();
    let mut in_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        let plain: String = line.split('`').step_by(2).collect();
        for (start, _) in plain.match_indices("](") {
            let rest = &plain[start + 2..];
            if let Some(end) = rest.find(')') {
                targets.push(rest[..end].trim().to_owned());
            }
        }
    }
    targets
}

#[test]
fn links_are_found() {
    let text =
        "see [a](b.md) and [c](d.md#e)\n```\n[no](code.md)\n```\n`[no](x.md)` [f](https://g)";
    assert_eq!(links(text), ["b.md", "d.md#e", "https://g"]);
}
