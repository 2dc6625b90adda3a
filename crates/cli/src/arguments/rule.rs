//! Rulings, and the rules of a company's own.

use super::{Connection, Listed, Reasoned};
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum Rule {
    /// Fields that wait for a person: withheld, or ruled on by the classifier alone
    List(RuleList),
    /// One field: its class, every ruling it had, what is still to be rewritten
    Show(RuleShow),
    /// Give a field its class; stricter at once, anything else takes a second person
    Set(RuleSet),
    /// Which kinds of values are known
    Kinds(Listed),
    /// Rules of your own, beside the standard ones
    #[command(subcommand)]
    Own(OwnRules),
}

#[derive(Debug, Subcommand)]
pub(crate) enum OwnRules {
    /// Which there are
    List(Listed),
    /// Add the rules of a YAML file, at once; each is held to its examples
    Add(OwnRulesAdd),
    /// Remove a rule; waits for a second person
    Remove(Reasoned),
}

#[derive(Debug, Args)]
pub(crate) struct OwnRulesAdd {
    /// The YAML file; `-` is standard input
    #[arg(long, value_name = "F")]
    pub(crate) file: PathBuf,
    /// Why, for everybody who asks later
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: String,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct RuleList {
    /// Only those of this table
    #[arg(long)]
    pub(crate) table: Option<String>,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct RuleShow {
    /// The table
    pub(crate) table: String,
    /// The field, such as user.email
    pub(crate) field: String,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct RuleSet {
    /// The table
    pub(crate) table: String,
    /// The field, such as user.email
    pub(crate) field: String,
    /// open, personal, special or secret
    #[arg(long)]
    pub(crate) class: String,
    /// Why, for everybody who asks later; no values
    #[arg(long, value_name = "WORDS")]
    pub(crate) reason: String,
    /// The kind of its values, such as email: fields of one kind can be joined
    #[arg(long)]
    pub(crate) kind: Option<String>,
    /// Only say what it would do
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}
