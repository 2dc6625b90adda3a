use std::fmt;

/// One value of a field, outside a column: a literal of a question, a bucket key.
#[derive(Clone, PartialEq)]
pub enum Value {
    /// Text, keyword, pseudonym.
    Str(String),
    /// Integer, or a date in milliseconds.
    Long(i64),
    /// Float.
    Double(f64),
    /// True or false.
    Bool(bool),
}

impl fmt::Debug for Value {
    /// Says the type only: values never reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Value::Str(_) => "Str(…)",
            Value::Long(_) => "Long(…)",
            Value::Double(_) => "Double(…)",
            Value::Bool(_) => "Bool(…)",
        })
    }
}
