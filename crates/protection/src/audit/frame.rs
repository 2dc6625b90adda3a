use super::Problem;
use super::ProblemKind;
use crate::cipher::FileCipher;
use crate::keys::{
    KeyError, KeyRing, SIGNATURE_BYTES, SigningKey, VerifyingKey, WRAPPED_KEY_BYTES,
};
use aws_lc_rs::digest;
use model::Timestamp;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

const MAGIC: [u8; 4] = *b"CLSA";
const VERSION: u8 = 1;
const HASH_BYTES: usize = 32;
pub(super) const HEADER_BYTES: usize = 4 + 1 + 4 + WRAPPED_KEY_BYTES + 8 + HASH_BYTES;
/// Purpose of the keys of audit files.
const PURPOSE: &str = "audit";
/// In front of every frame: length of the sealed bytes, number of the frame.
const PREFIX_BYTES: usize = 4 + 8;
/// No group of records is larger.
pub(super) const FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;

const RECORD: u8 = 1;
const CHECKPOINT: u8 = 2;

/// How many records there are, and the hash over all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chain {
    pub(super) count: u64,
    pub(super) hash: [u8; HASH_BYTES],
}

impl Chain {
    /// Before the first record; another one for each ring.
    pub(super) fn genesis(ring: &KeyRing) -> Chain {
        let text = format!("clerestory audit v1 {}", ring.id());
        Chain { count: 0, hash: sha256(&[text.as_bytes()]) }
    }

    /// After one more record.
    fn next(&self, at: Timestamp, payload: &[u8]) -> Chain {
        let count = self.count + 1;
        let (number, at) = (count.to_be_bytes(), at.0.to_be_bytes());
        Chain { count, hash: sha256(&[&self.hash, &number, &at, payload]) }
    }
}

fn sha256(parts: &[&[u8]]) -> [u8; HASH_BYTES] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    context.finish().as_ref().try_into().expect("SHA-256 gives 32 bytes")
}

/// A signed statement: so many records, and this is their hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Checkpoint {
    pub(super) chain: Chain,
    pub(super) at: Timestamp,
    signature: [u8; SIGNATURE_BYTES],
}

impl Checkpoint {
    pub(super) const BYTES: usize = 8 + 8 + HASH_BYTES + SIGNATURE_BYTES;

    pub(super) fn sign(chain: Chain, at: Timestamp, key: &SigningKey) -> Checkpoint {
        Checkpoint { chain, at, signature: key.sign(&Checkpoint::message(chain, at)) }
    }

    pub(super) fn is_signed_by(&self, key: &VerifyingKey) -> bool {
        key.verifies(&Checkpoint::message(self.chain, self.at), &self.signature)
    }

    fn message(chain: Chain, at: Timestamp) -> Vec<u8> {
        let mut message = b"clerestory audit checkpoint v1".to_vec();
        message.extend_from_slice(&chain.count.to_be_bytes());
        message.extend_from_slice(&at.0.to_be_bytes());
        message.extend_from_slice(&chain.hash);
        message
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.chain.count.to_be_bytes());
        out.extend_from_slice(&self.at.0.to_be_bytes());
        out.extend_from_slice(&self.chain.hash);
        out.extend_from_slice(&self.signature);
    }

    pub(super) fn read(bytes: &mut &[u8]) -> Option<Checkpoint> {
        let count = u64::from_be_bytes(take(bytes)?);
        let at = Timestamp(i64::from_be_bytes(take(bytes)?));
        let chain = Chain { count, hash: take(bytes)? };
        Some(Checkpoint { chain, at, signature: take(bytes)? })
    }
}

/// Cuts `N` bytes off the front.
pub(super) fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*head)
}

/// The start of an audit file; authenticated by every frame.
pub(super) struct Header {
    pub(super) bytes: [u8; HEADER_BYTES],
    pub(super) number: u32,
    /// What stands before the first record of this file.
    pub(super) before: Chain,
}

