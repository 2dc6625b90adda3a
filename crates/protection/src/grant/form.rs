//! The policy as JSON: in its sealed record, in changes, and on the wire.

use super::policy::PolicyParts;
use super::{
    Action, Classes, Condition, Grant, GrantError, GrantId, Literal, Member, Networks, Policy,
    Purpose, Quota, RowFilter, Setting, SettingError, SettingValue, Settings, Tables, Test, Who,
};
use crate::caller::Role;
use crate::classify::{OwnRules, RulesError};
use crate::keys::{from_hex, hex};
use model::{Class, TableName, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::sync::Arc;

/// Why a JSON text is no grant, member or policy. Carries no value of a row filter.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormError {
    /// No JSON of this shape.
    #[error("not a policy document")]
    Shape(#[source] serde_json::Error),
    /// A word that says nothing.
    #[error("[{word}] is no {what}; {hint}")]
    Word {
        /// What was read.
        word: String,
        /// What it should be.
        what: &'static str,
        /// What may stand there.
        hint: &'static str,
    },
    /// A network that is none.
    #[error("[{word}] is no network")]
    Network {
        /// What was read.
        word: String,
        /// What is wrong with it.
        #[source]
        cause: super::NetworkError,
    },
    /// Terms that do not fit together.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// A setting that does not exist or is of another type.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// Rules that make no sense, or do not do what their examples say.
    #[error(transparent)]
    Rules(#[from] RulesError),
}

/// A [`Grant`] as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantForm {
    /// `role:analyst` or `person:ada`.
    pub who: String,
    /// `*`, `logs-*` or a name.
    pub tables: String,
    /// The word of an [`Action`].
    pub action: String,
    /// Words of classes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    /// Conditions that must all hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<ConditionForm>,
    /// From 2; without it: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub least_group: Option<u32>,
    /// A day's measure.
    #[serde(default, skip_serializing_if = "QuotaForm::is_none")]
    pub quota: QuotaForm,
    /// Networks in CIDR notation; without it: anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub networks: Option<Vec<String>>,
    /// `"required"`, or a list of what will do; without it: not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<PurposeForm>,
    /// RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// A [`Condition`] as JSON: either `in`, or `from` and `to`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConditionForm {
    field: String,
    #[serde(rename = "in", default, skip_serializing_if = "Option::is_none")]
    among: Option<Vec<LiteralForm>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<LiteralForm>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<LiteralForm>,
}

impl std::fmt::Debug for ConditionForm {
    /// The field only: values never reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ConditionForm({})", self.field)
    }
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum LiteralForm {
    Bool(bool),
    Number(i64),
    Text(String),
}

/// A [`Quota`] as JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuotaForm {
    /// Rows a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Bytes a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Questions a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queries: Option<u64>,
}

impl QuotaForm {
    fn is_none(&self) -> bool {
        *self == QuotaForm::default()
    }
}

/// A [`Purpose`] as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PurposeForm {
    /// `required`.
    Word(String),
    /// What will do.
    OneOf(BTreeSet<String>),
}

impl From<&Grant> for GrantForm {
    fn from(grant: &Grant) -> GrantForm {
        let time = |time: Option<Timestamp>| time.map(Timestamp::to_rfc3339);
        let Quota { rows, bytes, queries } = grant.quota;
        GrantForm {
            who: grant.who.to_string(),
            tables: grant.tables.to_string(),
            action: grant.action.as_str().to_owned(),
            classes: grant.classes.iter().map(|class| class.as_str().to_owned()).collect(),
            rows: grant.rows.conditions().iter().map(ConditionForm::from).collect(),
            least_group: (grant.least_group != 1).then_some(grant.least_group),
            quota: QuotaForm { rows, bytes, queries },
            networks: match &grant.networks {
                Networks::Anywhere => None,
                Networks::Among(networks) => {
                    Some(networks.iter().map(ToString::to_string).collect())
                }
            },
            purpose: match &grant.purpose {
                Purpose::NotAsked => None,
                Purpose::Stated => Some(PurposeForm::Word(REQUIRED.to_owned())),
                Purpose::OneOf(purposes) => Some(PurposeForm::OneOf(purposes.clone())),
            },
            from: time(grant.from),
            until: time(grant.until),
        }
    }
}

const REQUIRED: &str = "required";

