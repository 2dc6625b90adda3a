//! What the statements of a binary log mean to one who follows rows.

/// What a statement does to transactions, tables or rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Statement {
    /// A transaction begins, and ends with another statement or an event.
    Begin,
    /// It belongs to one that was begun.
    Within,
    /// It ends.
    End,
    /// One in two phases, prepared earlier under this name, is kept or taken back.
    Decided { xid: String, is_kept: bool },
    /// A table is emptied.
    Truncate(String),
    /// Tables or columns change; `begins` if rows follow.
    Shape { begins: bool },
    /// It changes rows, and the log does not say which.
    Rows,
    /// Nothing that concerns us.
    Other,
}

impl Statement {
    pub(super) fn of(text: &str) -> Statement {
        let words = words(text);
        let word = |place: usize| words.get(place).map_or("", String::as_str);
        let is = |place: usize, other: &str| word(place).eq_ignore_ascii_case(other);
        match word(0).to_ascii_uppercase().as_str() {
            "BEGIN" => Statement::Begin,
            "XA" if is(1, "START") || is(1, "BEGIN") => Statement::Begin,
            "XA" if is(1, "COMMIT") || is(1, "ROLLBACK") => {
                let xid = word(2).to_ascii_lowercase();
                Statement::Decided { xid, is_kept: is(1, "COMMIT") }
            }
            "XA" | "SAVEPOINT" => Statement::Within,
            // `ROLLBACK TO` a savepoint.
            "ROLLBACK" if words.len() > 1 => Statement::Within,
            "COMMIT" | "ROLLBACK" => Statement::End,
            "TRUNCATE" => {
                let table = if is(1, "TABLE") { word(2) } else { word(1) };
                Statement::Truncate(table.to_owned())
            }
            "ALTER" | "CREATE" | "DROP" | "RENAME" => {
                Statement::Shape { begins: text.trim_end().ends_with("START TRANSACTION") }
            }
            "INSERT" | "UPDATE" | "DELETE" | "REPLACE" | "LOAD" | "WITH" => Statement::Rows,
            _ => Statement::Other,
        }
    }
}

/// The name of a prepared transaction as `XA COMMIT` says it, from the event that prepared it:
/// whether it is committed already (1 byte), format (4), two lengths (4 each), that many bytes.
/// `None` as name if it is committed already.
pub(super) fn prepared(event: &[u8]) -> Option<Option<String>> {
    let number = |at: usize| Some(u32::from_le_bytes(event.get(at..at + 4)?.try_into().ok()?));
    if *event.first()? != 0 {
        return Some(None);
    }
    let (format, first, second) = (number(1)?, number(5)? as usize, number(9)? as usize);
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let first_part = hex(event.get(13..13 + first)?);
    let second_part = hex(event.get(13 + first..13 + first + second)?);
    Some(Some(format!("x'{first_part}',x'{second_part}',{format}")))
}

/// The first words of a statement, without comments and quotes.
fn words(statement: &str) -> Vec<String> {
    let mut rest = statement.trim_start();
    loop {
        if let Some(comment) = rest.strip_prefix("/*") {
            rest = comment.split_once("*/").map_or("", |(_, rest)| rest).trim_start();
        } else if rest.starts_with("--") || rest.starts_with('#') {
            rest = rest.split_once('\n').map_or("", |(_, rest)| rest).trim_start();
        } else {
            break;
        }
    }
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    let mut in_quotes = false;
    for character in rest.chars() {
        match character {
            '`' => in_quotes = !in_quotes,
            _ if in_quotes => word.push(character),
            ';' => break,
            _ if character.is_whitespace() || character == '(' => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                if words.len() == 4 {
                    break;
                }
            }
            _ => word.push(character),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_told_apart() {
        let of = Statement::of;
        let truncate = |table: &str| Statement::Truncate(table.to_owned());
        assert_eq!(of("/* app */ truncate  table `a b`"), truncate("a b"));
        assert_eq!(of("TRUNCATE shop.t;"), truncate("shop.t"));
        assert_eq!(of("-- x\nALTER TABLE t(a)"), Statement::Shape { begins: false });
        let with_rows = "CREATE TABLE `t` (\n  `id` int\n) START TRANSACTION";
        assert_eq!(of(with_rows), Statement::Shape { begins: true });
        assert_eq!(of("BEGIN"), Statement::Begin);
        assert_eq!(of("SAVEPOINT a"), Statement::Within);
        assert_eq!(of("ROLLBACK TO `a`"), Statement::Within);
        assert_eq!(of("ROLLBACK"), Statement::End);
        assert_eq!(of("COMMIT"), Statement::End);
        assert_eq!(of("insert into t values (1)"), Statement::Rows);
        assert_eq!(of("FLUSH TABLES"), Statement::Other);
        assert_eq!(of(""), Statement::Other);
    }

    #[test]
    fn transactions_in_two_phases_have_one_name() {
        let of = Statement::of;
        assert_eq!(of("XA START X'61',X'',1"), Statement::Begin);
        assert_eq!(of("XA END X'61',X'',1"), Statement::Within);
        let mut event = vec![0, 1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0];
        event.extend(b"a/b");
        let xid = prepared(&event).unwrap().unwrap();
        let decided = Statement::Decided { xid: xid.clone(), is_kept: true };
        assert_eq!(of("XA COMMIT X'612f',X'62',1"), decided);
        assert_eq!(of("XA ROLLBACK X'612f',X'62',1"), Statement::Decided { xid, is_kept: false });
        event[0] = 1;
        assert_eq!(prepared(&event), Some(None), "committed in one phase");
        assert_eq!(prepared(&[0; 3]), None, "cut short");
    }
}
