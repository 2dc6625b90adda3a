//! What is different at the source from what a file says, and what that means for the copy.

use super::write::told;
use super::{ColumnProposal, Found, Looked, TableProposal, Used};
use crate::file::{ColumnPlan, CopyFile, TablePlan, type_for, type_word};
use engine::Engine;
use model::Class;
use serde_json::{Value as Json, json};
use std::fmt;

/// Something that is at the source otherwise than a copy file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// `table_new`, `table_gone`, `column_new`, `column_gone`, `column_retyped` or `key_changed`.
    pub what: &'static str,
    /// The table, as the source calls it.
    pub table: String,
    /// The column; empty where it is about the table.
    pub column: String,
    /// The type or key when it was planned; empty if it was not there.
    pub was: String,
    /// The type or key now; empty if it is not there.
    pub is: String,
    /// What it means for the copy, and what to do.
    pub means: String,
}

impl Difference {
    /// As the API shows it.
    pub fn to_json(&self) -> Json {
        json!({
            "what": self.what,
            "table": self.table,
            "column": self.column,
            "was": self.was,
            "is": self.is,
            "means": self.means,
            "text": self.to_string(),
        })
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { table, column, was, is, means, .. } = self;
        match self.what {
            "table_new" => write!(f, "table `{table}` is new")?,
            "table_gone" => write!(f, "table `{table}` is gone")?,
            "key_changed" => write!(f, "the key of `{table}` was ({was}) and is ({is})")?,
            "column_new" => write!(f, "column `{column}` of `{table}` is new ({is})")?,
            "column_gone" => write!(f, "column `{column}` of `{table}` is gone")?,
            _ => write!(f, "column `{column}` of `{table}` was {was} and is {is}")?,
        }
        write!(f, ": {means}")
    }
}

/// All differences, table by table as the file has them, then the tables that are new.
pub(super) fn differences(
    engine: &Engine,
    file: &CopyFile,
    found: &Found,
    proposals: &[TableProposal],
) -> Vec<Difference> {
    let mut all = Vec::new();
    for plan in &file.tables {
        let looked = found.looked.iter().find(|looked| looked.table.name == plan.from);
        let proposal = proposals.iter().find(|proposal| proposal.from == plan.from);
        let of_table = Of { engine, plan };
        match looked.zip(proposal) {
            Some((looked, proposal)) => of_table.compare(looked, proposal, &mut all),
            None => all.push(of_table.difference(
                "table_gone",
                "",
                "the copy pauses when it starts again: take it out of the file, or let the account \
                 read it"
                    .to_owned(),
            )),
        }
    }
    let others = found.others.iter().map(|other| Difference {
        what: "table_new",
        table: other.name.clone(),
        column: String::new(),
        was: String::new(),
        is: String::new(),
        means:
            "nothing of it is copied until a signed file names it; if it shall stay so, name it \
                in `left_out` of the file"
                .to_owned(),
    });
    all.extend(others);
    all
}

/// One table of the file.
struct Of<'a> {
    engine: &'a Engine,
    plan: &'a TablePlan,
}

impl Of<'_> {
    fn difference(&self, what: &'static str, column: &str, means: String) -> Difference {
        Difference {
            what,
            table: self.plan.from.clone(),
            column: column.to_owned(),
            was: String::new(),
            is: String::new(),
            means,
        }
    }

    fn compare(&self, looked: &Looked, proposal: &TableProposal, all: &mut Vec<Difference>) {
        let plan = self.plan;
        let found = looked.columns();
        let key = &looked.table.key;
        if let Some(planned) = plan.key.as_ref().filter(|planned| *planned != key)
            && !looked.layout.documents
        {
            let means = "rows are still named as the file says: if those columns do not tell rows \
                         apart any more, change `key` and copy into another table";
            let (was, is) = (planned.join(", "), key.join(", "));
            let difference = self.difference("key_changed", "", means.to_owned());
            all.push(Difference { was, is, ..difference });
        }
        for column in found {
            let is_left_out = plan.left_out.iter().any(|(name, _)| *name == column.name);
            let planned = plan.columns.iter().find(|p| p.from == column.name && p.value.is_none());
            let is = column.native.clone();
            if let Some(planned) = planned {
                let was = planned.at_source.clone().filter(|was| *was != is);
                let Some(was) = was else { continue };
                let means = self.retyped(planned, column.ty);
                let difference = self.difference("column_retyped", &column.name, means);
                all.push(Difference { was, is, ..difference });
            } else if !is_left_out {
                let proposed = proposal.columns.iter().find(|one| one.name == column.name);
                let means = came(proposed);
                all.push(Difference { is, ..self.difference("column_new", &column.name, means) });
            }
        }
        for planned in plan.columns.iter().filter(|planned| planned.value.is_none()) {
            // A field of documents may be there without being declared.
            let is_there = found.iter().any(|column| column.name == planned.from)
                || (looked.layout.documents && planned.at_source.is_none());
            if !is_there {
                let was = planned.at_source.clone().unwrap_or_default();
                let means = self.gone(&planned.from);
                let difference = self.difference("column_gone", &planned.from, means);
                all.push(Difference { was, ..difference });
            }
        }
    }

    fn gone(&self, column: &str) -> String {
        let plan = self.plan;
        let names = |name: &String| name == column;
        if plan.key.as_ref().is_some_and(|key| key.iter().any(names)) {
            return "it names the rows, so the copy pauses: give another `key`".to_owned();
        }
        let needs = |written: &crate::file::Written| written.expression.columns().contains(&column);
        if plan.filter.as_ref().is_some_and(needs) {
            return "`where` needs it, and from now on sees nothing there: change `where`"
                .to_owned();
        }
        let made = plan.columns.iter().find(|made| made.value.as_ref().is_some_and(needs));
        if let Some(made) = made {
            return format!("`{}` is made of it, and new rows come without: change it", made.from);
        }
        "what was copied of it stays, and new rows come without: take it out of the file".to_owned()
    }

    fn retyped(&self, planned: &ColumnPlan, now: crate::ColumnType) -> String {
        let ty = planned.ty.unwrap_or_else(|| type_for(now));
        let word = type_word(ty);
        match self.engine.copied_field_type(&self.plan.to, planned.to.as_str()) {
            Some(stored) if stored != ty => format!(
                "it would be {word}, and `{}` of `{}` is {} and stays so: values that do not fit are \
                 left out and counted; write `type: {}` if that is meant, or `to` with another name",
                planned.to,
                self.plan.to,
                type_word(stored),
                type_word(stored),
            ),
            _ => format!("its values come as {word}, as before"),
        }
    }
}

/// What becomes of a column that the file does not name.
fn came(proposed: Option<&ColumnProposal>) -> String {
    let Some(proposed) = proposed else {
        return "withheld: sealed and unread until a guardian rules, or a signed file names it"
            .to_owned();
    };
    if proposed.class == Some(Class::Secret) {
        return format!("a credential ({}): none of its values is stored", proposed.reason);
    }
    let used = match &proposed.used {
        Used::By(users) if !users.is_empty() => format!("; used by {}", users.join(", ")),
        _ => String::new(),
    };
    format!(
        "withheld: sealed and unread until a guardian rules, or a signed file names it; proposed \
         is {}{used}",
        told(proposed)
    )
}
