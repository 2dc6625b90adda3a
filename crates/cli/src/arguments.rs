//! What may be typed. The doc comments here are the manual that `--help` prints.

mod govern;
mod keep;
mod metric;
mod people;
mod record;
mod rule;

pub(crate) use govern::{
    BreakGlass, Canary, CanaryMark, Change, ChangeApprove, ChangePropose, ChangeReject, ChangeSet,
    Grant, GrantGive, GrantReach, Notice, NoticeSecret, Numbered,
};
pub(crate) use keep::{
    Backup, Doctor, Erase, Restore, Ring, RingDestroy, RingExport, RingRefresh, RingRewrap, Rotate,
};
pub(crate) use metric::{
    Alert, AlertApply, AlertSilence, AlertTry, ExportForm, Metric, MetricApply, MetricExport,
    MetricQuery, MetricShow,
};
pub(crate) use people::{
    Key, KeyCreate, Totp, TotpCode, TotpEnrol, User, UserCreate, UserPassword, UserRoles,
};
pub(crate) use record::{Audit, AuditShow, AuditVerify, AuditWitness, Exposure};
pub(crate) use rule::{OwnRules, OwnRulesAdd, Rule, RuleList, RuleSet, RuleShow};

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;

/// A search and metrics store that keeps people out of reach
#[derive(Debug, Parser)]
#[command(name = "clerestory", version, about, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make an invented fleet of devices, load it, and serve it
    Demo(Demo),
    /// Make a data folder: keys, catalog, first administrator
    Init(Init),
    /// Serve a data folder
    Serve(Serve),
    /// Load files into a table: NDJSON, CSV or Parquet, also packed
    Load(Load),
    /// Ask in SQL; without a statement a prompt
    Sql(Sql),
    /// Declared metrics
    #[command(subcommand)]
    Metric(Metric),
    /// Told when a metric is not where it should be
    #[command(subcommand)]
    Alert(Alert),
    /// Rulings: which class a field has, and why
    #[command(subcommand)]
    Rule(Rule),
    /// Copy production data in, and keep following it
    #[command(subcommand)]
    Copy(Copy),
    /// Forget a person: rows are gone at once, files follow, a receipt says so
    Erase(Erase),
    /// Move all pseudonyms to a next key, behind readers and writers; the old one is destroyed
    Rotate(Rotate),
    /// Copy the running node into a folder, sealed as it is; what did not change is copied once
    Backup(Backup),
    /// Make a data folder of a backup, or check one; who was taken out stays out
    Restore(Restore),
    /// People
    #[command(subcommand)]
    User(User),
    /// Who may do what, where, on which terms
    #[command(subcommand)]
    Grant(Grant),
    /// What would let somebody see more, and waits for a second person
    #[command(subcommand)]
    Change(Change),
    /// What people are told, here and outside
    #[command(subcommand)]
    Notice(Notice),
    /// Rows that nobody has a reason to read: whoever is given one raises the alarm
    #[command(subcommand)]
    Canary(Canary),
    /// API keys
    #[command(subcommand)]
    Key(Key),
    /// The record of who read what
    #[command(subcommand)]
    Audit(Audit),
    /// Who could read fields of a class, and who did
    Exposure(Exposure),
    /// Look for what is wrong with a data folder and its server
    Doctor(Doctor),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Copy {
    /// Look at a source and write a copy file with proposals, and a page to sign
    Plan(CopyPlan),
    /// Propose a copy file, if one is named, and start the copy once its plan is signed
    Run(CopyRun),
    /// Sign the plan of a copy: from then on it is a ruling
    Sign(CopySign),
    /// How copies are
    Status(CopyStatus),
    /// Stop a copy until it is resumed
    Pause(CopyNamed),
    /// Go on with a copy
    Resume(CopyNamed),
    /// Read all rows again; what is there stays readable meanwhile
    Resnapshot(CopyResnapshot),
    /// Compare what was copied with the source
    Verify(CopyNamed),
    /// Show the newest file of a copy
    Show(CopyNamed),
    /// End a copy and remove what it left at the source; what was copied stays
    Remove(CopyRemove),
    /// Keep what opens a source: a password
    Secret(CopySecret),
}

