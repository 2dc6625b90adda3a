//! Which given `_id`s a segment may hold: ten bits an id, one wrong "maybe" in a hundred.
//!
//! ```text
//! number of bits (u64, little endian), then the bits
//! ```

const BITS_PER_ID: u64 = 10;
const PROBES: u64 = 7;

/// A set of ids that is never wrong about what it does not hold.
#[derive(Clone, Debug)]
pub(crate) struct Bloom {
    bits: u64,
    words: Vec<u64>,
}

impl Bloom {
    /// An empty set with room for `ids`.
    pub(crate) fn with_room_for(ids: usize) -> Bloom {
        let bits = (ids as u64 * BITS_PER_ID).max(64).next_multiple_of(64);
        Bloom { bits, words: vec![0; (bits / 64) as usize] }
    }

    /// Adds an id.
    pub(crate) fn insert(&mut self, id: &str) {
        self.insert_hash(hash(id));
    }

    /// Adds an id by its [`hash`].
    pub(crate) fn insert_hash(&mut self, hash: u64) {
        for bit in probes(hash, self.bits) {
            self.words[(bit / 64) as usize] |= 1 << (bit % 64);
        }
    }

    /// False: certainly not in the set.
    pub(crate) fn may_hold(&self, id: &str) -> bool {
        probes(hash(id), self.bits)
            .all(|bit| self.words[(bit / 64) as usize] >> (bit % 64) & 1 == 1)
    }

    /// The bytes for the segment file.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.bits.to_le_bytes().to_vec();
        bytes.extend(self.words.iter().flat_map(|word| word.to_le_bytes()));
        bytes
    }

    /// Reads the bytes back; `None` if they are damaged.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Bloom> {
        let (bits, words) = bytes.split_first_chunk::<8>()?;
        let bits = u64::from_le_bytes(*bits);
        if bits == 0 || words.len() as u64 * 8 != bits {
            return None;
        }
        let words = words.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
        Some(Bloom { bits, words })
    }
}

/// Kirsch and Mitzenmacher, "Less hashing, same performance" (2006): two hashes make all probes.
fn probes(first: u64, bits: u64) -> impl Iterator<Item = u64> {
    let second = mix(first ^ 0x9e37_79b9_7f4a_7c15) | 1;
    (0..PROBES).map(move |probe| first.wrapping_add(probe.wrapping_mul(second)) % bits)
}

/// FNV-1a with a finisher; written down here because it is part of the file format.
pub(crate) fn hash(id: &str) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325_u64;
    let step = |state: u64, byte: u8| (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    mix(id.bytes().fold(start, step))
}

/// The finisher of MurmurHash3.
fn mix(mut state: u64) -> u64 {
    state ^= state >> 33;
    state = state.wrapping_mul(0xff51_afd7_ed55_8ccd);
    state ^= state >> 33;
    state = state.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    state ^ (state >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_was_put_in_and_little_else() {
        let mut bloom = Bloom::with_room_for(10_000);
        (0..10_000).for_each(|number| bloom.insert(&format!("device-{number}")));
        let bloom = Bloom::from_bytes(&bloom.to_bytes()).unwrap();
        assert!((0..10_000).all(|number| bloom.may_hold(&format!("device-{number}"))));
        let wrong = (0..10_000).filter(|number| bloom.may_hold(&format!("other-{number}"))).count();
        assert!(wrong < 200, "{wrong} of 10,000 wrongly held");
    }

    #[test]
    fn damaged_bytes_are_refused() {
        assert!(Bloom::from_bytes(&[]).is_none());
        assert!(Bloom::from_bytes(&[64, 0, 0, 0, 0, 0, 0, 0, 1]).is_none());
    }
}
