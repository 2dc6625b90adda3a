//! The bytes of one audit file; [docs/formats.md] has them byte by byte.

use super::checkpoint::Checkpoint;
use super::merkle::{HASH_BYTES, Hash, Tree, leaf_hash};
use super::{Problem, ProblemKind};
use crate::cipher::FileCipher;
use crate::keys::{KeyError, KeyRing, WRAPPED_KEY_BYTES};
use aws_lc_rs::rand;
use model::Timestamp;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

const MAGIC: [u8; 4] = *b"CLSA";
const VERSION: u8 = 2;
/// Header without the roots of the tree, of which there are up to 64.
pub(super) const HEADER_BYTES_MIN: usize = 4 + 1 + 4 + WRAPPED_KEY_BYTES + 8 + 8;
/// Purpose of the keys of audit files.
const PURPOSE: &str = "audit";
/// In front of every frame: length of the sealed bytes, number of the frame.
const PREFIX_BYTES: usize = 4 + 8;
/// No group of records is larger.
pub(super) const FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;

const RECORD: u8 = 1;
const CHECKPOINT: u8 = 2;
/// Random bytes in front of every record, so that nobody guesses a record from its hash.
const SALT_BYTES: usize = 16;

/// What stands before a point of the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    /// Over all records so far.
    pub(super) tree: Tree,
    /// The latest time of any of them.
    pub(super) latest: Timestamp,
}

impl State {
    pub(super) fn start() -> State {
        State { tree: Tree::default(), latest: Timestamp(i64::MIN) }
    }

    /// How many records.
    pub(super) fn size(&self) -> u64 {
        self.tree.size()
    }

    /// After one more record, given as it is hashed.
    fn push(&mut self, leaf: &[u8], at: Timestamp) -> Hash {
        let hash = leaf_hash(leaf);
        self.tree.push(hash, |_| ());
        self.latest = self.latest.max(at);
        hash
    }
}

/// The name under which the record of this ring is signed.
pub(super) fn origin(ring: &KeyRing) -> String {
    let id: String = ring.id().as_bytes()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("clerestory.audit/{id}")
}

/// Cuts `N` bytes off the front.
fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*head)
}

/// The start of an audit file; authenticated by every frame.
pub(super) struct Header {
    pub(super) bytes: Vec<u8>,
    pub(super) number: u32,
    /// What stands before the first record of this file.
    pub(super) before: State,
}

impl Header {
    pub(super) fn new(number: u32, before: State, ring: &KeyRing) -> (Header, FileCipher) {
        let (cipher, wrapped) = ring.new_file_key(PURPOSE);
        let mut bytes = Vec::with_capacity(HEADER_BYTES_MIN + 8 * HASH_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.push(VERSION);
        bytes.extend_from_slice(&number.to_be_bytes());
        bytes.extend_from_slice(&wrapped);
        bytes.extend_from_slice(&before.latest.0.to_be_bytes());
        bytes.extend_from_slice(&before.size().to_be_bytes());
        for root in before.tree.roots() {
            bytes.extend_from_slice(root);
        }
        (Header { bytes, number, before }, cipher)
    }

    /// `Truncated` if the file ends within the header.
    fn read(reader: &mut impl Read, ring: &KeyRing) -> io::Result<Result<HeaderRead, ProblemKind>> {
        let mut bytes = vec![0; HEADER_BYTES_MIN];
        if let Err(kind) = fill(reader, &mut bytes)? {
            return Ok(Err(kind));
        }
        let mut rest = bytes.as_slice();
        let magic: [u8; 4] = take(&mut rest).expect("the parts add up");
        let [version] = take(&mut rest).expect("the parts add up");
        let number = u32::from_be_bytes(take(&mut rest).expect("the parts add up"));
        let wrapped: [u8; WRAPPED_KEY_BYTES] = take(&mut rest).expect("the parts add up");
        let latest = i64::from_be_bytes(take(&mut rest).expect("the parts add up"));
        let size = u64::from_be_bytes(take(&mut rest).expect("the parts add up"));
        if magic != MAGIC {
            return Ok(Err(ProblemKind::Changed));
        }
        if version != VERSION {
            return Ok(Err(ProblemKind::OtherVersion));
        }
        let mut roots = vec![[0; HASH_BYTES]; size.count_ones() as usize];
        for root in &mut roots {
            if let Err(kind) = fill(reader, root)? {
                return Ok(Err(kind));
            }
            bytes.extend_from_slice(root);
        }
        let cipher = match ring.open_file_key(PURPOSE, &wrapped) {
            Ok(cipher) => cipher,
            Err(KeyError::OtherRing { .. }) => return Ok(Err(ProblemKind::ForeignKey)),
            Err(_) => return Ok(Err(ProblemKind::Changed)),
        };
        let tree = Tree::from_roots(size, roots).expect("one root for each bit");
        let before = State { tree, latest: Timestamp(latest) };
        Ok(Ok((Header { bytes, number, before }, cipher)))
    }
}

type HeaderRead = (Header, FileCipher);

fn fill(reader: &mut impl Read, bytes: &mut [u8]) -> io::Result<Result<(), ProblemKind>> {
    match reader.read_exact(bytes) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Ok(Err(ProblemKind::Truncated))
        }
        read => read.map(Ok),
    }
}

