//! The tasks of a developer: `cargo xtask check` and `cargo xtask bench`.
//!
//! What never happens here: a task that needs anything but cargo to start.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a task speaks to a terminal")]

mod bench;
mod check;
mod step;

use anyhow::Result;
use std::process::ExitCode;

const HELP: &str = "\
usage: cargo xtask <task>

tasks:
  check                 fmt, clippy, floor plan, links, words, doc; deny and machete where installed
  bench [options]       the whole server under load: events/s, bytes on disk, memory, latencies
  bench metrics         every declared metric, from tiles and from rows alone
                        (cargo xtask bench --help)
";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let task = arguments.next();
    let rest: Vec<String> = arguments.collect();
    let done = match task.as_deref() {
        Some("check") if rest.is_empty() => check::run_check(),
        Some("bench") => bench::run_bench(&rest),
        Some("help" | "--help" | "-h") => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprint!("error: no such task\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    report(done)
}

fn report(done: Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
