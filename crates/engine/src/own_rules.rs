//! What the classifier finds: kinds, and the company's own rules. Rules come and go as changes.

use crate::Engine;
use crate::error::EngineError;
use protection::caller::Caller;
use protection::classify::OwnRule;
use protection::grant::Action;
use serde_json::{Value as Json, json};

impl Engine {
    /// The kinds of values that are known, and the rules that the company added; for those who rule,
    /// have a say or audit.
    ///
    /// # Errors
    /// If the caller may not see them.
    pub fn rules(&self, by: &Caller) -> Result<Json, EngineError> {
        let now = self.alive(by)?;
        if !self.sees_policy(by, now) && !by.may(Action::Rule, now) {
            return Err(EngineError::forbidden("rules are for guardians and auditors to see"));
        }
        let kinds: Vec<Json> = self
            .classifier
            .kinds()
            .iter()
            .map(|kind| {
                json!({
                    "kind": kind.kind,
                    "class": kind.class.map(|class| class.as_str()),
                    "rules": kind.rules,
                })
            })
            .collect();
        let policy = self.policies.current();
        let own: Vec<Json> = policy.rules().iter().map(shown).collect();
        Ok(json!({
            "version": policy.version(),
            "kinds": kinds,
            "own": own,
            "yaml": policy.rules().to_yaml(),
        }))
    }
}

fn shown(rule: OwnRule<'_>) -> Json {
    json!({
        "name": rule.name,
        "kind": rule.kind,
        "class": rule.class,
        "on": if rule.fields.is_empty() { "text" } else { "fields" },
        "fields": rule.fields,
        "looks_like": rule.looks_like,
        "takes": rule.takes,
        "leaves": rule.leaves,
    })
}
