/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators"): small, fast,
/// and the same on every machine. Not for secrets that anyone relies on.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl Random {
    /// The numbers that belong to item `number` of `stream`; other items have unrelated numbers.
    pub(crate) fn of(seed: u64, stream: Stream, number: u64) -> Random {
        let stream_seed = mix(seed ^ mix((stream as u64 + 1).wrapping_mul(GOLDEN)));
        Random(mix(stream_seed ^ number.wrapping_mul(GOLDEN)))
    }

    /// The next 64 bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// A number below `end`; 0 if `end` is 0.
    pub(crate) fn below(&mut self, end: u32) -> u32 {
        (((self.bits() >> 32) * u64::from(end)) >> 32) as u32
    }

    /// A number in `from..to`.
    pub(crate) fn between(&mut self, from: i64, to: i64) -> i64 {
        from + i64::from(self.below(u32::try_from(to - from).unwrap_or(0)))
    }

    /// True once in `times`.
    pub(crate) fn once_in(&mut self, times: u32) -> bool {
        self.below(times) == 0
    }

    /// One of `choices`, which is not empty.
    pub(crate) fn pick<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.below(choices.len() as u32) as usize]
    }

    /// Appends `length` characters out of `alphabet`.
    pub(crate) fn spell(&mut self, alphabet: &[u8], length: usize, out: &mut String) {
        for _ in 0..length {
            out.push(char::from(alphabet[self.below(alphabet.len() as u32) as usize]));
        }
    }
}

/// What numbers are drawn for; keeps the draws of one thing from moving those of another.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stream {
    User,
    Device,
    Event,
    Measurement,
    Setup,
}

fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_never_change() {
        let mut random = Random::of(7, Stream::Event, 0);
        let first = [random.bits(), random.bits()];
        let mut again = Random::of(7, Stream::Event, 0);
        assert_eq!(first, [again.bits(), again.bits()]);
        assert_ne!(first[0], Random::of(7, Stream::Event, 1).bits());
        assert_ne!(first[0], Random::of(7, Stream::User, 0).bits());
        assert_ne!(first[0], Random::of(8, Stream::Event, 0).bits());
    }

    #[test]
    fn below_is_even_and_in_range() {
        let mut random = Random::of(1, Stream::Event, 1);
        let mut seen = [0_u32; 10];
        for _ in 0..100_000 {
            seen[random.below(10) as usize] += 1;
        }
        assert!(seen.iter().all(|&count| (9_000..11_000).contains(&count)), "{seen:?}");
        assert_eq!(random.below(0), 0);
    }
}
