//! What may be typed. The doc comments here are the manual that `--help` prints.

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

#[derive(Debug, Subcommand)]
pub(crate) enum Metric {
    /// Which metrics there are
    List(Listed),
    /// How a metric is declared, or was
    Show(MetricShow),
    /// The numbers
    Query(MetricQuery),
    /// Declare the metrics of a YAML file, if they answer what its tests expect
    Apply(MetricApply),
    /// Who declared a metric, and when; the newest first
    History(Named),
    /// All metrics for another program; what is lost is named in the file
    Export(MetricExport),
}

#[derive(Debug, Args)]
pub(crate) struct MetricShow {
    /// The metric
    pub(crate) name: String,
    /// Which version; 1 is the first, without it the newest
    #[arg(long, value_name = "N")]
    pub(crate) version: Option<u32>,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct MetricExport {
    /// The form: the Open Semantic Interchange (Apache Ossie)
    #[arg(long, value_enum, default_value_t = ExportForm::Osi)]
    pub(crate) format: ExportForm,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// A form for other programs.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum ExportForm {
    /// Open Semantic Interchange, YAML
    Osi,
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

#[derive(Debug, Args)]
pub(crate) struct MetricQuery {
    /// The metric
    pub(crate) name: String,
    /// Dimensions to split by
    #[arg(long, value_name = "FIELD", value_delimiter = ',')]
    pub(crate) by: Vec<String>,
    /// minute, hour, day, week, month, quarter, year, or total for one number
    #[arg(long)]
    pub(crate) grain: Option<String>,
    /// From this time on, such as 2026-11-01 or now-7d
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,
    /// Before this time
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<String>,
    /// In which days and longer begin, such as Europe/Paris
    #[arg(long, value_name = "ZONE", visible_alias = "tz")]
    pub(crate) time_zone: Option<String>,
    /// With the time before: previous_period or previous_year; needs --from
    #[arg(long, value_name = "WITH")]
    pub(crate) compare: Option<String>,
    /// Only rows with this value, such as model=cam-3; may come several times
    #[arg(long = "where", value_name = "FIELD=VALUE")]
    pub(crate) filters: Vec<String>,
    /// Also say what came from tiles and what from rows
    #[arg(long)]
    pub(crate) explain: bool,
    /// Read rows alone; the numbers are the same, only slower
    #[arg(long)]
    pub(crate) no_tiles: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t = OutputFormat::Table)]
    pub(crate) format: OutputFormat,
    /// Same as --format json
    #[arg(long, conflicts_with = "format")]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct MetricApply {
    /// The YAML file; `-` is standard input
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Alert {
    /// Which alerts there are, and how they are
    List(Listed),
    /// One alert: how it is declared, what it asks, what fires
    Show(Named),
    /// Declare the alerts of a YAML file; they look as you
    Apply(AlertApply),
    /// What an alert would have told in the past
    Try(AlertTry),
    /// Have an alert tell nobody for a while
    Silence(AlertSilence),
    /// Take an alert away
    Remove(Named),
}

#[derive(Debug, Args)]
pub(crate) struct AlertApply {
    /// The YAML file; `-` is standard input
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct AlertTry {
    /// The alert
    pub(crate) name: String,
    /// From this time on, such as 2026-11-01T00:00:00Z
    #[arg(long, value_name = "TIME")]
    pub(crate) from: String,
    /// Before this time
    #[arg(long, value_name = "TIME")]
    pub(crate) to: String,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct AlertSilence {
    /// The alert
    pub(crate) name: String,
    /// For so long
    #[arg(long, value_name = "N", conflicts_with = "end")]
    pub(crate) hours: Option<u32>,
    /// End a silence
    #[arg(long)]
    pub(crate) end: bool,
    /// Why, for everybody who asks later
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: String,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

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

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["to", "list"]))]
pub(crate) struct Backup {
    /// Folder on the server, as the setting backup_targets names it
    #[arg(long, value_name = "DIR")]
    pub(crate) to: Option<PathBuf>,
    /// Which backups there are
    #[arg(long)]
    pub(crate) list: bool,
    /// How many sets stay in the folder, the newest ones
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) keep: u32,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// Folder of the backup
    #[arg(long, value_name = "DIR")]
    pub(crate) from: PathBuf,
    /// Which set of it [default: the newest]
    #[arg(long, value_name = "N")]
    pub(crate) set: Option<u64>,
    /// Folder for the data; must be empty or not there
    #[arg(long, value_name = "D", required_unless_present = "check")]
    pub(crate) dir: Option<PathBuf>,
    /// Only read everything and say whether it could be restored
    #[arg(long, conflicts_with = "dir")]
    pub(crate) check: bool,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) unlock: UnlockWith,
}

#[derive(Debug, Args)]
pub(crate) struct Rotate {
    /// Only say how far it is
    #[arg(long)]
    pub(crate) status: bool,
    /// Wait until the old key is destroyed
    #[arg(long)]
    pub(crate) wait: bool,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["person", "list", "receipt"]))]
