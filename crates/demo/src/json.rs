//! Writes JSON by hand: the bench needs more than a million events a second out of one core.

/// Appends `"key":` to an object that has members already.
pub(crate) fn key(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

/// Appends `,"name":"text"`. The text is plain: no quote, backslash or control character.
pub(crate) fn string(out: &mut Vec<u8>, name: &str, text: &str) {
    debug_assert!(text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\'));
    key(out, name);
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

/// Appends a whole number.
pub(crate) fn number(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    let mut digits = [0_u8; 20];
    let mut start = digits.len();
    let mut rest = value.unsigned_abs();
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

/// Appends a number with one digit behind the point, given in tenths.
pub(crate) fn tenths(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    let value = value.unsigned_abs() as i64;
    number(out, value / 10);
    out.push(b'.');
    out.push(b'0' + (value % 10) as u8);
}

/// Appends a number of exactly `N` digits.
pub(crate) fn padded<const N: usize>(out: &mut Vec<u8>, value: u32) {
    let mut digits = [b'0'; N];
    let mut rest = value;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(&digits);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_json() {
        let mut out = Vec::new();
        for value in [0, 7, -61, i64::MIN, i64::MAX] {
            number(&mut out, value);
            out.push(b' ');
        }
        tenths(&mut out, 3125);
        out.push(b' ');
        tenths(&mut out, -4);
        out.push(b' ');
        padded::<3>(&mut out, 42);
        let expected = "0 7 -61 -9223372036854775808 9223372036854775807 312.5 -0.4 042";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
