//! What changed about the columns of a table, in words for a person.

use crate::SourceColumn;

/// What a person is told when the columns of a table are not what they were; nothing if only their
/// order changed.
pub(crate) fn changes(before: &[SourceColumn], after: &[SourceColumn]) -> Vec<String> {
    let of = |columns: &[SourceColumn], name: &str| {
        columns.iter().find(|column| column.name == name).cloned()
    };
    let mut told = Vec::new();
    for column in after {
        match of(before, &column.name) {
            None => told.push(format!("column {} was added ({})", column.name, column.native)),
            Some(old) if old.native != column.native => told.push(format!(
                "column {} was {} and is {}",
                column.name, old.native, column.native
            )),
            Some(_) => {}
        }
    }
    let gone = before.iter().filter(|column| of(after, &column.name).is_none());
    told.extend(gone.map(|column| format!("column {} was dropped", column.name)));
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ColumnType;

    #[test]
    fn every_change_is_told() {
        let column = |name: &str, native: &str| SourceColumn {
            name: name.to_owned(),
            ty: ColumnType::Keyword,
            native: native.to_owned(),
        };
        let before = [column("a", "int"), column("b", "text"), column("c", "text")];
        let after = [column("b", "text"), column("a", "bigint"), column("d", "date")];
        assert_eq!(
            changes(&before, &after),
            ["column a was int and is bigint", "column d was added (date)", "column c was dropped"]
        );
        assert!(changes(&before, &before).is_empty());
    }
}
