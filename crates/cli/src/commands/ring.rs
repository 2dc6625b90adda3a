//! `key ring`: the keys under which everything on the disk is sealed.

use crate::arguments::{Listed, Ring, RingDestroy, RingRefresh, RingRewrap, UnlockWith};
use crate::client::{Body, Client};
use crate::failure::{Failure, Result};
use crate::{key_place, node, table};
use serde_json::{Value, json};

const ROOT: &str = "/_clerestory/ring";

pub(super) fn run(typed: &Ring) -> Result<()> {
    match typed {
        Ring::Show(typed) => show(typed),
        Ring::Rotate(typed) => rotate(typed),
        Ring::Destroy(typed) => destroy(typed),
        Ring::Rewrap(typed) => rewrap(typed),
        Ring::Refresh(typed) => refresh(typed),
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

fn refresh(typed: &RingRefresh) -> Result<()> {
    let unlock = key_place::for_known_folder(&typed.dir, &typed.unlock)?;
    if node::refresh_key_ring(&typed.dir, &unlock)? {
        println!("the key ring is wrapped by the newest version of the service's key");
        return Ok(());
    }
    Err(Failure::new("this kind of key has no versions to move to")
        .hint("clerestory key ring rewrap seals the ring under a fresh key"))
}
