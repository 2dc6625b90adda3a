//! What one version of the policy lets anybody do that another did not.

use super::reach::clipped;
use super::{Grant, Policy, Setting, SettingValue, Way};
use crate::caller::Role;
use crate::classify::OwnRule;
use model::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// Who gains or loses.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holder {
    /// Everybody with this role, now and later.
    Role(Role),
    /// One person.
    Person(String),
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Holder::Role(role) => write!(f, "everybody with the role {role}"),
            Holder::Person(name) => f.write_str(name),
        }
    }
}

/// Something that a holder can do in one version and not in the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gain {
    /// Who.
    pub holder: Holder,
    /// What, and through which grant.
    pub way: Way,
}

/// A setting that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingChange {
    /// Which.
    pub setting: Setting,
    /// Before.
    pub old: SettingValue,
    /// After.
    pub new: SettingValue,
    /// Whether it protects no less than before.
    pub tightens: bool,
}

/// A rule of the company that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleChange {
    /// Its name.
    pub name: String,
    /// What it finds, in words.
    pub finds: String,
    /// Whether it is new; else it is gone.
    pub is_added: bool,
}

/// The exact difference between two versions of the policy, seen from one moment on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// What was not possible before.
    pub gains: Vec<Gain>,
    /// What is not possible any more.
    pub losses: Vec<Gain>,
    /// Settings that differ.
    pub settings: Vec<SettingChange>,
    /// Rules of the company that are new or gone.
    pub rules: Vec<RuleChange>,
    /// The people who gain.
    pub beneficiaries: BTreeSet<String>,
}

impl Difference {
    /// What `new` allows and `old` did not, and the other way round, from `now` on.
    pub fn between(old: &Policy, new: &Policy, now: Timestamp) -> Difference {
        let gains = gains(old, new, now);
        let settings = Setting::ALL.into_iter().filter_map(|setting| {
            let (old, new) = (old.settings.get(setting), new.settings.get(setting));
            let tightens = setting.is_tightening(&old, &new);
            (old != new).then_some(SettingChange { setting, old, new, tightens })
        });
        Difference {
            beneficiaries: beneficiaries(&gains, new, now),
            losses: self::gains(new, old, now),
            settings: settings.collect(),
            rules: rules(old, new),
            gains,
        }
    }

    /// Whether nobody can do more, and nothing is hidden from anybody. Never wrong when it says
    /// yes; may say no to a step that only several old grants together cover.
    pub fn is_tightening(&self) -> bool {
        // A rule can only raise, so that one more hides and one less shows.
        self.gains.is_empty()
            && self.settings.iter().all(|setting| setting.tightens)
            && self.rules.iter().all(|rule| rule.is_added)
    }

    /// Whether nothing differs in effect.
    pub fn is_empty(&self) -> bool {
        self.gains.is_empty()
            && self.losses.is_empty()
            && self.settings.is_empty()
            && self.rules.is_empty()
    }
}

fn rules(old: &Policy, new: &Policy) -> Vec<RuleChange> {
    if Arc::ptr_eq(&old.rules, &new.rules) {
        return Vec::new();
    }
    let change = |is_added| {
        move |rule: OwnRule<'_>| {
            let (name, finds) = (rule.name.to_owned(), rule.to_string());
            RuleChange { name, finds, is_added }
        }
    };
    let gone = old.rules.not_in(&new.rules).map(change(false));
    gone.chain(new.rules.not_in(&old.rules).map(change(true))).collect()
}

fn gains(old: &Policy, new: &Policy, now: Timestamp) -> Vec<Gain> {
    let mut gains = Vec::new();
    // A role is compared as if somebody had it and nothing else, whether somebody has it or not:
    // so is an API key that carries this role alone.
    for role in Role::ALL {
        let before: Vec<Grant> =
            old.grants_of_role(role).map(|(_, grant)| clipped(grant, None, now)).collect();
        for (id, grant) in new.grants_of_role(role) {
            let grant = clipped(grant, None, now);
            if !grant.is_over(now) && !is_covered(&grant, &before) {
                let way = Way { id, role: Some(role), grant };
                gains.push(Gain { holder: Holder::Role(role), way });
            }
        }
    }
    let all_same = Arc::ptr_eq(&old.members, &new.members);
    let named: BTreeSet<&String> = match all_same {
        true => new.people_with_grants().collect(),
        false => new.members.keys().collect(),
    };
    for person in named {
        gains.extend(gains_of_person(old, new, person, now));
    }
    gains
}