impl GrantForm {
    /// The grant, checked.
    ///
    /// # Errors
    /// [`FormError`] says which word is wrong and what may stand there.
    pub fn to_grant(&self) -> Result<Grant, FormError> {
        let classes = self.classes.iter().map(|word| FormError::class(word));
        let conditions: Result<Vec<Condition>, FormError> =
            self.rows.iter().map(ConditionForm::to_condition).collect();
        let grant = Grant {
            who: parse_who(&self.who)?,
            tables: self.tables.parse()?,
            action: Action::parse(&self.action).ok_or_else(|| {
                word_error(&self.action, "action", "such as count, aggregate, read or export")
            })?,
            classes: classes.collect::<Result<Classes, FormError>>()?,
            rows: RowFilter::of(conditions?),
            least_group: self.least_group.unwrap_or(1),
            quota: Quota {
                rows: self.quota.rows,
                bytes: self.quota.bytes,
                queries: self.quota.queries,
            },
            networks: self.networks.as_deref().map_or(Ok(Networks::Anywhere), parse_networks)?,
            purpose: match &self.purpose {
                None => Purpose::NotAsked,
                Some(PurposeForm::Word(word)) if word == REQUIRED => Purpose::Stated,
                Some(PurposeForm::Word(word)) => {
                    let hint = "give `required` or a list of purposes";
                    return Err(word_error(word, "purpose", hint));
                }
                Some(PurposeForm::OneOf(purposes)) => Purpose::OneOf(purposes.clone()),
            },
            from: parse_time(self.from.as_deref())?,
            until: parse_time(self.until.as_deref())?,
        };
        grant.check()?;
        Ok(grant)
    }
}

impl FormError {
    pub(crate) fn role(word: &str) -> Result<Role, FormError> {
        let hint = "a role is analyst, engineer, guardian or administrator";
        word.parse().map_err(|_| word_error(word, "role", hint))
    }

    pub(crate) fn class(word: &str) -> Result<Class, FormError> {
        let hint = "a class is open, personal, special or secret";
        word.parse().map_err(|_| word_error(word, "class", hint))
    }

    pub(crate) fn time(text: Option<&str>) -> Result<Option<Timestamp>, FormError> {
        parse_time(text)
    }

    pub(crate) fn unknown_state(word: &str) -> FormError {
        word_error(word, "state of a change", "it was written by a newer version")
    }
}

fn word_error(word: &str, what: &'static str, hint: &'static str) -> FormError {
    FormError::Word { word: word.escape_debug().to_string(), what, hint }
}

fn parse_who(text: &str) -> Result<Who, FormError> {
    let who = match text.split_once(':') {
        Some(("role", role)) => role.parse().ok().map(Who::Role),
        Some(("person", name)) if !name.is_empty() => Some(Who::Person(name.to_owned())),
        _ => None,
    };
    who.ok_or_else(|| word_error(text, "holder", "give role:ROLE or person:NAME"))
}

impl FromStr for Tables {
    type Err = FormError;

    /// `*`, `logs-*` or a name.
    fn from_str(text: &str) -> Result<Tables, FormError> {
        let wrong = || word_error(text, "table", "give a name, a beginning with `*`, or `*` alone");
        Ok(match text.strip_suffix('*') {
            Some("") => Tables::All,
            Some(prefix) => {
                let name = TableName::parse(prefix).map_err(|_| wrong())?;
                Tables::Prefix(name.as_str().to_owned())
            }
            None => Tables::Named(TableName::parse(text).map_err(|_| wrong())?),
        })
    }
}

fn parse_networks(texts: &[String]) -> Result<Networks, FormError> {
    let networks: Result<Vec<_>, FormError> = texts
        .iter()
        .map(|text| {
            let word = || text.escape_debug().to_string();
            text.parse().map_err(|cause| FormError::Network { word: word(), cause })
        })
        .collect();
    Ok(Networks::among(networks?))
}

fn parse_time(text: Option<&str>) -> Result<Option<Timestamp>, FormError> {
    let hint = "give RFC 3339, such as 2026-11-23T08:00:00Z";
    // Far times are written as bare milliseconds: see `Timestamp::to_rfc3339`.
    let parse = |text: &str| {
        let far = || text.parse().ok().map(Timestamp);
        Timestamp::parse_rfc3339(text).or_else(far).ok_or_else(|| word_error(text, "time", hint))
    };
    text.map(parse).transpose()
}

impl From<&Condition> for ConditionForm {
    fn from(condition: &Condition) -> ConditionForm {
        let form = LiteralForm::from;
        let (among, from, to) = match &condition.test {
            Test::Among(values) => (Some(values.iter().map(form).collect()), None, None),
            Test::Between { from, to } => (None, from.as_ref().map(form), to.as_ref().map(form)),
        };
        ConditionForm { field: condition.field.clone(), among, from, to }
    }
}

