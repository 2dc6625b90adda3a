//! `sql`: one statement, or a prompt.

use crate::arguments::{OutputFormat, Sql};
use crate::client::{Body, Client};
use crate::failure::Result;
use crate::table;
use serde_json::{Value, json};
use std::io::{BufRead, IsTerminal, Write};

pub(super) fn run(typed: &Sql) -> Result<()> {
    let format = if typed.json { OutputFormat::Json } else { typed.format };
    let client = Client::connect(&typed.connection)?;
    match &typed.statement {
        Some(statement) => ask(&client, statement, format),
        None => prompt(&client, format),
    }
}

fn ask(client: &Client, statement: &str, format: OutputFormat) -> Result<()> {
    let question = json!({ "query": statement.trim().trim_end_matches(';') });
    let mut stdout = std::io::stdout().lock();
    if format == OutputFormat::Csv {
        let answer = client.send("POST", "/_sql?format=csv", Body::Json(&question))?.success()?;
        stdout.write_all(&answer.body)?;
        return Ok(());
    }
    let answer = client.json("POST", "/_sql", Body::Json(&question))?;
    match format {
        OutputFormat::Json => writeln!(stdout, "{answer}")?,
        _ => stdout.write_all(as_table(&answer).as_bytes())?,
    }
    Ok(())
}

/// An answer with `columns` (each with a `name`) and `rows`, as a table.
pub(super) fn as_table(answer: &Value) -> String {
    let list = |name: &str| answer[name].as_array().cloned().unwrap_or_default();
    let columns: Vec<String> = list("columns")
        .iter()
        .map(|column| column["name"].as_str().or(column.as_str()).unwrap_or("").to_owned())
        .collect();
    let rows: Vec<Vec<Value>> =
        list("rows").into_iter().map(|row| row.as_array().cloned().unwrap_or_default()).collect();
    table::render(&columns, &rows)
}

/// Statements until the end of the input, each ended by a semicolon. On a terminal a statement
/// that fails is told and the next one may come; in a pipe it ends the run.
fn prompt(client: &Client, format: OutputFormat) -> Result<()> {
    let is_terminal = std::io::stdin().is_terminal();
    let mut statement = String::new();
    if is_terminal {
        eprintln!("A statement ends with `;`, `quit;` leaves.");
        show_prompt(&statement);
    }
    for line in std::io::stdin().lock().lines() {
        statement.push_str(&line?);
        statement.push('\n');
        while let Some((whole, rest)) = split_statement(&statement) {
            if is_terminal && matches!(whole.trim(), "quit" | "exit" | "\\q") {
                return Ok(());
            }
            if !whole.trim().is_empty() {
                match ask(client, &whole, format) {
                    Err(failure) if is_terminal => eprint!("{}", failure.to_text()),
                    asked => asked?,
                }
            }
            statement = rest;
        }
        if is_terminal {
            show_prompt(&statement);
        }
    }
    if statement.trim().is_empty() { Ok(()) } else { ask(client, &statement, format) }
}

fn show_prompt(statement: &str) {
    eprint!("{}", if statement.trim().is_empty() { "sql> " } else { "...> " });
}

/// Splits at the first semicolon outside quotes and comments.
fn split_statement(text: &str) -> Option<(String, String)> {
    let mut quote = None;
    let mut in_comment = false;
    let mut before = ' ';
    for (place, c) in text.char_indices() {
        match quote {
            _ if in_comment => in_comment = c != '\n',
            Some(open) => {
                if c == open {
                    quote = None;
                }
            }
            None => match c {
                '\'' | '"' => quote = Some(c),
                '-' if before == '-' => in_comment = true,
                ';' => return Some((text[..place].to_owned(), text[place + 1..].to_owned())),
                _ => {}
            },
        }
        before = c;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_at_semicolons_outside_quotes() {
        let split = |text: &str| split_statement(text).map(|(whole, _)| whole);
        assert_eq!(split("SELECT 1; SELECT 2").as_deref(), Some("SELECT 1"));
        assert_eq!(split("SELECT ';' x;").as_deref(), Some("SELECT ';' x"));
        assert_eq!(split("SELECT 'it''s;' ;").as_deref(), Some("SELECT 'it''s;' "));
        assert_eq!(split("SELECT 1 -- not; here\n;").as_deref(), Some("SELECT 1 -- not; here\n"));
        assert_eq!(split("SELECT 1"), None);
    }

    #[test]
    fn answers_become_tables() {
        let answer = json!({"columns": [{"name": "n", "type": "long"}], "rows": [[7]]});
        assert_eq!(as_table(&answer), "n\n─\n7\n");
    }
}
