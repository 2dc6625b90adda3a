use serde_json::Value;
use std::fmt::Write;

/// Renders rows for people: columns as wide as they need, numbers to the right. A value of several
/// lines takes several lines.
pub(crate) fn render(columns: &[String], rows: &[Vec<Value>]) -> String {
    let head: Vec<String> = columns.iter().map(|name| visible(name)).collect();
    let cells: Vec<Vec<Vec<String>>> =
        rows.iter().map(|row| row.iter().map(cell).collect()).collect();
    let mut widths: Vec<usize> = head.iter().map(|name| name.chars().count()).collect();
    for row in &cells {
        for (width, cell) in widths.iter_mut().zip(row) {
            let widest = cell.iter().map(|line| line.chars().count()).max();
            *width = (*width).max(widest.unwrap_or(0));
        }
    }
    let is_number: Vec<bool> = (0..head.len())
        .map(|place| {
            let mut values = rows.iter().filter_map(|row| row.get(place)).filter(|v| !v.is_null());
            values.clone().next().is_some() && values.all(Value::is_number)
        })
        .collect();
    let mut text = String::new();
    line(&mut text, &head, &widths, &is_number);
    let rule: Vec<String> = widths.iter().map(|width| "─".repeat(*width)).collect();
    line(&mut text, &rule, &widths, &is_number);
    for row in &cells {
        let lines = row.iter().map(Vec::len).max().unwrap_or(1).max(1);
        for number in 0..lines {
            let part = |cell: &Vec<String>| cell.get(number).cloned().unwrap_or_default();
            let parts: Vec<String> = row.iter().map(part).collect();
            line(&mut text, &parts, &widths, &is_number);
        }
    }
    text
}

fn line(text: &mut String, cells: &[String], widths: &[usize], is_number: &[bool]) {
    let mut line = String::new();
    for (place, width) in widths.iter().enumerate() {
        let cell = cells.get(place).map_or("", String::as_str);
        if place > 0 {
            line.push_str("  ");
        }
        let written = if is_number[place] {
            write!(line, "{cell:>width$}")
        } else {
            write!(line, "{cell:<width$}")
        };
        written.expect("a string takes everything");
    }
    text.push_str(line.trim_end());
    text.push('\n');
}

/// The lines of a value.
fn cell(value: &Value) -> Vec<String> {
    match value {
        Value::Null => Vec::new(),
        Value::String(text) => text.trim_end_matches('\n').split('\n').map(visible).collect(),
        Value::Number(number) if number.is_f64() => vec![short(number.as_f64().unwrap_or(0.0))],
        other => vec![visible(&other.to_string())],
    }
}

/// At most six digits behind the point, none that say nothing.
fn short(number: f64) -> String {
    if number != 0.0 && (number.abs() < 1e-4 || number.abs() >= 1e15) {
        return number.to_string();
    }
    let text = format!("{number:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Stored text must not steer the terminal: control characters are spelt out.
pub(crate) fn visible(text: &str) -> String {
    if !text.chars().any(char::is_control) {
        return text.to_owned();
    }
    text.chars()
        .map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_stand_right_and_text_left() {
        let columns = ["model".to_owned(), "rate".to_owned()];
        let rows = vec![
            vec![json!("cam-3"), json!(0.25)],
            vec![json!("x"), json!(12)],
            vec![json!(null), json!(null)],
        ];
        let expected = "model  rate\n─────  ────\ncam-3  0.25\nx        12\n\n";
        assert_eq!(render(&columns, &rows), expected);
    }

    #[test]
    fn several_lines_take_several_lines() {
        let columns = ["plan".to_owned(), "n".to_owned()];
        let rows = vec![vec![json!("fold\n  scan\n"), json!(1)]];
        assert_eq!(render(&columns, &rows), "plan    n\n──────  ─\nfold    1\n  scan\n");
    }

    #[test]
    fn stored_text_cannot_steer_the_terminal() {
        assert_eq!(visible("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\\n");
    }

    #[test]
    fn numbers_are_short() {
        let texts: Vec<String> = [0.1 + 0.2, 3.0, 1e-9, 0.0].map(short).into();
        assert_eq!(texts, ["0.3", "3", "0.000000001", "0"]);
    }
}
