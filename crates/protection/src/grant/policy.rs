use super::roles::standard_grants;
use super::{Action, Classes, Grant, Settings, Who};
use crate::caller::{Caller, Role};
use crate::classify::OwnRules;
use model::{TableName, Timestamp};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

/// The number of a grant; never used twice on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GrantId(pub u64);

impl fmt::Display for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What an account is: its roles, each with its end, and whether it is disabled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// Its roles; `None`: until taken back.
    pub roles: BTreeMap<Role, Option<Timestamp>>,
    /// Whether it may do nothing at all.
    pub disabled: bool,
}

impl Member {
    /// Somebody with these roles, without an end.
    pub fn with_roles(roles: &[Role]) -> Member {
        Member { roles: roles.iter().map(|role| (*role, None)).collect(), disabled: false }
    }

    /// The roles in force at `now`; none of a disabled account.
    pub fn roles_at(&self, now: Timestamp) -> Vec<Role> {
        let in_force = |until: &Option<Timestamp>| until.is_none_or(|until| now < until);
        let roles = self.roles.iter().filter(|(_, until)| !self.disabled && in_force(until));
        roles.map(|(role, _)| *role).collect()
    }
}

/// One version of who may do what: all grants, who has which roles, and the settings.
///
/// Never changed: a change makes the next version.
#[derive(Clone, Debug)]
pub struct Policy {
    pub(super) version: u64,
    pub(super) since: Timestamp,
    /// The change that made it, or what else did.
    pub(super) made_by: String,
    pub(super) grants: BTreeMap<GrantId, Grant>,
    /// The number of the next grant.
    pub(super) next_grant: u64,
    /// Versions share what they have in common: companies have many accounts.
    pub(super) members: Arc<BTreeMap<String, Member>>,
    pub(super) settings: Settings,
    /// The rules that the company added to the standard ones.
    pub(super) rules: Arc<OwnRules>,
    index: Index,
}

/// The grants of each holder.
#[derive(Clone, Debug, Default)]
struct Index {
    roles: BTreeMap<Role, Vec<GrantId>>,
    people: HashMap<String, Vec<GrantId>>,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy::standard()
    }
}

impl Policy {
    /// What the four roles may do, no account, and the settings of the start.
    pub fn standard() -> Policy {
        let grants: BTreeMap<_, _> = (1..).map(GrantId).zip(standard_grants()).collect();
        let next_grant = grants.len() as u64 + 1;
        Policy::from_parts(PolicyParts {
            version: 1,
            since: Timestamp(0),
            made_by: "standard".to_owned(),
            grants,
            next_grant,
            members: Arc::default(),
            settings: Settings::default(),
            rules: Arc::default(),
        })
    }

    pub(super) fn from_parts(parts: PolicyParts) -> Policy {
        let PolicyParts { version, since, made_by, grants, next_grant, members, settings, rules } =
            parts;
        let mut policy = Policy {
            version,
            since,
            made_by,
            grants,
            next_grant,
            members,
            settings,
            rules,
            index: Index::default(),
        };
        policy.make_index();
        policy
    }

    fn make_index(&mut self) {
        self.index = Index::default();
        for (id, grant) in &self.grants {
            match &grant.who {
                Who::Role(role) => self.index.roles.entry(*role).or_default().push(*id),
                Who::Person(name) => {
                    self.index.people.entry(name.clone()).or_default().push(*id);
                }
            }
        }
    }

    /// Which version; every audit record names it.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// From when on it was in force.
    pub fn since(&self) -> Timestamp {
        self.since
    }

    /// The change that made it, such as `change 12`, or what else did.
    pub fn made_by(&self) -> &str {
        &self.made_by
    }

    /// All grants by number, also those that are over.
    pub fn grants(&self) -> &BTreeMap<GrantId, Grant> {
        &self.grants
    }

    /// All accounts by name.
    pub fn members(&self) -> &BTreeMap<String, Member> {
        &self.members
    }

