//! Who may do what, and how that changes: shown, proposed, decided, carried out.

use crate::Engine;
use crate::error::{EngineError, chain};
use model::{Class, TableName, Timestamp};
use protection::caller::{Caller, PresenceProof, Role};
use protection::change::{
    Change, ChangeError, ChangeForm, ChangeId, Changes, Edit, EditForm, Glass, Outcome, State,
};
use protection::classify::RulesError;
use protection::grant::{
    Action, Difference, GrantForm, MatrixRow, MemberForm, Policy, ReachMatrix, Setting,
    SettingForm, Tables,
};
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;

/// The most people and tables of which a difference is shown cell by cell.
const SHOWN_MAX: usize = 50;

impl Engine {
    /// The changes of the node.
    pub fn changes(&self) -> &Changes {
        &self.changes
    }

    /// The grants, newest last: all for who has a say or audits, else one's own.
    ///
    /// # Errors
    /// If the credential has ended.
    pub fn grants(&self, by: &Caller) -> Result<Json, EngineError> {
        let now = self.alive(by)?;
        let policy = self.policies.current();
        let sees_all = self.sees_policy(by, now);
        let own = |grant: &protection::grant::Grant| match &grant.who {
            protection::grant::Who::Role(role) => by.roles().contains(role),
            protection::grant::Who::Person(name) => name == by.name(),
        };
        let grants = policy.grants().iter().filter(|(_, grant)| sees_all || own(grant));
        let grants: Vec<Json> = grants
            .map(|(id, grant)| {
                let mut shown = json!(GrantForm::from(grant));
                shown["id"] = json!(id.0);
                shown["text"] = json!(grant.to_string());
                shown["over"] = json!(grant.is_over(now));
                shown
            })
            .collect();
        Ok(json!({ "version": policy.version(), "since": time(policy.since()), "grants": grants }))
    }

    /// Who reaches what: a row for each person and table, a cell for each class. Of everybody for
    /// who has a say or audits, else of oneself.
    ///
    /// # Errors
    /// If the credential has ended, or another person is asked for without a say.
    pub fn reach(
        &self,
        by: &Caller,
        person: Option<&str>,
        table: Option<&str>,
    ) -> Result<Json, EngineError> {
        let now = self.alive(by)?;
        let policy = self.policies.current();
        let everybody = self.sees_policy(by, now);
        if person.is_some_and(|person| person != by.name()) && !everybody {
            return Err(EngineError::forbidden("who reaches what is for guardians to see"));
        }
        let people: Vec<&str> = match person {
            Some(person) => vec![person],
            None if everybody => policy.members().keys().map(String::as_str).collect(),
            None => vec![by.name()],
        };
        let mut tables: Vec<TableName> =
            self.known_tables(by).iter().map(|table| table.name.clone()).collect();
        if everybody {
            tables = self.store.tables().iter().map(|table| table.name.clone()).collect();
        }
        tables.retain(|name| table.is_none_or(|table| table == name.as_str()));
        tables.sort();
        let matrix = ReachMatrix::of(&policy, people, &tables, now);
        let rows: Vec<Json> = matrix.rows.iter().map(row_json).collect();
        Ok(json!({ "version": policy.version(), "reach": rows }))
    }

    /// Accounts with their roles and ends, and the settings of the node; for who has a say or
    /// audits.
    ///
    /// # Errors
    /// If the caller may not see them.
    pub fn policy(&self, by: &Caller) -> Result<Json, EngineError> {
        let now = self.alive(by)?;
        if !self.sees_policy(by, now) {
            return Err(EngineError::forbidden("the policy is for who has a say in it, or audits"));
        }
        let policy = self.policies.current();
        let members: serde_json::Map<String, Json> = policy
            .members()
            .iter()
            .map(|(name, member)| (name.clone(), json!(MemberForm::from(member))))
            .collect();
        let settings: Vec<Json> = Setting::ALL
            .into_iter()
            .map(|setting| {
                json!({
                    "name": setting.as_str(),
                    "value": SettingForm::from(&policy.settings().get(setting)),
                    "meaning": setting.meaning(),
                })
            })
            .collect();
        Ok(json!({
            "version": policy.version(),
            "since": time(policy.since()),
            "made_by": policy.made_by(),
            "founding": self.policies.is_founding(),
            "members": members,
            "settings": settings,
        }))
    }

    /// Puts edits in force if they widen nothing, else has them wait: `edits` and `why` of `body`.
    ///
    /// # Errors
    /// What is wrong with an edit, or why it may not be proposed.
    pub fn propose(&self, by: &Caller, body: &Json) -> Result<Json, EngineError> {
        // Rules are compiled when they are read: only for those who may add them.
        let mut edits = body["edits"].as_array().into_iter().flatten();
        if edits.any(|edit| edit.get("add_rules").is_some()) {
            self.may(by, Action::Rule, None)?;
        }
        let forms: Vec<EditForm> =
            serde_json::from_value(body["edits"].clone()).map_err(|error| {
                EngineError::illegal_argument(format!("[edits] is no list of edits: {error}"))
            })?;
        let edits: Result<Vec<Edit>, _> = forms.iter().map(EditForm::to_edit).collect();
        let edits = edits.map_err(|error| EngineError::illegal_argument(chain(&error)))?;
        let why = body["why"].as_str().unwrap_or("");
        self.propose_edits(by, edits, why)
    }

