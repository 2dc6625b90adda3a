use model::Class;
use std::fmt;

/// A set of classes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Classes(u8);

impl Classes {
    /// None: what a grant that does not read carries.
    pub const NONE: Classes = Classes(0);

    /// This class and every milder one.
    pub fn up_to(class: Class) -> Classes {
        Class::ALL.into_iter().filter(|milder| *milder <= class).collect()
    }

    /// Whether `class` is among them.
    pub fn has(self, class: Class) -> bool {
        self.0 & bit(class) != 0
    }

    /// Whether every class of `other` is among them.
    pub fn covers(self, other: Classes) -> bool {
        other.0 & !self.0 == 0
    }

    /// Those in both.
    pub fn meet(self, other: Classes) -> Classes {
        Classes(self.0 & other.0)
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Each, from the mildest.
    pub fn iter(self) -> impl Iterator<Item = Class> {
        Class::ALL.into_iter().filter(move |class| self.has(*class))
    }

    /// The strictest.
    pub fn strictest(self) -> Option<Class> {
        self.iter().last()
    }
}

fn bit(class: Class) -> u8 {
    1 << class as u8
}

impl FromIterator<Class> for Classes {
    fn from_iter<T: IntoIterator<Item = Class>>(classes: T) -> Classes {
        Classes(classes.into_iter().fold(0, |set, class| set | bit(class)))
    }
}

impl fmt::Display for Classes {
    /// `up to special` where that says it, else the words with commas.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.strictest() {
            Some(Class::Open) => f.pad("open"),
            Some(max) if *self == Classes::up_to(max) => f.pad(&format!("up to {max}")),
            _ => f.pad(&self.iter().map(Class::as_str).collect::<Vec<_>>().join(", ")),
        }
    }
}

impl fmt::Debug for Classes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_four() {
        let mild = Classes::up_to(Class::Personal);
        let odd: Classes = [Class::Special, Class::Open].into_iter().collect();
        assert!(mild.has(Class::Open) && !mild.has(Class::Special));
        assert!(Classes::up_to(Class::Secret).covers(odd) && !mild.covers(odd));
        assert_eq!(mild.meet(odd), Classes::up_to(Class::Open));
        assert_eq!(
            (mild.to_string(), odd.to_string()),
            ("up to personal".into(), "open, special".into())
        );
        assert_eq!(Classes::NONE.strictest(), None);
    }
}