impl ConditionForm {
    fn to_condition(&self) -> Result<Condition, FormError> {
        let test = match &self.among {
            Some(_) if self.from.is_some() || self.to.is_some() => {
                let hint = "give `in`, or `from` and `to`";
                return Err(word_error(&self.field, "condition", hint));
            }
            Some(values) => Test::Among(values.iter().map(Literal::from).collect()),
            None => Test::Between {
                from: self.from.as_ref().map(Literal::from),
                to: self.to.as_ref().map(Literal::from),
            },
        };
        Ok(Condition { field: self.field.clone(), test })
    }
}

impl From<&Literal> for LiteralForm {
    fn from(literal: &Literal) -> LiteralForm {
        match literal {
            Literal::Text(text) => LiteralForm::Text(text.clone()),
            Literal::Number(number) => LiteralForm::Number(*number),
            Literal::Bool(truth) => LiteralForm::Bool(*truth),
        }
    }
}

impl From<&LiteralForm> for Literal {
    fn from(form: &LiteralForm) -> Literal {
        match form {
            LiteralForm::Text(text) => Literal::Text(text.clone()),
            LiteralForm::Number(number) => Literal::Number(*number),
            LiteralForm::Bool(truth) => Literal::Bool(*truth),
        }
    }
}

/// A [`Member`] as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberForm {
    /// Roles, each with its end (RFC 3339) or null.
    pub roles: BTreeMap<String, Option<String>>,
    /// Whether the account may do nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disabled: bool,
}

impl From<&Member> for MemberForm {
    fn from(member: &Member) -> MemberForm {
        let roles = member.roles.iter();
        MemberForm {
            roles: roles
                .map(|(role, end)| (role.as_str().to_owned(), end.map(Timestamp::to_rfc3339)))
                .collect(),
            disabled: member.disabled,
        }
    }
}

impl MemberForm {
    /// The member.
    ///
    /// # Errors
    /// If a role or a time is none.
    pub fn to_member(&self) -> Result<Member, FormError> {
        let roles = self
            .roles
            .iter()
            .map(|(role, end)| Ok((FormError::role(role)?, parse_time(end.as_deref())?)));
        Ok(Member { roles: roles.collect::<Result<_, FormError>>()?, disabled: self.disabled })
    }
}

/// A [`Policy`] as JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyForm {
    version: u64,
    since: i64,
    made_by: String,
    /// SHA-256 of the record before, in hexadecimal; zeros for the first.
    before: String,
    next_grant: u64,
    grants: BTreeMap<u64, GrantForm>,
    members: BTreeMap<String, MemberForm>,
    settings: BTreeMap<String, SettingForm>,
    /// The company's own rules as YAML; empty: none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    rules: String,
}

/// A [`SettingValue`] as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SettingForm {
    /// Yes or no.
    Flag(bool),
    /// A number.
    Number(u64),
    /// A list.
    Set(BTreeSet<String>),
}

impl From<&SettingValue> for SettingForm {
    fn from(value: &SettingValue) -> SettingForm {
        match value {
            SettingValue::Flag(flag) => SettingForm::Flag(*flag),
            SettingValue::Number(number) => SettingForm::Number(*number),
            SettingValue::Set(entries) => SettingForm::Set(entries.clone()),
        }
    }
}

impl From<SettingForm> for SettingValue {
    fn from(form: SettingForm) -> SettingValue {
        match form {
            SettingForm::Flag(flag) => SettingValue::Flag(flag),
            SettingForm::Number(number) => SettingValue::Number(number),
            SettingForm::Set(entries) => SettingValue::Set(entries),
        }
    }
}

impl PolicyForm {
    pub(super) fn of(policy: &Policy, before: &[u8; 32]) -> PolicyForm {
        let grants = policy.grants.iter().map(|(id, grant)| (id.0, GrantForm::from(grant)));
        let members = policy.members.iter();
        let settings = policy.settings.changed();
        PolicyForm {
            version: policy.version,
            since: policy.since.0,
            made_by: policy.made_by.clone(),
            before: hex(before),
            next_grant: policy.next_grant,
            grants: grants.collect(),
            members: members.map(|(name, member)| (name.clone(), member.into())).collect(),
            settings: settings
                .map(|(setting, value)| (setting.as_str().to_owned(), value.into()))
                .collect(),
            rules: policy.rules.to_yaml(),
        }
    }

    pub(super) fn to_record(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("maps with texts as keys")
    }

    pub(super) fn from_record(bytes: &[u8]) -> Result<PolicyForm, FormError> {
        serde_json::from_slice(bytes).map_err(FormError::Shape)
    }

