//! The settings that protection hangs on. They stand in the policy, not in a file, so that nobody
//! changes them alone.

use crate::caller::OidcSettings;
use crate::notice::Target;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A setting of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Setting {
    /// Addresses off loopback that the server may listen on, with their ports. TLS only.
    Listeners,
    /// TLS on loopback too.
    TlsOnLoopback,
    /// Where the audit record is written a second time.
    AuditSinks,
    /// Who is told out of band: webhooks and e-mail addresses.
    Notify,
    /// Folders that the node may be backed up into.
    BackupTargets,
    /// Whether keys may leave the node.
    KeyExport,
    /// Whether one person alone may read for an hour, while everybody is told.
    BreakGlass,
    /// The company's identity provider, and which of its groups are which roles.
    Oidc,
    /// How many days a new grant lasts at most.
    GrantDaysMax,
    /// How many days a new membership of a role lasts at most.
    MembershipDaysMax,
}

/// The value of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingValue {
    /// Yes or no.
    Flag(bool),
    /// A number.
    Number(u64),
    /// A list in which order plays no role.
    Set(BTreeSet<String>),
}

/// When one value of a setting protects no less than another.
#[derive(Clone, Copy)]
enum Tighter {
    Fewer,
    /// Nothing at all, or fewer entries that give a role; others say who is believed.
    FewerRoles,
    Lower,
    Yes,
    No,
    /// Every change may hide something from somebody, so every change waits.
    Never,
}

/// Why a setting was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingError {
    /// There is none with this name.
    #[error("there is no setting [{0}]; the settings are {names}", names = Setting::names())]
    Unknown(String),
    /// Not of the type of this setting.
    #[error("the setting [{}] takes {wants}", setting.as_str())]
    Value {
        /// Which.
        setting: Setting,
        /// What it takes, in words.
        wants: &'static str,
    },
}

impl Setting {
    /// All settings.
    pub const ALL: [Setting; 10] = [
        Setting::Listeners,
        Setting::TlsOnLoopback,
        Setting::AuditSinks,
        Setting::Notify,
        Setting::BackupTargets,
        Setting::KeyExport,
        Setting::BreakGlass,
        Setting::Oidc,
        Setting::GrantDaysMax,
        Setting::MembershipDaysMax,
    ];

