//! Tiles: answers that were computed beforehand over all rows of one segment.
//!
//! What a tile says is the business of whoever makes it ([`TileMaker`]); here is where its bytes
//! lie: `D/segments/ID.tiles`, one sealed file beside the file of the segment, whole or not there.
//! It is made from the segment alone and says nothing that the segment does not, so that a file
//! that is missing, damaged or of yesterday costs time and no truth: readers go to the rows.
//!
//! ```text
//! tiles      the bytes of each, one behind the other
//! footer     JSON {"v": 1, "rows": rows of the segment,
//!                  "tiles": {KEY: [offset, length], or null if it is not worth keeping, …}}
//! length     u64: bytes of the footer
//! ```

mod make;

pub(crate) use make::{attach_tiles, read_all};

use crate::inspect::Needles;
use crate::read::{ReadError, View};
use crate::sealed_file::{SealedReader, SealedWriter};
use model::Table;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

const FOOTER_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The version of the file.
const VERSION: u32 = 1;

/// Says which tiles the segments of a table ought to have, and makes them. Called from the threads
/// that flush and merge; what it does must not take a lock of the store.
pub trait TileMaker: Send + Sync {
    /// The keys of the tiles that a segment of this table ought to have. A key says everything
    /// that its tile depends on but the rows: whoever finds a tile under a key may use it.
    /// Asked often; the same list while nothing changed saves a look at every segment.
    fn wanted(&self, table: &Arc<Table>) -> Arc<[String]>;

    /// The tiles of these keys over all rows of the view, which has no deleted ones; `None` for
    /// one that is not worth keeping.
    ///
    /// # Errors
    /// If the rows cannot be read. The segment has no tiles then until the next try.
    fn make(&self, view: &Arc<View>, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, ReadError>;
}

/// Tiles by key; those that are not worth keeping are remembered as such.
pub(crate) type Tiles = BTreeMap<String, Option<Vec<u8>>>;

#[derive(Serialize, Deserialize)]
struct Footer {
    v: u32,
    rows: u32,
    tiles: BTreeMap<String, Option<(u64, u64)>>,
}

/// The tiles of one segment, read by key.
pub(crate) struct TileFile {
    sealed: SealedReader,
    footer: Footer,
}

impl TileFile {
    /// Writes tiles and makes the file durable.
    pub(crate) fn write(mut sealed: SealedWriter, rows: u32, tiles: &Tiles) -> io::Result<()> {
        let mut footer = Footer { v: VERSION, rows, tiles: BTreeMap::new() };
        let mut at = 0;
        for (key, bytes) in tiles {
            let place = match bytes {
                Some(bytes) => {
                    sealed.write_all(bytes)?;
                    let place = (at, bytes.len() as u64);
                    at += place.1;
                    Some(place)
                }
                None => None,
            };
            footer.tiles.insert(key.clone(), place);
        }
        let json = serde_json::to_vec(&footer).map_err(io::Error::other)?;
        sealed.write_all(&json)?;
        sealed.write_all(&(json.len() as u64).to_le_bytes())?;
        sealed.finish().map(drop)
    }

    /// Opens the tiles of a segment of `rows` rows and checks that they are of no other.
    pub(crate) fn open(sealed: SealedReader, rows: u32) -> io::Result<TileFile> {
        let path = sealed.path().to_owned();
        let damaged = |what: String| {
            io::Error::new(io::ErrorKind::InvalidData, format!("`{}` {what}", path.display()))
        };
        let length = sealed.len();
        let read = |range| sealed.read_range(range).map_err(io::Error::other);
        let end = length.checked_sub(8).ok_or_else(|| damaged("has no footer".to_owned()))?;
        let tail = read(end..length)?;
        let tail = tail.try_into().map_err(|_| damaged("was not read whole".to_owned()))?;
        let footer_bytes = u64::from_le_bytes(tail);
        if footer_bytes > FOOTER_BYTES_MAX || footer_bytes > end {
            return Err(damaged("has a footer of no such length".to_owned()));
        }
        let footer: Footer = serde_json::from_slice(&read(end - footer_bytes..end)?)
            .map_err(|_| damaged("has a footer that cannot be read".to_owned()))?;
        if footer.v != VERSION {
            return Err(damaged(format!("has tiles of version {}; use a newer program", footer.v)));
        }
        if footer.rows != rows {
            return Err(damaged("has not the tiles of its segment".to_owned()));
        }
        Ok(TileFile { sealed, footer })
    }

    /// Whether the tile of this key was made, or found not worth keeping.
    pub(crate) fn knows(&self, key: &str) -> bool {
        self.footer.tiles.contains_key(key)
    }

    /// Keys with bytes under them that begin with `prefix`, and how many bytes.
    pub(crate) fn with_prefix(&self, prefix: &str) -> Vec<(String, u64)> {
        let from = self.footer.tiles.range(prefix.to_owned()..);
        from.take_while(|(key, _)| key.starts_with(prefix))
            .filter_map(|(key, place)| Some((key.clone(), place.as_ref()?.1)))
            .collect()
    }

    /// Whether there are bytes under this key.
    pub(crate) fn has(&self, key: &str) -> bool {
        matches!(self.footer.tiles.get(key), Some(Some(_)))
    }

    /// The keys of all tiles.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.footer.tiles.keys().map(String::as_str)
    }

    /// Whether a key or the bytes of a tile hold one of these texts.
    pub(crate) fn mention(&self, needles: &Needles) -> io::Result<bool> {
        for key in self.footer.tiles.keys() {
            let bytes = self.read(key)?;
            if needles.are_in(key.as_bytes()) || bytes.is_some_and(|b| needles.are_in(&b)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The bytes of a tile.
    pub(crate) fn read(&self, key: &str) -> io::Result<Option<Vec<u8>>> {
        let Some(Some((at, length))) = self.footer.tiles.get(key) else { return Ok(None) };
        let range = *at..at.saturating_add(*length);
        self.sealed.read_range(range).map(Some).map_err(io::Error::other)
    }
}
