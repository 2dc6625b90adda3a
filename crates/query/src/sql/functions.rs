//! Functions that only mean something when they are pushed down.

use crate::QueryError;
use arrow::datatypes::DataType;
use datafusion::common::DataFusionError;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// `match(field, 'words')`: at least one of the words.
pub(super) const MATCH: &str = "match";
/// `match_phrase(field, 'words in order')`.
pub(super) const MATCH_PHRASE: &str = "match_phrase";

/// Both functions.
pub(super) fn all() -> Vec<ScalarUDF> {
    let make =
        |name| ScalarUDF::from(Search { name, signature: Signature::any(2, Volatility::Stable) });
    vec![make(MATCH), make(MATCH_PHRASE)]
}

/// A search in the words of a text. The leaf answers it from the index; there is no other way.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Search {
    name: &'static str,
    signature: Signature,
}

impl ScalarUDFImpl for Search {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(
        &self,
        _arguments: ScalarFunctionArgs,
    ) -> Result<ColumnarValue, DataFusionError> {
        Err(QueryError::Unsupported(format!(
            "{}(field, 'words') is answered from the index: it can only stand in a WHERE or \
             FILTER, beside conditions that compare columns with literals",
            self.name
        ))
        .into())
    }
}