impl Header {
    pub(super) fn new(number: u32, before: Chain, ring: &KeyRing) -> (Header, FileCipher) {
        let (cipher, wrapped) = ring.new_file_key(PURPOSE);
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.push(VERSION);
        bytes.extend_from_slice(&number.to_be_bytes());
        bytes.extend_from_slice(&wrapped);
        bytes.extend_from_slice(&(before.count + 1).to_be_bytes());
        bytes.extend_from_slice(&before.hash);
        let bytes = bytes.try_into().expect("the parts add up");
        (Header { bytes, number, before }, cipher)
    }

    fn read(
        bytes: [u8; HEADER_BYTES],
        ring: &KeyRing,
    ) -> Result<(Header, FileCipher), ProblemKind> {
        let mut rest = bytes.as_slice();
        let mut parse = || -> Option<_> {
            let magic: [u8; 4] = take(&mut rest)?;
            let [version] = take(&mut rest)?;
            let number = u32::from_be_bytes(take(&mut rest)?);
            let wrapped: [u8; WRAPPED_KEY_BYTES] = take(&mut rest)?;
            let first = u64::from_be_bytes(take(&mut rest)?);
            let before = Chain { count: first.checked_sub(1)?, hash: take(&mut rest)? };
            (magic == MAGIC && version == VERSION).then_some((number, wrapped, before))
        };
        let (number, wrapped, before) = parse().ok_or(ProblemKind::Changed)?;
        let cipher = ring.open_file_key(PURPOSE, &wrapped).map_err(|error| match error {
            KeyError::OtherRing { .. } => ProblemKind::ForeignKey,
            _ => ProblemKind::Changed,
        })?;
        Ok((Header { bytes, number, before }, cipher))
    }
}

/// Records that are made durable together, and the chain behind them.
pub(super) struct Group {
    plain: Vec<u8>,
    pub(super) chain: Chain,
}

impl Group {
    pub(super) fn after(chain: Chain) -> Group {
        Group { plain: Vec::new(), chain }
    }

    pub(super) fn bytes(&self) -> usize {
        self.plain.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.plain.is_empty()
    }

    /// Adds a record and returns its number.
    pub(super) fn add(&mut self, at: Timestamp, payload: &[u8]) -> u64 {
        self.chain = self.chain.next(at, payload);
        self.plain.push(RECORD);
        self.plain.extend_from_slice(&self.chain.count.to_be_bytes());
        self.plain.extend_from_slice(&at.0.to_be_bytes());
        let payload_bytes = u32::try_from(payload.len()).expect("a payload is below 16 MiB");
        self.plain.extend_from_slice(&payload_bytes.to_be_bytes());
        self.plain.extend_from_slice(payload);
        self.plain.extend_from_slice(&self.chain.hash);
        self.chain.count
    }

