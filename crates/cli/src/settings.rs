//! The settings of a server: file, environment, flags. Read here, checked here, nowhere else.
//!
//! What is typed wins over the environment, the environment over the file, the file over the
//! defaults. There is no setting that turns identity, encryption, classification or the audit record
//! off; a key that is not known stops the start, so that no typing error and no hopeful
//! `"anonymous": true` passes unnoticed.

use crate::arguments::{Serve, UnlockWith};
use crate::failure::{Doing, Failure, Result};
use serde::Deserialize;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// Checked settings of a server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ServerSettings {
    pub(crate) dir: PathBuf,
    pub(crate) http: SocketAddr,
    /// Where people reach the pages, if not where it listens: it stands in notices.
    pub(crate) url: Option<String>,
    pub(crate) tls: TlsSettings,
    pub(crate) unlock: UnlockWith,
}

/// Settings of TLS; without files a certificate is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TlsSettings {
    pub(crate) files: Option<(PathBuf, PathBuf)>,
    pub(crate) names: Vec<String>,
    pub(crate) on_loopback: bool,
}

/// The file as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct SettingsFile {
    dir: Option<PathBuf>,
    http: Option<SocketAddr>,
    url: Option<String>,
    key_file: Option<PathBuf>,
    passphrase_file: Option<PathBuf>,
    key_service: Option<String>,
    #[serde(default)]
    tls: TlsFile,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsFile {
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    on_loopback: bool,
}

const DEFAULT_DIR: &str = "./clerestory-data";
/// Elasticsearch's own, so that its clients find us where they look.
const DEFAULT_HTTP: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9200);

impl ServerSettings {
    /// Settings of `serve`.
    pub(crate) fn of_serve(typed: Serve) -> Result<ServerSettings> {
        let file = match &typed.config {
            Some(path) => read_file(path)?,
            None => SettingsFile::default(),
        };
        ServerSettings::merge(typed.dir, typed.http, typed.unlock, file)
    }

    fn merge(
        dir: Option<PathBuf>,
        http: Option<SocketAddr>,
        unlock: UnlockWith,
        file: SettingsFile,
    ) -> Result<ServerSettings> {
        // One way of unlocking that is typed replaces the other way that stands in the file.
        let unlock = if unlock == UnlockWith::default() {
            UnlockWith {
                key_file: file.key_file,
                passphrase_file: file.passphrase_file,
                key_service: file.key_service,
            }
        } else {
            unlock
        };
        let ways = [
            unlock.key_file.is_some(),
            unlock.passphrase_file.is_some(),
            unlock.key_service.is_some(),
        ];
        if ways.into_iter().filter(|&given| given).count() > 1 {
            return Err(Failure::wrong_use("the settings name more than one key")
                .hint("keep one of `key_file`, `passphrase_file` and `key_service`"));
        }
        let files = match (file.tls.certificate, file.tls.key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => {
                return Err(Failure::wrong_use(
                    "a certificate needs its key, and a key its certificate",
                )
                .hint("give both `tls.certificate` and `tls.key`, or neither"));
            }
        };
        if file.url.as_deref().is_some_and(|url| !is_address_of_pages(url)) {
            return Err(Failure::wrong_use("`url` is no address of a server").hint(
                "write scheme, host and port only: \"url\": \"https://metrics.example.org\"",
            ));
        }
        Ok(ServerSettings {
            url: file.url,
            dir: dir.or(file.dir).unwrap_or_else(|| PathBuf::from(DEFAULT_DIR)),
            http: http.or(file.http).unwrap_or(DEFAULT_HTTP),
            tls: TlsSettings { files, names: file.tls.names, on_loopback: file.tls.on_loopback },
            unlock,
        })
    }
}

/// Whether it is a scheme with a host and no more.
fn is_address_of_pages(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    rest.is_some_and(|host| !host.is_empty() && host.chars().all(is_plain))
}

fn read_file(path: &Path) -> Result<SettingsFile> {
    let text = std::fs::read_to_string(path)
        .doing(|| format!("cannot read the settings `{}`", path.display()))?;
    parse(&text).map_err(|failure| failure.while_doing(&format!("settings `{}`", path.display())))
}

fn parse(text: &str) -> Result<SettingsFile> {
    if let Some(failure) = forbidden(text) {
        return Err(failure);
    }
    serde_json::from_str(text).map_err(|error| {
        Failure::wrong_use(error.to_string()).hint(format!(
            "known settings: dir, http, url, key_file, passphrase_file, key_service, tls.certificate, \
             tls.key, tls.names, tls.on_loopback; everything else stands in the catalog and takes \
             two people: clerestory change set; {NO_SWITCH}"
        ))
    })
}

/// True of every setting there is.
const NO_SWITCH: &str = "nothing turns identity, encryption or the audit off";

