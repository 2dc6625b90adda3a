use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Measured at once.
const WINDOW_BYTES: usize = 64 * 1024;
/// Fewer bytes tell nothing about their source.
const MEASURED_BYTES_MIN: usize = 256;

/// Looks at files as somebody who copied them would: is there anything but noise?
///
/// What `docs/formats.md` says stands in the clear is left out: headers, the numbers of frames,
/// SQLite's own pages, and the files that a person is to read.
#[derive(Debug, Default)]
pub struct Noise {
    /// Spellings by their first four bytes, each with the value and how it is spelt.
    spellings: HashMap<[u8; 4], Vec<(Vec<u8>, String)>>,
}

impl Noise {
    /// Nothing planted yet.
    pub fn new() -> Noise {
        Noise::default()
    }

    /// A value that must not be found in any file, however it is spelt: UTF-8, UTF-16 both ways,
    /// base64 at any place, hexadecimal, backwards, percent-encoded.
    ///
    /// # Panics
    /// If it is shorter than six bytes: it would be found in any noise.
    #[track_caller]
    pub fn plant(&mut self, value: &str) {
        assert!(value.len() >= 6, "too short to be looked for");
        let bytes = value.as_bytes();
        let hex = |upper: bool| -> Vec<u8> {
            let digits = bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            if upper { digits.to_uppercase().into_bytes() } else { digits.into_bytes() }
        };
        let percent: String = value
            .bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
                _ => format!("%{byte:02X}"),
            })
            .collect();
        let mut spellings = vec![
            ("UTF-8", bytes.to_vec()),
            ("UTF-16LE", value.encode_utf16().flat_map(u16::to_le_bytes).collect()),
            ("UTF-16BE", value.encode_utf16().flat_map(u16::to_be_bytes).collect()),
            ("hexadecimal", hex(false)),
            ("hexadecimal", hex(true)),
            ("backwards", bytes.iter().rev().copied().collect()),
            ("percent", percent.into_bytes()),
        ];
        spellings.extend((0..3).map(|before| ("base64", base64_inside(bytes, before))));
        for (how, spelling) in spellings {
            let Some(start) = spelling.first_chunk::<4>() else { continue };
            let known = self.spellings.entry(*start).or_default();
            if known.iter().all(|(other, _)| *other != spelling) {
                known.push((spelling, format!("`{value}` as {how}")));
            }
        }
    }

    /// What stands in these bytes of what was planted.
    pub fn found_in(&self, hay: &[u8]) -> Vec<&str> {
        let mut found = Vec::new();
        for (place, start) in hay.windows(4).enumerate() {
            let Ok(start) = <&[u8; 4]>::try_from(start) else { continue };
            for (spelling, shown) in self.spellings.get(start).into_iter().flatten() {
                if hay[place..].starts_with(spelling) && !found.contains(&shown.as_str()) {
                    found.push(shown);
                }
            }
        }
        found
    }

    /// Looks at every file below a folder.
    ///
    /// # Panics
    /// Names each file that is not noise, and why.
    #[track_caller]
    pub fn assert_below(&self, folder: &Path) {
        let files = files_below(folder);
        let mut measured = 0;
        let mut wrong = Vec::new();
        for file in &files {
            let name = file.strip_prefix(folder).unwrap_or(file).display().to_string();
            let bytes = fs::read(file).expect("the file can be read");
            let mut hay = name.clone().into_bytes();
            hay.push(b'\n');
            hay.extend_from_slice(&bytes);
            wrong
                .extend(self.found_in(&hay).into_iter().map(|what| format!("{name} holds {what}")));
            match sealed_part(&name, &bytes) {
                Ok(sealed) => {
                    measured += sealed.len();
                    wrong.extend(too_ordered(&sealed).map(|why| format!("{name} {why}")));
                }
                Err(why) => wrong.push(format!("{name} {why}")),
            }
        }
        assert!(measured > 0, "nothing was measured in {}", folder.display());
        assert!(wrong.is_empty(), "a copy is not noise:\n{}", wrong.join("\n"));
    }
}

/// The sealed bytes of a file.
fn sealed_part(name: &str, bytes: &[u8]) -> Result<Vec<u8>, String> {
    /// For people: which service or file keeps the key, the ring, the certificate, the demo's own
    /// logins; and files that hold nothing.
    const IN_THE_CLEAR: [&str; 5] =
        ["keyring", "key-place", "tls/certificate.pem", "demo-logins.json", "audit.head"];
    // What a kill left of a file that is replaced as a whole.
    let name = name.strip_suffix(".new").unwrap_or(name);
    if bytes.is_empty() || IN_THE_CLEAR.contains(&name) {
        return Ok(Vec::new());
    }
    let cut = || "is cut short".to_owned();
    match bytes.first_chunk::<4>() {
        Some(b"CLSF") => bytes.get(8 + 77..).map(<[u8]>::to_vec).ok_or_else(cut),
        Some(b"CLLG") => frames(bytes, 8 + 77 + 40, &|head: &[u8; 13]| {
            u32::from_le_bytes([head[1], head[2], head[3], head[4]])
        })
        .ok_or_else(cut),
        Some(b"CLSA") => frames(bytes, 4 + 1 + 4 + 77 + 8 + 32, &|head: &[u8; 12]| {
            u32::from_be_bytes([head[0], head[1], head[2], head[3]])
        })
        .ok_or_else(cut),
        Some(b"SQLi") => Ok(without_pages(bytes)),
        _ if name == "tls/key.sealed" => Ok(bytes[1..].to_vec()),
        _ => Err("is of no kind that docs/formats.md knows".to_owned()),
    }
}

