//! People, their second factors and their API keys.

use super::{Connection, Listed, Named, Reasoned, Ring};
use clap::{Args, Subcommand};
use std::path::PathBuf;

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
