//! The whole server under load: how fast it takes events, what they cost, how fast it answers.
//!
//! The server is the program `clerestory` in a process of its own, spoken to over HTTP as any
//! client does; client and server share the machine. `cargo xtask bench` builds and runs both.
//!
//! With `--classifier` the classifier and the sealer alone, on one core; with `--audit` the audit
//! record alone.
//!
//! What never happens here: a number that was not measured in this run.
#![expect(clippy::print_stdout, reason = "the bench speaks to a terminal")]

mod audit;
mod classifier;
mod ingest;
mod journal;
mod metrics;
mod questions;
mod server;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use demo::{Fleet, FleetSettings};
use ingest::Ingested;
use journal::Journal;
use server::Server;
use std::path::PathBuf;

/// What is asked once the events are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Twelve questions of all kinds
    Questions,
    /// Every declared metric, from tiles and from rows alone; both answers have to be equal
    Metrics,
}

/// Loads demo events over HTTP `_bulk`, then asks
#[derive(Debug, Parser)]
struct Options {
    /// What to ask
    #[arg(value_enum, default_value_t = Part::Questions)]
    part: Part,
    /// How many events
    #[arg(long, default_value_t = 10_000_000)]
    events: u64,
    /// How many devices
    #[arg(long, default_value_t = 100_000)]
    devices: u32,
    /// Documents per request
    #[arg(long, default_value_t = 10_000)]
    batch: u64,
    /// Requests under way at once
    #[arg(long, default_value_t = 4)]
    clients: usize,
    /// How often each question is asked; the median counts
    #[arg(long, default_value_t = 15)]
    repeat: usize,
    /// The program to measure [default: `clerestory` beside this one]
    #[arg(long)]
    server: Option<PathBuf>,
    /// Measure the classifier and the sealer alone, over so many documents
    #[arg(long, value_name = "DOCUMENTS", num_args = 0..=1, default_missing_value = "100000")]
    classifier: Option<u64>,
    /// Measure the audit record alone, over so many reads
    #[arg(long, value_name = "READS", num_args = 0..=1, default_missing_value = "200000")]
    audit: Option<u64>,
    /// Folder to work in; kept afterwards, and a load that was broken off goes on in it
    /// [default: a temporary one]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Load nothing: ask what an earlier run left in `--dir`, with the same devices
    #[arg(long, requires = "dir")]
    ask_only: bool,
    /// Ask only the questions or metrics whose name contains this
    #[arg(long, default_value = "")]
    only: String,
}

fn main() -> Result<()> {
    let options = Options::parse();
    if let Some(documents) = options.classifier {
        return classifier::run(documents);
    }
    let program = match &options.server {
        Some(program) => program.clone(),
        None => std::env::current_exe()?.with_file_name("clerestory"),
    };
    let temporary = tempfile::tempdir()?;
    let folder = options.dir.clone().unwrap_or_else(|| temporary.path().to_owned());
    if let Some(reads) = options.audit {
        return audit::run(reads, &folder);
    }
    let settings = FleetSettings {
        events: options.events,
        devices: options.devices,
        ..FleetSettings::default()
    };
    settings.check()?;
    let fleet = Fleet::new(settings);
    let server = Server::start(&program, &folder, options.devices)
        .with_context(|| format!("cannot measure `{}`", program.display()))?;
    println!(
        "{} events of {} devices, {} documents a request, {} at once",
        options.events, options.devices, options.batch, options.clients
    );
    if !options.ask_only {
        let shape = format!(
            "{} events of {} devices, {} documents a request",
            options.events, options.devices, options.batch
        );
        let journal = Journal::open(&folder, &shape)?;
        let ingested = ingest::run(&server, &fleet, options.batch, options.clients, &journal)?;
        match ingested.events {
            0 => println!("all of them were loaded before"),
            _ => print_ingested(&server, &ingested)?,
        }
    }
    match options.part {
        Part::Questions => questions::run(&server, &fleet, options.repeat, &options.only)?,
        Part::Metrics => {
            metrics::wait_for_tiles(&server)?;
            metrics::run(&server, &fleet, options.repeat, &options.only)?;
        }
    }
    println!(
        "\npeak memory of the server, questions included: {:.0} MiB",
        server.peak_memory_mib()?
    );
    server.stop()
}

fn print_ingested(server: &Server, ingested: &Ingested) -> Result<()> {
    let rate = ingested.events as f64 / ingested.seconds;
    println!("\nacknowledged             {rate:>10.0} events/s over {:.1} s", ingested.seconds);
    println!(
        "sent                     {:>10.1} MB/s of JSON",
        ingested.bytes as f64 / 1e6 / ingested.seconds
    );
    println!("request, median          {:>10.1} ms", ingested.request_ms_median);
    println!("request, longest         {:>10.1} ms", ingested.request_ms_max);
    println!(
        "making the bodies        {:>10.0} events/s of one core",
        ingested.events as f64 / ingested.making_seconds
    );
    println!("peak memory while loading{:>10.0} MiB", server.peak_memory_mib()?);
    let on_disk = server.settled_disk()?;
    for (folder, bytes) in &on_disk.folders {
        println!(
            "on disk, {folder:<16}{:>10.1} bytes an event",
            *bytes as f64 / ingested.events as f64
        );
    }
    println!(
        "on disk, all             {:>10.1} bytes an event",
        on_disk.total as f64 / ingested.events as f64
    );
    Ok(())
}
