//! Why a question was not answered, sorted by whose fault it is.

use datafusion::arrow::error::ArrowError;
use datafusion::common::DataFusionError;

/// Why a question was not answered.
///
/// The words of the question itself may be quoted back to whoever asked it; no variant carries a
/// value of a document.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The question makes no sense as it stands.
    #[error("{0}")]
    Invalid(String),
    /// The question is understood, and cannot be answered by this version.
    #[error("{0}")]
    Unsupported(String),
    /// The question names a field that no table of it has.
    #[error("unknown column `{name}`{hint}")]
    UnknownField {
        /// As it was written.
        name: String,
        /// The nearest names, as `; did you mean …`, or empty.
        hint: String,
    },
    /// The question names a table that does not exist or may not be known.
    #[error("unknown table `{name}`{hint}")]
    UnknownTable {
        /// As it was written.
        name: String,
        /// The nearest names, as `; did you mean …`, or empty.
        hint: String,
    },
    /// The permit does not cover this use of the field.
    #[error("field `{field}` {why}")]
    NotPermitted {
        /// The field.
        field: String,
        /// What would be allowed.
        why: &'static str,
    },
    /// The rows that match are of too few people to be told about.
    #[error(
        "fewer than {least} people are in this answer, or one of them stands for most of it, or it \
         is too close to an answer you were given; ask for a larger group"
    )]
    TooFewSubjects {
        /// The fewest that may be told about.
        least: u32,
    },
    /// More groups than [`Limits::groups`](crate::Limits::groups).
    #[error("the question makes more than {limit} groups; use a coarser interval or a filter")]
    TooManyGroups {
        /// The limit.
        limit: usize,
    },
    /// More rows than [`Limits::rows`](crate::Limits::rows).
    #[error("the answer has more than {limit} rows; add a limit or a filter")]
    TooManyRows {
        /// The limit.
        limit: usize,
    },
    /// More memory than [`Limits::memory_bytes`](crate::Limits::memory_bytes).
    #[error("the question needs more than {} MiB of memory; narrow it", limit >> 20)]
    Memory {
        /// The limit in bytes.
        limit: usize,
    },
    /// The time is up.
    #[error("the question took too long; narrow its time range or filter")]
    TimedOut,
    /// Whoever asked went away.
    #[error("the question was cancelled")]
    Cancelled,
    /// The store could not be read.
    #[error("the store could not be read")]
    Read(#[from] storage::ReadError),
    /// A bug of ours. The text names the place and carries no value.
    #[error("internal error in {0}; please report it")]
    Internal(String),
}

impl QueryError {
    /// The HTTP status that says the same.
    pub fn status(&self) -> u16 {
        match self {
            QueryError::Invalid(_)
            | QueryError::Unsupported(_)
            | QueryError::UnknownField { .. }
            | QueryError::TooManyGroups { .. }
            | QueryError::TooManyRows { .. } => 400,
            QueryError::UnknownTable { .. } => 404,
            QueryError::NotPermitted { .. } | QueryError::TooFewSubjects { .. } => 403,
            QueryError::Memory { .. } => 429,
            QueryError::TimedOut => 408,
            QueryError::Cancelled => 499,
            QueryError::Read(_) | QueryError::Internal(_) => 500,
        }
    }

    /// Elasticsearch's `error.type` that says the same.
    pub fn kind(&self) -> &'static str {
        match self {
            QueryError::Invalid(_) | QueryError::Unsupported(_) => "illegal_argument_exception",
            QueryError::UnknownField { .. } => "verification_exception",
            QueryError::UnknownTable { .. } => "index_not_found_exception",
            QueryError::NotPermitted { .. } | QueryError::TooFewSubjects { .. } => {
                "security_exception"
            }
            QueryError::TooManyGroups { .. } => "too_many_buckets_exception",
            QueryError::TooManyRows { .. } => "illegal_argument_exception",
            QueryError::Memory { .. } => "circuit_breaking_exception",
            QueryError::TimedOut => "timeout_exception",
            QueryError::Cancelled => "task_cancelled_exception",
            QueryError::Read(_) | QueryError::Internal(_) => "exception",
        }
    }

    /// An error of DataFusion while planning: no row was read yet, so its text can only quote
    /// the question.
    pub(crate) fn from_planning(error: DataFusionError) -> QueryError {
        match unwrap(error) {
            Ok(ours) => ours,
            Err(DataFusionError::NotImplemented(text)) => QueryError::Unsupported(plain(&text)),
            Err(DataFusionError::SQL(error, _)) => QueryError::Invalid(plain(&error.to_string())),
            Err(DataFusionError::Internal(_)) => QueryError::Internal("the SQL planner".to_owned()),
            Err(other) => QueryError::Invalid(plain(&other.strip_backtrace())),
        }
    }

    /// An error of DataFusion while running. Its text may quote a value (a failed cast does), so
    /// only its kind is passed on.
    pub(crate) fn from_running(error: DataFusionError, limit: usize) -> QueryError {
        let error = match unwrap(error) {
            Ok(ours) => return ours,
            Err(error) => error,
        };
        match error {
            DataFusionError::ResourcesExhausted(_) => QueryError::Memory { limit },
            DataFusionError::ArrowError(error, _) => match *error {
                ArrowError::DivideByZero => {
                    QueryError::Invalid("division by zero; use nullif(divisor, 0)".to_owned())
                }
                ArrowError::ArithmeticOverflow(_) => {
                    QueryError::Invalid("a number is out of range; cast to double first".to_owned())
                }
                ArrowError::CastError(_) | ArrowError::ParseError(_) => QueryError::Invalid(
                    "a value cannot be converted; use try_cast instead of cast".to_owned(),
                ),
                _ => QueryError::Invalid("a computation over the rows failed".to_owned()),
            },
            DataFusionError::NotImplemented(_) => QueryError::Unsupported(
                "a function of the question is not supported for these types".to_owned(),
            ),
            DataFusionError::Internal(_) => QueryError::Internal("the executor".to_owned()),
            _ => QueryError::Invalid("a computation over the rows failed".to_owned()),
        }
    }
}