    pub(super) fn add_checkpoint(&mut self, checkpoint: &Checkpoint) {
        self.plain.push(CHECKPOINT);
        checkpoint.write(&mut self.plain);
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
    Record { number: u64, at: Timestamp, payload: &'a [u8] },
    Checkpoint(Checkpoint),
}

/// What one file holds, as far as it holds together.
pub(super) struct Scan {
    /// `None` if the header does not read.
    pub(super) before: Option<Chain>,
    pub(super) number: Option<u32>,
    pub(super) chain: Chain,
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
pub(super) fn scan(
    path: &Path,
    ring: &KeyRing,
    each: &mut dyn FnMut(Entry<'_>, Chain),
) -> io::Result<Scan> {
    let name = file_name(path);
    let file = File::open(path)?;
    let file_bytes = file.metadata()?.len();
    let mut reader = BufReader::with_capacity(256 * 1024, file);
    let mut scan = Scan {
        before: None,
        number: None,
        chain: Chain { count: 0, hash: [0; HASH_BYTES] },
        good_bytes: 0,
        fault: None,
    };
    let fault = |record, kind, is_tail| {
        Some(Fault { problem: Problem { file: name.clone(), record, kind }, is_tail })
    };
    let mut header_bytes = [0; HEADER_BYTES];
    if file_bytes < HEADER_BYTES as u64 {
        scan.fault = fault(0, ProblemKind::Truncated, true);
        return Ok(scan);
    }
    reader.read_exact(&mut header_bytes)?;
    let (header, cipher) = match Header::read(header_bytes, ring) {
        Ok(read) => read,
        Err(kind) => {
            scan.fault = fault(0, kind, false);
            return Ok(scan);
        }
    };
    scan.before = Some(header.before);
    scan.number = Some(header.number);
    scan.chain = header.before;
    scan.good_bytes = HEADER_BYTES as u64;
    let mut frame_next = 0;
    loop {
        match read_frame(&mut reader, file_bytes - scan.good_bytes, &header, &cipher)? {
            FrameRead::End => return Ok(scan),
            FrameRead::Cut => {
                scan.fault = fault(scan.chain.count + 1, ProblemKind::Truncated, true);
                return Ok(scan);
            }
            FrameRead::Unauthentic { is_last } => {
                scan.fault = fault(scan.chain.count + 1, ProblemKind::Changed, is_last);
                return Ok(scan);
            }
            FrameRead::Good { frame, plain, bytes } => {
                let taken = if frame < frame_next {
                    Err(ProblemKind::Reordered)
                } else {
                    read_group(&plain, &mut scan.chain, each)
                };
                if let Err(mut kind) = taken {
                    let at = scan.good_bytes + bytes;
                    if kind == ProblemKind::Missing
                        && stands_behind(&mut reader, file_bytes - at, &header, &cipher, &scan)?
                    {
                        kind = ProblemKind::Reordered;
                    }
                    scan.fault = fault(scan.chain.count + 1, kind, false);
                    return Ok(scan);
                }
                frame_next = frame + 1;
                scan.good_bytes += bytes;
            }
        }
    }
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

/// Takes the entries of one frame; each record has to be the next of the chain.
fn read_group(
    mut plain: &[u8],
    chain: &mut Chain,
    each: &mut dyn FnMut(Entry<'_>, Chain),
) -> Result<(), ProblemKind> {
    while !plain.is_empty() {
        match parse_entry(&mut plain).ok_or(ProblemKind::Changed)? {
            (Entry::Checkpoint(checkpoint), _) => each(Entry::Checkpoint(checkpoint), *chain),
            (Entry::Record { number, at, payload }, hash) => {
                if number > chain.count + 1 {
                    return Err(ProblemKind::Missing);
                }
                if number < chain.count + 1 {
                    return Err(ProblemKind::Reordered);
                }
                let next = chain.next(at, payload);
                if next.hash != hash {
                    return Err(ProblemKind::Changed);
                }
                *chain = next;
                each(Entry::Record { number, at, payload }, next);
            }
        }
    }
    Ok(())
}

/// One entry, and for a record the hash that stands with it.
fn parse_entry<'a>(plain: &mut &'a [u8]) -> Option<(Entry<'a>, [u8; HASH_BYTES])> {
    let [kind] = take(plain)?;
    match kind {
        RECORD => {
            let number = u64::from_be_bytes(take(plain)?);
            let at = Timestamp(i64::from_be_bytes(take(plain)?));
            let payload_bytes = u32::from_be_bytes(take(plain)?) as usize;
            let (payload, rest) = plain.split_at_checked(payload_bytes)?;
            *plain = rest;
            Some((Entry::Record { number, at, payload }, take(plain)?))
        }
        CHECKPOINT => Some((Entry::Checkpoint(Checkpoint::read(plain)?), [0; HASH_BYTES])),
        _ => None,
    }
}

/// Whether the record that is missed stands further behind in the file.
fn stands_behind(
    reader: &mut BufReader<File>,
    mut remaining: u64,
    header: &Header,
    cipher: &FileCipher,
    scan: &Scan,
) -> io::Result<bool> {
    loop {
        let FrameRead::Good { plain, bytes, .. } = read_frame(reader, remaining, header, cipher)?
        else {
            return Ok(false);
        };
        remaining -= bytes;
        let mut rest = plain.as_slice();
        while let Some((entry, _)) = parse_entry(&mut rest) {
            if matches!(entry, Entry::Record { number, .. } if number == scan.chain.count + 1) {
                return Ok(true);
            }
        }
    }
}

pub(super) fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
