//! Which kinds of sources there are: a line for each.

use crate::{Source, postgres};
use serde::de::DeserializeOwned;
use serde_norway::Value;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Opens the source of a copy file. `copy` is the name of the copy, `secret` what its `secret`
/// names. Nothing is connected to yet.
///
/// # Errors
/// If there is no such kind, or its settings make no sense.
pub(crate) fn open(
    kind: &str,
    settings: &Value,
    copy: &str,
    secret: Option<Zeroizing<Vec<u8>>>,
) -> Result<Arc<dyn Source>, String> {
    match kind {
        "postgres" => Ok(Arc::new(postgres::open(read(settings)?, copy, secret)?)),
        other => Err(format!("`{other}` is no kind of source; there are: postgres")),
    }
}

fn read<S: DeserializeOwned>(settings: &Value) -> Result<S, String> {
    serde_norway::from_value(settings.clone()).map_err(|error| error.to_string())
}