impl From<QueryError> for DataFusionError {
    fn from(error: QueryError) -> DataFusionError {
        DataFusionError::External(Box::new(error))
    }
}

/// Our own error out of DataFusion's, through the layers that it puts around.
fn unwrap(error: DataFusionError) -> Result<QueryError, DataFusionError> {
    match error {
        DataFusionError::External(inner) => match inner.downcast::<QueryError>() {
            Ok(ours) => Ok(*ours),
            Err(inner) => Err(DataFusionError::External(inner)),
        },
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => {
            unwrap(*inner)
        }
        DataFusionError::Shared(shared) => match std::sync::Arc::try_unwrap(shared) {
            Ok(inner) => unwrap(inner),
            Err(shared) => Err(DataFusionError::Shared(shared)),
        },
        DataFusionError::ArrowError(error, backtrace) => match *error {
            ArrowError::ExternalError(inner) => unwrap(DataFusionError::External(inner)),
            other => Err(DataFusionError::ArrowError(Box::new(other), backtrace)),
        },
        other => Err(other),
    }
}

/// One line, lower case at the start, without DataFusion's name for the kind of error.
fn plain(text: &str) -> String {
    let mut text = text.trim();
    for prefix in [
        "Error during planning: ",
        "SQL error: ",
        "Schema error: ",
        "Execution error: ",
        "sql parser error: ",
        "Invalid or Unsupported Configuration: ",
        "type_coercion\ncaused by\n",
    ] {
        text = text.strip_prefix(prefix).unwrap_or(text);
    }
    // What DataFusion says about a function that does not fit: the one sentence that helps.
    if let Some(start) = text.find("No function matches") {
        text = &text[start..];
        text = text.split(". ").next().unwrap_or(text);
    }
    let text = text.trim_end_matches('.').replace('\n', " ");
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => first.to_lowercase().chain(characters).collect(),
        None => "the question cannot be planned".to_owned(),
    }
}

/// `; did you mean …` with the names of `known` nearest to `name`, or nothing.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let wanted = name.to_lowercase();
    let mut near: Vec<(usize, &str)> = known
        .filter_map(|candidate| {
            let lower = candidate.to_lowercase();
            let distance = distance(&wanted, &lower);
            let contains = lower.contains(&wanted) || wanted.contains(&lower);
            (distance <= (wanted.chars().count() + 1) / 3 || contains)
                .then_some((distance, candidate))
        })
        .collect();
    near.sort();
    near.dedup();
    let names: Vec<String> = near.iter().take(3).map(|(_, name)| format!("`{name}`")).collect();
    if names.is_empty() { String::new() } else { format!("; did you mean {}", names.join(", ")) }
}

/// Levenshtein's distance.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = (above + 1).min(row[j] + 1).min(diagonal + usize::from(a != *b));
            diagonal = above;
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_names_are_offered() {
        let known = ["model", "firmware", "mode", "region"];
        assert_eq!(nearest("modle", known.into_iter()), "; did you mean `mode`, `model`");
        assert_eq!(nearest("zzz", known.into_iter()), "");
    }

    #[test]
    fn errors_while_running_carry_no_value() {
        let cast = ArrowError::CastError("Cannot cast string 'ada@example.org' to Int64".into());
        let error = QueryError::from_running(DataFusionError::from(cast), 0);
        assert!(!error.to_string().contains("ada"), "{error}");
    }

    #[test]
    fn our_own_errors_come_back_out_of_datafusion() {
        let wrapped = DataFusionError::from(QueryError::TimedOut).context("somewhere");
        assert!(matches!(QueryError::from_running(wrapped, 0), QueryError::TimedOut));
    }
}
