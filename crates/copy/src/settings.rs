//! What the settings of sources have in common.

use crate::Trust;
use crate::tls::check_plain;
use serde::Deserialize;
use zeroize::Zeroizing;

/// Whether the connection is encrypted.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TlsMode {
    /// TLS, and the server's certificate is checked.
    Verify,
    /// In the clear; on this machine only.
    Off,
}

/// Nobody said: TLS to any other machine.
pub(crate) fn uses_tls(mode: Option<TlsMode>, hosts: &[&str]) -> bool {
    match mode {
        Some(mode) => mode == TlsMode::Verify,
        None => hosts.iter().any(|host| check_plain(host).is_err()),
    }
}

/// The certificates of a file, or those that the system trusts.
pub(crate) fn trust(ca_file: Option<&str>) -> Result<Trust, String> {
    let trust = match ca_file {
        Some(file) => {
            let pem = std::fs::read(file).map_err(|error| format!("`{file}`: {error}"))?;
            Trust::of_pem(&pem)
        }
        None => Trust::of_system(),
    };
    trust.map_err(|error| error.to_string())
}

/// A secret that is text, without the line feed that editors leave.
pub(crate) fn text(secret: &Zeroizing<Vec<u8>>) -> Result<Zeroizing<String>, String> {
    let text = std::str::from_utf8(secret).map_err(|_| "the secret is no text")?;
    Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// A user and the password, which may be none: a file is checked without it, and some have none.
pub(crate) fn login(
    user: Option<String>,
    secret: Option<Zeroizing<Vec<u8>>>,
) -> Result<Option<(String, Zeroizing<String>)>, String> {
    match (user, secret) {
        (None, None) => Ok(None),
        (Some(user), Some(secret)) => Ok(Some((user, text(&secret)?))),
        (Some(user), None) => Ok(Some((user, Zeroizing::default()))),
        (None, Some(_)) => Err("there is a `secret` and no `user`: say whose it is".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_machine_is_spoken_to_with_tls() {
        assert!(!uses_tls(None, &["127.0.0.1", "localhost"]));
        assert!(uses_tls(None, &["127.0.0.1", "db.example"]));
        assert!(uses_tls(Some(TlsMode::Verify), &["127.0.0.1"]));
    }

    #[test]
    fn a_password_belongs_to_a_user() {
        let secret = || Some(Zeroizing::new(b"hunter2\n".to_vec()));
        let known = login(Some("ada".into()), secret()).unwrap().unwrap();
        assert_eq!((known.0.as_str(), known.1.as_str()), ("ada", "hunter2"));
        assert_eq!(login(Some("ada".into()), None).unwrap().unwrap().1.as_str(), "");
        assert!(login(None, secret()).is_err());
        assert!(matches!(login(None, None), Ok(None)));
    }
}
