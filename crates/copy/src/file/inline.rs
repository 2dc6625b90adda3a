//! Credentials have no place in a copy file: it is kept, shown to whoever signs, and sent around.

use serde_norway::Value;

/// Names of settings that hold one, without `-` and `_`.
const NAMES: [&str; 14] = [
    "password",
    "passwd",
    "pwd",
    "pass",
    "passphrase",
    "secret",
    "secretkey",
    "secretaccesskey",
    "token",
    "accesstoken",
    "apikey",
    "credential",
    "credentials",
    "privatekey",
];

/// What to do instead.
pub(super) const INSTEAD: &str = "a credential does not stand in a copy file: keep it with \
     `clerestory copy secret NAME --from-file FILE`, and write `secret: NAME` under `source`";

/// Whether a setting of this name holds a credential.
pub(super) fn is_credential(name: &str) -> bool {
    let plain: String = name.chars().filter(|c| !"-_".contains(*c)).collect();
    NAMES.contains(&plain.to_ascii_lowercase().as_str())
}

/// The path of the first setting that is a credential or holds one, such as a URL with a password.
pub(super) fn credential_in(settings: &Value) -> Option<Vec<String>> {
    match settings {
        Value::Mapping(members) => members.iter().find_map(|(name, value)| {
            let name = name.as_str().unwrap_or_default().to_owned();
            let mut path = match is_credential(&name) {
                true => Vec::new(),
                false => credential_in(value)?,
            };
            path.insert(0, name);
            Some(path)
        }),
        Value::Sequence(items) => items.iter().find_map(credential_in),
        Value::String(text) => holds_password(text).then(Vec::new),
        _ => None,
    }
}

/// `https://user:password@host`, `host=db password=…`.
fn holds_password(text: &str) -> bool {
    let authority = text.split_once("://").map(|(_, rest)| rest);
    let authority = authority.and_then(|rest| rest.split(['/', '?', '#']).next());
    let login = authority.and_then(|authority| authority.rsplit_once('@')).map(|(login, _)| login);
    let in_url = login.is_some_and(|login| login.contains(':'));
    let mut words = text.split([' ', '&', '?', ';']).filter_map(|word| word.split_once('='));
    in_url || words.any(|(name, _)| is_credential(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_found_by_name_and_inside_of_values() {
        let path = |yaml: &str| {
            let settings: Value = serde_norway::from_str(yaml).unwrap();
            credential_in(&settings).map(|path| path.join("."))
        };
        for (yaml, expected) in [
            ("{host: db, password: x}", Some("password")),
            ("{host: db, Api-Key: x}", Some("Api-Key")),
            ("{url: 'https://copy:hunter2@search:9200'}", Some("url")),
            ("{brokers: ['k1:9093', 'sasl://u:p@k2']}", Some("brokers")),
            ("{host: 'db password=hunter2 sslmode=off'}", Some("host")),
            ("{endpoint: {aws: {secret_access_key: x}}}", Some("endpoint.aws.secret_access_key")),
            ("{url: 'https://search:9200/a@b:c', key_id: AKIA, user: copy}", None),
            ("{url: 'https://copy@search', topics: ['a=b']}", None),
        ] {
            assert_eq!(path(yaml).as_deref(), expected, "{yaml}");
        }
    }
}
