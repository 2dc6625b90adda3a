use model::{Class, Field, StoredType, Table};

/// Kinds of personal fields, those that stand for a person before those that stand for a thing.
const KINDS: [&str; 9] =
    ["user", "account", "email", "phone", "name", "device", "mac", "session", "ip"];

/// The field that says whom a row is about: the one with the most telling kind; of several the
/// first. `None` if no field names anybody.
pub fn subject_field(table: &Table) -> Option<&Field> {
    let rank = |field: &Field| {
        let is_keyed = !field.withheld && column_of(field).is_some();
        is_keyed.then(|| KINDS.iter().position(|known| *known == field.kind))?
    };
    let ranked = table.schema.fields().iter().filter_map(|field| Some((rank(field)?, field)));
    ranked.min_by_key(|(rank, _)| *rank).map(|(_, field)| field)
}

/// The column in which each distinct value of [`subject_field`] stands once: the field, or its
/// companion `NAME.keyword`, as fields have it that nobody declared.
pub fn subject_column(table: &Table) -> Option<String> {
    subject_field(table).and_then(column_of)
}

fn column_of(field: &Field) -> Option<String> {
    let name = field.name.as_str();
    match field.stored() {
        StoredType::Keyword => Some(name.to_owned()),
        StoredType::Text if field.class == Some(Class::Personal) => {
            field.keyword_up_to.map(|_| format!("{name}.keyword"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{FieldName, FieldType, Intake, Schema, TableId, TableKind, TableName};

    fn table(fields: &[(&str, &str, FieldType, Option<u32>)]) -> Table {
        let field = |&(name, kind, ty, keyword_up_to): &(&str, &str, FieldType, Option<u32>)| {
            let mut field = Field::new(FieldName::parse(name).unwrap(), ty, "text");
            field.class = Some(Class::Personal);
            kind.clone_into(&mut field.kind);
            field.keyword_up_to = keyword_up_to;
            field
        };
        Table {
            id: TableId(1),
            name: TableName::parse("events").unwrap(),
            kind: TableKind::Events,
            intake: Intake::Classified,
            time_field: None,
            sort: None,
            retention_ms: None,
            dynamic: true,
            schema: Schema::from_fields(fields.iter().map(field).collect()),
        }
    }

    #[test]
    fn a_person_comes_before_a_thing() {
        let keyword = FieldType::Keyword;
        let of = |fields: &[(&str, &str, FieldType, Option<u32>)]| subject_column(&table(fields));
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("a", "ssid", keyword, None)]), None);
        let two = [("box", "device", keyword, None), ("who", "user", keyword, None)];
        assert_eq!(of(&two).as_deref(), Some("who"));
        let undeclared = [("mail", "email", FieldType::Text, Some(256))];
        assert_eq!(of(&undeclared).as_deref(), Some("mail.keyword"));
        let words = [("mail", "email", FieldType::Text, None), ("ip", "ip", keyword, None)];
        assert_eq!(of(&words).as_deref(), Some("ip"), "what cannot be told apart is no subject");
    }
}
