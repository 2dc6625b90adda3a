use zeroize::Zeroize;

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// Reads exactly `N` bytes of hexadecimal; `None` if `text` is anything else.
pub(crate) fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let text = text.as_bytes();
    if text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16);
        let (Some(high), Some(low)) = (digit(0), digit(1)) else {
            bytes.zeroize();
            return None;
        };
        *byte = (high * 16 + low) as u8;
    }
    Some(bytes)
}

/// Reads hexadecimal of any length up to `bytes_max`.
pub(crate) fn bytes_from_hex(text: &str, bytes_max: usize) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || text.len() > 2 * bytes_max || !text.is_ascii() {
        return None;
    }
    let pairs = (0..text.len()).step_by(2);
    pairs.map(|at| from_hex::<1>(&text[at..at + 2]).map(|[byte]| byte)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_goes_both_ways() {
        assert_eq!(hex(&[0, 0x1f, 0xff]), "001fff");
        assert_eq!(from_hex::<3>("001fff"), Some([0, 0x1f, 0xff]));
        assert_eq!(from_hex::<3>("001ff"), None);
        assert_eq!(from_hex::<3>("001fgg"), None);
        assert_eq!(from_hex::<1>("é"), None, "two bytes, no digits");
        assert_eq!(bytes_from_hex("001fff", 3), Some(vec![0, 0x1f, 0xff]));
        assert_eq!(bytes_from_hex("", 3), Some(Vec::new()));
        for wrong in ["0", "0g", "éé", "001fff00"] {
            assert_eq!(bytes_from_hex(wrong, 3), None, "{wrong}");
        }
    }
}