    /// The settings of the node.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The rules that the company added to the standard ones.
    pub fn rules(&self) -> &Arc<OwnRules> {
        &self.rules
    }

    /// The roles of `person` at `now`; none where there is no such account, or it is disabled.
    pub fn roles_of(&self, person: &str, now: Timestamp) -> Vec<Role> {
        self.members.get(person).map(|member| member.roles_at(now)).unwrap_or_default()
    }

    /// Whether `person` has an account that is not disabled.
    pub fn is_enabled(&self, person: &str) -> bool {
        self.members.get(person).is_some_and(|member| !member.disabled)
    }

    /// Whether grants, accounts, settings and rules are those of `other`, whatever their numbers.
    pub(crate) fn says_the_same_as(&self, other: &Policy) -> bool {
        let terms = |policy: &Policy| policy.grants.values().cloned().collect::<HashSet<Grant>>();
        self.members == other.members
            && self.settings == other.settings
            && self.rules == other.rules
            && self.grants.len() == other.grants.len()
            && terms(self) == terms(other)
    }

    /// Whether `person` has no role and no grant, disabled or not.
    pub fn has_nothing(&self, person: &str) -> bool {
        self.members.get(person).is_none_or(|member| member.roles.is_empty())
            && self.grants_of_person(person).next().is_none()
    }

    /// The people that may do `action` somewhere at `now`.
    pub fn people_who_may(&self, action: Action, now: Timestamp) -> BTreeSet<String> {
        let may = |name: &str| {
            self.grants_held(name, &self.roles_of(name, now))
                .any(|(_, grant)| grant.action.covers(action) && grant.is_in_force(now))
        };
        let people = self.members.iter().filter(|(_, member)| !member.disabled);
        people.map(|(name, _)| name).filter(|name| may(name)).cloned().collect()
    }

    /// The grants of a role, by number.
    pub(crate) fn grants_of_role(&self, role: Role) -> impl Iterator<Item = (GrantId, &Grant)> {
        self.numbered(self.index.roles.get(&role))
    }

    /// The grants given to one person by name.
    pub(crate) fn grants_of_person(&self, name: &str) -> impl Iterator<Item = (GrantId, &Grant)> {
        self.numbered(self.index.people.get(name))
    }

