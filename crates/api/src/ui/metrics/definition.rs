//! How a metric is declared, by whom, and what it was before.

use crate::ui::frame::code_frame;
use crate::ui::shown::{list, text, time};
use maud::{Markup, html};
use serde_json::Value;

/// The definition and its history.
pub(super) fn show(declared: &Value) -> Markup {
    let history = list(declared, "history");
    let file = text(declared, "yaml");
    let name = text(declared, "name");
    html! {
        h2 #definition { "Definition" }
        @let part = part_of(file, name);
        (code_frame(part.as_deref().unwrap_or(file)))
        p.hint {
            "Declared by " strong { (text(declared, "applied_by")) } " " (time(text(declared, "applied_at"))) ". "
            "To change it: " code { "clerestory metric apply FILE" } "."
        }
        @if history.len() > 1 {
            details.code-box {
                summary { "History, " (history.len()) " versions" }
                ul.plain { @for version in history { li { (time(text(version, "at"))) " by " (text(version, "by")) } } }
            }
        }
        @if part.is_some() {
            details.code-box { summary { "The whole file" } (code_frame(file)) }
        }
    }
}

/// The lines of a file of metrics that declare one of them: the entry of the list that has its
/// name. `None` if the file is not written in that way.
fn part_of(file: &str, name: &str) -> Option<String> {
    let lines: Vec<&str> = file.lines().collect();
    let metrics = lines.iter().position(|line| line.trim_end() == "metrics:")?;
    let is_name = |line: &&str| {
        let told = line.trim_start().strip_prefix("- name:");
        told.is_some_and(|told| told.trim().trim_matches(['"', '\'']) == name)
    };
    let first = metrics + lines[metrics..].iter().position(is_name)?;
    let within = |line: &&&str| line.trim().is_empty() || indent(line) > indent(lines[first]);
    let rest = lines[first + 1..].iter().take_while(within);
    let part: Vec<&str> = [lines[first]].into_iter().chain(rest.copied()).collect();
    Some(part.join("\n").trim_end().to_owned())
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_entry_is_cut_out() {
        let file = "measures:\n  - name: a\n    table: t\nmetrics:\n  - name: a\n    type: simple\n\n  - name: b\n    type: ratio\n    label: B\n";
        assert_eq!(part_of(file, "a").unwrap(), "  - name: a\n    type: simple");
        assert_eq!(part_of(file, "b").unwrap(), "  - name: b\n    type: ratio\n    label: B");
        assert_eq!(part_of(file, "c"), None);
        assert_eq!(part_of("{}", "a"), None);
    }
}
