//! What key services expect in the environment, under the names that their own tools use. Read
//! here, given to nobody else, and never taken from the data folder: whoever changes a note there
//! must not learn a token.

use crate::failure::{Failure, Result};
use crate::key_place::first_line;
use std::ffi::OsString;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// A variable that is set and not empty.
pub(crate) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// A variable that must be text.
fn text(name: &str) -> Result<Option<String>> {
    let not_text = |_| Failure::wrong_use(format!("{name} is not UTF-8"));
    variable(name).map(|value| value.into_string().map_err(not_text)).transpose()
}

/// A variable without which a service cannot be asked.
fn needed(name: &str, service: &str) -> Result<String> {
    text(name)?.ok_or_else(|| Failure::wrong_use(format!("{service} needs {name}")))
}

fn path(name: &str) -> Option<PathBuf> {
    variable(name).map(PathBuf::from)
}

/// How to reach Vault.
pub(crate) struct VaultEnvironment {
    pub(crate) address: String,
    pub(crate) token: Zeroizing<String>,
    pub(crate) namespace: Option<String>,
    /// PEM file with the certificates to trust.
    pub(crate) ca: Option<PathBuf>,
}

impl VaultEnvironment {
    /// `VAULT_ADDR`, `VAULT_TOKEN` or `VAULT_TOKEN_FILE`, `VAULT_NAMESPACE`, `VAULT_CACERT`.
    pub(crate) fn read() -> Result<VaultEnvironment> {
        let token = match path("VAULT_TOKEN_FILE") {
            Some(file) => first_line(&file)?,
            None => Zeroizing::new(text("VAULT_TOKEN")?.unwrap_or_default()),
        };
        Ok(VaultEnvironment {
            address: needed("VAULT_ADDR", "Vault")?,
            token,
            namespace: text("VAULT_NAMESPACE")?,
            ca: path("VAULT_CACERT"),
        })
    }
}

/// How to reach AWS KMS.
pub(crate) struct AwsEnvironment {
    pub(crate) region: String,
    pub(crate) endpoint: Option<String>,
    pub(crate) credentials: engine::AwsCredentials,
}

impl AwsEnvironment {
    /// `AWS_REGION`, `AWS_ENDPOINT_URL_KMS`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`,
    /// `AWS_SESSION_TOKEN`.
    pub(crate) fn read() -> Result<AwsEnvironment> {
        let region = match text("AWS_REGION")? {
            Some(region) => region,
            None => needed("AWS_DEFAULT_REGION", "AWS KMS")
                .map_err(|_| Failure::wrong_use("AWS KMS needs AWS_REGION"))?,
        };
        Ok(AwsEnvironment {
            region,
            endpoint: text("AWS_ENDPOINT_URL_KMS")?,
            credentials: engine::AwsCredentials {
                access_key_id: needed("AWS_ACCESS_KEY_ID", "AWS KMS")?,
                secret_access_key: Zeroizing::new(needed("AWS_SECRET_ACCESS_KEY", "AWS KMS")?),
                session_token: text("AWS_SESSION_TOKEN")?.map(Zeroizing::new),
            },
        })
    }
}

/// Where systemd puts credentials, if it started us with any.
pub(crate) fn credentials_folder() -> Option<PathBuf> {
    path("CREDENTIALS_DIRECTORY")
}

/// PEM file with the certificates that everybody here trusts, if one is named.
pub(crate) fn trusted_certificates() -> Option<PathBuf> {
    path("SSL_CERT_FILE")
}
