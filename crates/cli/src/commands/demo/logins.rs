use crate::client::{Body, Client};
use crate::failure::{Doing, Failure, Result};
use crate::random_password::random_password;
use engine::Role;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Appears when everything is loaded.
const FINISHED: &str = "demo-logins.json";
/// Stands in its place until then.
const UNFINISHED: &str = "demo-logins.unfinished.json";

/// Made-up people, one of each role; names out of the demo's own word list.
const PEOPLE: [(&str, &str, Role); 4] = [
    ("anisea", "analyst", Role::Analyst),
    ("birchel", "engineer", Role::Engineer),
    ("campion", "guardian", Role::Guardian),
    ("dittany", "administrator", Role::Administrator),
];

/// Who can log in to the demo. The file is a promise to scripts: see `README.md`.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Logins {
    pub(super) url: String,
    /// The PostgreSQL wire address; there is none yet.
    pg: Option<String>,
    pub(super) logins: Vec<Login>,
    /// Whether everything was loaded.
    #[serde(skip)]
    pub(super) is_complete: bool,
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Login {
    pub(super) name: String,
    pub(super) role: String,
    pub(super) password: String,
    pub(super) api_key: Option<String>,
}

impl Logins {
    /// Fresh passwords for everybody.
    pub(super) fn invent() -> Result<Logins> {
        let mut logins = Vec::new();
        for (name, role, _) in PEOPLE {
            let password = random_password()?;
            logins.push(Login { name: name.into(), role: role.into(), password, api_key: None });
        }
        Ok(Logins { url: String::new(), pg: None, logins, is_complete: false })
    }

    /// What an earlier start wrote, finished or not.
    pub(super) fn read(dir: &Path) -> Result<Option<Logins>> {
        for (name, is_complete) in [(FINISHED, true), (UNFINISHED, false)] {
            let path = dir.join(name);
            match fs::read(&path) {
                Ok(bytes) => {
                    let logins: Logins = serde_json::from_slice(&bytes)
                        .doing(|| format!("cannot read `{}`", path.display()))?;
                    return Ok(Some(Logins { is_complete, ..logins }));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    return Err(error).doing(|| format!("cannot read `{}`", path.display()));
                }
            }
        }
        Ok(None)
    }

    /// Name, password and roles of everybody.
    pub(super) fn people(&self) -> impl Iterator<Item = (&str, &str, &[Role])> {
        self.logins.iter().filter_map(|login| {
            let (_, _, role) = PEOPLE.iter().find(|(name, _, _)| *name == login.name)?;
            Some((login.name.as_str(), login.password.as_str(), std::slice::from_ref(role)))
        })
    }

    /// Everybody logs in and makes an API key, unless an earlier start got so far.
    pub(super) fn make_keys(&mut self, client: &Client, url: &str) -> Result<()> {
        url.clone_into(&mut self.url);
        for login in self.logins.iter_mut().filter(|login| login.api_key.is_none()) {
            let wanted = json!({ "name": format!("demo {}", login.role), "expires_in": "90d" });
            let made = client
                .with_password(&login.name, &login.password)
                .json("POST", "/_clerestory/keys", Body::Json(&wanted))
                .map_err(|failure| {
                    failure
                        .while_doing("the demo's people cannot log in")
                        .hint("remove the folder and start again")
                })?;
            login.api_key = made["encoded"].as_str().map(str::to_owned);
        }
        Ok(())
    }

    /// The API key of the first person with this role.
    pub(super) fn key_of(&self, role: &str) -> Result<&str> {
        let login = self.logins.iter().find(|login| login.role == role);
        login
            .and_then(|login| login.api_key.as_deref())
            .ok_or_else(|| Failure::new(format!("the demo has no {role} with a key")))
    }

    /// Keeps what is known so far, for a start that is cut off.
    pub(super) fn write_unfinished(&self, dir: &Path) -> Result<()> {
        self.write(&dir.join(UNFINISHED))
    }

    /// Lets `demo-logins.json` appear, whole at once.
    pub(super) fn finish(&self, dir: &Path) -> Result<()> {
        self.write_unfinished(dir)?;
        let (unfinished, finished) = (dir.join(UNFINISHED), dir.join(FINISHED));
        let doing = || format!("cannot write `{}`", finished.display());
        fs::hard_link(&unfinished, &finished).doing(doing)?;
        fs::remove_file(&unfinished).doing(doing)
    }

    /// The same people at the address of this start.
    pub(super) fn with_url(mut self, dir: &Path, url: &str) -> Result<Logins> {
        if self.url != url {
            url.clone_into(&mut self.url);
            let finished = dir.join(FINISHED);
            fs::remove_file(&finished)
                .doing(|| format!("cannot write `{}`", finished.display()))?;
            self.finish(dir)?;
        }
        Ok(self)
    }

    fn write(&self, path: &PathBuf) -> Result<()> {
        let doing = || format!("cannot write `{}`", path.display());
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).doing(doing);
            }
            _ => {}
        }
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path).doing(doing)?;
        let text = serde_json::to_string_pretty(self)?;
        file.write_all(format!("{text}\n").as_bytes()).doing(doing)?;
        file.sync_all().doing(doing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_appear_whole_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let mut logins = Logins::invent().unwrap();
        assert!(Logins::read(folder.path()).unwrap().is_none());
        logins.write_unfinished(folder.path()).unwrap();
        assert!(!Logins::read(folder.path()).unwrap().unwrap().is_complete);
        logins.url = "http://127.0.0.1:1".to_owned();
        logins.finish(folder.path()).unwrap();
        let read = Logins::read(folder.path()).unwrap().unwrap();
        assert!(read.is_complete);
        assert_eq!(read.people().count(), 4);
        let path = folder.path().join(FINISHED);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        let value: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        assert_eq!(value["logins"][0]["role"], "analyst");
        assert!(value["pg"].is_null());

        let moved = read.with_url(folder.path(), "http://127.0.0.1:2").unwrap();
        assert_eq!(moved.url, "http://127.0.0.1:2");
        assert_eq!(Logins::read(folder.path()).unwrap().unwrap().url, "http://127.0.0.1:2");
    }
}
