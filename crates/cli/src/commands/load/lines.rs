use super::sender::{Batch, Sender};
use crate::failure::{Doing, Result};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};

/// A longer line is refused: a file without line feeds must not fill the memory.
const LINE_BYTES_MAX: u64 = 64 << 20;

/// Sends one JSON object a line. Empty lines are skipped.
pub(super) fn send(name: &str, input: impl Read, id: Option<&str>, sender: &Sender) -> Result<()> {
    let mut input = BufReader::with_capacity(1 << 20, input);
    let mut batch = Batch::of(name);
    let mut line = Vec::new();
    let mut number = 0;
    loop {
        line.clear();
        let doing = || format!("cannot read `{name}` after line {number}");
        let read = input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line).doing(doing)?;
        if read == 0 {
            break;
        }
        number += 1;
        if read as u64 == LINE_BYTES_MAX && line.last() != Some(&b'\n') {
            sender.refuse(name, number, "longer than 64 MiB");
            skip_line(&mut input).doing(|| format!("cannot read `{name}`"))?;
            continue;
        }
        let text = line.trim_ascii();
        if text.is_empty() {
            continue;
        }
        match check(text, id) {
            Ok(id) => batch.push(number, id.as_deref(), text),
            Err(reason) => sender.refuse(name, number, &reason),
        }
        if batch.is_full() {
            sender.send(batch.take())?;
        }
    }
    sender.send(batch)
}

fn skip_line(input: &mut impl BufRead) -> std::io::Result<()> {
    loop {
        let buffer = input.fill_buf()?;
        if buffer.is_empty() {
            return Ok(());
        }
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let used = end.map_or(buffer.len(), |place| place + 1);
        input.consume(used);
        if end.is_some() {
            return Ok(());
        }
    }
}

/// Whether the line is one JSON object, so that no line can spoil its neighbours; gives its `_id`.
fn check(line: &[u8], id: Option<&str>) -> std::result::Result<Option<String>, String> {
    if line.first() != Some(&b'{') {
        return Err("not a JSON object".to_owned());
    }
    // A reader that ignores what it reads does not look at the bytes of strings either.
    let line = match std::str::from_utf8(line) {
        Ok(line) => line,
        Err(error) => return Err(format!("is no UTF-8 from byte {}", error.valid_up_to() + 1)),
    };
    let Some(id) = id else {
        return match serde_json::from_str::<IgnoredAny>(line) {
            Ok(_) => Ok(None),
            Err(error) => Err(malformed(&error)),
        };
    };
    let members: BTreeMap<String, Member> =
        serde_json::from_str(line).map_err(|error| malformed(&error))?;
    match members.get(id) {
        Some(Member::Text(text)) => Ok(Some(text.clone())),
        Some(Member::Number(number)) => Ok(Some(number.to_string())),
        Some(Member::Other(_)) => Err(format!("`{id}` is neither text nor a number")),
        None => Err(format!("there is no `{id}`")),
    }
}

/// Says where and what, never the text around it.
fn malformed(error: &serde_json::Error) -> String {
    use serde_json::error::Category;
    let what = match error.classify() {
        Category::Eof => "ends too early",
        _ => "is no JSON",
    };
    format!("{what} at column {}", error.column())
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Member {
    Text(String),
    Number(serde_json::Number),
    Other(#[expect(dead_code, reason = "takes what is no id")] Value),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_objects_pass() {
        assert_eq!(check(br#"{"a":1}"#, None), Ok(None));
        for bad in
            [&br#"[1]"#[..], br#"{"a":1"#, br#"{"a":1}{"b":2}"#, b"hello", b"{\"a\":\"\xff\"}"]
        {
            assert!(check(bad, None).is_err());
        }
    }

    #[test]
    fn reasons_carry_no_value() {
        let reason = check(br#"{"email": "ada@example.org", "x": secret}"#, None).unwrap_err();
        assert!(reason.starts_with("is no JSON at column 3"), "{reason}");
    }

    #[test]
    fn the_id_is_text_or_a_number() {
        assert_eq!(check(br#"{"k":"a","v":1}"#, Some("k")), Ok(Some("a".to_owned())));
        assert_eq!(check(br#"{"k":17}"#, Some("k")), Ok(Some("17".to_owned())));
        assert!(check(br#"{"k":[1]}"#, Some("k")).is_err());
        assert!(check(br#"{"v":1}"#, Some("k")).is_err());
    }
}
