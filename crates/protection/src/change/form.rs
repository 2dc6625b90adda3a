//! Edits and changes as JSON: in their records and on the wire.

use super::{Change, ChangeId, Edit, State};
use crate::classify::OwnRules;
use crate::grant::{FormError, GrantForm, GrantId, Setting, SettingForm};
use model::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// An [`Edit`] as JSON: an object with one member, which says what it does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum EditForm {
    /// A grant.
    Grant(GrantForm),
    /// The number of a grant.
    Revoke(u64),
    /// A role for an account.
    Role {
        /// Which account.
        person: String,
        /// Which role.
        role: String,
        /// RFC 3339.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<String>,
    },
    /// A role less for an account.
    DropRole {
        /// Which account.
        person: String,
        /// Which role.
        role: String,
    },
    /// A disabled account.
    Enable {
        /// Which account.
        person: String,
    },
    /// A setting.
    Setting {
        /// Which.
        name: String,
        /// To what.
        value: SettingForm,
    },
    /// A ruling.
    Rule {
        /// Of which table.
        table: String,
        /// Its path.
        field: String,
        /// What it is now; filled in by the node.
        #[serde(default)]
        before: String,
        /// The class that it gets.
        class: String,
        /// The kind of its values.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kind: Option<String>,
        /// Why.
        why: String,
    },
    /// Rules of the company, as YAML.
    AddRules(String),
    /// The name of a rule.
    RemoveRule(String),
    /// A password.
    PasswordReset {
        /// Whose.
        person: String,
    },
}

impl From<&Edit> for EditForm {
    fn from(edit: &Edit) -> EditForm {
        match edit {
            Edit::Grant(grant) => EditForm::Grant(grant.into()),
            Edit::Revoke(id) => EditForm::Revoke(id.0),
            Edit::Role { person, role, until } => EditForm::Role {
                person: person.clone(),
                role: role.as_str().to_owned(),
                until: until.map(Timestamp::to_rfc3339),
            },
            Edit::DropRole { person, role } => {
                EditForm::DropRole { person: person.clone(), role: role.as_str().to_owned() }
            }
            Edit::Enable { person } => EditForm::Enable { person: person.clone() },
            Edit::Setting { setting, value } => {
                EditForm::Setting { name: setting.as_str().to_owned(), value: value.into() }
            }
            Edit::Rule { table, field, before, class, kind, why } => EditForm::Rule {
                table: table.clone(),
                field: field.clone(),
                before: before.clone(),
                class: class.as_str().to_owned(),
                kind: kind.clone(),
                why: why.clone(),
            },
            Edit::PasswordReset { person } => EditForm::PasswordReset { person: person.clone() },
            Edit::AddRules(rules) => EditForm::AddRules(rules.to_yaml()),
            Edit::RemoveRule(name) => EditForm::RemoveRule(name.clone()),
        }
    }
}

impl EditForm {
    /// The edit.
    ///
    /// # Errors
    /// [`FormError`] says which word is wrong and what may stand there.
    pub fn to_edit(&self) -> Result<Edit, FormError> {
        Ok(match self {
            EditForm::Grant(form) => Edit::Grant(form.to_grant()?),
            EditForm::Revoke(id) => Edit::Revoke(GrantId(*id)),
            EditForm::Role { person, role, until } => Edit::Role {
                person: person.clone(),
                role: FormError::role(role)?,
                until: FormError::time(until.as_deref())?,
            },
            EditForm::DropRole { person, role } => {
                Edit::DropRole { person: person.clone(), role: FormError::role(role)? }
            }
            EditForm::Enable { person } => Edit::Enable { person: person.clone() },
            EditForm::Setting { name, value } => {
                Edit::Setting { setting: Setting::parse(name)?, value: value.clone().into() }
            }
            EditForm::Rule { table, field, before, class, kind, why } => Edit::Rule {
                table: table.clone(),
                field: field.clone(),
                before: before.clone(),
                class: FormError::class(class)?,
                kind: kind.clone(),
                why: why.clone(),
            },
            EditForm::PasswordReset { person } => Edit::PasswordReset { person: person.clone() },
            EditForm::AddRules(yaml) => Edit::AddRules(OwnRules::parse(yaml)?),
            EditForm::RemoveRule(name) => Edit::RemoveRule(name.clone()),
        })
    }
}