    /// As [`Engine::propose`].
    pub(crate) fn propose_edits(
        &self,
        by: &Caller,
        edits: Vec<Edit>,
        why: &str,
    ) -> Result<Json, EngineError> {
        let edits = self.checked(by, edits)?;
        match self.changes.propose(by, edits, why)? {
            Outcome::Applied(policy) => Ok(json!({ "applied": true, "version": policy.version() })),
            Outcome::Waiting(change) => {
                let mut shown = self.change(by, change.id.0)?;
                shown["applied"] = json!(false);
                Ok(shown)
            }
        }
    }

    /// Edits with what only the node knows filled in: what a field is before a ruling.
    fn checked(&self, by: &Caller, edits: Vec<Edit>) -> Result<Vec<Edit>, EngineError> {
        edits.into_iter().map(|edit| self.checked_edit(by, edit)).collect()
    }

    /// Gives accounts their first roles, where that may be done at once; else has them wait.
    pub(crate) fn propose_roles(
        &self,
        by: &Caller,
        person: &str,
        roles: &[Role],
    ) -> Result<Option<u64>, EngineError> {
        let roles: BTreeSet<Role> = roles.iter().copied().collect();
        let edit = |role| Edit::Role { person: person.to_owned(), role, until: None };
        let edits: Vec<Edit> = roles.into_iter().map(edit).collect();
        if edits.is_empty() {
            return Ok(None);
        }
        match self.changes.propose(by, edits, &format!("first roles of {person}"))? {
            Outcome::Applied(_) => Ok(None),
            Outcome::Waiting(change) => Ok(Some(change.id.0)),
        }
    }

    /// All changes, newest first, and what everybody is told.
    ///
    /// # Errors
    /// If the caller has no say in changes.
    pub fn list_changes(&self, by: &Caller) -> Result<Json, EngineError> {
        let changes: Vec<Json> = self.changes.list(by)?.iter().map(change_json).collect();
        Ok(json!({ "changes": changes, "notices": self.notices_json(by)? }))
    }

    /// One change: what it does, line by line and cell by cell, and the mark that an approval has
    /// to carry.
    ///
    /// # Errors
    /// If the caller has no say in changes, or there is none with this number.
    pub fn change(&self, by: &Caller, id: u64) -> Result<Json, EngineError> {
        let (change, mark) = self.changes.show(by, ChangeId(id))?;
        let mut shown = change_json(&change);
        shown["mark"] = json!(mark);
        shown["present_for"] = json!(change.id.presence());
        if change.state == State::Waiting {
            shown["cells"] = self.cells_of(&change);
        }
        Ok(shown)
    }

    /// What a change makes of the reach of people, before and after; where it is known.
    fn cells_of(&self, change: &Change) -> Json {
        let now = self.clock.now();
        let before = self.policies.current();
        let Ok(after) = change.on(&before, now) else { return Json::Null };
        let difference = Difference::between(&before, &after, now);
        let mut people: BTreeSet<String> = difference.beneficiaries.clone();
        let back = Difference::between(&after, &before, now);
        people.extend(back.beneficiaries);
        let mut tables: Vec<TableName> =
            self.store.tables().iter().map(|table| table.name.clone()).collect();
        tables.sort();
        let people: Vec<&str> = people.iter().map(String::as_str).take(SHOWN_MAX).collect();
        tables.truncate(SHOWN_MAX);
        Json::Array(changed_cells(&before, &after, &people, &tables, now))
    }

    /// What a proof of presence for deciding on a change is about.
    pub fn presence_for_change(&self, id: u64) -> String {
        ChangeId(id).presence()
    }

