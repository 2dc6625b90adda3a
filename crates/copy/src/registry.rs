//! Which kinds of sources there are: a line for each.

use crate::{Source, elasticsearch, files, kafka, mqtt, mysql, postgres};
use engine::Asides;
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

/// As [`open`], for a source that is followed: it may put aside what does not fit in memory.
///
/// # Errors
/// As [`open`].
pub(crate) fn open_to_follow(
    kind: &str,
    settings: &Value,
    copy: &str,
    secret: Option<Zeroizing<Vec<u8>>>,
    asides: Asides,
) -> Result<Arc<dyn Source>, String> {
    match kind {
        "postgres" => {
            let source = postgres::open(read(settings)?, copy, secret)?;
            Ok(Arc::new(source.with_asides(asides)))
        }
        _ => open(kind, settings, copy, secret),
    }
}

fn read<S: DeserializeOwned>(settings: &Value) -> Result<S, String> {
    serde_norway::from_value(settings.clone()).map_err(|error| error.to_string())
}