pub(crate) struct Erase {
    /// The real e-mail address, id or phone, or a pseudonym; `-` reads it from standard input, so
    /// that no shell remembers it
    #[arg(long, value_name = "VALUE")]
    pub(crate) person: Option<String>,
    /// Which erasures there are
    #[arg(long)]
    pub(crate) list: bool,
    /// The receipt of an erasure
    #[arg(long, value_name = "ID")]
    pub(crate) receipt: Option<String>,
    /// Only in this table; may come several times
    #[arg(long = "table", value_name = "TABLE")]
    pub(crate) tables: Vec<String>,
    /// Only rows that bear the value in this field
    #[arg(long)]
    pub(crate) field: Option<String>,
    /// A field of the rows found whose values are the same person, such as device_id; rows that
    /// bear those go too
    #[arg(long, value_name = "FIELD", value_delimiter = ',')]
    pub(crate) also: Vec<String>,
    /// Within this time no file holds the rows any more
    #[arg(long, value_name = "TIME", default_value = "72h")]
    pub(crate) deadline: String,
    /// Wait until no file holds them
    #[arg(long)]
    pub(crate) now: bool,
    /// Read every file afterwards and name those with a trace
    #[arg(long, requires = "now")]
    pub(crate) verify: bool,
    /// Only count
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// What the request is called elsewhere, such as a ticket; no personal value
    #[arg(long, value_name = "WORDS", default_value = "")]
    pub(crate) reference: String,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Subcommand)]
