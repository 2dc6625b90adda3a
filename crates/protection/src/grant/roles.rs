use super::{Action, Classes, Grant, Tables, Who};
use crate::caller::Role;
use model::Class;

/// The least group where persons are concerned, unless a grant says otherwise.
pub(crate) const LEAST_GROUP: u32 = 20;

/// The grants with which a node starts: what the four roles may do in all tables, nothing else.
pub(super) fn standard_grants() -> Vec<Grant> {
    let of_role = |role: Role| {
        actions_of(role).iter().map(move |&(action, class)| {
            let classes = class.map_or(Classes::NONE, Classes::up_to);
            let mut grant = Grant::new(Who::Role(role), Tables::All, action, classes);
            if action == Action::Aggregate {
                grant.least_group = LEAST_GROUP;
            }
            grant
        })
    };
    Role::ALL.into_iter().flat_map(of_role).collect()
}

fn actions_of(role: Role) -> &'static [(Action, Option<Class>)] {
    match role {
        Role::Analyst => &[
            (Action::Read, Some(Class::Personal)),
            (Action::Aggregate, Some(Class::Special)),
            (Action::DefineMetric, None),
        ],
        Role::Engineer => &[
            (Action::Read, Some(Class::Personal)),
            (Action::Aggregate, Some(Class::Special)),
            (Action::DefineMetric, None),
            (Action::Write, None),
            (Action::CreateTable, None),
            (Action::DropTable, None),
            (Action::BreakGlass, None),
        ],
        Role::Guardian => &[
            (Action::Read, Some(Class::Personal)),
            (Action::Aggregate, Some(Class::Secret)),
            (Action::Rule, None),
            (Action::Approve, None),
            (Action::Audit, None),
            (Action::Incident, None),
            (Action::BreakGlass, None),
        ],
        Role::Administrator => &[(Action::ManagePeople, None), (Action::ManageKeys, None)],
    }
}