#[derive(Debug, Args)]
pub(crate) struct CopyPlan {
    /// A copy file; its name and source are enough
    pub(crate) file: PathBuf,
    /// What columns that no metric uses are for; without it they are not copied
    #[arg(long, value_name = "TEXT", requires = "until")]
    pub(crate) used_for: Option<String>,
    /// Until which day, such as 2027-06-30
    #[arg(long, value_name = "DAY", requires = "used_for")]
    pub(crate) until: Option<String>,
    /// Where to write the file; the page gets the same name with .html [default: over FILE]
    #[arg(long, value_name = "F")]
    pub(crate) out: Option<PathBuf>,
    /// Only say what is different at the source from the file; exit code 1 if something is
    #[arg(long)]
    pub(crate) diff: bool,
    /// Answer as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct CopyRun {
    /// A copy file to propose, or the name of a copy
    pub(crate) what: String,
    /// Return at once
    #[arg(long)]
    pub(crate) detach: bool,
    /// Answer as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct CopySign {
    /// The copy
    pub(crate) name: String,
    /// The version that was read [default: the newest, after it was shown]
    #[arg(long, value_name = "N")]
    pub(crate) version: Option<u64>,
    /// Answer as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct CopyStatus {
    /// One copy [default: all]
    pub(crate) name: Option<String>,
    /// Answer as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct CopyNamed {
    /// The copy
    pub(crate) name: String,
    /// Answer as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct CopyResnapshot {
    /// The copy
    pub(crate) name: String,
    /// One of its tables, as the source calls it [default: all]
    #[arg(long, value_name = "T")]
    pub(crate) table: Option<String>,
    /// Answer as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct CopyRemove {
    /// The copy
    pub(crate) name: String,
    /// Also if the source does not answer
    #[arg(long)]
    pub(crate) force: bool,
    /// Answer as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct CopySecret {
    /// Its name, which the copy file says
    pub(crate) name: String,
    /// The first line of this file; - asks for it
    #[arg(long, value_name = "F", default_value = "-", conflicts_with = "remove")]
    pub(crate) from_file: PathBuf,
    /// Forget it
    #[arg(long)]
    pub(crate) remove: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Folder for the data; made if it is not there
    #[arg(long, value_name = "D", default_value = "./clerestory-demo")]
    pub(crate) dir: PathBuf,
    /// Where to listen
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9200")]
    pub(crate) http: SocketAddr,
    /// How many devices
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    pub(crate) devices: u32,
    /// How many days of events
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub(crate) days: u32,
    /// How many events
    #[arg(long, value_name = "N", default_value_t = 2_000_000)]
    pub(crate) events: u64,
    /// Same seed, same bytes
    #[arg(long, value_name = "N", default_value_t = 2019)]
    pub(crate) seed: u64,
    /// Stop when everything is loaded
    #[arg(long)]
    pub(crate) exit_after_load: bool,
    #[command(flatten)]
    pub(crate) unlock: UnlockWith,
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// Folder for the data; must be empty or not there
    #[arg(long, value_name = "D", default_value = "./clerestory-data")]
    pub(crate) dir: PathBuf,
    /// Set the first administrator up at once, without an enrolment code
    #[arg(long, value_name = "NAME", requires = "password_file")]
    pub(crate) admin: Option<String>,
    /// First line: the administrator's password
    #[arg(long, value_name = "F", requires = "admin")]
    pub(crate) password_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) unlock: UnlockWith,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Folder of the data [default: ./clerestory-data]
    #[arg(long, value_name = "D", env = "CLERESTORY_DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Settings as JSON; what is typed or in the environment wins over it
    #[arg(long, value_name = "F", env = "CLERESTORY_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Where to listen; off loopback only TLS is spoken [default: 127.0.0.1:9200]
    #[arg(long, value_name = "ADDR", env = "CLERESTORY_HTTP")]
    pub(crate) http: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) unlock: UnlockWith,
}

