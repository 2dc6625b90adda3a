//! `load`: files into a table by `_bulk`, and which lines were refused and why.
//!
//! Lines are read by one thread and sent by a few; each refused line is named as
//! `FILE:LINE: reason`. Reasons come from the server or from the check of the line's form; neither
//! repeats a value of the line.

mod csv_rows;
mod lines;
mod sender;

use crate::arguments::{FileFormat, Load};
use crate::client::Client;
use crate::failure::{Doing, Failure, Result};
use crate::progress::{Counting, bar, grouped};
use flate2::read::MultiGzDecoder;
use indicatif::ProgressBar;
use sender::{Outcome, Sender};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

pub(super) fn run(typed: &Load) -> Result<()> {
    let client = Client::connect(&typed.connection)?;
    let mut bytes = 0;
    for file in &typed.files {
        format_of(file, typed.format)?;
        if file != Path::new("-") {
            let metadata =
                std::fs::metadata(file).doing(|| format!("cannot read `{}`", file.display()))?;
            bytes += metadata.len();
        }
    }
    let progress = bar(Counting::Bytes, bytes);
    progress.set_message("loading");
    // Lines with an `_id` must arrive in their order: the later one wins.
    let parallel = if typed.id.is_some() { 1 } else { 2 };
    let sender = Sender::start(&client, &typed.to, parallel, &progress);
    let mut read = Ok(());
    for file in &typed.files {
        read = load_file(file, typed, &sender, &progress);
        if read.is_err() {
            break;
        }
    }
    let outcome = sender.finish();
    progress.finish_and_clear();
    report(typed, &outcome);
    outcome.result()?;
    read
}

fn report(typed: &Load, outcome: &Outcome) {
    if typed.json {
        let answer = serde_json::json!({
            "table": typed.to, "loaded": outcome.loaded, "refused": outcome.refused,
        });
        println!("{answer}");
    } else {
        println!(
            "{} loaded into `{}`, {} refused",
            grouped(outcome.loaded),
            typed.to,
            grouped(outcome.refused)
        );
    }
}

fn load_file(file: &Path, typed: &Load, sender: &Sender, progress: &ProgressBar) -> Result<()> {
    let name = file.display().to_string();
    let input: Box<dyn Read + Send> = if file == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(file).doing(|| format!("cannot read `{name}`"))?)
    };
    let counted = progress.wrap_read(input);
    let is_gzip = file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gz"));
    let plain: Box<dyn Read> = if is_gzip {
        Box::new(MultiGzDecoder::new(BufReader::new(counted)))
    } else {
        Box::new(counted)
    };
    match format_of(file, typed.format)? {
        FileFormat::Ndjson => lines::send(&name, plain, typed.id.as_deref(), sender),
        FileFormat::Csv => csv_rows::send(&name, plain, typed.id.as_deref(), sender),
    }
}

/// What a file is, by what was typed or by its name.
fn format_of(file: &Path, typed: Option<FileFormat>) -> Result<FileFormat> {
    if let Some(format) = typed {
        return Ok(format);
    }
    if file == Path::new("-") {
        return Ok(FileFormat::Ndjson);
    }
    let name =
        file.file_name().map_or_else(String::new, |name| name.to_string_lossy().to_lowercase());
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("ndjson" | "jsonl" | "json") => Ok(FileFormat::Ndjson),
        Some("csv") => Ok(FileFormat::Csv),
        _ => Err(Failure::wrong_use(format!("cannot tell what `{}` holds", file.display()))
            .hint("give --format ndjson or --format csv")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_a_file_is() {
        let of = |name: &str| format_of(Path::new(name), None).ok();
        assert_eq!(of("a/b.ndjson"), Some(FileFormat::Ndjson));
        assert_eq!(of("b.JSONL.gz"), Some(FileFormat::Ndjson));
        assert_eq!(of("c.csv.gz"), Some(FileFormat::Csv));
        assert_eq!(of("-"), Some(FileFormat::Ndjson));
        assert_eq!(of("d.parquet"), None);
        assert_eq!(format_of(Path::new("d"), Some(FileFormat::Csv)).ok(), Some(FileFormat::Csv));
    }
}
