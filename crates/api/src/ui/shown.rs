//! Answers of the engine, as pages read them: texts, numbers and times out of JSON.

use maud::{Markup, html};
use serde_json::Value;

/// A text; empty where there is none.
pub(super) fn text<'a>(of: &'a Value, name: &str) -> &'a str {
    of[name].as_str().unwrap_or("")
}

/// A whole number; 0 where there is none.
pub(super) fn whole(of: &Value, name: &str) -> u64 {
    of[name].as_u64().unwrap_or(0)
}

/// The entries of a list; none where there is no list.
pub(super) fn list<'a>(of: &'a Value, name: &str) -> &'a [Value] {
    of[name].as_array().map_or(&[], Vec::as_slice)
}

/// The texts of a list.
pub(super) fn texts<'a>(of: &'a Value, name: &str) -> Vec<&'a str> {
    list(of, name).iter().filter_map(Value::as_str).collect()
}

/// `2026-11-23T08:00:07.123Z` as `2026-11-23 08:00:07`, whole where the pointer rests on it.
pub(super) fn time(rfc3339: &str) -> Markup {
    let short = rfc3339.get(..19).map_or_else(|| rfc3339.to_owned(), |cut| cut.replace('T', " "));
    html! { time.nowrap datetime=(rfc3339) title=(rfc3339) { (short) } }
}

/// A sentence of the engine with its times as short as people need them: exact ones stand where
/// somebody decides.
pub(super) fn with_short_times(sentence: &str) -> String {
    let short = |word: &str| match (word.get(..16), word.as_bytes()) {
        (Some(minute), [.., b'Z']) if minute.as_bytes()[10] == b'T' => minute.replace('T', " "),
        _ => word.to_owned(),
    };
    let shorten = |word: &str| {
        let end = word.trim_end_matches([',', ';', '.']).len();
        format!("{}{}", short(&word[..end]), &word[end..])
    };
    sentence.split(' ').map(shorten).collect::<Vec<String>>().join(" ")
}

/// `read_intent` as people say it.
pub(super) fn words(word: &str) -> String {
    word.replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_missing_is_empty() {
        let answer = json!({ "who": "ada", "rows": 3, "tables": ["a", 1, "b"] });
        assert_eq!((text(&answer, "who"), text(&answer, "what")), ("ada", ""));
        assert_eq!((whole(&answer, "rows"), whole(&answer, "who")), (3, 0));
        assert_eq!(texts(&answer, "tables"), ["a", "b"]);
        assert!(list(&answer, "who").is_empty());
    }

    #[test]
    fn times_are_short() {
        assert!(time("2026-11-23T08:00:07.123Z").into_string().contains(">2026-11-23 08:00:07<"));
        assert!(time("soon").into_string().contains(">soon<"));
        assert_eq!(words("read_intent"), "read intent");
        let sentence = "read, until 2026-12-23T18:42:15.441Z; aggregate Tables-of-Zürich Z";
        let short = "read, until 2026-12-23 18:42; aggregate Tables-of-Zürich Z";
        assert_eq!(with_short_times(sentence), short);
    }
}