    /// The word that people type and read.
    pub fn as_str(self) -> &'static str {
        match self {
            Setting::Listeners => "listeners",
            Setting::TlsOnLoopback => "tls_on_loopback",
            Setting::AuditSinks => "audit_sinks",
            Setting::Notify => "notify",
            Setting::BackupTargets => "backup_targets",
            Setting::KeyExport => "key_export",
            Setting::BreakGlass => "break_glass",
            Setting::Oidc => "oidc",
            Setting::GrantDaysMax => "grant_days_max",
            Setting::MembershipDaysMax => "membership_days_max",
        }
    }

    /// The setting with this word.
    ///
    /// # Errors
    /// If there is none; the error lists all.
    pub fn parse(word: &str) -> Result<Setting, SettingError> {
        let found = Setting::ALL.into_iter().find(|setting| setting.as_str() == word);
        found.ok_or_else(|| SettingError::Unknown(word.to_owned()))
    }

    /// What it means, in one line.
    pub fn meaning(self) -> &'static str {
        match self {
            Setting::Listeners => "addresses off loopback to listen on (always TLS)",
            Setting::TlsOnLoopback => "TLS on loopback too",
            Setting::AuditSinks => "where the audit record is written a second time",
            Setting::Notify => "who is told out of band: webhooks, Slack, e-mail",
            Setting::BackupTargets => "folders that the node may be backed up into",
            Setting::KeyExport => "whether keys may leave the node",
            Setting::BreakGlass => "whether one person alone may read for an hour",
            Setting::Oidc => "the company's identity provider, and what its groups may do here",
            Setting::GrantDaysMax => "days a new grant lasts at most",
            Setting::MembershipDaysMax => "days a new membership of a role lasts at most",
        }
    }

    fn names() -> String {
        Setting::ALL.map(Setting::as_str).join(", ")
    }

    fn start(self) -> SettingValue {
        match self {
            Setting::Listeners
            | Setting::AuditSinks
            | Setting::Notify
            | Setting::BackupTargets
            | Setting::Oidc => SettingValue::Set(BTreeSet::new()),
            Setting::TlsOnLoopback | Setting::KeyExport => SettingValue::Flag(false),
            Setting::BreakGlass => SettingValue::Flag(true),
            Setting::GrantDaysMax => SettingValue::Number(90),
            Setting::MembershipDaysMax => SettingValue::Number(366),
        }
    }

    fn tighter(self) -> Tighter {
        match self {
            Setting::Listeners | Setting::BackupTargets => Tighter::Fewer,
            Setting::Oidc => Tighter::FewerRoles,
            Setting::TlsOnLoopback => Tighter::Yes,
            Setting::AuditSinks | Setting::Notify => Tighter::Never,
            Setting::KeyExport | Setting::BreakGlass => Tighter::No,
            Setting::GrantDaysMax | Setting::MembershipDaysMax => Tighter::Lower,
        }
    }

    /// Whether `new` in the place of `old` lets nobody do more, and hides nothing from anybody.
    pub(super) fn is_tightening(self, old: &SettingValue, new: &SettingValue) -> bool {
        use SettingValue::{Flag, Number, Set};
        old == new
            || match (self.tighter(), old, new) {
                (Tighter::Fewer, Set(old), Set(new)) => new.is_subset(old),
                (Tighter::FewerRoles, Set(old), Set(new)) => {
                    let gives_a_role = |entry: &String| entry.starts_with("role:");
                    new.is_empty() || new.is_subset(old) && old.difference(new).all(gives_a_role)
                }
                (Tighter::Lower, Number(old), Number(new)) => new <= old,
                (Tighter::Yes, Flag(_), Flag(new)) => *new,
                (Tighter::No, Flag(_), Flag(new)) => !*new,
                _ => false,
            }
    }

    fn check(self, value: &SettingValue) -> Result<(), SettingError> {
        let wrong = |wants| Err(SettingError::Value { setting: self, wants });
        match (self.start(), value) {
            (SettingValue::Flag(_), SettingValue::Flag(_)) => Ok(()),
            (SettingValue::Flag(_), _) => wrong("true or false"),
            (SettingValue::Number(_), SettingValue::Number(1..=3660)) => Ok(()),
            (SettingValue::Number(_), _) => wrong("a number of days from 1 to 3660"),
            (SettingValue::Set(_), SettingValue::Set(entries)) => {
                let is_address = |entry: &String| entry.parse::<std::net::SocketAddr>().is_ok();
                let is_text = |entry: &String| {
                    (1..=1000).contains(&entry.len()) && !entry.chars().any(char::is_control)
                };
                let parsed = || OidcSettings::parse(entries.iter().map(String::as_str));
                let are_targets = || {
                    let targets = entries.iter().map(|entry| Target::parse(entry));
                    let names: Option<BTreeSet<String>> =
                        targets.map(|target| Some(target.ok()?.name)).collect();
                    names.is_some_and(|names| names.len() == entries.len())
                };
                match self {
                    Setting::Oidc if parsed().is_err() => wrong(
                        "issuer=URL (https), client_id=ID, name=CLAIM, roles=CLAIM and \
                         role:GROUP=ROLE, the first two at least",
                    ),
                    Setting::BackupTargets
                        if !entries
                            .iter()
                            .all(|entry| std::path::Path::new(entry).is_absolute()) =>
                    {
                        wrong("whole paths of folders, such as /mnt/backup/clerestory")
                    }
                    Setting::Listeners if !entries.iter().all(is_address) => {
                        wrong("addresses with ports, such as 192.0.2.7:9200 or [::]:9200")
                    }
                    Setting::Notify if !are_targets() => wrong(Target::FORM),
                    _ if entries.len() > 100 || !entries.iter().all(is_text) => {
                        wrong("up to 100 texts of 1 to 1000 bytes without control characters")
                    }
                    _ => Ok(()),
                }
            }
            (SettingValue::Set(_), _) => wrong("a list of texts"),
        }
    }
}

impl fmt::Display for SettingValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SettingValue::Flag(flag) => fmt::Display::fmt(flag, f),
            SettingValue::Number(number) => fmt::Display::fmt(number, f),
            SettingValue::Set(entries) if entries.is_empty() => f.pad("none"),
            SettingValue::Set(entries) => {
                f.pad(&entries.iter().map(String::as_str).collect::<Vec<_>>().join(", "))
            }
        }
    }
}

/// The settings of a node; what was never set stands as it does at the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings(BTreeMap<Setting, SettingValue>);

impl Settings {
    /// The value of `setting`.
    pub fn get(&self, setting: Setting) -> SettingValue {
        self.0.get(&setting).cloned().unwrap_or_else(|| setting.start())
    }

    /// Whether a flag is up; false for what is no flag.
    pub fn flag(&self, setting: Setting) -> bool {
        self.get(setting) == SettingValue::Flag(true)
    }

