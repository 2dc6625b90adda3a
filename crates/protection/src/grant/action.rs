use std::fmt;

/// What somebody wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// How many rows.
    Count,
    /// Groups and measures, no row.
    Aggregate,
    /// Rows.
    Read,
    /// Rows in bulk, to be kept elsewhere.
    Export,
    /// Documents in, changed or removed.
    Write,
    /// Make a table or add to its mapping.
    CreateTable,
    /// Drop a table.
    DropTable,
    /// Say what class a field has.
    Rule,
    /// Be the second person.
    Approve,
    /// Read the audit record.
    Audit,
    /// Work on an incident.
    Incident,
    /// Make, change and disable accounts.
    ManagePeople,
    /// See and revoke the API keys of others.
    ManageKeys,
    /// Declare or change a metric.
    DefineMetric,
    /// Take a reading grant alone, for one hour, while everybody is told.
    BreakGlass,
}

impl Action {
    /// All actions, in the order of the manual.
    pub const ALL: [Action; 15] = [
        Action::Count,
        Action::Aggregate,
        Action::Read,
        Action::Export,
        Action::Write,
        Action::CreateTable,
        Action::DropTable,
        Action::Rule,
        Action::Approve,
        Action::Audit,
        Action::Incident,
        Action::ManagePeople,
        Action::ManageKeys,
        Action::DefineMetric,
        Action::BreakGlass,
    ];

    /// The actions that give out stored values, each covering those before it.
    pub const READING: [Action; 4] =
        [Action::Count, Action::Aggregate, Action::Read, Action::Export];

    /// The word that people type and read.
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Count => "count",
            Action::Aggregate => "aggregate",
            Action::Read => "read",
            Action::Export => "export",
            Action::Write => "write",
            Action::CreateTable => "create_table",
            Action::DropTable => "drop_table",
            Action::Rule => "rule",
            Action::Approve => "approve",
            Action::Audit => "audit",
            Action::Incident => "incident",
            Action::ManagePeople => "manage_people",
            Action::ManageKeys => "manage_keys",
            Action::DefineMetric => "define_metric",
            Action::BreakGlass => "break_glass",
        }
    }

    /// The action with this word.
    pub fn parse(word: &str) -> Option<Action> {
        Action::ALL.into_iter().find(|action| action.as_str() == word)
    }

    /// Whether stored values come out, in whatever form.
    pub fn is_reading(self) -> bool {
        Action::READING.contains(&self)
    }

    /// Whether whoever may do this may also do `other`.
    pub fn covers(self, other: Action) -> bool {
        self == other || (self.is_reading() && other.is_reading() && self >= other)
    }

    /// The greatest action that both cover.
    pub(super) fn meet(self, other: Action) -> Option<Action> {
        if self.covers(other) {
            Some(other)
        } else if other.covers(self) {
            Some(self)
        } else {
            None
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_back() {
        for action in Action::ALL {
            assert_eq!(Action::parse(action.as_str()), Some(action));
        }
        assert_eq!(Action::parse("fly"), None);
    }

    #[test]
    fn only_reading_is_a_ladder() {
        assert!(Action::Export.covers(Action::Count) && !Action::Count.covers(Action::Aggregate));
        assert!(!Action::Export.covers(Action::Write) && !Action::BreakGlass.covers(Action::Read));
        assert_eq!(Action::Read.meet(Action::Count), Some(Action::Count));
        assert_eq!(Action::Write.meet(Action::Rule), None);
    }
}