fn gains_of_person(old: &Policy, new: &Policy, person: &str, now: Timestamp) -> Vec<Gain> {
    let Some(member) = new.members.get(person).filter(|member| !member.disabled) else {
        return Vec::new();
    };
    let before = old.members.get(person).filter(|member| !member.disabled);
    let own_before: Vec<Grant> = match before {
        Some(_) => {
            old.grants_of_person(person).map(|(_, grant)| clipped(grant, None, now)).collect()
        }
        None => Vec::new(),
    };
    let mut ways = Vec::new();
    for (role, end) in &member.roles {
        let end_before = before.and_then(|before| before.roles.get(role));
        // Who held the role as long before gains what the role gains.
        let as_long = |before: &Option<Timestamp>| {
            before.is_none_or(|before| end.is_some_and(|end| end <= before))
        };
        if end_before.is_some_and(as_long) {
            continue;
        }
        let mut before = own_before.clone();
        if let Some(end_before) = end_before {
            let of_role = old.grants_of_role(*role);
            before.extend(of_role.map(|(_, grant)| clipped(grant, *end_before, now)));
        }
        ways.extend(new.grants_of_role(*role).filter_map(|(id, grant)| {
            let grant = clipped(grant, *end, now);
            (!is_covered(&grant, &before)).then_some(Way { id, role: Some(*role), grant })
        }));
    }
    ways.extend(new.grants_of_person(person).filter_map(|(id, grant)| {
        let grant = clipped(grant, None, now);
        (!is_covered(&grant, &own_before)).then_some(Way { id, role: None, grant })
    }));
    ways.into_iter()
        .filter(|way| !way.grant.is_over(now))
        .map(|way| Gain { holder: Holder::Person(person.to_owned()), way })
        .collect()
}

fn is_covered(grant: &Grant, before: &[Grant]) -> bool {
    before.iter().any(|before| before.terms_cover(grant))
}

