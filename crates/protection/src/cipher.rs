use aws_lc_rs::aead::{
    AES_256_GCM, AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey,
};
use aws_lc_rs::rand;
use std::fmt;
use zeroize::Zeroizing;

/// Bytes that sealing a frame adds.
pub const TAG_BYTES: usize = 16;

/// Seals and opens the frames of one file: AES-256-GCM under the file's own key.
///
/// The nonce is the frame's number and whether it is the last, so a frame number must never be
/// sealed twice under one key: a writer that has to write a frame again (a failed write, a
/// restart) starts a new file with a new key from
/// [`KeyRing::new_file_key`](crate::keys::KeyRing::new_file_key).
pub struct FileCipher {
    key: LessSafeKey,
}

impl FileCipher {
    pub(crate) fn new(key: &[u8; 32]) -> FileCipher {
        let key = UnboundKey::new(&AES_256_GCM, key).expect("the key has 32 bytes");
        FileCipher { key: LessSafeKey::new(key) }
    }

    /// Seals `data` in place and appends the tag of [`TAG_BYTES`] bytes.
    ///
    /// `identity` (kind and id of the file), `frame` and `last` are authenticated with it: a
    /// frame opens only in its own place of its own file.
    pub fn seal_frame(&self, identity: &[u8], frame: u64, last: bool, data: &mut Vec<u8>) {
        let aad = Aad::from(frame_aad(identity, frame, last));
        self.key
            .seal_in_place_append_tag(frame_nonce(frame, last), aad, data)
            .expect("AES-GCM seals everything below 64 GiB");
    }

    /// Opens `data` in place and cuts the tag off.
    ///
    /// # Errors
    /// If the bytes, their place, the file's identity or the key is not the one they were sealed
    /// with. `data` is then empty.
    pub fn open_frame(
        &self,
        identity: &[u8],
        frame: u64,
        last: bool,
        data: &mut Vec<u8>,
    ) -> Result<(), CipherError> {
        let aad = Aad::from(frame_aad(identity, frame, last));
        match self.key.open_in_place(frame_nonce(frame, last), aad, data) {
            Ok(plain) => {
                let plain_bytes = plain.len();
                data.truncate(plain_bytes);
                Ok(())
            }
            Err(_) => {
                data.clear();
                Err(CipherError)
            }
        }
    }
}

impl fmt::Debug for FileCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileCipher(…)")
    }
}

fn frame_nonce(frame: u64, last: bool) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    nonce[..8].copy_from_slice(&frame.to_le_bytes());
    nonce[8] = u8::from(last);
    Nonce::assume_unique_for_key(nonce)
}

fn frame_aad(identity: &[u8], frame: u64, last: bool) -> Vec<u8> {
    let mut aad = Vec::with_capacity(identity.len() + 9);
    aad.extend_from_slice(&frame.to_le_bytes());
    aad.push(u8::from(last));
    aad.extend_from_slice(identity);
    aad
}

/// Seals single values of one field: AES-256-GCM-SIV with a random nonce, so that equal values do
/// not look equal and a nonce that comes twice betrays no more than that.
///
/// A sealed value is version (1 byte), nonce (12), ciphertext, tag (16).
pub struct ValueCipher {
    key: LessSafeKey,
    /// Earlier generations, newest first: for opening only.
    older: Vec<LessSafeKey>,
}

impl ValueCipher {
    const VERSION: u8 = 1;
    const HEADER_BYTES: usize = 1 + NONCE_LEN;

    pub(crate) fn new(key: &[u8; 32]) -> ValueCipher {
        ValueCipher { key: value_key(key), older: Vec::new() }
    }

    /// Seals under the first key, opens under any.
    ///
    /// # Panics
    /// If there is none.
    pub(crate) fn newest_first(keys: impl Iterator<Item = Zeroizing<[u8; 32]>>) -> ValueCipher {
        let mut keys = keys.map(|key| value_key(&key));
        let key = keys.next().expect("a family of keys is never empty");
        ValueCipher { key, older: keys.collect() }
    }

    /// Seals one value.
    pub fn seal(&self, plain: &[u8]) -> Box<[u8]> {
        self.seal_bound(&[], plain).into_boxed_slice()
    }

    /// Opens what [`ValueCipher::seal`] made.
    ///
    /// # Errors
    /// If the bytes were changed, cut or sealed for another field or under another ring.
    pub fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, CipherError> {
        self.open_bound(&[], sealed)
    }

