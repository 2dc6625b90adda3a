use super::LogError;
use protection::keys::{KeyError, KeyRing, WRAPPED_KEY_BYTES};
use protection::{FileCipher, TAG_BYTES};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

pub(super) const PURPOSE: &str = "log";
pub(super) const VERSION: u16 = 1;
const MAGIC: &[u8; 4] = b"CLLG";
/// Magic, version, length of the wrapped key.
const FIXED_HEADER_BYTES: usize = 8;
const PROLOGUE_BYTES: usize = 24;
/// Kind, length, place.
const FRAME_HEADER_BYTES: usize = 1 + 4 + 8;
/// Log number and place in the group, behind the payload.
const TRAILER_BYTES: usize = 8 + 4;
const FRAME_BYTES_MIN: usize = FRAME_HEADER_BYTES + TRAILER_BYTES + TAG_BYTES;

/// The path of file `number`.
pub(super) fn path_of(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:08}.log"))
}

/// The number of the file with this name; `None` if it is no log file.
pub(super) fn number_of(name: &OsStr) -> Option<u64> {
    let digits = name.to_str()?.strip_suffix(".log")?;
    let number = digits.parse().ok()?;
    (number > 0 && path_of(Path::new(""), number).as_os_str() == name).then_some(number)
}

/// What the first sealed frame of a file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prologue {
    /// The file before, 0: none.
    pub(super) previous: u64,
    /// How many frames of it count.
    pub(super) previous_frames: u64,
    /// The lowest log number that can be in this file.
    pub(super) next: u64,
}

/// What seals and opens the frames of one file.
pub(super) struct FrameSealer {
    cipher: FileCipher,
    identity: Vec<u8>,
}

/// A frame that opened.
pub(super) struct OpenedFrame {
    pub(super) payload: Vec<u8>,
    pub(super) number: u64,
    /// How many frames of its group stand before it.
    pub(super) place_in_group: u32,
    pub(super) is_end: bool,
    /// Where the next frame starts.
    pub(super) next_at: usize,
}

impl FrameSealer {
    fn new(cipher: FileCipher, file: u64) -> FrameSealer {
        FrameSealer { cipher, identity: format!("log:{VERSION}:{file}").into_bytes() }
    }

    /// Seals one frame and appends it to `out`. `payload` is used up.
    pub(super) fn seal(
        &self,
        place: u64,
        number: u64,
        place_in_group: u32,
        is_end: bool,
        payload: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) {
        payload.extend_from_slice(&number.to_le_bytes());
        payload.extend_from_slice(&place_in_group.to_le_bytes());
        self.cipher.seal_frame(&self.identity, place, is_end, payload);
        let length = u32::try_from(payload.len()).expect("payloads are limited");
        out.push(if is_end { 2 } else { 1 });
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&place.to_le_bytes());
        out.extend_from_slice(payload);
    }

    /// Opens the frame at `at`, which must be number `place`; `None` if it does not open.
    pub(super) fn open(&self, bytes: &[u8], at: usize, place: u64) -> Option<OpenedFrame> {
        let (found, is_end, sealed) = split_frame(bytes, at)?;
        if found != place {
            return None;
        }
        let mut payload = sealed.to_vec();
        self.cipher.open_frame(&self.identity, place, is_end, &mut payload).ok()?;
        let trailer = payload.split_off(payload.len().checked_sub(TRAILER_BYTES)?);
        let (number, group) = trailer.split_at(8);
        Some(OpenedFrame {
            payload,
            number: u64::from_le_bytes(number.try_into().ok()?),
            place_in_group: u32::from_le_bytes(group.try_into().ok()?),
            is_end,
            next_at: at + FRAME_HEADER_BYTES + sealed.len(),
        })
    }

    /// Whether behind `at`, where frame `broken` does not open, stands a frame of a later group:
    /// then `broken` had been durable. Its length may be wrong, so every offset is tried.
    pub(super) fn later_group_follows(&self, bytes: &[u8], at: usize, broken: u64) -> bool {
        let mut offset = at + 1;
        while offset + FRAME_BYTES_MIN <= bytes.len() {
            let place_max = broken + ((bytes.len() - at) / FRAME_BYTES_MIN) as u64;
            let opened = split_frame(bytes, offset)
                .filter(|&(place, ..)| place > broken && place <= place_max)
                .and_then(|(place, ..)| Some((place, self.open(bytes, offset, place)?)));
            match opened {
                Some((place, frame))
                    if broken < place.saturating_sub(u64::from(frame.place_in_group)) =>
                {
                    return true;
                }
                Some((_, frame)) => offset = frame.next_at,
                None => offset += 1,
            }
        }
        false
    }
}

