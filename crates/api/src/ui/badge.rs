//! Classes, as people see them on every page: the same word in the same colour.

use maud::{Markup, html};
use model::{Class, Field, FieldType, Table};

/// What a class means, in one sentence.
pub(super) fn meaning(class: Class) -> &'static str {
    match class {
        Class::Open => "A business fact. Stored as it is.",
        Class::Personal => {
            "Says who somebody is. Stored as a keyed pseudonym; the value itself is not here."
        }
        Class::Special => {
            "Body, health, precise place. Sealed value by value; only counted in groups."
        }
        Class::Secret => "A credential. Never stored; a keyed tag stands in its place.",
    }
}

/// The badge of a class.
pub(super) fn class(class: Class) -> Markup {
    let word = class.as_str();
    html! { span class={ "badge class-" (word) } title=(meaning(class)) { (word) } }
}

/// The badges of a field, also when it is held back or nobody has ruled yet.
pub(super) fn field(field: &Field) -> Markup {
    html! {
        @match field.class {
            Some(ruled) => (class(ruled)),
            None => span.badge.class-none title="No value was seen yet, so nothing is ruled." { "not ruled" },
        }
        @if field.withheld {
            " " span.badge.class-withheld title="Sealed and unread until a guardian rules on it." { "withheld" }
        }
    }
}

/// The badge of a field where space is short: nothing for open ones.
pub(super) fn field_if_protected(of: &Field) -> Markup {
    let is_open = matches!(of.class, None | Some(Class::Open)) && !of.withheld;
    html! { @if !is_open { (field(of)) } }
}

/// The sign of a field's type.
pub(super) fn type_sign(ty: FieldType) -> Markup {
    let (sign, word) = match ty {
        FieldType::Keyword => ("k", "keyword"),
        FieldType::Text => ("t", "text"),
        FieldType::Long | FieldType::Double => ("#", "number"),
        FieldType::Boolean => ("?", "boolean"),
        FieldType::Date => ("d", "date"),
        FieldType::Ip => ("ip", "IP address"),
        FieldType::GeoPoint => ("geo", "position"),
    };
    html! { span.type-sign title=(word) aria-label=(word) role="img" { (sign) } }
}

/// How many fields have which class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ClassCounts {
    pub(super) open: u64,
    pub(super) personal: u64,
    pub(super) special: u64,
    pub(super) secret: u64,
    pub(super) unruled: u64,
    pub(super) withheld: u64,
}

impl ClassCounts {
    /// Counts the fields of these tables.
    pub(super) fn of<'a>(tables: impl IntoIterator<Item = &'a Table>) -> ClassCounts {
        let mut counts = ClassCounts::default();
        for field in tables.into_iter().flat_map(|table| table.schema.fields()) {
            *match field.class {
                _ if field.withheld => &mut counts.withheld,
                None => &mut counts.unruled,
                Some(Class::Open) => &mut counts.open,
                Some(Class::Personal) => &mut counts.personal,
                Some(Class::Special) => &mut counts.special,
                Some(Class::Secret) => &mut counts.secret,
            } += 1;
        }
        counts
    }

    /// How many of this class are ruled and not withheld.
    pub(super) fn class(&self, class: Class) -> u64 {
        match class {
            Class::Open => self.open,
            Class::Personal => self.personal,
            Class::Special => self.special,
            Class::Secret => self.secret,
        }
    }

    /// All fields.
    pub(super) fn all(&self) -> u64 {
        self.open + self.personal + self.special + self.secret + self.unruled + self.withheld
    }

    /// A bar of the classes, each as wide as it has fields.
    pub(super) fn bar(&self) -> Markup {
        let parts = [
            (self.open, "open"),
            (self.personal, "personal"),
            (self.special, "special"),
            (self.secret, "secret"),
            (self.withheld, "withheld"),
            (self.unruled, "none"),
        ];
        let all = self.all().max(1);
        let mut at = 0;
        let mut bars = Vec::new();
        for (fields, word) in parts.into_iter().filter(|(fields, _)| *fields > 0) {
            bars.push((at * 1000 / all, (fields * 1000 / all).max(4), word));
            at += fields;
        }
        html! {
            svg.class-bar viewBox="0 0 1000 8" preserveAspectRatio="none" aria-hidden="true" focusable="false" {
                @for (x, width, word) in bars {
                    rect class={ "fill-" (word) } x=(x) y="0" height="8" width=(width) {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::FieldName;

    #[test]
    fn every_class_has_its_badge() {
        let mut field =
            Field::new(FieldName::parse("user.email").unwrap(), FieldType::Keyword, "keyword");
        assert!(super::field(&field).into_string().contains("not ruled"));
        assert_eq!(field_if_protected(&field).into_string(), "");
        for ruled in Class::ALL {
            field.class = Some(ruled);
            assert!(super::field(&field).into_string().contains(ruled.as_str()));
        }
        field.withheld = true;
        assert!(field_if_protected(&field).into_string().contains("withheld"));
    }
}