fn beneficiaries(gains: &[Gain], new: &Policy, now: Timestamp) -> BTreeSet<String> {
    let mut people = BTreeSet::new();
    let mut roles = BTreeMap::new();
    for gain in gains {
        match &gain.holder {
            Holder::Person(name) => {
                people.insert(name.clone());
            }
            Holder::Role(role) => {
                roles.insert(*role, ());
            }
        }
    }
    if !roles.is_empty() {
        let holds =
            |name: &str| new.roles_of(name, now).iter().any(|role| roles.contains_key(role));
        people.extend(new.members.keys().filter(|name| holds(name)).cloned());
    }
    people
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grant::{Action, Classes, Member, Tables, Who};
    use model::Class;

    const NOW: Timestamp = Timestamp(100);

    fn house() -> Policy {
        Policy::standard()
            .with_member("ana", &[Role::Analyst])
            .with_member("gua", &[Role::Guardian])
    }

    fn grant_to(who: Who) -> Grant {
        Grant::new(who, Tables::All, Action::Read, Classes::up_to(Class::Special))
    }

    fn gains(old: &Policy, change: impl Fn(&mut Policy)) -> Vec<String> {
        let mut new = old.clone();
        change(&mut new);
        let difference = Difference::between(old, &new, NOW);
        let mut said: Vec<String> = difference
            .gains
            .iter()
            .map(|gain| {
                format!("{}: {} {}", gain.holder, gain.way.grant.action, gain.way.grant.classes)
            })
            .collect();
        said.extend(difference.beneficiaries.iter().map(|name| format!("for {name}")));
        said
    }

    #[test]
    fn what_widens_and_for_whom() {
        let old = house();
        let to_role = gains(&old, |new| {
            new.add_grant(grant_to(Who::Role(Role::Analyst)));
        });
        assert_eq!(to_role, ["everybody with the role analyst: read up to special", "for ana"]);
        let to_person = gains(&old, |new| {
            new.add_grant(grant_to(Who::Person("ana".into())));
        });
        assert_eq!(to_person, ["ana: read up to special", "for ana"]);
        let to_nobody = gains(&old, |new| {
            new.add_grant(grant_to(Who::Person("zoe".into())));
        });
        assert!(to_nobody.is_empty(), "until there is such an account");
        let role = gains(&old, |new| {
            new.set_member("ana", Some(Member::with_roles(&[Role::Analyst, Role::Administrator])));
        });
        assert_eq!(role.len(), 3, "two actions of an administrator: {role:?}");
        let fresh = gains(&old, |new| {
            new.set_member("zoe", Some(Member::with_roles(&[Role::Analyst])));
        });
        assert_eq!(fresh.last().unwrap(), "for zoe");
    }

    #[test]
    fn taking_away_is_no_gain() {
        let mut old = house();
        let id = old.add_grant(grant_to(Who::Person("ana".into())));
        let steps: [&dyn Fn(&mut Policy); 5] = [
            &|new| assert!(new.remove_grant(id)),
            &|new| new.set_member("ana", None),
            &|new| new.set_member("ana", Some(Member::default())),
            &|new| {
                let member = Member { disabled: true, ..Member::with_roles(&[Role::Analyst]) };
                new.set_member("ana", Some(member));
            },
            &|new| {
                new.remove_grant(id);
                let mut less = grant_to(Who::Person("ana".into()));
                less.until = Some(Timestamp(200));
                new.add_grant(less);
            },
        ];
        for step in steps {
            assert_eq!(gains(&old, step), [""; 0]);
        }
        let mut new = old.clone();
        new.remove_grant(id);
        assert_eq!(Difference::between(&old, &new, NOW).losses.len(), 1);
    }

    #[test]
    fn a_key_with_one_role_counts_as_a_caller() {
        // The analyst who is a guardian too gains nothing, but an analyst's key of hers would.
        let mut old = Policy::standard().with_member("ada", &[Role::Analyst, Role::Guardian]);
        old.add_grant(grant_to(Who::Role(Role::Guardian)));
        let moved = gains(&old, |new| {
            new.add_grant(grant_to(Who::Role(Role::Analyst)));
        });
        assert_eq!(moved, ["everybody with the role analyst: read up to special", "for ada"]);
    }

    #[test]
    fn a_longer_membership_is_a_gain_and_a_shorter_one_is_not() {
        let until = |end| {
            let mut member = Member::default();
            member.roles.insert(Role::Administrator, end);
            Some(member)
        };
        let mut old = house();
        old.set_member("adm", until(Some(Timestamp(500))));
        for (end, longer) in
            [(Some(Timestamp(400)), false), (Some(Timestamp(600)), true), (None, true)]
        {
            let gains = gains(&old, |new| new.set_member("adm", until(end)));
            assert_eq!(!gains.is_empty(), longer, "{end:?}");
        }
        old.set_member("adm", until(Some(NOW)));
        let over = gains(&old, |new| new.set_member("adm", until(Some(Timestamp(50)))));
        assert_eq!(over, [""; 0], "what is over is over");
    }

    #[test]
    fn the_past_does_not_count() {
        let mut old = house();
        let mut begun = grant_to(Who::Person("ana".into()));
        begun.from = Some(Timestamp(50));
        old.add_grant(begun);
        let open_start = gains(&old, |new| {
            new.add_grant(grant_to(Who::Person("ana".into())));
        });
        assert_eq!(open_start, [""; 0]);
        let over = gains(&house(), |new| {
            let mut over = grant_to(Who::Person("ana".into()));
            over.until = Some(NOW);
            new.add_grant(over);
        });
        assert_eq!(over, [""; 0]);
    }

    #[test]
    fn one_rule_more_tightens_and_one_less_does_not() {
        let rules = crate::classify::OwnRules::parse(
            "texts: [{name: n, kind: k, class: personal, pattern: 'x1', takes: ['‹x1›']}]",
        );
        let old = house();
        let mut new = old.clone();
        new.set_rules(rules.unwrap());
        let there = Difference::between(&old, &new, NOW);
        assert!(there.is_tightening() && !there.is_empty());
        assert_eq!(there.rules[0].finds, "k, personal, in text, x1");
        let back = Difference::between(&new, &old, NOW);
        assert!(!back.is_tightening() && !back.rules[0].is_added);
    }

    #[test]
    fn settings_count() {
        let old = house();
        let mut new = old.clone();
        new.settings_mut().set(Setting::KeyExport, SettingValue::Flag(true)).unwrap();
        let there = Difference::between(&old, &new, NOW);
        assert!(!there.is_tightening() && !there.is_empty());
        assert!(Difference::between(&new, &old, NOW).is_tightening());
        assert!(Difference::between(&old, &old, NOW).is_empty());
    }
}