pub(crate) enum User {
    /// Who may log in
    List(Listed),
    /// Let somebody in
    Create(UserCreate),
    /// Set a password
    Password(UserPassword),
    /// Let somebody in no more: ends sessions and keys at once
    Disable(Named),
    /// Your own second factor: codes of an app on your phone
    #[command(subcommand)]
    Totp(Totp),
    /// What you have beside your password
    Factors(Listed),
    /// Take somebody's second factors away, who lost them; the account approves nothing for a day
    ResetFactors(Named),
    /// Let somebody in again; waits for a second person
    Enable(Reasoned),
    /// Give and take roles; what is given waits for a second person
    Roles(UserRoles),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Totp {
    /// Set an app up: shows a secret for it, then asks for a first code
    Enrol(TotpEnrol),
    /// Take a first code of an app that was offered; shows recovery codes
    Confirm(TotpCode),
    /// Take the app away
    Remove(TotpCode),
}

#[derive(Debug, Args)]
pub(crate) struct TotpEnrol {
    /// A code of the app that you have, if you have one
    #[arg(long, value_name = "CODE")]
    pub(crate) code: Option<String>,
    /// As JSON, without asking for a first code: go on with `user totp confirm`
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct TotpCode {
    /// A code of the app
    pub(crate) code: String,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct UserCreate {
    /// Name to log in with
    pub(crate) name: String,
    /// analyst, engineer, guardian, administrator; may come several times
    #[arg(long = "role", value_name = "ROLE", required = true, value_delimiter = ',')]
    pub(crate) roles: Vec<String>,
    /// First line: the password; asked for if absent
    #[arg(long, value_name = "F")]
    pub(crate) password_file: Option<PathBuf>,
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

#[derive(Debug, Args)]
pub(crate) struct UserRoles {
    /// Whose
    pub(crate) name: String,
    /// analyst, engineer, guardian, administrator; may come several times
    #[arg(long, value_name = "ROLE", value_delimiter = ',', required_unless_present = "drop")]
    pub(crate) add: Vec<String>,
    /// A role to take away, at once
    #[arg(long, value_name = "ROLE", value_delimiter = ',')]
    pub(crate) drop: Vec<String>,
    /// When what is added ends, such as 2027-06-30T00:00:00Z [default: as long as may be]
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

#[derive(Debug, Args)]
pub(crate) struct UserPassword {
    /// Whose
    pub(crate) name: String,
    /// First line: the password; asked for if absent
    #[arg(long, value_name = "F")]
    pub(crate) password_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Which keys there are; never their secrets
    List(Listed),
    /// Make a key; its secret is shown this once
    Create(KeyCreate),
    /// End a key at once
    Revoke(Named),
    /// The key ring: the keys under which everything on the disk is sealed
    #[command(subcommand)]
    Ring(Ring),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Ring {
    /// Which keys the ring of a server holds; never the keys themselves
    Show(Listed),
    /// Seal new files under a fresh key; those that are there move to it while the server goes on
    Rotate(Listed),
    /// Destroy an old file key for ever; backups from before the rotation are noise then
    Destroy(RingDestroy),
    /// Seal the ring under another key file, passphrase or key service, or the same again
    Rewrap(RingRewrap),
    /// Have the key service wrap the ring by the newest version of its own key
    Refresh(RingRefresh),
    /// Take the whole ring out, under a passphrase; only where two people agreed on key_export
    Export(RingExport),
}

#[derive(Debug, Args)]
pub(crate) struct RingExport {
    /// The file to write; must not be there yet
    #[arg(long, value_name = "F")]
    pub(crate) to: PathBuf,
    /// First line: the passphrase that seals it
    #[arg(long, value_name = "F")]
    pub(crate) passphrase_file: PathBuf,
    /// A code of your app, to prove that you are there; asked for if absent
    #[arg(long, value_name = "CODE")]
    pub(crate) present: Option<String>,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct RingDestroy {
    /// The generation, as `key ring show` lists it
    pub(crate) generation: u32,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct RingRewrap {
    /// Folder of the data
    #[arg(long, value_name = "D", env = "CLERESTORY_DIR", default_value = "./clerestory-data")]
    pub(crate) dir: PathBuf,
    /// Key file to seal it with, outside the data folder; made if it is not there
    #[arg(long, value_name = "F", group = "to")]
    pub(crate) to_key_file: Option<PathBuf>,
    /// First line: the passphrase to seal it with; `-` asks for it
    #[arg(long, value_name = "F", group = "to")]
    pub(crate) to_passphrase_file: Option<PathBuf>,
    /// Key service to seal it with, as --key-service names it
    #[arg(long, value_name = "S", group = "to")]
    pub(crate) to_key_service: Option<String>,
    #[command(flatten)]
    pub(crate) unlock: UnlockWith,
}

#[derive(Debug, Args)]
pub(crate) struct RingRefresh {
    /// Folder of the data
    #[arg(long, value_name = "D", env = "CLERESTORY_DIR", default_value = "./clerestory-data")]
    pub(crate) dir: PathBuf,
    #[command(flatten)]
    pub(crate) unlock: UnlockWith,
}

#[derive(Debug, Args)]
pub(crate) struct KeyCreate {
    /// What the key is for
    pub(crate) name: String,
    /// Roles of the key, all among your own [default: yours]
    #[arg(long = "role", value_name = "ROLE", value_delimiter = ',')]
    pub(crate) roles: Vec<String>,
    /// After this time it ends, such as 12h or 90d
    #[arg(long, value_name = "TIME")]
    pub(crate) expires: Option<String>,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// Who read what, newest first
    Show(AuditShow),
    /// Check offline that no record was changed, moved, taken away or replaced
    Verify(AuditVerify),
    /// From another machine: sign checkpoints that agree with those before, and name those that
    /// do not
    Witness(AuditWitness),
}

#[derive(Debug, Args)]
pub(crate) struct AuditShow {
    /// From this time on
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,
    /// Before this time
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<String>,
    /// Only what this caller did
    #[arg(long, value_name = "NAME")]
    pub(crate) who: Option<String>,
    /// Only what touched this table
    #[arg(long)]
    pub(crate) table: Option<String>,
    /// Only this action
    #[arg(long)]
    pub(crate) action: Option<String>,
    /// Only events of this kind, such as login_failed or canary_read
    #[arg(long)]
    pub(crate) kind: Option<String>,
    /// At most this many records
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) limit: u32,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct AuditVerify {
    /// Folder of the data
    #[arg(long, value_name = "D", env = "CLERESTORY_DIR", default_value = "./clerestory-data")]
    pub(crate) dir: PathBuf,
    /// Folder with a copy of the record, which has to hold the same; may come several times
    #[arg(long = "copy", value_name = "D")]
    pub(crate) copies: Vec<PathBuf>,
    /// Checkpoint that was kept elsewhere, such as a witness's; may come several times
    #[arg(long = "checkpoint", value_name = "F")]
    pub(crate) checkpoints: Vec<PathBuf>,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) unlock: UnlockWith,
}

#[derive(Debug, Args)]
pub(crate) struct AuditWitness {
    /// The witness's own key; made if it is not there. The last checkpoint is kept beside it
    #[arg(long = "key", value_name = "F")]
    pub(crate) key_file: PathBuf,
    /// Name under which it signs
    #[arg(long, default_value = "clerestory.witness")]
    pub(crate) name: String,
    /// Public key of the record [default: the one of the first checkpoint that is seen]
    #[arg(long, value_name = "KEY")]
    pub(crate) verifier: Option<String>,
    /// Again and again, every so many seconds
    #[arg(long, value_name = "SECONDS")]
    pub(crate) every: Option<u64>,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct Exposure {
    /// Fields of which table
    #[arg(long)]
    pub(crate) table: String,
    /// Of which class: open, personal, special, secret
    #[arg(long)]
    pub(crate) class: String,
    /// Only of this person: an address, an id, or a pseudonym
    #[arg(long, value_name = "P")]
    pub(crate) person: Option<String>,
    /// From this time on, such as 2026-11-01 or 2026-11-01T08:00:00Z
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,
    /// Before this time
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<String>,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Folder of the data
    #[arg(long, value_name = "D", env = "CLERESTORY_DIR", default_value = "./clerestory-data")]
    pub(crate) dir: PathBuf,
    /// The server to probe without identity
    #[arg(long, env = "CLERESTORY_URL", default_value = "http://127.0.0.1:9200")]
    pub(crate) url: String,
    /// PEM file with the certificate to trust, for https
    #[arg(long, value_name = "F", env = "CLERESTORY_CA")]
    pub(crate) ca: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) unlock: UnlockWith,
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
