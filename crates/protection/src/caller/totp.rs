//! Codes from an authenticator app: RFC 6238 over RFC 4226, with what every app takes: SHA-1, six
//! digits, thirty seconds. A code counts once, half a minute early or late.

use super::base32;
use aws_lc_rs::{constant_time, hmac, rand};
use model::Timestamp;
use zeroize::Zeroizing;

/// RFC 4226 asks for 160 bits.
pub(super) const SECRET_BYTES: usize = 20;
const STEP_MS: i64 = 30_000;
const DIGITS: u32 = 6;
/// Steps that a clock may be off, in either direction.
const DRIFT: i64 = 1;

/// A fresh secret.
pub(super) fn new_secret() -> Zeroizing<[u8; SECRET_BYTES]> {
    let mut secret = Zeroizing::new([0; SECRET_BYTES]);
    rand::fill(secret.as_mut_slice()).expect("the system gives random bytes");
    secret
}

/// The step in which `code` is right for `secret`, if that is later than `after`: a code that was
/// used, or one before it, does not count again.
pub(super) fn step_of(secret: &[u8], code: &str, now: Timestamp, after: i64) -> Option<i64> {
    let typed: String = code.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
    let step = now.0.div_euclid(STEP_MS);
    let mut found = None;
    // All steps are tried whatever comes of them, so that the time tells nothing.
    for step in step - DRIFT..=step + DRIFT {
        let right = code_at(secret, step, DIGITS);
        let same = constant_time::verify_slices_are_equal(right.as_bytes(), typed.as_bytes());
        if same.is_ok() && step > after {
            found = Some(step);
        }
    }
    found
}

fn code_at(secret: &[u8], step: i64, digits: u32) -> Zeroizing<String> {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let tag = tag.as_ref();
    let place = usize::from(tag[tag.len() - 1] & 15);
    let cut: [u8; 4] = tag[place..place + 4].try_into().expect("the tag has 20 bytes");
    let number = (u32::from_be_bytes(cut) & 0x7fff_ffff) % 10_u32.pow(digits);
    Zeroizing::new(format!("{number:0width$}", width = digits as usize))
}

/// What an app reads from a QR code or by typing.
pub struct TotpEnrolment {
    /// In base32, for typing.
    pub secret: Zeroizing<String>,
    /// `otpauth://totp/…`, for a QR code.
    pub uri: Zeroizing<String>,
}

impl TotpEnrolment {
    pub(super) fn new(name: &str, secret: &[u8]) -> TotpEnrolment {
        let secret = Zeroizing::new(base32::encode(secret));
        // Names of accounts need one escape only.
        let label = name.replace('@', "%40");
        let uri = Zeroizing::new(format!(
            "otpauth://totp/Clerestory:{label}?secret={}&issuer=Clerestory&algorithm=SHA1&digits=6&period=30",
            secret.as_str()
        ));
        TotpEnrolment { secret, uri }
    }
}

impl std::fmt::Debug for TotpEnrolment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TotpEnrolment(…)")
    }
}

#[cfg(test)]
pub(super) fn code_for(base32_secret: &str, now: Timestamp) -> String {
    let bits: Vec<u8> = base32_secret
        .chars()
        .flat_map(|c| {
            let digit = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".find(c).unwrap() as u8;
            (0..5).rev().map(move |bit| digit >> bit & 1)
        })
        .collect();
    let secret: Vec<u8> =
        bits.chunks_exact(8).map(|byte| byte.iter().fold(0, |sum, bit| sum << 1 | bit)).collect();
    code_at(&secret, now.0.div_euclid(STEP_MS), DIGITS).as_str().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_rfc_6238() {
        let secret = b"12345678901234567890";
        for (seconds, expected) in [
            (59, "94287082"),
            (1_111_111_109, "07081804"),
            (1_111_111_111, "14050471"),
            (1_234_567_890, "89005924"),
            (2_000_000_000, "69279037"),
            (20_000_000_000_i64, "65353130"),
        ] {
            assert_eq!(code_at(secret, seconds / 30, 8).as_str(), expected);
        }
    }

    #[test]
    fn a_code_counts_once_and_half_a_minute_early_or_late() {
        let secret = new_secret();
        let at = |step: i64| Timestamp(step * STEP_MS + 29_999);
        let code = code_at(secret.as_slice(), 100, DIGITS);
        for (now, expected) in
            [(98, None), (99, Some(100)), (100, Some(100)), (101, Some(100)), (102, None)]
        {
            assert_eq!(step_of(secret.as_slice(), &code, at(now), 0), expected, "{now}");
        }
        assert_eq!(step_of(secret.as_slice(), &code, at(100), 99), Some(100));
        assert_eq!(step_of(secret.as_slice(), &code, at(100), 100), None, "used");
        let spaced = format!("{} {}", &code[..3], &code[3..]);
        assert_eq!(step_of(secret.as_slice(), &spaced, at(100), 0), Some(100));
        for wrong in ["", "12345", "1234567", "abcdef", "١٢٣٤٥٦"] {
            assert_eq!(step_of(secret.as_slice(), wrong, at(100), 0), None, "{wrong}");
        }
        assert_eq!(step_of(new_secret().as_slice(), &code, at(500_000), 0), None);
    }

    #[test]
    fn apps_are_told_everything() {
        let enrolment = TotpEnrolment::new("ada@example.org", b"12345678901234567890");
        assert_eq!(enrolment.secret.as_str(), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        assert_eq!(
            enrolment.uri.as_str(),
            "otpauth://totp/Clerestory:ada%40example.org?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\
             &issuer=Clerestory&algorithm=SHA1&digits=6&period=30"
        );
        assert_eq!(format!("{enrolment:?}"), "TotpEnrolment(…)");
        let now = Timestamp(59_000);
        let code = code_for(&enrolment.secret, now);
        assert_eq!(code, "287082");
    }
}
