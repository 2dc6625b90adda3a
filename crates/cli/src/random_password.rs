use crate::failure::{Failure, Result};

/// Without letters that people mix up.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
const LENGTH: usize = 24;

/// A fresh password of 120 random bits, in groups of six to be read aloud.
pub(crate) fn random_password() -> Result<String> {
    let mut bytes = [0_u8; LENGTH];
    rustls::crypto::aws_lc_rs::default_provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| Failure::new("the system gives no random numbers"))?;
    let mut password = String::with_capacity(LENGTH + 3);
    for (place, byte) in bytes.iter().enumerate() {
        if place > 0 && place % 6 == 0 {
            password.push('-');
        }
        // 256 is a multiple of 32: every letter is equally likely.
        password.push(char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]));
    }
    Ok(password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_differ_and_are_long() {
        let (one, other) = (random_password().unwrap(), random_password().unwrap());
        assert_ne!(one, other);
        assert_eq!(one.len(), 27);
    }
}
