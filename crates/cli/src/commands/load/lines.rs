use super::sender::{Batch, Sender};
use crate::failure::{Doing, Result};
use copy::document::Ids;
use copy::files::LineReader;
use std::io::{BufReader, Read};

/// Sends one JSON object a line. Empty lines are skipped.
pub(super) fn send(name: &str, input: impl Read, id: Option<&str>, sender: &Sender) -> Result<()> {
    let mut lines = LineReader::new(BufReader::with_capacity(1 << 20, input), 0, 0);
    let key: Vec<String> = id.map(str::to_owned).into_iter().collect();
    let mut ids = Ids::new(&key);
    let mut batch = Batch::of(name);
    loop {
        let before = lines.number();
        let doing = || format!("cannot read `{name}` after line {before}");
        let Some(line) = lines.next_line().doing(doing)? else { break };
        match line.text {
            None => sender.refuse(name, line.number, "longer than 64 MiB"),
            Some([]) => {}
            // One JSON object, so that no line can spoil its neighbours.
            Some(text) => match ids.check(text) {
                Ok(()) => batch.push(line.number, ids.id().as_deref(), text),
                Err(reason) => sender.refuse(name, line.number, &reason),
            },
        }
        if batch.is_full() {
            sender.send(batch.take())?;
        }
    }
    sender.send(batch)
}
