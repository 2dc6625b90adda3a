use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Which batches the server acknowledged, kept beside its folder so that a load that was broken off
/// goes on. A batch that was under way at that moment may be there twice.
pub(crate) struct Journal {
    file: Mutex<File>,
    done: BTreeSet<u64>,
}

impl Journal {
    /// Opens the journal of a load of this shape.
    pub(crate) fn open(folder: &Path, shape: &str) -> Result<Journal> {
        let path = folder.join("loaded.txt");
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let mut lines = text.lines();
        let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
        match lines.next() {
            None => writeln!(file, "{shape}")?,
            Some(before) if before == shape => {}
            Some(before) => bail!(
                "`{}` was loaded with other options ({before}); use these or another --dir",
                folder.display()
            ),
        }
        let number = |line: &str| line.parse().context("a line of the journal is no number");
        let done = lines.map(number).collect::<Result<_>>()?;
        Ok(Journal { file: Mutex::new(file), done })
    }

    /// Whether a batch was acknowledged before.
    pub(crate) fn has(&self, batch: u64) -> bool {
        self.done.contains(&batch)
    }

    /// A batch was acknowledged.
    pub(crate) fn note(&self, batch: u64) -> Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(writeln!(file, "{batch}")?)
    }
}
