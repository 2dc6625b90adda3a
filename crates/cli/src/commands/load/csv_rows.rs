use super::sender::{Batch, Sender};
use crate::failure::{Doing, Failure, Result};
use copy::files::{Written, is_number, is_whole};
use csv::StringRecord;
use serde_json::Value;
use std::io::Read;

/// So many records are looked at to tell numbers from text.
const SAMPLE: usize = 1_000;

/// Sends one document a record; empty values are left out.
pub(super) fn send(name: &str, input: impl Read, id: Option<&str>, sender: &Sender) -> Result<()> {
    let doing = || format!("cannot read `{name}`");
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(input);
    let columns: Vec<String> =
        reader.headers().doing(doing)?.iter().map(|name| name.trim().to_owned()).collect();
    check_columns(name, &columns)?;
    let id = match id {
        Some(id) => Some(
            columns
                .iter()
                .position(|column| column == id)
                .ok_or_else(|| Failure::wrong_use(format!("`{name}` has no column `{id}`")))?,
        ),
        None => None,
    };
    let mut rows = Rows { name, columns, written: Vec::new(), id, batch: Batch::of(name), sender };
    let mut sample = Vec::new();
    let mut record = StringRecord::new();
    loop {
        match reader.read_record(&mut record) {
            Ok(false) => break,
            Ok(true) if rows.written.is_empty() => {
                sample.push(record.clone());
                if sample.len() == SAMPLE {
                    rows.begin(&mut sample)?;
                }
            }
            Ok(true) => rows.push(&record)?,
            // One line that is no UTF-8 is refused alone; what is broken below that ends the file.
            Err(error) => match error.kind() {
                csv::ErrorKind::Utf8 { pos, .. } => {
                    let line = pos.as_ref().map_or(0, csv::Position::line);
                    sender.refuse(name, line, "not UTF-8");
                }
                _ => return Err(Failure::from(error).while_doing(&doing())),
            },
        }
    }
    rows.begin(&mut sample)?;
    sender.send(rows.batch)
}

fn check_columns(name: &str, columns: &[String]) -> Result<()> {
    for (place, column) in columns.iter().enumerate() {
        if column.is_empty() {
            return Err(Failure::new(format!("column {} of `{name}` has no name", place + 1))
                .hint("the first line of a CSV file names the columns"));
        }
        if columns[..place].contains(column) {
            return Err(Failure::new(format!("column {} of `{name}` repeats a name", place + 1)));
        }
    }
    Ok(())
}

struct Rows<'a> {
    name: &'a str,
    columns: Vec<String>,
    /// Empty until the sample was looked at.
    written: Vec<Written>,
    id: Option<usize>,
    batch: Batch,
    sender: &'a Sender,
}

impl Rows<'_> {
    /// Decides how columns are written, and sends the records that were looked at.
    fn begin(&mut self, sample: &mut Vec<StringRecord>) -> Result<()> {
        if self.written.is_empty() {
            self.written = (0..self.columns.len())
                .map(|place| Written::of(sample.iter().filter_map(|record| record.get(place))))
                .collect();
        }
        for record in sample.drain(..) {
            self.push(&record)?;
        }
        Ok(())
    }

    fn push(&mut self, record: &StringRecord) -> Result<()> {
        let line = record.position().map_or(0, csv::Position::line);
        if record.len() != self.columns.len() {
            let reason =
                format!("has {} values, the first line names {}", record.len(), self.columns.len());
            self.sender.refuse(self.name, line, &reason);
            return Ok(());
        }
        let id = self.id.and_then(|place| record.get(place));
        if self.id.is_some() && id.is_none_or(str::is_empty) {
            self.sender.refuse(self.name, line, "the value for `_id` is empty");
            return Ok(());
        }
        let members: serde_json::Map<String, Value> = self
            .columns
            .iter()
            .zip(&self.written)
            .zip(record)
            .filter(|(_, text)| !text.is_empty())
            .map(|((column, written), text)| (column.clone(), value(*written, text)))
            .collect();
        self.batch.push(line, id, Value::Object(members).to_string().as_bytes());
        if self.batch.is_full() {
            self.sender.send(self.batch.take())?;
        }
        Ok(())
    }
}

/// A value that does not fit its column goes as text: the server knows the mapping and decides.
fn value(written: Written, text: &str) -> Value {
    let parsed = match written {
        Written::Whole if is_whole(text) => text.parse::<i64>().ok().map(Value::from),
        Written::Whole | Written::Number if is_number(text) => {
            text.parse::<f64>().ok().map(Value::from)
        }
        Written::Boolean => text.parse::<bool>().ok().map(Value::from),
        _ => None,
    };
    parsed.unwrap_or_else(|| Value::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_do_not_fit_go_as_text() {
        assert_eq!(value(Written::Whole, "7"), Value::from(7));
        assert_eq!(value(Written::Whole, "seven"), Value::from("seven"));
        assert_eq!(value(Written::Number, "0.5"), Value::from(0.5));
        assert_eq!(value(Written::Boolean, "yes"), Value::from("yes"));
        assert_eq!(value(Written::Unknown, "7"), Value::from("7"));
    }
}
