/// The words of a field's path or of a label in a text, lower case, without what parts them:
/// `userProfile.e-mail_address` is `user profile e mail address`.
///
/// Only the last [`Words::BYTES_MAX`] bytes of a name are looked at: what a field is stands at
/// the end of its path.
pub(super) struct Words {
    joined: [u8; Words::BYTES_MAX],
    len: usize,
    /// Where each word starts in `joined`.
    starts: [u8; Words::WORDS_MAX],
    count: usize,
    /// The first word of the last part of the path.
    leaf: usize,
}

impl Words {
    const BYTES_MAX: usize = 96;
    const WORDS_MAX: usize = 24;

    pub(super) fn of(name: &[u8]) -> Words {
        let name = &name[name.len().saturating_sub(Self::BYTES_MAX)..];
        let mut words = Words {
            joined: [0; Self::BYTES_MAX],
            len: 0,
            starts: [0; Self::WORDS_MAX],
            count: 0,
            leaf: 0,
        };
        let mut inside = false;
        for (at, &byte) in name.iter().enumerate() {
            if !byte.is_ascii_alphanumeric() && byte < 0x80 {
                inside = false;
                if byte == b'.' {
                    words.leaf = words.count;
                }
                continue;
            }
            if !inside || starts_camel_word(name, at) {
                if words.count == Self::WORDS_MAX {
                    break;
                }
                words.starts[words.count] = words.len as u8;
                words.count += 1;
                inside = true;
            }
            words.joined[words.len] = byte.to_ascii_lowercase();
            words.len += 1;
        }
        words
    }

    /// How many words.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Word `number`.
    pub(super) fn word(&self, number: usize) -> &[u8] {
        self.span(number, number + 1)
    }

    /// The words `from..to`, joined.
    pub(super) fn span(&self, from: usize, to: usize) -> &[u8] {
        let end = if to < self.count { usize::from(self.starts[to]) } else { self.len };
        &self.joined[usize::from(self.starts[from])..end]
    }

    /// Whether the last part of the path starts with word `number`.
    pub(super) fn is_leaf(&self, number: usize) -> bool {
        number == self.leaf
    }

    /// Whether one of the words is one of `these`.
    pub(super) fn any_of(&self, these: &[String]) -> bool {
        (0..self.count).any(|number| these.iter().any(|word| word.as_bytes() == self.word(number)))
    }
}

/// `userId` parts before `I`, `IPAddress` before `A`.
fn starts_camel_word(name: &[u8], at: usize) -> bool {
    if at == 0 || !name[at].is_ascii_uppercase() {
        return false;
    }
    let follows_lower = name[at - 1].is_ascii_lowercase() || name[at - 1].is_ascii_digit();
    let ends_capitals =
        name[at - 1].is_ascii_uppercase() && name.get(at + 1).is_some_and(u8::is_ascii_lowercase);
    follows_lower || ends_capitals
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, expected: &str) {
        let words = Words::of(name.as_bytes());
        let found: Vec<&str> = (0..words.count())
            .map(|number| std::str::from_utf8(words.word(number)).unwrap())
            .collect();
        assert_eq!(found.join(" "), expected);
    }

    #[test]
    fn names_fall_into_words() {
        check("user.email", "user email");
        check("userProfile.e-mail_address", "user profile e mail address");
        check("clientIPAddress", "client ip address");
        check("IPAddress", "ip address");
        check("@timestamp", "timestamp");
        check("X-Forwarded-For", "x forwarded for");
        check("ipv4", "ipv4");
        check("größe", "größe");
        check("", "");
    }

    #[test]
    fn the_leaf_is_the_last_part() {
        let words = Words::of(b"user.home.age");
        assert!(words.is_leaf(2) && !words.is_leaf(1));
        assert_eq!(words.span(0, 2), b"userhome");
        assert_eq!(words.span(1, 3), b"homeage");
    }

    #[test]
    fn long_names_keep_their_end() {
        let name = format!("{}.email", "a_".repeat(300));
        let words = Words::of(name.as_bytes());
        assert!(words.count() <= Words::WORDS_MAX);
        let short = format!("{}.email", "abcdefgh".repeat(30));
        let words = Words::of(short.as_bytes());
        assert_eq!(words.word(words.count() - 1), b"email");
    }
}
