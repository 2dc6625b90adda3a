//! Who may do what, what waits for a second person, and who is told.

use super::{Connection, Listed, Reasoned};
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum Grant {
    /// Which grants there are; without a say in them, your own
    List(Listed),
    /// Who reaches what: a line for each person and table
    Reach(GrantReach),
    /// Propose a grant
    Give(Box<GrantGive>),
    /// Take a grant back, at once
    Revoke(Reasoned),
}

#[derive(Debug, Args)]
pub(crate) struct GrantReach {
    /// Only of this person
    #[arg(long, value_name = "NAME")]
    pub(crate) person: Option<String>,
    /// Only in this table
    #[arg(long, value_name = "TABLE")]
    pub(crate) table: Option<String>,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct GrantGive {
    /// person:NAME or role:ROLE
    #[arg(long, value_name = "WHO")]
    pub(crate) to: String,
    /// A table, a beginning with `*`, or `*` for all
    #[arg(long, value_name = "TABLES")]
    pub(crate) tables: String,
    /// count, aggregate, read, export, or what else is granted
    #[arg(long, value_name = "ACTION")]
    pub(crate) action: String,
    /// Classes of field: open, personal, special, secret; may come several times
    #[arg(long = "class", value_name = "CLASS", value_delimiter = ',')]
    pub(crate) classes: Vec<String>,
    /// Only rows where FIELD=A,B or FIELD=FROM..TO; several must all hold
    #[arg(long = "where", value_name = "CONDITION")]
    pub(crate) conditions: Vec<String>,
    /// Groups of at least so many subjects, for count and aggregate
    #[arg(long, value_name = "N")]
    pub(crate) least_group: Option<u32>,
    /// So many rows a day
    #[arg(long, value_name = "N")]
    pub(crate) rows_a_day: Option<u64>,
    /// So many bytes a day
    #[arg(long, value_name = "N")]
    pub(crate) bytes_a_day: Option<u64>,
    /// So many questions a day
    #[arg(long, value_name = "N")]
    pub(crate) queries_a_day: Option<u64>,
    /// Only from this network, such as 192.0.2.0/24; may come several times
    #[arg(long = "network", value_name = "CIDR", value_delimiter = ',')]
    pub(crate) networks: Vec<String>,
    /// Only for this purpose, which the caller has to state; may come several times
    #[arg(long = "for", value_name = "PURPOSE")]
    pub(crate) purposes: Vec<String>,
    /// Any purpose will do, but one has to be stated
    #[arg(long, conflicts_with = "purposes")]
    pub(crate) purpose_required: bool,
    /// From this time on, such as 2026-12-01T00:00:00Z
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,
    /// Until this time [default: 30 days]
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Why, for those who decide
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: String,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Change {
    /// What waits, what was decided, and what everybody is told
    List(Listed),
    /// What a change does: reach before and after
    Show(Numbered),
    /// Propose edits from a JSON file, or a password reset
    Propose(ChangePropose),
    /// Propose another value of a setting of the node; without a value, show all
    Set(ChangeSet),
    /// Be the second person
    Approve(ChangeApprove),
    /// Say no
    Reject(ChangeReject),
    /// Take your own proposal back
    Withdraw(Numbered),
    /// Read alone for an hour, while everybody is told
    BreakGlass(BreakGlass),
}

/// A command about a numbered thing.
#[derive(Debug, Args)]
pub(crate) struct Numbered {
    /// Its number
    pub(crate) id: u64,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct ChangePropose {
    /// A JSON array of edits; `-` is standard input
    #[arg(value_name = "FILE", required_unless_present = "reset_password")]
    pub(crate) file: Option<PathBuf>,
    /// To set the password of this account, once
    #[arg(long, value_name = "NAME", conflicts_with = "file")]
    pub(crate) reset_password: Option<String>,
    /// Why, for those who decide
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: String,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct ChangeSet {
    /// The setting
    pub(crate) setting: Option<String>,
    /// Its value: true, false, a number, or a list with commas; `none` is the empty list
    #[arg(requires = "why")]
    pub(crate) value: Option<String>,
    /// Why, for those who decide
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: Option<String>,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct ChangeApprove {
    /// The change
    pub(crate) id: u64,
    /// The mark that `change show` printed [default: shows it and asks]
    #[arg(long, value_name = "MARK")]
    pub(crate) seen: Option<String>,
    /// A code of your app, to prove that you are there; asked for if absent
    #[arg(long, value_name = "CODE")]
    pub(crate) present: Option<String>,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct ChangeReject {
    /// The change
    pub(crate) id: u64,
    /// Why not
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: String,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct BreakGlass {
    /// A table, or a beginning with `*`
    #[arg(long, value_name = "TABLES")]
    pub(crate) tables: String,
    /// Up to which class: open, personal or special
    #[arg(long, value_name = "CLASS")]
    pub(crate) class: String,
    /// Why, for everybody
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: String,
    /// A code of your app, to prove that you are there; asked for if absent
    #[arg(long, value_name = "CODE")]
    pub(crate) present: Option<String>,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Notice {
    /// What there was to tell, to whom it goes, and how far it is
    List(Listed),
    /// Send one to every target, and wait whether it arrives
    Test(Listed),
    /// Leave a secret of a target with the server; prints the mark by which a target names it
    Secret(NoticeSecret),
}

#[derive(Debug, Args)]
pub(crate) struct NoticeSecret {
    /// First line: what signs a webhook, the end of a Slack address, or the password of a mail
    /// server
    #[arg(long, value_name = "F")]
    pub(crate) file: PathBuf,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Canary {
    /// Which rows are marked
    List(Listed),
    /// Mark a row of a table by its _id
    Mark(CanaryMark),
}

#[derive(Debug, Args)]
pub(crate) struct CanaryMark {
    /// The table
    pub(crate) table: String,
    /// The `_id` of the row
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) connection: Connection,
}
