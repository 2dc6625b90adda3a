//! The audit record, and what it says of exposure.

use super::{Connection, UnlockWith};
use clap::{Args, Subcommand};
use std::path::PathBuf;

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
