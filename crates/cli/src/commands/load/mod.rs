//! `load`: files into a table by `_bulk`, and which lines were refused and why.
//!
//! Lines are read by one thread and sent by a few; each refused line is named as
//! `FILE:LINE: reason`. Reasons come from the server or from the check of the line's form; neither
//! repeats a value of the line.

mod csv_rows;
mod lines;
mod parquet;
mod sender;

use crate::arguments::{FileFormat, Load};
use crate::client::Client;
use crate::failure::{Doing, Failure, Result};
use crate::progress::{Counting, bar, grouped};
use copy::files::{Contents, Packing};
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
    let format = format_of(file, typed.format)?;
    if format == FileFormat::Parquet {
        return load_parquet(file, typed, sender, progress);
    }
    let name = file.display().to_string();
    let input: Box<dyn Read + Send> = if file == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(file).doing(|| format!("cannot read `{name}`"))?)
    };
    let counted = progress.wrap_read(input);
    let (_, packing) = Packing::of_name(&name);
    let plain =
        packing.unpack(BufReader::new(counted)).doing(|| format!("cannot read `{name}`"))?;
    match format {
        FileFormat::Csv => csv_rows::send(&name, plain, typed.id.as_deref(), sender),
        _ => lines::send(&name, plain, typed.id.as_deref(), sender),
    }
}

/// Parquet is read from its end, so it has to be a file.
fn load_parquet(file: &Path, typed: &Load, sender: &Sender, progress: &ProgressBar) -> Result<()> {
    let name = file.display().to_string();
    if file == Path::new("-") {
        return Err(Failure::wrong_use("Parquet cannot be read from standard input")
            .hint("save it as a file and give its name"));
    }
    let opened = File::open(file).doing(|| format!("cannot read `{name}`"))?;
    let bytes = opened.metadata().doing(|| format!("cannot read `{name}`"))?.len();
    parquet::send(&name, opened, typed.id.as_deref(), sender)?;
    progress.inc(bytes);
    Ok(())
}

/// What a file is, by what was typed or by its name.
fn format_of(file: &Path, typed: Option<FileFormat>) -> Result<FileFormat> {
    if let Some(format) = typed {
        return Ok(format);
    }
    if file == Path::new("-") {
        return Ok(FileFormat::Ndjson);
    }
    match Contents::of_name(&file.to_string_lossy()) {
        Some(Contents::Ndjson) => Ok(FileFormat::Ndjson),
        Some(Contents::Csv) => Ok(FileFormat::Csv),
        Some(Contents::Parquet) => Ok(FileFormat::Parquet),
        None => Err(Failure::wrong_use(format!("cannot tell what `{}` holds", file.display()))
            .hint("give --format ndjson, --format csv or --format parquet")),
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
        assert_eq!(of("c.csv.zst"), Some(FileFormat::Csv));
        assert_eq!(of("d.parquet"), Some(FileFormat::Parquet));
        assert_eq!(of("d.txt"), None);
        assert_eq!(format_of(Path::new("d"), Some(FileFormat::Csv)).ok(), Some(FileFormat::Csv));
    }
}