/// What opens the key ring of a data folder.
#[derive(Clone, Debug, Args, Default, PartialEq, Eq)]
pub(crate) struct UnlockWith {
    /// Key file, outside the data folder [default: as `init` or `demo` noted it]
    #[arg(long, value_name = "F", env = "CLERESTORY_KEY_FILE", conflicts_with = "passphrase_file")]
    pub(crate) key_file: Option<PathBuf>,
    /// First line: a passphrase in the place of a key file; `-` asks for it
    #[arg(long, value_name = "F", env = "CLERESTORY_PASSPHRASE_FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Who keeps the key: systemd:NAME (a credential), vault:MOUNT/KEY (transit; VAULT_ADDR,
    /// VAULT_TOKEN or VAULT_TOKEN_FILE, VAULT_NAMESPACE, VAULT_CACERT) or aws:KEY (KMS; AWS_REGION,
    /// AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_ENDPOINT_URL_KMS)
    #[arg(
        long,
        value_name = "S",
        env = "CLERESTORY_KEY_SERVICE",
        conflicts_with_all = ["key_file", "passphrase_file"]
    )]
    pub(crate) key_service: Option<String>,
}

/// How to reach a server and as whom.
#[derive(Clone, Debug, Args)]
pub(crate) struct Connection {
    /// The server
    #[arg(long, env = "CLERESTORY_URL", default_value = "http://127.0.0.1:9200", global = true)]
    pub(crate) url: String,
    /// API key, as `clerestory key create` printed it
    #[arg(long, env = "CLERESTORY_API_KEY", hide_env_values = true, global = true)]
    pub(crate) api_key: Option<String>,
    /// Name to log in with in the place of an API key; asks for the password
    #[arg(long, value_name = "NAME", conflicts_with = "api_key", global = true)]
    pub(crate) login: Option<String>,
    /// First line: the password for --login
    #[arg(long, value_name = "F", requires = "login", global = true)]
    pub(crate) login_password_file: Option<PathBuf>,
    /// For --login: a code of your app, if you have set one up; `-` asks for it
    #[arg(long, value_name = "CODE", requires = "login", global = true)]
    pub(crate) login_code: Option<String>,
    /// What the answer is for, where a grant asks for a purpose
    #[arg(long, value_name = "TEXT", env = "CLERESTORY_PURPOSE", global = true)]
    pub(crate) purpose: Option<String>,
    /// PEM file with the certificate to trust, for https
    #[arg(long, value_name = "F", env = "CLERESTORY_CA", global = true)]
    pub(crate) ca: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Load {
    /// The table; made at the first document if it is not there
    #[arg(long, value_name = "TABLE")]
    pub(crate) to: String,
    /// `.ndjson`, `.jsonl`, `.csv`, each also with `.gz` or `.zst`; `.parquet`; `-` is standard input
    /// (NDJSON)
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// What the files are, where their names do not say
    #[arg(long, value_enum)]
    pub(crate) format: Option<FileFormat>,
    /// The column or member that is the `_id`; a later line with the same value replaces an earlier
    #[arg(long, value_name = "FIELD")]
    pub(crate) id: Option<String>,
    /// Outcome as one JSON object on standard output
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FileFormat {
    /// One JSON object a line
    Ndjson,
    /// First line names the columns
    Csv,
    /// Apache Parquet
    Parquet,
}

#[derive(Debug, Args)]
pub(crate) struct Sql {
    /// The statement
    pub(crate) statement: Option<String>,
    /// How to print
    #[arg(long, value_enum, default_value_t = OutputFormat::Table)]
    pub(crate) format: OutputFormat,
    /// Same as --format json
    #[arg(long, conflicts_with = "format")]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// How rows are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// For people
    Table,
    /// RFC 4180
    Csv,
    /// Columns and rows
    Json,
}

/// A command that only lists.
#[derive(Debug, Args)]
pub(crate) struct Listed {
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// A command about one named thing.
#[derive(Debug, Args)]
pub(crate) struct Named {
    /// Its name
    pub(crate) name: String,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// A command about one named thing that somebody else will want to understand.
#[derive(Debug, Args)]
pub(crate) struct Reasoned {
    /// Its name
    pub(crate) name: String,
    /// Why, for those who decide
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: String,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_do_not_contradict_each_other() {
        Arguments::command().debug_assert();
    }
}