    /// The value of a number; 0 for what is none.
    pub fn number(&self, setting: Setting) -> u64 {
        match self.get(setting) {
            SettingValue::Number(number) => number,
            _ => 0,
        }
    }

    /// The entries of a list; none for what is no list.
    pub fn entries(&self, setting: Setting) -> BTreeSet<String> {
        match self.get(setting) {
            SettingValue::Set(entries) => entries,
            _ => BTreeSet::new(),
        }
    }

    /// Sets one.
    ///
    /// # Errors
    /// If the value is not of its type.
    pub fn set(&mut self, setting: Setting, value: SettingValue) -> Result<(), SettingError> {
        setting.check(&value)?;
        if value == setting.start() {
            self.0.remove(&setting);
        } else {
            self.0.insert(setting, value);
        }
        Ok(())
    }

    /// What was set and differs from the start.
    pub fn changed(&self) -> impl Iterator<Item = (Setting, &SettingValue)> {
        self.0.iter().map(|(setting, value)| (*setting, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(entries: &[&str]) -> SettingValue {
        SettingValue::Set(entries.iter().map(|entry| (*entry).to_owned()).collect())
    }

    #[test]
    fn what_tightens() {
        use SettingValue::{Flag, Number};
        for (setting, old, new, tightens) in [
            (Setting::Listeners, set(&["192.0.2.1:9200"]), set(&[]), true),
            (Setting::Listeners, set(&[]), set(&["0.0.0.0:9200"]), false),
            (Setting::TlsOnLoopback, Flag(false), Flag(true), true),
            (Setting::TlsOnLoopback, Flag(true), Flag(false), false),
            (Setting::AuditSinks, set(&["/a", "/b"]), set(&["/a"]), false),
            (Setting::AuditSinks, set(&["/a"]), set(&["/a", "/b"]), false),
            (Setting::AuditSinks, set(&["/a"]), set(&["/a"]), true),
            (Setting::BackupTargets, set(&["/a", "/b"]), set(&["/a"]), true),
            (Setting::BackupTargets, set(&["/a"]), set(&["/b"]), false),
            (Setting::KeyExport, Flag(false), Flag(true), false),
            (Setting::GrantDaysMax, Number(90), Number(30), true),
            (Setting::GrantDaysMax, Number(30), Number(90), false),
            (Setting::Notify, set(&["a@example.org"]), set(&[]), false),
            (Setting::Oidc, set(&["issuer=a", "role:x=analyst"]), set(&["issuer=a"]), true),
            (Setting::Oidc, set(&["issuer=a", "role:x=analyst"]), set(&[]), true),
            (Setting::Oidc, set(&["issuer=a", "name=sub"]), set(&["issuer=a"]), false),
            (Setting::Oidc, set(&["issuer=a"]), set(&["issuer=b"]), false),
            (Setting::Oidc, set(&["issuer=a"]), set(&["issuer=a", "role:x=analyst"]), false),
        ] {
            assert_eq!(setting.is_tightening(&old, &new), tightens, "{setting:?}");
        }
    }

    #[test]
    fn values_have_types() {
        let mut settings = Settings::default();
        for setting in Setting::ALL {
            assert_eq!(Setting::parse(setting.as_str()), Ok(setting));
            settings.set(setting, settings.get(setting)).unwrap();
        }
        assert_eq!(settings, Settings::default());
        let said = |error: Result<(), SettingError>| error.unwrap_err().to_string();
        assert!(said(settings.set(Setting::Listeners, set(&["x"]))).contains("192.0.2.7:9200"));
        assert!(said(settings.set(Setting::Listeners, SettingValue::Flag(true))).contains("list"));
        assert!(
            said(settings.set(Setting::GrantDaysMax, SettingValue::Number(0))).contains("days")
        );
        assert!(
            said(settings.set(Setting::Oidc, set(&["issuer=http://x"]))).contains("client_id=ID")
        );
        let provider = set(&["issuer=https://id.example.org", "client_id=x", "role:a=analyst"]);
        settings.set(Setting::Oidc, provider).unwrap();
        assert!(Setting::parse("tls").unwrap_err().to_string().contains("tls_on_loopback"));
        settings.set(Setting::Listeners, set(&["[::]:9200"])).unwrap();
        assert_eq!(settings.entries(Setting::Listeners).len(), 1);
        assert_eq!(settings.number(Setting::GrantDaysMax), 90);
        assert!(settings.flag(Setting::BreakGlass));
    }
}