/// Records that are made durable together, and the state behind them.
pub(super) struct Group {
    plain: Vec<u8>,
    pub(super) state: State,
}

impl Group {
    pub(super) fn after(state: &State) -> Group {
        Group { plain: Vec::new(), state: state.clone() }
    }

    pub(super) fn bytes(&self) -> usize {
        self.plain.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.plain.is_empty()
    }

    /// Adds a record and returns its number.
    pub(super) fn add(&mut self, at: Timestamp, payload: &[u8]) -> u64 {
        let number = self.state.size() + 1;
        let mut salt = [0; SALT_BYTES];
        rand::fill(&mut salt).expect("the system gives random bytes");
        let leaf_bytes = u32::try_from(SALT_BYTES + 8 + 8 + payload.len());
        let leaf_bytes = leaf_bytes.expect("a payload is below 16 MiB");
        self.plain.push(RECORD);
        self.plain.extend_from_slice(&leaf_bytes.to_be_bytes());
        let start = self.plain.len();
        self.plain.extend_from_slice(&salt);
        self.plain.extend_from_slice(&number.to_be_bytes());
        self.plain.extend_from_slice(&at.0.to_be_bytes());
        self.plain.extend_from_slice(payload);
        self.state.push(&self.plain[start..], at);
        number
    }

    pub(super) fn add_checkpoint(&mut self, checkpoint: &Checkpoint) {
        let note = checkpoint.to_note();
        let note_bytes = u32::try_from(note.len()).expect("a note is short");
        self.plain.push(CHECKPOINT);
        self.plain.extend_from_slice(&note_bytes.to_be_bytes());
        self.plain.extend_from_slice(note.as_bytes());
    }

    /// Seals the group as one frame.
    pub(super) fn into_frame(self, header: &Header, cipher: &FileCipher, frame: u64) -> Vec<u8> {
        let mut sealed = self.plain;
        cipher.seal_frame(&header.bytes, frame, false, &mut sealed);
        let mut bytes = Vec::with_capacity(PREFIX_BYTES + sealed.len());
        let sealed_bytes = u32::try_from(sealed.len()).expect("a group is below 16 MiB");
        bytes.extend_from_slice(&sealed_bytes.to_be_bytes());
        bytes.extend_from_slice(&frame.to_be_bytes());
        bytes.extend_from_slice(&sealed);
        bytes
    }
}

/// What stands in a file, in its order.
pub(super) enum Entry<'a> {
    Record {
        number: u64,
        at: Timestamp,
        payload: &'a [u8],
        hash: Hash,
    },
    /// The text of a signed note.
    Checkpoint(&'a str),
}