    /// Seals `plain` so that it opens only together with `bound`, which is not stored.
    pub fn seal_bound(&self, bound: &[u8], plain: &[u8]) -> Vec<u8> {
        let mut sealed = vec![0; Self::HEADER_BYTES + plain.len() + TAG_BYTES];
        let (header, rest) = sealed.split_at_mut(Self::HEADER_BYTES);
        header[0] = Self::VERSION;
        rand::fill(&mut header[1..]).expect("the system gives random bytes");
        let mut nonce = [0; NONCE_LEN];
        nonce.copy_from_slice(&header[1..]);
        let (text, tag) = rest.split_at_mut(plain.len());
        text.copy_from_slice(plain);
        let made = self
            .key
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(bound), text)
            .expect("AES-GCM-SIV seals everything below 64 GiB");
        tag.copy_from_slice(made.as_ref());
        sealed
    }

    /// Opens what [`ValueCipher::seal_bound`] made with the same `bound`.
    ///
    /// # Errors
    /// As [`ValueCipher::open`], and if `bound` is another.
    pub fn open_bound(&self, bound: &[u8], sealed: &[u8]) -> Result<Vec<u8>, CipherError> {
        if sealed.len() < Self::HEADER_BYTES + TAG_BYTES || sealed[0] != Self::VERSION {
            return Err(CipherError);
        }
        let (header, text) = sealed.split_at(Self::HEADER_BYTES);
        let open = |key: &LessSafeKey| {
            let nonce = Nonce::try_assume_unique_for_key(&header[1..]).ok()?;
            let mut data = text.to_vec();
            let plain_bytes = key.open_in_place(nonce, Aad::from(bound), &mut data).ok()?.len();
            data.truncate(plain_bytes);
            Some(data)
        };
        open(&self.key).or_else(|| self.older.iter().find_map(open)).ok_or(CipherError)
    }
}

fn value_key(key: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, key).expect("the key has 32 bytes"))
}

impl fmt::Debug for ValueCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ValueCipher(…)")
    }
}

/// The bytes are not what was sealed here under this key: changed, cut, moved or foreign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not authentic: changed, cut, moved from another place, or sealed under another key")]
pub struct CipherError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_opens_only_in_its_own_place() {
        let cipher = FileCipher::new(&[7; 32]);
        let mut sealed = b"row".to_vec();
        cipher.seal_frame(b"segment:1", 4, false, &mut sealed);
        assert_eq!(sealed.len(), 3 + TAG_BYTES);

        let open = |cipher: &FileCipher, identity: &[u8], frame, last| {
            let mut data = sealed.clone();
            cipher.open_frame(identity, frame, last, &mut data).map(|()| data)
        };
        assert_eq!(open(&cipher, b"segment:1", 4, false), Ok(b"row".to_vec()));
        assert_eq!(open(&cipher, b"segment:2", 4, false), Err(CipherError));
        assert_eq!(open(&cipher, b"segment:1", 5, false), Err(CipherError));
        assert_eq!(open(&cipher, b"segment:1", 4, true), Err(CipherError));
        assert_eq!(open(&FileCipher::new(&[8; 32]), b"segment:1", 4, false), Err(CipherError));
    }

    #[test]
    fn every_flip_and_cut_is_noticed() {
        let file = FileCipher::new(&[7; 32]);
        let mut frame = b"some bytes".to_vec();
        file.seal_frame(b"f", 0, true, &mut frame);
        let value = ValueCipher::new(&[7; 32]);
        let sealed = value.seal(b"72.5");
        for at in 0..frame.len() {
            let mut changed = frame.clone();
            changed[at] ^= 1;
            assert_eq!(file.open_frame(b"f", 0, true, &mut changed), Err(CipherError));
            assert!(changed.is_empty(), "nothing unauthentic is handed out");
            let mut cut = frame[..at].to_vec();
            assert_eq!(file.open_frame(b"f", 0, true, &mut cut), Err(CipherError));
        }
        for at in 0..sealed.len() {
            let mut changed = sealed.to_vec();
            changed[at] ^= 1;
            assert_eq!(value.open(&changed), Err(CipherError));
            assert_eq!(value.open(&sealed[..at]), Err(CipherError));
        }
    }

    #[test]
    fn equal_values_do_not_look_equal() {
        let cipher = ValueCipher::new(&[1; 32]);
        let (one, two) = (cipher.seal(b"72.5"), cipher.seal(b"72.5"));
        assert_ne!(one, two);
        assert_eq!(cipher.open(&one).unwrap(), b"72.5");
        assert_eq!(cipher.open(&two).unwrap(), b"72.5");
        assert_eq!(cipher.open_bound(b"elsewhere", &one), Err(CipherError));
        assert_eq!(cipher.open(&cipher.seal(b"")).unwrap(), b"");
    }
}