/// A [`Change`] as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeForm {
    /// Its number.
    pub id: u64,
    /// What became of it: the word of a [`State`].
    pub state: String,
    /// What it does.
    pub edits: Vec<EditForm>,
    /// Why.
    pub why: String,
    /// Who wants it.
    pub proposer: String,
    /// With which credential.
    pub credential: String,
    /// RFC 3339.
    pub proposed_at: String,
    /// The version of the policy that it was proposed on.
    pub base: u64,
    /// RFC 3339.
    pub decide_by: String,
    /// RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm_from: Option<String>,
    /// What it changes, line by line.
    pub effect: Vec<String>,
    /// Who gains by it.
    pub beneficiaries: BTreeSet<String>,
    /// Who decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<String>,
    /// When; RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<String>,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected_because: Option<String>,
    /// The version of the policy that it made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
}

impl From<&Change> for ChangeForm {
    fn from(change: &Change) -> ChangeForm {
        let time = |time: Timestamp| time.to_rfc3339();
        let mut form = ChangeForm {
            id: change.id.0,
            state: change.state.as_str().to_owned(),
            edits: change.edits.iter().map(EditForm::from).collect(),
            why: change.why.clone(),
            proposer: change.proposer.clone(),
            credential: change.credential.clone(),
            proposed_at: time(change.proposed_at),
            base: change.base,
            decide_by: time(change.decide_by),
            confirm_from: change.confirm_from.map(time),
            effect: change.effect.clone(),
            beneficiaries: change.beneficiaries.clone(),
            decided_by: None,
            decided_at: None,
            rejected_because: None,
            version: None,
        };
        match &change.state {
            State::Waiting | State::Expired | State::Stale => {}
            State::Approved { by, at } => {
                (form.decided_by, form.decided_at) = (Some(by.clone()), Some(time(*at)));
            }
            State::Applied { by, at, version } => {
                (form.decided_by, form.decided_at) = (Some(by.clone()), Some(time(*at)));
                form.version = *version;
            }
            State::Rejected { by, at, why } => {
                (form.decided_by, form.decided_at) = (Some(by.clone()), Some(time(*at)));
                form.rejected_because = Some(why.clone());
            }
            State::Withdrawn { at } => form.decided_at = Some(time(*at)),
            State::BrokenGlass { at, version } => {
                form.decided_at = Some(time(*at));
                form.version = Some(*version);
            }
        }
        form
    }
}

impl ChangeForm {
    pub(super) fn to_change(&self) -> Result<Change, FormError> {
        let time =
            |text: &str| FormError::time(Some(text)).map(|time| time.expect("a text gives a time"));
        let by = || self.decided_by.clone().unwrap_or_default();
        let at = || self.decided_at.as_deref().map_or(Ok(Timestamp(0)), time);
        let state = match self.state.as_str() {
            "waiting" => State::Waiting,
            "approved" => State::Approved { by: by(), at: at()? },
            "applied" => State::Applied { by: by(), at: at()?, version: self.version },
            "rejected" => State::Rejected {
                by: by(),
                at: at()?,
                why: self.rejected_because.clone().unwrap_or_default(),
            },
            "withdrawn" => State::Withdrawn { at: at()? },
            "expired" => State::Expired,
            "stale" => State::Stale,
            "break-glass" => {
                State::BrokenGlass { at: at()?, version: self.version.unwrap_or_default() }
            }
            word => return Err(FormError::unknown_state(word)),
        };
        let edits: Result<Vec<Edit>, FormError> =
            self.edits.iter().map(EditForm::to_edit).collect();
        Ok(Change {
            id: ChangeId(self.id),
            edits: edits?,
            why: self.why.clone(),
            proposer: self.proposer.clone(),
            credential: self.credential.clone(),
            proposed_at: time(&self.proposed_at)?,
            base: self.base,
            decide_by: time(&self.decide_by)?,
            confirm_from: FormError::time(self.confirm_from.as_deref())?,
            effect: self.effect.clone(),
            beneficiaries: self.beneficiaries.clone(),
            state,
        })
    }
}