    /// Whether it comes after the record with this hash.
    pub(super) fn follows(&self, before: &[u8; 32]) -> bool {
        from_hex::<32>(&self.before).is_some_and(|hash| hash == *before)
    }

    /// The policy; members and rules are shared with the version `before` if they are the same.
    pub(super) fn to_policy(&self, before: Option<&Policy>) -> Result<Policy, FormError> {
        let grants = self.grants.iter().map(|(id, form)| Ok((GrantId(*id), form.to_grant()?)));
        let members = self.members.iter().map(|(name, form)| Ok((name.clone(), form.to_member()?)));
        let members: BTreeMap<String, Member> = members.collect::<Result<_, FormError>>()?;
        let mut settings = Settings::default();
        for (name, form) in &self.settings {
            settings.set(Setting::parse(name)?, form.clone().into())?;
        }
        Ok(Policy::from_parts(PolicyParts {
            version: self.version,
            since: Timestamp(self.since),
            made_by: self.made_by.clone(),
            grants: grants.collect::<Result<_, FormError>>()?,
            next_grant: self.next_grant,
            members: match before {
                Some(before) if *before.members == members => Arc::clone(&before.members),
                _ => Arc::new(members),
            },
            settings,
            rules: match before {
                Some(before) if before.rules.to_yaml() == self.rules => Arc::clone(&before.rules),
                _ => Arc::new(OwnRules::parse(&self.rules)?),
            },
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Grant, String> {
        let form: GrantForm = serde_json::from_str(text).map_err(|error| error.to_string())?;
        form.to_grant().map_err(|error| error.to_string())
    }

    #[test]
    fn a_grant_is_written_as_it_is_read() {
        let text = concat!(
            r#"{"who":"person:ada","tables":"logs-*","action":"aggregate","#,
            r#""classes":["open","special"],"#,
            r#""rows":[{"field":"at","from":5},{"field":"region","in":["eu","us"]}],"#,
            r#""least_group":20,"quota":{"rows":9},"networks":["192.0.2.0/24"],"#,
            r#""purpose":["fraud"],"from":"2026-11-23T08:00:00.000Z","#,
            r#""until":"2026-12-23T08:00:00.000Z"}"#,
        );
        let grant = parse(text).unwrap();
        assert_eq!(serde_json::to_string(&GrantForm::from(&grant)).unwrap(), text);
        assert_eq!(
            grant.to_string(),
            "person:ada may aggregate logs-*, open, special, where at >= 5 and region in [eu, us], \
             groups of at least 20, 9 rows a day, from 192.0.2.0/24, for fraud, \
             from 2026-11-23T08:00:00.000Z, until 2026-12-23T08:00:00.000Z"
        );
        let far = Grant { until: Some(Timestamp(i64::MAX)), ..grant };
        assert_eq!(GrantForm::from(&far).to_grant().unwrap(), far);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let base = |more: &str| {
            parse(&format!(r#"{{"who":"role:analyst","tables":"*","action":"read",{more}}}"#))
                .unwrap_err()
        };
        for (more, said) in [
            (r#""classes":[]"#, "at least one class"),
            (r#""classes":["open"],"least_group":5"#, "groups of one"),
            (r#""classes":["public"]"#, "[public] is no class"),
            (r#""classes":["open"],"networks":["here"]"#, "[here] is no network"),
            (r#""classes":["open"],"networks":[]"#, "at least one network"),
            (r#""classes":["open"],"purpose":"any""#, "`required` or a list"),
            (r#""classes":["open"],"purpose":[]"#, "at least one purpose"),
            (r#""classes":["open"],"until":"soon""#, "RFC 3339"),
            (r#""classes":["open"],"rows":[{"field":"x","in":[]}]"#, "names no value"),
            (
                r#""classes":["open"],"rows":[{"field":"x","in":["a"],"to":1}]"#,
                "or `from` and `to`",
            ),
            (r#""classes":["open"],"clases":[]"#, "unknown field"),
        ] {
            let error = base(more);
            assert!(error.contains(said), "{more}: {error}");
        }
        assert!(
            parse(r#"{"who":"ada","tables":"*","action":"write"}"#)
                .unwrap_err()
                .contains("person:NAME")
        );
        assert!(parse(r#"{"who":"role:chief","tables":"*","action":"write"}"#).is_err());
        assert!(parse(r#"{"who":"role:analyst","tables":"A","action":"write"}"#).is_err());
        assert!(
            parse(r#"{"who":"role:analyst","tables":"*","action":"write","classes":["open"]}"#)
                .is_err()
        );
    }
}
