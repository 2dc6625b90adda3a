//! What a file holds and how it is packed, by its name.

use flate2::read::MultiGzDecoder;
use std::io::{self, BufRead, Read};

/// How rows are written in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// One JSON object a line.
    Ndjson,
    /// The first line names the columns.
    Csv,
    /// Columns, as Apache Parquet writes them.
    Parquet,
}

/// How a file is packed as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    Plain,
    /// gzip, also several members one after the other.
    Gzip,
    /// Zstandard, also several frames one after the other.
    Zstd,
}

impl Packing {
    /// By the end of a name; gives the rest of the name too.
    pub fn of_name(name: &str) -> (&str, Packing) {
        for (end, packing) in
            [(".gz", Packing::Gzip), (".zst", Packing::Zstd), (".zstd", Packing::Zstd)]
        {
            if let Some(rest) = strip_end(name, end) {
                return (rest, packing);
            }
        }
        (name, Packing::Plain)
    }

    /// Reads what is packed in `input`.
    ///
    /// # Errors
    /// If there is no memory for unpacking.
    pub fn unpack<'a>(
        self,
        input: impl BufRead + Send + 'a,
    ) -> io::Result<Box<dyn Read + Send + 'a>> {
        Ok(match self {
            Packing::Plain => Box::new(input),
            Packing::Gzip => Box::new(MultiGzDecoder::new(input)),
            Packing::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?;
                // 128 MiB, what `zstd` itself takes without being told; a frame may ask for 2 GiB.
                decoder.window_log_max(27)?;
                Box::new(decoder)
            }
        })
    }
}

impl Contents {
    /// By the end of a name, packed or not; `None`: the name does not say.
    pub fn of_name(name: &str) -> Option<Contents> {
        let (name, packing) = Packing::of_name(name);
        let of = [
            (".ndjson", Contents::Ndjson),
            (".jsonl", Contents::Ndjson),
            (".json", Contents::Ndjson),
            (".csv", Contents::Csv),
            (".parquet", Contents::Parquet),
        ];
        let contents = of.iter().find(|(end, _)| strip_end(name, end).is_some())?.1;
        // Parquet packs its pages itself and is read by range: packed as a whole it is no Parquet.
        (contents != Contents::Parquet || packing == Packing::Plain).then_some(contents)
    }
}

fn strip_end<'n>(name: &'n str, end: &str) -> Option<&'n str> {
    let at = name.len().checked_sub(end.len())?;
    name.is_char_boundary(at).then_some(())?;
    name[at..].eq_ignore_ascii_case(end).then_some(&name[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_a_file_is() {
        assert_eq!(Contents::of_name("a/b.ndjson"), Some(Contents::Ndjson));
        assert_eq!(Contents::of_name("b.JSONL.gz"), Some(Contents::Ndjson));
        assert_eq!(Contents::of_name("c.csv.zst"), Some(Contents::Csv));
        assert_eq!(Contents::of_name("d.Parquet"), Some(Contents::Parquet));
        assert_eq!(Contents::of_name("d.parquet.gz"), None, "nobody writes that");
        assert_eq!(Contents::of_name("é"), None);
        assert_eq!(Contents::of_name("readme.txt"), None);
        assert_eq!(Packing::of_name("x.csv.ZST"), ("x.csv", Packing::Zstd));
    }

    #[test]
    fn what_was_packed_is_read_also_in_parts() {
        let part = |text: &str| zstd::encode_all(text.as_bytes(), 1).unwrap();
        let packed = [part("one\n"), part("two\n")].concat();
        let mut text = String::new();
        Packing::Zstd.unpack(packed.as_slice()).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "one\ntwo\n");
    }
}
