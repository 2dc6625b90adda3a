//! `key ring`: the keys under which everything on the disk is sealed.

use super::change::code;
use crate::arguments::{
    Listed, Ring, RingDestroy, RingExport, RingRefresh, RingRewrap, UnlockWith,
};
use crate::client::{Body, Client};
use crate::failure::{Doing, Failure, Result};
use crate::key_place::first_line;
use crate::{key_place, node, table};
use serde_json::{Value, json};
use std::fs::OpenOptions;
use std::io::Write;

const ROOT: &str = "/_clerestory/ring";

pub(super) fn run(typed: &Ring) -> Result<()> {
    match typed {
        Ring::Show(typed) => show(typed),
        Ring::Rotate(typed) => rotate(typed),
        Ring::Destroy(typed) => destroy(typed),
        Ring::Rewrap(typed) => rewrap(typed),
        Ring::Refresh(typed) => refresh(typed),
        Ring::Export(typed) => export(typed),
    }
}

fn show(typed: &Listed) -> Result<()> {
    let ring = Client::connect(&typed.connection)?.json("GET", ROOT, Body::Nothing)?;
    if typed.json {
        println!("{ring}");
        return Ok(());
    }
    let text = |name: &str| ring[name].as_str().unwrap_or("").to_owned();
    println!("key ring {}, sealed by {}", text("id"), text("sealed_by"));
    let rows: Vec<Vec<Value>> = ring["keys"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|key| ["family", "generation", "id", "made_at"].map(|name| key[name].clone()).into())
        .collect();
    let columns = ["family", "generation", "id", "made"].map(str::to_owned);
    print!("{}", table::render(&columns, &rows));
    if ring["files_under_older_keys"] != json!(0) {
        println!("{} files are still under an older key", ring["files_under_older_keys"]);
    }
    Ok(())
}

fn rotate(typed: &Listed) -> Result<()> {
    let path = format!("{ROOT}/_rotate");
    let made = Client::connect(&typed.connection)?.json("POST", &path, Body::Nothing)?;
    if typed.json {
        println!("{made}");
        return Ok(());
    }
    let generation = &made["generation"];
    println!("new files are sealed under file key {generation}; what is there moves to it");
    if let Some(old) = generation.as_u64().and_then(|number| number.checked_sub(1)) {
        eprintln!("hint: clerestory key ring destroy {old}, when no backup needs it any more");
    }
    Ok(())
}

fn destroy(typed: &RingDestroy) -> Result<()> {
    let body = json!({ "generation": typed.generation });
    let path = format!("{ROOT}/_destroy");
    Client::connect(&typed.connection)?.json("POST", &path, Body::Json(&body))?;
    println!("file key {} is destroyed", typed.generation);
    Ok(())
}

fn rewrap(typed: &RingRewrap) -> Result<()> {
    let to = UnlockWith {
        key_file: typed.to_key_file.clone(),
        passphrase_file: typed.to_passphrase_file.clone(),
        key_service: typed.to_key_service.clone(),
    };
    if to == UnlockWith::default() {
        return Err(Failure::wrong_use("what the key ring is to be sealed with is not said")
            .hint("give --to-key-file F, --to-passphrase-file F or --to-key-service S"));
    }
    let unlock = key_place::for_known_folder(&typed.dir, &typed.unlock)?;
    let place = key_place::for_new_folder(&typed.dir, &to)?;
    node::rewrap_key_ring(&typed.dir, &unlock, &place.unlock)?;
    // After the ring: a crash between leaves a note that leads to a key that the ring names wrong.
    place.note(&typed.dir)?;
    println!("{}", place.words());
    eprintln!(
        "hint: older copies of `keyring` still open with the former key; \
         destroy them, and rotate if that key may be known"
    );
    Ok(())
}

fn export(typed: &RingExport) -> Result<()> {
    let passphrase = first_line(&typed.passphrase_file)?;
    let client = Client::connect(&typed.connection)?;
    let code = code(typed.present.as_deref())?;
    let body = json!({ "passphrase": passphrase.as_str(), "present": { "code": code } });
    let answer = client.json("POST", &format!("{ROOT}/_export"), Body::Json(&body))?;
    let text = answer["keyring"].as_str().unwrap_or("");
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file =
        options.open(&typed.to).doing(|| format!("cannot make `{}`", typed.to.display()))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .doing(|| format!("cannot write `{}`", typed.to.display()))?;
    println!("the key ring is in `{}`, under the passphrase", typed.to.display());
    eprintln!(
        "hint: whoever has both reads every copy of the data; keep them apart, and say when it is \
         over: clerestory change set key_export false --why …"
    );
    Ok(())
}

fn refresh(typed: &RingRefresh) -> Result<()> {
    let unlock = key_place::for_known_folder(&typed.dir, &typed.unlock)?;
    if node::refresh_key_ring(&typed.dir, &unlock)? {
        println!("the key ring is wrapped by the newest version of the service's key");
        return Ok(());
    }
    Err(Failure::new("this kind of key has no versions to move to")
        .hint("clerestory key ring rewrap seals the ring under a fresh key"))
}