/// Settings that somebody may look for here, and what to do instead.
const FORBIDDEN: [(&[&str], &str); 8] = [
    (
        &["anonymous", "security", "auth", "authentication", "xpack", "identity"],
        "make people and keys: clerestory user create, clerestory key create",
    ),
    (&["encryption", "plaintext"], "everything on the disk is encrypted"),
    (
        &["listeners", "listen", "bind", "host", "hosts"],
        "addresses off loopback take two people: clerestory change set listeners 192.0.2.7:9200",
    ),
    (
        &["audit", "audit_sinks", "audit_sink"],
        "a second copy of the record takes two people: clerestory change set audit_sinks",
    ),
    (
        &["notify", "notifications", "webhook", "webhooks", "email"],
        "who is told takes two people: clerestory change set notify",
    ),
    (&["key_export"], "taking keys out takes two people: clerestory change set key_export true"),
    (
        &["approvers", "roles", "grants", "members", "users", "policy"],
        "who may do what takes two people: clerestory grant give, clerestory user roles",
    ),
    (
        &["break_glass", "grant_days_max", "membership_days_max", "tls_on_loopback"],
        "this stands in the catalog and takes two people: clerestory change set",
    ),
];

fn forbidden(text: &str) -> Option<Failure> {
    let file: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).ok()?;
    let named = |key: &String| {
        let (_, hint) = FORBIDDEN.iter().find(|(keys, _)| keys.contains(&key.as_str()))?;
        let message = format!("`{key}` is no setting of a file");
        Some(Failure::wrong_use(message).hint(format!("{hint}; {NO_SWITCH}")))
    };
    file.keys().find_map(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_and_forbidden_keys_stop_the_start() {
        for text in [
            r#"{"anonymous": true}"#,
            r#"{"security": {"enabled": false}}"#,
            r#"{"tls": {"verify": false}}"#,
            r#"{"htpp": "127.0.0.1:1"}"#,
            r#"{"dir": "a", "dir": "b"}"#,
            r#"{"http": "everywhere"}"#,
            "",
        ] {
            let failure = parse(text).unwrap_err();
            assert_eq!(failure.exit_code(), 2, "{text}");
        }
    }

    #[test]
    fn a_forbidden_setting_says_what_to_do_instead() {
        for (text, hint) in [
            (r#"{"anonymous": true}"#, "nothing turns identity, encryption or the audit off"),
            (r#"{"security": {"enabled": false}}"#, "clerestory user create"),
            (r#"{"listeners": ["0.0.0.0:9200"]}"#, "clerestory change set listeners"),
            (r#"{"audit": false}"#, "clerestory change set audit_sinks"),
            (r#"{"notify": []}"#, "clerestory change set notify"),
            (r#"{"key_export": true}"#, "clerestory change set key_export"),
            (r#"{"approvers": ["me"]}"#, "clerestory grant give"),
            (r#"{"htpp": 1}"#, "stands in the catalog"),
        ] {
            let failure = parse(text).unwrap_err();
            assert!(failure.to_text().contains(hint), "{text}: {}", failure.to_text());
        }
    }

    #[test]
    fn typed_wins_over_the_file_and_the_file_over_the_default() {
        let file = || parse(r#"{"dir": "/f", "http": "127.0.0.1:1", "key_file": "/k"}"#).unwrap();
        let merged =
            ServerSettings::merge(Some("/t".into()), None, UnlockWith::default(), file()).unwrap();
        assert_eq!(merged.dir, Path::new("/t"));
        assert_eq!(merged.http.port(), 1);
        assert_eq!(merged.unlock.key_file.as_deref(), Some(Path::new("/k")));

        let typed = UnlockWith { passphrase_file: Some("/p".into()), ..UnlockWith::default() };
        let merged = ServerSettings::merge(None, None, typed.clone(), file()).unwrap();
        assert_eq!(merged.unlock, typed, "one way replaces the other");

        let merged =
            ServerSettings::merge(None, None, UnlockWith::default(), SettingsFile::default())
                .unwrap();
        assert_eq!(merged.http, DEFAULT_HTTP);
    }

    #[test]
    fn the_address_of_the_pages_is_a_host_and_no_more() {
        let merged = |url: &str| {
            let file = parse(&format!(r#"{{"url": "{url}"}}"#)).unwrap();
            ServerSettings::merge(None, None, UnlockWith::default(), file)
        };
        let fine = "https://metrics.example.org:8443";
        assert_eq!(merged(fine).unwrap().url.as_deref(), Some(fine));
        for wrong in ["metrics.example.org", "https://", "https://a/b", "https://u@a", "ftp://a"] {
            let failure = merged(wrong).unwrap_err();
            assert!(failure.to_text().contains("scheme, host and port only"), "{wrong}");
        }
    }

    #[test]
    fn two_keys_are_one_too_many() {
        let both = parse(r#"{"key_file": "/k", "key_service": "vault:transit/x"}"#).unwrap();
        assert!(ServerSettings::merge(None, None, UnlockWith::default(), both).is_err());
    }

    #[test]
    fn half_a_certificate_is_refused() {
        let file = parse(r#"{"tls": {"certificate": "/c"}}"#).unwrap();
        assert!(ServerSettings::merge(None, None, UnlockWith::default(), file).is_err());
    }
}
