use super::sender::{Batch, Sender};
use crate::failure::{Doing, Result};
use copy::document::Ids;
use copy::files::ParquetDocuments;
use std::fs::File;

/// Sends one document a row; nulls are left out. Rows are counted from 1.
pub(super) fn send(name: &str, file: File, id: Option<&str>, sender: &Sender) -> Result<()> {
    let doing = || format!("cannot read `{name}`");
    let mut rows = ParquetDocuments::open(file).doing(doing)?;
    let key: Vec<String> = id.map(str::to_owned).into_iter().collect();
    let mut ids = Ids::new(&key);
    let mut batch = Batch::of(name);
    while let Some((row, document)) = rows.next_document().doing(doing)? {
        let checked = document.and_then(|document| {
            ids.check(document.as_bytes())?;
            Ok(document)
        });
        match checked {
            Ok(document) => batch.push(row, ids.id().as_deref(), document.as_bytes()),
            Err(reason) => sender.refuse(name, row, &reason),
        }
        if batch.is_full() {
            sender.send(batch.take())?;
        }
    }
    sender.send(batch)
}