    /// What a proof of presence for breaking the glass is about.
    pub fn presence_for_glass(&self) -> &'static str {
        Glass::PRESENCE
    }

    /// Approves a change that the caller has seen as `mark` says; see
    /// [`Changes::approve`].
    ///
    /// # Errors
    /// Who may approve, or what to do.
    pub fn approve(
        &self,
        by: &Caller,
        id: u64,
        mark: &str,
        proof: PresenceProof,
    ) -> Result<Json, EngineError> {
        // What a crash kept from being carried out.
        for change in self.changes.to_carry_out() {
            self.carry_out(by, &change)?;
        }
        self.check_still(by, &self.changes.show(by, ChangeId(id))?.0)?;
        let decided = self.changes.approve(by, ChangeId(id), mark, proof)?;
        let change = match decided.change.state {
            State::Approved { .. } => self.carry_out(by, &decided.change)?,
            _ => decided.change,
        };
        Ok(change_json(&change))
    }

    /// Does what an approved change wants done outside the policy. Doing it twice does no harm.
    fn carry_out(&self, by: &Caller, change: &Change) -> Result<Change, EngineError> {
        for edit in change.edits.iter().filter(|edit| edit.is_elsewhere()) {
            self.carry_out_edit(by, change, edit)?;
        }
        Ok(self.changes.carried_out(change.id)?)
    }

    /// Rejects a change.
    ///
    /// # Errors
    /// If the caller may not, gives no reason, or it is decided already.
    pub fn reject(&self, by: &Caller, id: u64, why: &str) -> Result<Json, EngineError> {
        Ok(change_json(&self.changes.reject(by, ChangeId(id), why)?))
    }

    /// Takes one's own proposal back.
    ///
    /// # Errors
    /// If it is another's, or decided already.
    pub fn withdraw(&self, by: &Caller, id: u64) -> Result<Json, EngineError> {
        Ok(change_json(&self.changes.withdraw(by, ChangeId(id))?))
    }

    /// Reads alone for an hour: `tables`, `class` and `why` of `body`.
    ///
    /// # Errors
    /// If that is switched off or not granted, wants too much, or comes twice a day.
    pub fn break_glass(
        &self,
        by: &Caller,
        body: &Json,
        proof: PresenceProof,
    ) -> Result<Json, EngineError> {
        let text = |name: &str| body[name].as_str().unwrap_or("");
        let wrong = EngineError::illegal_argument;
        let tables: Tables = text("tables").parse().map_err(|error| wrong(chain(&error)))?;
        let class_max: Class = text("class")
            .parse()
            .map_err(|error: model::UnknownClass| wrong(format!("[class]: {error}")))?;
        let glass = Glass { tables, class_max };
        Ok(change_json(&self.changes.break_glass(by, &glass, text("why"), proof)?))
    }

    pub(crate) fn alive(&self, by: &Caller) -> Result<Timestamp, EngineError> {
        let now = self.clock.now();
        match by.is_expired(now) {
            true => Err(ChangeError::CallerExpired.into()),
            false => Ok(now),
        }
    }

    pub(crate) fn sees_policy(&self, by: &Caller, now: Timestamp) -> bool {
        [Action::ManagePeople, Action::Approve, Action::Audit]
            .into_iter()
            .any(|action| by.may(action, now))
    }
}

fn time(time: Timestamp) -> String {
    time.to_rfc3339()
}

fn row_json(row: &MatrixRow) -> Json {
    let mut shown = json!({ "person": row.person, "table": row.table.as_str() });
    for (class, reach) in Class::ALL.into_iter().zip(&row.cells) {
        shown[class.as_str()] = json!({
            "action": reach.action().map(Action::as_str),
            "text": reach.to_string(),
            "grants": reach.ways.iter().map(|way| way.id.0).collect::<Vec<u64>>(),
        });
    }
    shown
}

fn changed_cells(
    before: &Policy,
    after: &Policy,
    people: &[&str],
    tables: &[TableName],
    now: Timestamp,
) -> Vec<Json> {
    let old = ReachMatrix::of(before, people.iter().copied(), tables, now);
    let new = ReachMatrix::of(after, people.iter().copied(), tables, now);
    let mut cells = Vec::new();
    for (old, new) in old.rows.iter().zip(&new.rows) {
        for ((class, was), is) in Class::ALL.into_iter().zip(&old.cells).zip(&new.cells) {
            let (was, is) = (was.to_string(), is.to_string());
            if was != is {
                cells.push(json!({
                    "person": old.person,
                    "table": old.table.as_str(),
                    "class": class.as_str(),
                    "before": was,
                    "after": is,
                }));
            }
        }
    }
    cells
}

fn change_json(change: &Change) -> Json {
    let mut shown = json!(ChangeForm::from(change));
    let edits: Vec<String> = change.edits.iter().map(ToString::to_string).collect();
    shown["text"] = json!(edits.join("; "));
    shown
}

impl From<ChangeError> for EngineError {
    fn from(error: ChangeError) -> EngineError {
        let reason = error.to_string();
        let conflict = |kind| EngineError::new(409, kind, reason.clone());
        match error {
            ChangeError::CallerExpired => EngineError::new(401, "security_exception", reason),
            ChangeError::MayNotPropose
            | ChangeError::MayNotDecide
            | ChangeError::NotAPerson
            | ChangeError::NotPresent
            | ChangeError::OwnProposal
            | ChangeError::OwnGain
            | ChangeError::NotProposer(_)
            | ChangeError::NoGlass
            | ChangeError::GlassAgain => EngineError::forbidden(reason),
            ChangeError::NoChange(_)
            | ChangeError::NoPerson(_)
            | ChangeError::NoGrant(_)
            | ChangeError::Rules(RulesError::NoRule(_)) => {
                EngineError::new(404, "resource_not_found_exception", reason)
            }
            ChangeError::Rules(RulesError::Taken(_))
            | ChangeError::NotWaiting { .. }
            | ChangeError::NotWhatWasSeen
            | ChangeError::TooEarly(_)
            | ChangeError::NobodyToApprove => conflict("status_exception"),
            ChangeError::NotRecorded => EngineError::unavailable(reason),
            ChangeError::Records(cause) => {
                tracing::error!(cause = chain(&cause), "a change is not written down");
                EngineError::unavailable("the catalog cannot be written; nothing was changed")
            }
            _ => EngineError::illegal_argument(reason),
        }
    }
}