/// What stands behind the head of each frame; `None` if there is not even a header.
fn frames<const HEAD: usize>(
    bytes: &[u8],
    header: usize,
    length: &dyn Fn(&[u8; HEAD]) -> u32,
) -> Option<Vec<u8>> {
    let mut rest = bytes.get(header..)?;
    let mut sealed = Vec::new();
    while let Some((head, behind)) = rest.split_first_chunk::<HEAD>() {
        let length = length(head) as usize;
        // A kill may leave the last one torn.
        let whole = length.min(behind.len());
        sealed.extend_from_slice(&behind[..whole]);
        rest = &behind[whole..];
    }
    Some(sealed)
}

/// A SQLite file without what SQLite itself writes: free space (zeros), the heads of pages and the
/// schema on the first of them. What is left are keys and sealed values, and a few bytes a row.
fn without_pages(bytes: &[u8]) -> Vec<u8> {
    let page = usize::from(u16::from_be_bytes([bytes[16], bytes[17]]));
    let page = if page == 1 { 65_536 } else { page };
    let mut sealed = Vec::new();
    for page in bytes.chunks(page).skip(1) {
        let mut rest = page;
        while !rest.is_empty() {
            let zeros = rest.iter().take_while(|byte| **byte == 0).count();
            let filled = rest[zeros..].windows(8).position(|eight| eight == [0; 8]);
            let filled = filled.unwrap_or(rest.len() - zeros);
            // Shorter pieces are numbers of cells, not values.
            if filled >= 64 {
                sealed.extend_from_slice(&rest[zeros..zeros + filled]);
            }
            rest = &rest[zeros + filled..];
        }
    }
    sealed
}

/// Which window is not as noise of the same length is; in words.
fn too_ordered(bytes: &[u8]) -> impl Iterator<Item = String> {
    let windows = bytes.chunks(WINDOW_BYTES).enumerate();
    windows.filter(|(_, window)| window.len() >= MEASURED_BYTES_MIN).filter_map(|(at, window)| {
        let (found, expected) = (entropy(window), entropy(&random(window.len())));
        // Of noise, too, short windows differ; SQLite's row heads cost a little more.
        let slack = if window.len() >= 16 * 1024 { 0.05 } else { 0.25 };
        (found < expected - slack).then(|| {
            format!("has {found:.3} bits a byte in window {at}, noise would have {expected:.3}")
        })
    })
}

/// Shannon entropy in bits a byte.
fn entropy(bytes: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in bytes {
        counts[usize::from(*byte)] += 1;
    }
    let all = bytes.len() as f64;
    let shares = counts.iter().filter(|count| **count > 0).map(|count| f64::from(*count) / all);
    -shares.map(|share| share * share.log2()).sum::<f64>()
}

/// Bytes that look random and are the same in every run (SplitMix64).
fn random(length: usize) -> Vec<u8> {
    let mut state = 7_u64;
    let words = std::iter::repeat_with(move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    });
    words.flat_map(u64::to_le_bytes).take(length).collect()
}

/// The characters of base64 that only depend on the value, if so many bytes stand before it.
fn base64_inside(value: &[u8], before: usize) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = vec![0; before];
    bytes.extend_from_slice(value);
    let bits = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1));
    let bits: Vec<u8> = bits.collect();
    // Digits that hold bits of neighbours are left out.
    let digits = bits.chunks_exact(6).skip((before * 8).div_ceil(6));
    digits
        .map(|six| DIGITS[usize::from(six.iter().fold(0, |digit, bit| digit << 1 | bit))])
        .collect()
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the folder can be read") {
            let path = entry.expect("the folder can be read").path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_in_every_spelling() {
        let mut noise = Noise::new();
        noise.plant("ada@example.org");
        for hay in [
            "x ada@example.org y",
            "YWRhQGV4YW1wbGUub3Jn",
            "eDphZGFAZXhhbXBsZS5vcmc6eQ==",
            "eHg6YWRhQGV4YW1wbGUub3JnOnk=",
            "616461406578616d706c652e6f7267",
            "gro.elpmaxe@ada",
            "q=ada%40example%2Eorg",
        ] {
            assert_eq!(noise.found_in(hay.as_bytes()).len(), 1, "{hay}");
        }
        let utf16: Vec<u8> = "ada@example.org".encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(noise.found_in(&utf16).len(), 1);
        assert!(noise.found_in(b"ada@example.com").is_empty());
    }

    #[test]
    fn order_is_told_from_noise() {
        assert_eq!(too_ordered(&random(200_000)).count(), 0);
        let mut mixed = random(200_000);
        for place in mixed[70_000..].iter_mut().take(30_000) {
            *place &= 0x7f;
        }
        let found: Vec<String> = too_ordered(&mixed).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("in window 1"), "{found:?}");
        assert!(too_ordered(&b"some words ".repeat(100)).next().is_some());
    }

    #[test]
    fn a_file_of_no_known_kind_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("notes.txt"), "hello").unwrap();
        let outcome = std::panic::catch_unwind(|| Noise::new().assert_below(folder.path()));
        assert!(outcome.is_err());
        assert!(sealed_part("notes.txt", b"hello").unwrap_err().contains("no kind"));
    }
}