/// Called with every entry that holds, and the state behind it.
pub(super) type Each<'a> = &'a mut dyn FnMut(Entry<'_>, &State);

/// What one file holds, as far as it holds together.
pub(super) struct Scan {
    /// `None` if the header does not read.
    pub(super) before: Option<State>,
    pub(super) number: Option<u32>,
    pub(super) state: State,
    /// Up to here everything is good.
    pub(super) good_bytes: u64,
    pub(super) fault: Option<Fault>,
}

/// Where and why a scan stopped before the end.
pub(super) struct Fault {
    pub(super) problem: Problem,
    /// Whether a crash in the middle of a write leaves it like this: nothing whole stands behind.
    pub(super) is_tail: bool,
}

/// Reads one file from its start and calls `each` for every entry that holds. Stops at the first
/// that does not.
pub(super) fn scan(path: &Path, ring: &KeyRing, each: Each<'_>) -> io::Result<Scan> {
    let name = file_name(path);
    let file = File::open(path)?;
    let file_bytes = file.metadata()?.len();
    let mut reader = BufReader::with_capacity(256 * 1024, file);
    let fault = |record, kind, is_tail| {
        Some(Fault { problem: Problem { file: name.clone(), record, kind }, is_tail })
    };
    let mut scan =
        Scan { before: None, number: None, state: State::start(), good_bytes: 0, fault: None };
    let (header, cipher) = match Header::read(&mut reader, ring)? {
        Ok(read) => read,
        Err(kind) => {
            scan.fault = fault(0, kind, kind == ProblemKind::Truncated);
            return Ok(scan);
        }
    };
    scan.state = header.before.clone();
    scan.before = Some(header.before.clone());
    scan.number = Some(header.number);
    scan.good_bytes = header.bytes.len() as u64;
    let mut frame_next = 0;
    loop {
        let next = scan.state.size() + 1;
        match read_frame(&mut reader, file_bytes - scan.good_bytes, &header, &cipher)? {
            FrameRead::End => return Ok(scan),
            FrameRead::Cut => {
                scan.fault = fault(next, ProblemKind::Truncated, true);
                return Ok(scan);
            }
            FrameRead::Unauthentic { is_last } => {
                scan.fault = fault(next, ProblemKind::Changed, is_last);
                return Ok(scan);
            }
            FrameRead::Good { frame, plain, bytes } => {
                let taken = if frame < frame_next {
                    Err(ProblemKind::Reordered)
                } else {
                    read_group(&plain, &mut scan.state, each)
                };
                if let Err(mut kind) = taken {
                    let next = scan.state.size() + 1;
                    let at = scan.good_bytes + bytes;
                    if kind == ProblemKind::Missing
                        && stands_behind(&mut reader, file_bytes - at, &header, &cipher, next)?
                    {
                        kind = ProblemKind::Reordered;
                    }
                    scan.fault = fault(next, kind, false);
                    return Ok(scan);
                }
                frame_next = frame + 1;
                scan.good_bytes += bytes;
            }
        }
    }
}

/// The state before the first record of a file; `None` if its header does not read.
pub(super) fn read_start(path: &Path, ring: &KeyRing) -> io::Result<Option<State>> {
    let mut reader = BufReader::new(File::open(path)?);
    Ok(Header::read(&mut reader, ring)?.ok().map(|(header, _)| header.before))
}

enum FrameRead {
    End,
    Cut,
    Unauthentic { is_last: bool },
    Good { frame: u64, plain: Vec<u8>, bytes: u64 },
}

fn read_frame(
    reader: &mut BufReader<File>,
    remaining: u64,
    header: &Header,
    cipher: &FileCipher,
) -> io::Result<FrameRead> {
    if remaining == 0 {
        return Ok(FrameRead::End);
    }
    if remaining < PREFIX_BYTES as u64 {
        return Ok(FrameRead::Cut);
    }
    let mut prefix = [0; PREFIX_BYTES];
    reader.read_exact(&mut prefix)?;
    let mut rest = prefix.as_slice();
    let sealed_bytes = u32::from_be_bytes(take(&mut rest).expect("twelve bytes")) as usize;
    let frame = u64::from_be_bytes(take(&mut rest).expect("eight bytes"));
    let behind = remaining - PREFIX_BYTES as u64;
    if sealed_bytes > FRAME_BYTES_MAX {
        return Ok(FrameRead::Unauthentic { is_last: false });
    }
    if sealed_bytes as u64 > behind {
        return Ok(FrameRead::Cut);
    }
    let mut plain = vec![0; sealed_bytes];
    reader.read_exact(&mut plain)?;
    if cipher.open_frame(&header.bytes, frame, false, &mut plain).is_err() {
        // A file may grow by zeros before its bytes arrive.
        let is_last = sealed_bytes as u64 == behind || (sealed_bytes == 0 && is_zero(reader)?);
        return Ok(FrameRead::Unauthentic { is_last });
    }
    let bytes = (PREFIX_BYTES + sealed_bytes) as u64;
    Ok(FrameRead::Good { frame, plain, bytes })
}

fn is_zero(reader: &mut BufReader<File>) -> io::Result<bool> {
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest)?;
    Ok(rest.iter().all(|&byte| byte == 0))
}

