//! One file per command.

mod alert;
mod audit;
mod backup;
mod canary;
mod change;
mod copy;
mod demo;
mod doctor;
mod erase;
mod exposure;
mod factor;
mod grant;
mod init;
mod key;
mod load;
mod metric;
mod notice;
mod own_rules;
mod restore;
mod ring;
mod rotate;
mod rule;
mod serve;
mod sql;
mod user;
mod witness;

use crate::arguments::Command;
use crate::failure::Result;

/// Runs one command.
pub(crate) fn run(command: Command) -> Result<()> {
    match command {
        Command::Demo(typed) => demo::run(&typed),
        Command::Init(typed) => init::run(&typed),
        Command::Serve(typed) => serve::run(typed),
        Command::Load(typed) => load::run(&typed),
        Command::Sql(typed) => sql::run(&typed),
        Command::Metric(typed) => metric::run(&typed),
        Command::Alert(typed) => alert::run(&typed),
        Command::Rule(typed) => rule::run(&typed),
        Command::Copy(typed) => copy::run(&typed),
        Command::Erase(typed) => erase::run(&typed),
        Command::Rotate(typed) => rotate::run(&typed),
        Command::Backup(typed) => backup::run(&typed),
        Command::Restore(typed) => restore::run(&typed),
        Command::User(typed) => user::run(&typed),
        Command::Grant(typed) => grant::run(&typed),
        Command::Change(typed) => change::run(&typed),
        Command::Notice(typed) => notice::run(&typed),
        Command::Canary(typed) => canary::run(&typed),
        Command::Key(typed) => key::run(&typed),
        Command::Audit(typed) => audit::run(&typed),
        Command::Exposure(typed) => exposure::run(&typed),
        Command::Doctor(typed) => doctor::run(&typed),
    }
}
