//! What of a page's address is kept.

use crate::error::ApiError;
use crate::request::Request;
use crate::ui::form::{Form, asked};
use crate::ui::link::Link;
use engine::Saved;
use maud::{Markup, html};
use serde_json::{Value, json};
use std::fmt;

/// The parameters of the search page that make up a question.
const SEARCH: &[&str] = &["table", "q", "columns", "sort", "from", "to"];
/// Those of the SQL page.
const SQL: &[&str] = &["q"];

/// A question as its page's address has it.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::ui) struct Kept {
    page: &'static str,
    params: Vec<(&'static str, String)>,
}

impl fmt::Debug for Kept {
    /// Without what was typed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kept({}, {} parameters)", self.page, self.params.len())
    }
}

impl Kept {
    /// The question of the search page, in this table.
    pub(in crate::ui) fn of_search(request: &Request, table: &str) -> Kept {
        let mut params = vec![("table", table.to_owned())];
        for name in SEARCH.iter().filter(|name| **name != "table") {
            params.extend(asked(request, name).map(|value| (*name, value.to_owned())));
        }
        Kept { page: "search", params }
    }

    /// A statement of the SQL page.
    pub(in crate::ui) fn of_sql(statement: &str) -> Kept {
        Kept { page: "sql", params: vec![("q", statement.to_owned())] }
    }

    /// What a form of [`Kept::fields`] sends.
    ///
    /// # Errors
    /// If it names no page.
    pub(in crate::ui) fn of_form(form: &Form) -> Result<Kept, ApiError> {
        let (page, names) = page(form.text("page"))
            .ok_or_else(|| ApiError::illegal_argument("[page] is `search` or `sql`"))?;
        let given = names.iter().filter_map(|name| Some((*name, form.word(name)?.to_owned())));
        Ok(Kept { page, params: given.collect() })
    }

    /// What was kept.
    pub(in crate::ui) fn of(saved: &Saved) -> Kept {
        let (page, names) =
            page(saved.body["page"].as_str().unwrap_or_default()).unwrap_or(("search", SEARCH));
        let params = saved.body["params"].as_array().map(Vec::as_slice).unwrap_or_default();
        let value = |name: &str| {
            let found = params.iter().rev().find(|param| param[0] == name)?;
            found[1].as_str().filter(|value| !value.is_empty()).map(str::to_owned)
        };
        let params = names.iter().filter_map(|name| Some((*name, value(name)?))).collect();
        Kept { page, params }
    }

    /// The content of a saved object.
    pub(in crate::ui) fn body(&self) -> Value {
        let params: Vec<Value> =
            self.params.iter().map(|(name, value)| json!([name, value])).collect();
        json!({ "page": self.page, "params": params })
    }

    /// The page that asks it.
    pub(in crate::ui) fn link(&self) -> Link {
        let path = if self.is_sql() { "/_ui/sql" } else { "/_ui/search" };
        self.params
            .iter()
            .fold(Link::to(path), |link, (name, value)| link.with(name, value.as_str()))
    }

    /// The hidden fields of a form that sends it.
    pub(in crate::ui) fn fields(&self) -> Markup {
        html! {
            input type="hidden" name="page" value=(self.page);
            @for (name, value) in &self.params { input type="hidden" name=(name) value=(value); }
        }
    }

    /// Whether it is a statement.
    pub(in crate::ui) fn is_sql(&self) -> bool {
        self.page == "sql"
    }

    /// One of its parameters; empty if it has none of this name.
    pub(in crate::ui) fn param(&self, name: &str) -> &str {
        self.params.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value.as_str())
    }
}

fn page(name: &str) -> Option<(&'static str, &'static [&'static str])> {
    match name {
        "search" => Some(("search", SEARCH)),
        "sql" => Some(("sql", SQL)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::SavedKind;
    use model::Timestamp;

    fn saved(body: Value) -> Saved {
        Saved {
            kind: SavedKind::Search,
            id: "0".to_owned(),
            owner: "ann".to_owned(),
            is_shared: false,
            name: "n".to_owned(),
            description: String::new(),
            body,
            version: 1,
            at: Timestamp(0),
            history: Vec::new(),
        }
    }

    #[test]
    fn what_was_kept_comes_back() {
        let params = vec![("table", "logs".to_owned()), ("q", "a:\"b c\"".to_owned())];
        let kept = Kept { page: "search", params };
        assert_eq!(Kept::of(&saved(kept.body())), kept);
        assert_eq!(kept.link().to_string(), "/_ui/search?table=logs&q=a:%22b%20c%22");
        let sql = Kept::of_sql("SELECT 1");
        assert_eq!(Kept::of(&saved(sql.body())), sql);
        assert_eq!(sql.link().to_string(), "/_ui/sql?q=SELECT%201");
    }

    #[test]
    fn nothing_but_the_question_is_kept() {
        let body = json!({ "params": [["table", "t"], ["saved", "x"], ["q", "a"], ["q", "b"], ["sort", ""]] });
        let kept = Kept::of(&saved(body));
        assert_eq!((kept.param("q"), kept.param("sort"), kept.param("saved")), ("b", "", ""));
        assert_eq!(kept.link().to_string(), "/_ui/search?table=t&q=b");
        let form = |page: &str| {
            Form::of(vec![("page".to_owned(), page.to_owned()), ("q".to_owned(), " x ".to_owned())])
        };
        assert_eq!(Kept::of_form(&form("sql")).unwrap(), Kept::of_sql("x"));
        assert!(Kept::of_form(&form("audit")).is_err());
    }
}
