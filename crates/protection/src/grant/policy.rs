use super::{Action, Grant, Tables, Who};
use crate::caller::{Caller, Role};
use model::{Class, TableName, Timestamp};

/// All grants in force. Never changed: a change makes the next version.
#[derive(Clone, Debug)]
pub struct Policy {
    version: u64,
    grants: Vec<Grant>,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy::standard()
    }
}

impl Policy {
    /// What the four roles may do, and nothing else.
    pub fn standard() -> Policy {
        let grants = Role::ALL.into_iter().flat_map(|role| {
            grants_of(role).iter().map(move |&(action, class_max)| Grant {
                who: Who::Role(role),
                tables: Tables::All,
                action,
                class_max,
                until: None,
            })
        });
        Policy { version: 1, grants: grants.collect() }
    }

    /// Which version; every audit record names it.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// All grants.
    pub fn grants(&self) -> &[Grant] {
        &self.grants
    }

    /// Whether `caller` may do `action` to `table`; without a table: to any.
    pub fn may(&self, caller: &Caller, action: Action, table: Option<&TableName>) -> bool {
        // Grants with an end come with the widening workflow; until then time plays no role.
        self.class_max(caller, action, table, Timestamp(i64::MAX)).is_some()
    }

    /// Up to which class `caller` may do `action` to `table` (without a table: to any) at `now`;
    /// `None`: not at all.
    pub fn class_max(
        &self,
        caller: &Caller,
        action: Action,
        table: Option<&TableName>,
        now: Timestamp,
    ) -> Option<Class> {
        self.grants
            .iter()
            .filter(|grant| match &grant.who {
                Who::Role(role) => caller.roles().contains(role),
                Who::Person(name) => caller.name() == name,
            })
            .filter(|grant| grant.action.covers(action))
            .filter(|grant| table.is_none_or(|table| grant.tables.has(table)))
            .filter(|grant| grant.until.is_none_or(|until| now < until))
            .map(|grant| grant.class_max)
            .max()
    }
}

/// The grants of each role, for all tables.
pub(crate) fn grants_of(role: Role) -> &'static [(Action, Class)] {
    match role {
        Role::Analyst => &[
            (Action::Read, Class::Personal),
            (Action::Aggregate, Class::Special),
            (Action::DefineMetric, Class::Open),
        ],
        Role::Engineer => &[
            (Action::Read, Class::Personal),
            (Action::Aggregate, Class::Special),
            (Action::DefineMetric, Class::Open),
            (Action::Write, Class::Open),
            (Action::CreateTable, Class::Open),
            (Action::DropTable, Class::Open),
        ],
        Role::Guardian => &[
            (Action::Read, Class::Personal),
            (Action::Aggregate, Class::Secret),
            (Action::Rule, Class::Open),
            (Action::Approve, Class::Open),
            (Action::Audit, Class::Open),
            (Action::Incident, Class::Open),
        ],
        Role::Administrator => {
            &[(Action::ManagePeople, Class::Open), (Action::ManageKeys, Class::Open)]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use std::fmt::Write;

    #[test]
    fn the_whole_policy() {
        let policy = Policy::standard();
        let mut table = String::new();
        for action in Action::ALL {
            write!(table, "{:14}", action.as_str()).unwrap();
            for role in Role::ALL {
                let caller = Caller::for_test("ada", &[role]);
                let class = policy.class_max(&caller, action, None, Timestamp(0));
                assert_eq!(policy.may(&caller, action, None), class.is_some());
                assert_eq!(caller.may(action), class.is_some());
                let cell = match class {
                    Some(class) if action.is_reading() => class.as_str(),
                    Some(_) => "yes",
                    None => "-",
                };
                write!(table, "{}={cell} ", role.as_str()).unwrap();
            }
            table.push('\n');
        }
        expect![[r#"
            count         analyst=special engineer=special guardian=secret administrator=- 
            aggregate     analyst=special engineer=special guardian=secret administrator=- 
            read          analyst=personal engineer=personal guardian=personal administrator=- 
            export        analyst=- engineer=- guardian=- administrator=- 
            write         analyst=- engineer=yes guardian=- administrator=- 
            create_table  analyst=- engineer=yes guardian=- administrator=- 
            drop_table    analyst=- engineer=yes guardian=- administrator=- 
            rule          analyst=- engineer=- guardian=yes administrator=- 
            approve       analyst=- engineer=- guardian=yes administrator=- 
            audit         analyst=- engineer=- guardian=yes administrator=- 
            incident      analyst=- engineer=- guardian=yes administrator=- 
            manage_people analyst=- engineer=- guardian=- administrator=yes 
            manage_keys   analyst=- engineer=- guardian=- administrator=yes 
            define_metric analyst=yes engineer=yes guardian=- administrator=- 
        "#]]
        .assert_eq(&table);
    }

    #[test]
    fn roles_add_up_and_grants_end() {
        let policy = Policy::standard();
        let both = Caller::for_test("ada", &[Role::Analyst, Role::Administrator]);
        assert!(policy.may(&both, Action::Read, None));
        assert!(policy.may(&both, Action::ManagePeople, None));
        assert!(!policy.may(&Caller::for_test("bob", &[]), Action::Count, None));

        let events = TableName::parse("events").unwrap();
        let grant = Grant {
            who: Who::Person("bob".into()),
            tables: Tables::Named(events.clone()),
            action: Action::Count,
            class_max: Class::Open,
            until: Some(Timestamp(10)),
        };
        let policy = Policy { version: 2, grants: vec![grant] };
        let bob = Caller::for_test("bob", &[]);
        let class = |table: &TableName, now| {
            policy.class_max(&bob, Action::Count, Some(table), Timestamp(now))
        };
        assert_eq!(class(&events, 9), Some(Class::Open));
        assert_eq!(class(&events, 10), None);
        assert_eq!(class(&TableName::parse("users").unwrap(), 9), None);
        assert_eq!(policy.class_max(&bob, Action::Read, Some(&events), Timestamp(9)), None);
    }
}