/// Takes the entries of one frame; each record has to be the next one.
fn read_group(mut plain: &[u8], state: &mut State, each: Each<'_>) -> Result<(), ProblemKind> {
    while !plain.is_empty() {
        match parse_entry(&mut plain).ok_or(ProblemKind::Changed)? {
            Parsed::Checkpoint(note) => each(Entry::Checkpoint(note), state),
            Parsed::Record { number, at, leaf } => {
                if number > state.size() + 1 {
                    return Err(ProblemKind::Missing);
                }
                if number < state.size() + 1 {
                    return Err(ProblemKind::Reordered);
                }
                let hash = state.push(leaf, at);
                let payload = &leaf[SALT_BYTES + 8 + 8..];
                each(Entry::Record { number, at, payload, hash }, state);
            }
        }
    }
    Ok(())
}

enum Parsed<'a> {
    Record { number: u64, at: Timestamp, leaf: &'a [u8] },
    Checkpoint(&'a str),
}

fn parse_entry<'a>(plain: &mut &'a [u8]) -> Option<Parsed<'a>> {
    let [kind] = take(plain)?;
    let bytes = u32::from_be_bytes(take(plain)?) as usize;
    let (entry, rest) = plain.split_at_checked(bytes)?;
    *plain = rest;
    match kind {
        RECORD => {
            let mut rest = entry.get(SALT_BYTES..)?;
            let number = u64::from_be_bytes(take(&mut rest)?);
            let at = Timestamp(i64::from_be_bytes(take(&mut rest)?));
            Some(Parsed::Record { number, at, leaf: entry })
        }
        CHECKPOINT => Some(Parsed::Checkpoint(std::str::from_utf8(entry).ok()?)),
        _ => None,
    }
}

/// Whether record `wanted` stands further behind in the file.
fn stands_behind(
    reader: &mut BufReader<File>,
    mut remaining: u64,
    header: &Header,
    cipher: &FileCipher,
    wanted: u64,
) -> io::Result<bool> {
    loop {
        let FrameRead::Good { plain, bytes, .. } = read_frame(reader, remaining, header, cipher)?
        else {
            return Ok(false);
        };
        remaining -= bytes;
        let mut rest = plain.as_slice();
        while let Some(entry) = parse_entry(&mut rest) {
            if matches!(entry, Parsed::Record { number, .. } if number == wanted) {
                return Ok(true);
            }
        }
    }
}

pub(super) fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
