//! The key ring: what it holds, rotating its file key, destroying an old one, moving pseudonyms to
//! a next key.

use super::factors::Shown;
use crate::backend::{self, not_done};
use crate::error::{Answer, ApiError};
use crate::reply::Reply;
use crate::route::Call;
use engine::{Caller, Engine};
use serde_json::{Value, json};
use std::sync::Arc;
use zeroize::Zeroizing;

/// `GET /_clerestory/ring`.
pub(crate) fn show(call: &Call<'_>, caller: &Caller) -> Answer {
    let ring = backend::ring(&call.app.engine, caller)?;
    let keys: Vec<Value> = ring
        .generations
        .iter()
        .map(|key| {
            json!({
                "family": key.family.as_str(),
                "generation": key.number,
                "id": key.id,
                "made_at": key.made_at.to_rfc3339(),
            })
        })
        .collect();
    Ok(Reply::json(json!({
        "id": ring.id,
        "sealed_by": ring.sealed_by.map(|kind| kind.as_str()),
        "keys": keys,
        "files_under_older_keys": ring.files_under_older_keys,
    })))
}

/// `POST /_clerestory/ring/_rotate`: a next file key. What is there moves to it in the background;
/// `files_under_older_keys` says how much is left.
pub(crate) fn rotate(call: &Call<'_>, caller: &Caller) -> Answer {
    let generation = backend::rotate_file_key(&call.app.engine, caller)?;
    move_files(&call.app.engine);
    Ok(Reply::json(json!({ "family": "file", "generation": generation })))
}

/// `POST /_clerestory/ring/_destroy` with `generation`: an old file key.
pub(crate) fn destroy(call: &Call<'_>, caller: &Caller) -> Answer {
    let body = call.request.json()?;
    let generation = body["generation"].as_u64().and_then(|number| u32::try_from(number).ok());
    let generation = generation
        .ok_or_else(|| ApiError::illegal_argument("[generation] is required, as a number"))?;
    backend::destroy_file_key(&call.app.engine, caller, generation)?;
    Ok(Reply::json(json!({ "acknowledged": true })))
}

/// `POST /_clerestory/ring/_export` with `passphrase` and `present`: the ring under the passphrase,
/// as the text of a ring file.
pub(crate) fn export(call: &Call<'_>, caller: &Caller) -> Answer {
    let body = call.request.json()?;
    let passphrase = body["passphrase"].as_str();
    let passphrase = passphrase
        .ok_or_else(|| ApiError::illegal_argument("[passphrase] is required, as text"))?;
    let passphrase = Zeroizing::new(passphrase.to_owned());
    let present = Shown::read(call.request, &body)?;
    let engine = &call.app.engine;
    let about = engine.presence_for_export();
    let proof = engine.prove_presence(caller, about, present.answer()).map_err(not_done)?;
    let ring = engine.export_ring(caller, passphrase, proof)?;
    Ok(Reply::json(json!({ "keyring": ring })))
}

/// `GET /_clerestory/rotation`: the epoch of pseudonyms, and how far the next one is.
pub(crate) fn rotation(call: &Call<'_>, caller: &Caller) -> Answer {
    backend::rotation(&call.app.engine, caller).map(Reply::json)
}

/// `POST /_clerestory/rotation`: all pseudonyms move to a next key in the background.
pub(crate) fn rotate_pseudonyms(call: &Call<'_>, caller: &Caller) -> Answer {
    backend::rotate_pseudonyms(&call.app.engine, caller).map(Reply::json)
}

/// Moves files to the newest key behind the requests; a next start goes on where this one stops.
pub(crate) fn move_files(engine: &Arc<Engine>) {
    let engine = Arc::clone(engine);
    let work = move || {
        if let Err(error) = engine.move_files() {
            tracing::warn!(%error, detail = error.detail, "files not moved; the next start goes on");
        }
    };
    if let Err(error) = std::thread::Builder::new().name("move-files".to_owned()).spawn(work) {
        tracing::warn!(%error, "files not moved; the next start goes on");
    }
}