/// Place, whether it is the end, and the sealed part of what may be a frame at `at`.
fn split_frame(bytes: &[u8], at: usize) -> Option<(u64, bool, &[u8])> {
    let header = bytes.get(at..at.checked_add(FRAME_HEADER_BYTES)?)?;
    let is_end = match header[0] {
        1 => false,
        2 => true,
        _ => return None,
    };
    let length = u32::from_le_bytes(header[1..5].try_into().ok()?) as usize;
    if length < TRAILER_BYTES + TAG_BYTES {
        return None;
    }
    let start = at + FRAME_HEADER_BYTES;
    let sealed = bytes.get(start..start.checked_add(length)?)?;
    Some((u64::from_le_bytes(header[5..13].try_into().ok()?), is_end, sealed))
}

/// A fresh key for file `number`, and the header that carries it.
pub(super) fn new_header(
    keys: &KeyRing,
    number: u64,
    prologue: Prologue,
) -> (FrameSealer, Vec<u8>) {
    let (cipher, wrapped) = keys.new_file_key(PURPOSE);
    let sealer = FrameSealer::new(cipher, number);
    let mut sealed = Vec::with_capacity(PROLOGUE_BYTES + TAG_BYTES);
    for value in [prologue.previous, prologue.previous_frames, prologue.next] {
        sealed.extend_from_slice(&value.to_le_bytes());
    }
    sealer.cipher.seal_frame(&sealer.identity, 0, false, &mut sealed);
    let wrapped_bytes = u16::try_from(wrapped.len()).expect("a wrapped key is short");
    let mut header = MAGIC.to_vec();
    header.extend_from_slice(&VERSION.to_le_bytes());
    header.extend_from_slice(&wrapped_bytes.to_le_bytes());
    header.extend_from_slice(&wrapped);
    header.extend_from_slice(&sealed);
    (sealer, header)
}

/// Whether the key that wraps the key of a file with this header is still in the ring.
pub(super) fn is_under_living_key(keys: &KeyRing, header: &[u8]) -> bool {
    let wrapped = FIXED_HEADER_BYTES..FIXED_HEADER_BYTES + WRAPPED_KEY_BYTES;
    header.get(wrapped).is_some_and(|wrapped| keys.is_living(PURPOSE, wrapped))
}

/// How many bytes a header has that this version writes.
pub(super) const HEADER_BYTES: usize =
    FIXED_HEADER_BYTES + WRAPPED_KEY_BYTES + PROLOGUE_BYTES + TAG_BYTES;

/// A header that was read.
pub(super) struct Header {
    pub(super) sealer: FrameSealer,
    pub(super) prologue: Prologue,
    /// Where the frames start.
    pub(super) bytes: usize,
}

/// Why a header did not read.
pub(super) enum HeaderError {
    /// Too short, no magic number, or not authentic: what a torn write leaves, or damage.
    Broken,
    Key(KeyError),
    TooNew(u16),
}

impl HeaderError {
    pub(super) fn at(self, path: &Path) -> LogError {
        let path = path.to_owned();
        match self {
            HeaderError::Broken => LogError::NotLog { path },
            HeaderError::Key(source) => LogError::Key { path, source },
            HeaderError::TooNew(version) => LogError::TooNew { path, version },
        }
    }
}

/// Reads the header of file `number` at the start of `bytes`.
pub(super) fn read_header(
    bytes: &[u8],
    keys: &KeyRing,
    number: u64,
) -> Result<Header, HeaderError> {
    let fixed = bytes.get(..FIXED_HEADER_BYTES).ok_or(HeaderError::Broken)?;
    if !fixed.starts_with(MAGIC) {
        return Err(HeaderError::Broken);
    }
    match u16::from_le_bytes([fixed[4], fixed[5]]) {
        VERSION => {}
        0 => return Err(HeaderError::Broken),
        version => return Err(HeaderError::TooNew(version)),
    }
    let wrapped_end = FIXED_HEADER_BYTES + usize::from(u16::from_le_bytes([fixed[6], fixed[7]]));
    let end = wrapped_end + PROLOGUE_BYTES + TAG_BYTES;
    let header = bytes.get(..end).ok_or(HeaderError::Broken)?;
    let cipher = keys
        .open_file_key(PURPOSE, &header[FIXED_HEADER_BYTES..wrapped_end])
        .map_err(HeaderError::Key)?;
    let sealer = FrameSealer::new(cipher, number);
    let mut plain = header[wrapped_end..].to_vec();
    sealer
        .cipher
        .open_frame(&sealer.identity, 0, false, &mut plain)
        .map_err(|_| HeaderError::Broken)?;
    let value = |index: usize| {
        let bytes = plain[index * 8..(index + 1) * 8].try_into();
        u64::from_le_bytes(bytes.expect("the slice has eight bytes"))
    };
    let prologue = Prologue { previous: value(0), previous_frames: value(1), next: value(2) };
    Ok(Header { sealer, prologue, bytes: end })
}
