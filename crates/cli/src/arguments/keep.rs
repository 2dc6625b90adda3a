//! What is done with a data folder as a whole.

use super::{Connection, Listed, UnlockWith};
use clap::{Args, Subcommand};
use std::path::PathBuf;

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