    fn numbered<'a>(
        &'a self,
        ids: Option<&'a Vec<GrantId>>,
    ) -> impl Iterator<Item = (GrantId, &'a Grant)> {
        ids.into_iter().flatten().filter_map(|id| Some((*id, self.grants.get(id)?)))
    }

    /// All people that are given something by name.
    pub(super) fn people_with_grants(&self) -> impl Iterator<Item = &String> {
        self.index.people.keys()
    }

    fn grants_held<'a>(
        &'a self,
        name: &'a str,
        roles: &'a [Role],
    ) -> impl Iterator<Item = (GrantId, &'a Grant)> {
        let by_role = roles.iter().flat_map(|role| self.grants_of_role(*role));
        by_role.chain(self.grants_of_person(name))
    }

    /// The grants that `caller` may use at `now`: of its roles and by its name, in force, and
    /// with terms that the caller's address and stated purpose meet.
    pub(crate) fn grants_for<'a>(
        &'a self,
        caller: &'a Caller,
        now: Timestamp,
    ) -> impl Iterator<Item = (GrantId, &'a Grant)> {
        self.grants_held(caller.name(), caller.roles()).filter(move |(_, grant)| {
            grant.is_in_force(now)
                && grant.networks.has(caller.address())
                && grant.purpose.allows(caller.purpose())
        })
    }

    /// As [`Policy::grants_for`], without regard to address and purpose.
    pub(crate) fn grants_elsewhere<'a>(
        &'a self,
        caller: &'a Caller,
        now: Timestamp,
    ) -> impl Iterator<Item = (GrantId, &'a Grant)> {
        self.grants_held(caller.name(), caller.roles())
            .filter(move |(_, grant)| grant.is_in_force(now))
    }

    /// Whether `caller` may do `action` to `table` at `now`; without a table: to any.
    pub fn may(
        &self,
        caller: &Caller,
        action: Action,
        table: Option<&TableName>,
        now: Timestamp,
    ) -> bool {
        self.grants_for(caller, now).any(|(_, grant)| {
            grant.action.covers(action) && table.is_none_or(|table| grant.tables.has(table))
        })
    }

    /// As [`Policy::may`], but from another network, or for a purpose that is not stated: whether
    /// the caller may know that the table exists.
    pub fn may_elsewhere(
        &self,
        caller: &Caller,
        action: Action,
        table: &TableName,
        now: Timestamp,
    ) -> bool {
        self.grants_elsewhere(caller, now)
            .any(|(_, grant)| grant.action.covers(action) && grant.tables.has(table))
    }

    /// Whether `caller` reads `table`, but not every row of it, from wherever and for whatever.
    pub fn sees_only_some_rows(&self, caller: &Caller, table: &TableName, now: Timestamp) -> bool {
        let mut reading = self
            .grants_elsewhere(caller, now)
            .map(|(_, grant)| grant)
            .filter(|grant| grant.action.is_reading() && grant.tables.has(table))
            .peekable();
        reading.peek().is_some() && reading.all(|grant| !grant.rows.is_all())
    }

    /// Of which classes `caller` may do `action` to `table` (without a table: to any) at `now`, in
    /// some rows at least.
    pub fn classes(
        &self,
        caller: &Caller,
        action: Action,
        table: Option<&TableName>,
        now: Timestamp,
    ) -> Classes {
        self.grants_for(caller, now)
            .filter(|(_, grant)| grant.action.covers(action))
            .filter(|(_, grant)| table.is_none_or(|table| grant.tables.has(table)))
            .flat_map(|(_, grant)| grant.classes.iter())
            .collect()
    }
}

/// Everything in a policy that is no index.
pub(super) struct PolicyParts {
    pub(super) version: u64,
    pub(super) since: Timestamp,
    pub(super) made_by: String,
    pub(super) grants: BTreeMap<GrantId, Grant>,
    pub(super) next_grant: u64,
    pub(super) members: Arc<BTreeMap<String, Member>>,
    pub(super) settings: Settings,
    pub(super) rules: Arc<OwnRules>,
}

/// The steps that a change is made of. Each keeps the version: the next one is given when the
/// whole is written.
impl Policy {
    /// Adds a grant and returns its number.
    pub(crate) fn add_grant(&mut self, grant: Grant) -> GrantId {
        let id = GrantId(self.next_grant);
        self.next_grant += 1;
        self.grants.insert(id, grant);
        self.make_index();
        id
    }

    /// Takes a grant out; false if there is none with this number.
    pub(crate) fn remove_grant(&mut self, id: GrantId) -> bool {
        let was_there = self.grants.remove(&id).is_some();
        self.make_index();
        was_there
    }

    /// What an account is from now on; `None`: there is none.
    pub(crate) fn set_member(&mut self, person: &str, member: Option<Member>) {
        let members = Arc::make_mut(&mut self.members);
        match member {
            Some(member) => members.insert(person.to_owned(), member),
            None => members.remove(person),
        };
    }

    /// The settings, to change them.
    pub(crate) fn settings_mut(&mut self) -> &mut Settings {
        &mut self.settings
    }

    /// The company's own rules from now on.
    pub(crate) fn set_rules(&mut self, rules: OwnRules) {
        self.rules = Arc::new(rules);
    }
}

