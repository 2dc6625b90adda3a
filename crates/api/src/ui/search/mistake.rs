//! What is wrong with a question, shown under the word that it is wrong with.

use maud::{Markup, html};

/// Where a message of the query language says that the mistake is.
const AT: &str = "(at character ";

/// The question with the wrong word marked, and what is wrong; nothing if no word is to blame.
pub(super) fn under_the_word(query: &str, reason: &str) -> Option<Markup> {
    let (start, end) = place(query, reason)?;
    let (before, rest) = query.split_at(start);
    let (word, after) = rest.split_at(end - start);
    let shown = if word.is_empty() { " " } else { word };
    Some(html! {
        div.mistake #query-mistake data-state="bad" role="alert" {
            pre.mistake-query { (before) mark.mistake-word { (shown) } (after) }
            p.mistake-why { (why(reason)) }
        }
    })
}

/// The bytes of the query that are wrong: from the character that the message names to the end of
/// its word, or the longest part of the query that the message quotes.
fn place(query: &str, reason: &str) -> Option<(usize, usize)> {
    if let Some(at) = reason.rsplit_once(AT).and_then(|(_, rest)| rest.strip_suffix(')')) {
        let at: usize = at.parse().ok()?;
        let start = query.char_indices().nth(at.checked_sub(1)?);
        let start = start.map_or(query.len(), |(start, _)| start);
        let word = query[start..].find(|c: char| c.is_whitespace()).unwrap_or(query.len() - start);
        return Some((start, start + word));
    }
    let quoted = reason.split(['[', ']', '"']).skip(1).step_by(2);
    let in_query = quoted.filter_map(|part| Some((query.rfind(part)?, part.len())));
    let longest = in_query.filter(|(_, length)| *length > 0).max_by_key(|(_, length)| *length);
    longest.map(|(start, length)| (start, start + length))
}

/// The message without what the marked word says already.
fn why(reason: &str) -> String {
    let text = reason.rsplit_once(AT).map_or(reason, |(text, _)| text).trim_end();
    let text =
        match text.strip_prefix("Failed to parse query [").and_then(|rest| rest.rsplit_once("]: "))
        {
            Some((_, why)) => why,
            None => text,
        };
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_uppercase().chain(chars).collect::<String>());
    first.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(query: &str, reason: &str) -> Option<String> {
        place(query, reason).map(|(start, end)| query[start..end].to_owned())
    }

    #[test]
    fn the_wrong_word_is_found() {
        let lexed =
            "Failed to parse query [kind:a AND (b]: missing closing parenthesis (at character 8)";
        assert_eq!(marked("kind:a AND (b", lexed).as_deref(), Some("AND"));
        assert_eq!(why(lexed), "Missing closing parenthesis");
        assert_eq!(marked("ä b)", "x (at character 4)").as_deref(), Some(")"));
        assert_eq!(marked("a AND", "x (at character 6)").as_deref(), Some(""), "the end");
        assert_eq!(marked("a", "x (at character 60)").as_deref(), Some(""));
        let typed = "failed to parse field [n] of type [long]: [many] is no number";
        assert_eq!(marked("kind:a AND n:many", typed).as_deref(), Some("many"));
        let number = "failed to create query: For input string: \"abc\"";
        assert_eq!(marked("n:abc", number).as_deref(), Some("abc"));
        assert_eq!(marked("x", "the audit record cannot be written"), None);
        assert!(
            under_the_word("a )", "x (at character 3)").unwrap().into_string().contains("<mark")
        );
    }
}
