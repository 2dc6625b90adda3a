//! Lines of a file, each with its number and where it ends.

use std::io::{self, BufRead, Read};

/// A longer line is refused: a file without line feeds must not fill the memory.
const LINE_BYTES_MAX: u64 = 64 << 20;

/// One line.
#[derive(Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Counted from 1.
    pub number: u64,
    /// Without white space at its ends; `None`: longer than 64 MiB, and skipped.
    pub text: Option<&'a [u8]>,
    /// Whether its line feed was there; only the last line can be without.
    pub ended: bool,
}

/// Reads line by line.
#[derive(Debug)]
pub struct LineReader<R> {
    input: R,
    line: Vec<u8>,
    number: u64,
    offset: u64,
}

impl<R: BufRead> LineReader<R> {
    /// Lines of what follows `offset` bytes and `number` lines.
    pub fn new(input: R, offset: u64, number: u64) -> LineReader<R> {
        LineReader { input, line: Vec::new(), number, offset }
    }

    /// Bytes up to the end of the last line that was given.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Number of the last line that was given.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The next line; `None` at the end.
    ///
    /// # Errors
    /// If the file cannot be read or unpacked.
    pub fn next_line(&mut self) -> io::Result<Option<Line<'_>>> {
        self.line.clear();
        let read = self.input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut self.line)?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        self.offset += read as u64;
        let number = self.number;
        let ended = self.line.last() == Some(&b'\n');
        if read as u64 == LINE_BYTES_MAX && !ended {
            let (skipped, ended) = skip_line(&mut self.input)?;
            self.offset += skipped;
            return Ok(Some(Line { number, text: None, ended }));
        }
        let mut text = self.line.trim_ascii();
        if number == 1 {
            text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text).trim_ascii_start();
        }
        Ok(Some(Line { number, text: Some(text), ended }))
    }
}

/// Skips to the next line; gives how many bytes that were, and whether there was a line feed.
fn skip_line(input: &mut impl BufRead) -> io::Result<(u64, bool)> {
    let mut skipped = 0;
    loop {
        let buffer = input.fill_buf()?;
        if buffer.is_empty() {
            return Ok((skipped, false));
        }
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let used = end.map_or(buffer.len(), |place| place + 1);
        skipped += used as u64;
        input.consume(used);
        if end.is_some() {
            return Ok((skipped, true));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_numbers_and_ends() {
        let text = b"\xef\xbb\xbf{\"a\":1}\r\n\n x".as_slice();
        let mut lines = LineReader::new(text, 0, 0);
        let first = Line { number: 1, text: Some(b"{\"a\":1}"), ended: true };
        assert_eq!(lines.next_line().unwrap(), Some(first));
        assert_eq!(lines.offset(), 12);
        assert_eq!(lines.next_line().unwrap().unwrap().text, Some(b"".as_slice()));
        let last = Line { number: 3, text: Some(b"x"), ended: false };
        assert_eq!(lines.next_line().unwrap(), Some(last));
        assert_eq!(lines.offset(), text.len() as u64);
        assert_eq!(lines.next_line().unwrap(), None);
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_alone() {
        let long = io::repeat(b'x').take(LINE_BYTES_MAX + 5);
        let input = io::BufReader::new(long.chain(b"\nnext\n".as_slice()));
        let mut lines = LineReader::new(input, 0, 0);
        let first = lines.next_line().unwrap().unwrap();
        assert_eq!((first.number, first.text, first.ended), (1, None, true));
        assert_eq!(lines.next_line().unwrap().unwrap().text, Some(b"next".as_slice()));
        assert_eq!(lines.offset(), LINE_BYTES_MAX + 5 + 6);
    }
}