#[cfg(test)]
impl Policy {
    /// This policy with one more account.
    pub(crate) fn with_member(mut self, person: &str, roles: &[Role]) -> Policy {
        self.set_member(person, Some(Member::with_roles(roles)));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grant::{Networks, Purpose, Tables};
    use expect_test::expect;
    use model::Class;
    use std::fmt::Write;

    #[test]
    fn the_whole_policy() {
        let policy = Policy::standard();
        let mut table = String::new();
        for action in Action::ALL {
            write!(table, "{:14}", action.as_str()).unwrap();
            for role in Role::ALL {
                let caller = Caller::for_test("ada", &[role]);
                let may = policy.may(&caller, action, None, Timestamp(0));
                assert_eq!(caller.may(action, Timestamp(0)), may);
                let classes = policy.classes(&caller, action, None, Timestamp(0));
                let cell = match classes.strictest() {
                    Some(class) => class.as_str(),
                    None if may => "yes",
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
            break_glass   analyst=- engineer=yes guardian=yes administrator=- 
        "#]]
        .assert_eq(&table);
        assert!(policy.grants().values().all(|grant| grant.check().is_ok()));
    }

    #[test]
    fn roles_add_up() {
        let policy = Policy::standard();
        let may = |caller: &Caller, action| policy.may(caller, action, None, Timestamp(0));
        let both = Caller::for_test("ada", &[Role::Analyst, Role::Administrator]);
        assert!(may(&both, Action::Read) && may(&both, Action::ManagePeople));
        assert!(!may(&Caller::for_test("bob", &[]), Action::Count));
    }

    #[test]
    fn a_grant_holds_where_and_when_it_says() {
        let events = TableName::parse("events").unwrap();
        let mut grant = Grant::new(
            Who::Person("bob".into()),
            Tables::Named(events.clone()),
            Action::Count,
            Classes::up_to(Class::Open),
        );
        grant.from = Some(Timestamp(5));
        grant.until = Some(Timestamp(10));
        grant.purpose = Purpose::Stated;
        grant.networks = Networks::among(vec!["192.0.2.0/24".parse().unwrap()]);
        let mut policy = Policy::standard();
        policy.add_grant(grant);
        let stranger = || Caller::for_test("bob", &[]);
        let bob = stranger().at(Some("192.0.2.9".parse().unwrap())).for_purpose("fraud");
        let may = |caller: &Caller, action, table: &TableName, now| {
            policy.may(caller, action, Some(table), Timestamp(now))
        };
        assert!(may(&bob, Action::Count, &events, 5) && may(&bob, Action::Count, &events, 9));
        assert!(!may(&bob, Action::Count, &events, 4) && !may(&bob, Action::Count, &events, 10));
        assert!(!may(&bob, Action::Read, &events, 9));
        assert!(!may(&bob, Action::Count, &TableName::parse("users").unwrap(), 9));
        let other_name = Caller::for_test("eve", &[]).at(bob.address()).for_purpose("fraud");
        assert!(!may(&other_name, Action::Count, &events, 9));
        assert!(!may(&stranger().at(bob.address()), Action::Count, &events, 9), "no purpose");
        assert!(!may(&stranger().for_purpose("x"), Action::Count, &events, 9), "from nowhere");
        let home = stranger().at(Some("198.51.100.1".parse().unwrap())).for_purpose("x");
        assert!(!may(&home, Action::Count, &events, 9));
    }

    #[test]
    fn a_membership_ends() {
        let mut member = Member::with_roles(&[Role::Analyst]);
        member.roles.insert(Role::Guardian, Some(Timestamp(10)));
        let mut policy = Policy::standard();
        policy.set_member("ada", Some(member.clone()));
        assert_eq!(policy.roles_of("ada", Timestamp(9)), [Role::Analyst, Role::Guardian]);
        assert_eq!(policy.roles_of("ada", Timestamp(10)), [Role::Analyst]);
        assert_eq!(policy.people_who_may(Action::Approve, Timestamp(9)).len(), 1);
        assert_eq!(policy.people_who_may(Action::Approve, Timestamp(10)).len(), 0);
        member.disabled = true;
        policy.set_member("ada", Some(member));
        assert!(policy.roles_of("ada", Timestamp(9)).is_empty() && !policy.is_enabled("ada"));
    }
}
