use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Values that must not be found in the clear.
#[derive(Clone, Debug, Default)]
pub struct Needles {
    /// By their first four bytes, so that one pass over the hay finds them all.
    by_start: BTreeMap<[u8; 4], BTreeSet<Vec<u8>>>,
}

impl Needles {
    /// No needles yet.
    pub fn new() -> Needles {
        Needles::default()
    }

    /// Adds a value of at least four bytes. It only counts where no letter, digit or dot
    /// continues it: `1.2.3.4` is not found in `11.2.3.45`.
    ///
    /// # Panics
    /// If the value is shorter: it would be found in any noise.
    #[track_caller]
    pub fn add(&mut self, value: &str) {
        let bytes = value.as_bytes();
        let start: [u8; 4] =
            bytes.get(..4).and_then(|start| start.try_into().ok()).expect("four bytes");
        self.by_start.entry(start).or_default().insert(bytes.to_vec());
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_start.values().map(BTreeSet::len).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_start.is_empty()
    }

    /// The needles that are in the hay.
    pub fn in_bytes(&self, hay: &[u8]) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for (place, start) in hay.windows(4).enumerate() {
            let Ok(start) = <&[u8; 4]>::try_from(start) else { continue };
            let Some(needles) = self.by_start.get(start) else { continue };
            for needle in needles {
                let rest = &hay[place..];
                let stands_alone = rest.starts_with(needle)
                    && !place.checked_sub(1).is_some_and(|before| continues(hay[before]))
                    && !rest.get(needle.len()).copied().is_some_and(continues);
                if stands_alone {
                    found.insert(String::from_utf8_lossy(needle).into_owned());
                }
            }
        }
        found
    }

    /// Searches every byte of every file below a folder, and the names of the files.
    ///
    /// # Panics
    /// If one is found; says which in which file. Needles are made up, so they may be printed.
    #[track_caller]
    pub fn assert_not_below(&self, folder: &Path) {
        let files = files_below(folder);
        assert!(!files.is_empty(), "there is something to search in {}", folder.display());
        for file in files {
            let mut hay = fs::read(&file).expect("the file can be read");
            hay.push(b'\n');
            hay.extend_from_slice(file.to_string_lossy().as_bytes());
            self.assert_not_in(&file.display().to_string(), &hay);
        }
    }

    /// Searches some bytes.
    ///
    /// # Panics
    /// If one is found.
    #[track_caller]
    pub fn assert_not_in(&self, what: &str, hay: &[u8]) {
        let found = self.in_bytes(hay);
        assert!(found.is_empty(), "{} values in the clear in {what}: {found:?}", found.len());
    }
}

fn continues(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'_'
}

/// All files below a folder.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the folder can be read") {
            let path = entry.expect("the folder can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needles_are_found_where_they_stand_alone() {
        let mut needles = Needles::new();
        needles.add("1.2.3.4");
        needles.add("ada@example.org");
        assert_eq!(needles.len(), 2);
        let found = |hay: &str| needles.in_bytes(hay.as_bytes()).len();
        assert_eq!(found("from 1.2.3.4 port"), 1);
        assert_eq!(found("\"1.2.3.4\",ada@example.org"), 2);
        assert_eq!(found("11.2.3.4 1.2.3.45 1.2.3.4.5"), 0);
        assert_eq!(found(""), 0);
    }
}
