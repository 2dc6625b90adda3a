use std::error::Error;

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    hint: Option<String>,
    exit_code: u8,
}

/// What commands return.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// It was tried and failed.
    pub(crate) fn new(message: impl Into<String>) -> Failure {
        Failure { message: message.into(), hint: None, exit_code: 1 }
    }

    /// It was not tried: what was typed makes no sense.
    pub(crate) fn wrong_use(message: impl Into<String>) -> Failure {
        Failure { exit_code: 2, ..Failure::new(message) }
    }

    /// The command or setting that helps.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }

    /// What it wanted to do, in front of what happened.
    pub(crate) fn while_doing(mut self, doing: &str) -> Failure {
        self.message = format!("{doing}: {}", self.message);
        self
    }

    pub(crate) fn exit_code(&self) -> u8 {
        self.exit_code
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// What failed, then a blank line, then the hint.
    pub(crate) fn to_text(&self) -> String {
        let hint = self.hint.as_ref().map_or(String::new(), |hint| format!("\nhint: {hint}\n"));
        format!("error: {}\n{hint}", self.message)
    }
}

/// The error and all its causes in one line.
impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::new(with_causes(&error))
    }
}

/// Adds what was being done to an error.
pub(crate) trait Doing<T> {
    /// `doing` is a phrase such as ``cannot read `x` ``.
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Error> Doing<T> for std::result::Result<T, E> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Failure::new(format!("{}: {}", doing(), with_causes(&error))))
    }
}

fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // Some errors repeat their cause in their own words.
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hint_stands_below_a_blank_line() {
        let failure = Failure::new("no server").hint("clerestory serve --dir D");
        assert_eq!(failure.to_text(), "error: no server\n\nhint: clerestory serve --dir D\n");
        assert_eq!(failure.exit_code(), 1);
        assert_eq!(Failure::wrong_use("x").exit_code(), 2);
        assert_eq!(Failure::new("x").to_text(), "error: x\n");
    }
}
