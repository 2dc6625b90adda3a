//! Which kinds of sources there are: a line for each.

use crate::{Source, elasticsearch, files, kafka, mqtt, mysql, postgres};
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
        "mysql" => Ok(Arc::new(mysql::open(read(settings)?, copy, secret)?)),
        "elasticsearch" => Ok(Arc::new(elasticsearch::open(read(settings)?, secret)?)),
        "files" => Ok(Arc::new(files::open(read(settings)?, secret)?)),
        "kafka" => Ok(Arc::new(kafka::open(read(settings)?, secret)?)),
        "mqtt" => Ok(Arc::new(mqtt::open(read(settings)?, copy, secret)?)),
        other => Err(format!(
            "`{other}` is no kind of source; there are: postgres, mysql, elasticsearch, files, kafka, \
             mqtt"
        )),
    }
}

fn read<S: DeserializeOwned>(settings: &Value) -> Result<S, String> {
    serde_norway::from_value(settings.clone()).map_err(|error| error.to_string())
}
