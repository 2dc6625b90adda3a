use std::fmt;
use std::str::FromStr;

/// How much harm a value can do in the wrong hands. Ordered: a later class is never less strict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// A business fact: stored as it is.
    Open,
    /// Says who somebody is: stored as a keyed pseudonym.
    Personal,
    /// Health, precise place, body: sealed value by value, only counted in groups.
    Special,
    /// A credential: never stored, a keyed tag stands in its place.
    Secret,
}

impl Class {
    /// All classes, from the least to the most strict.
    pub const ALL: [Class; 4] = [Class::Open, Class::Personal, Class::Special, Class::Secret];

    /// The word that people type and read.
    pub fn as_str(self) -> &'static str {
        match self {
            Class::Open => "open",
            Class::Personal => "personal",
            Class::Special => "special",
            Class::Secret => "secret",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Class {
    type Err = UnknownClass;
    fn from_str(text: &str) -> Result<Class, UnknownClass> {
        Class::ALL.into_iter().find(|class| class.as_str() == text).ok_or(UnknownClass)
    }
}

/// The text is none of the four classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a class is one of open, personal, special, secret")]
pub struct UnknownClass;
