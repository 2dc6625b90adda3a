//! The command `clerestory`: parses what was typed, runs it, turns the outcome into an exit code.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong use. Client commands speak HTTP and see what any other
//! client sees; only `serve`, `demo`, `init`, `audit verify` and `doctor` open the data folder.
//!
//! What never happens here: no decision about who may read what, no access to stored data but
//! through the engine's doors, no environment variable read outside `arguments`, `settings` and `environment`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command speaks to a terminal")]

mod arguments;
mod client;
mod commands;
mod disk_space;
mod environment;
mod failure;
mod hardening;
mod key_place;
mod mail;
mod node;
mod outside;
mod progress;
mod random_password;
mod settings;
mod table;

use clap::Parser;
use std::process::ExitCode;

/// Small allocations from many threads are most of what a server does; mimalloc keeps them apart.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    hardening::harden();
    let arguments = arguments::Arguments::parse();
    match commands::run(arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprint!("{}", failure.to_text());
            ExitCode::from(failure.exit_code())
        }
    }
}
