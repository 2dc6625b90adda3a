//! `audit witness`: a second pair of eyes on another machine.

use crate::arguments::AuditWitness;
use crate::client::{Body, Client};
use crate::failure::{Failure, Result};
use engine::{Witness, hash_from_hex, hash_to_hex, parse_verifier};
use model::{Clock, SystemClock};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;
use zeroize::Zeroizing;

pub(super) fn run(typed: &AuditWitness) -> Result<()> {
    let seed = seed_of(&typed.key_file)?;
    let client = Client::connect(&typed.connection)?;
    loop {
        look(typed, &seed, &client)?;
        let Some(seconds) = typed.every else { return Ok(()) };
        std::thread::sleep(Duration::from_secs(seconds.max(1)));
    }
}

/// Looks once: signs the newest checkpoint, or says why not.
fn look(typed: &AuditWitness, seed: &[u8; 32], client: &Client) -> Result<()> {
    let state = client.json("GET", "/_clerestory/audit/checkpoint", Body::Nothing)?;
    let Some(note) = state["checkpoint"].as_str() else {
        return Err(Failure::new("there is no checkpoint yet; try again in a second"));
    };
    let told = state["verifier"].as_str().unwrap_or_default();
    let seen = Seen::read(&beside(&typed.key_file, "seen"))?;
    let verifier = match (&typed.verifier, &seen) {
        (Some(typed), _) => typed.trim(),
        (None, Some(seen)) => &seen.verifier,
        (None, None) => told,
    };
    if verifier != told {
        return Err(Failure::new("the record is signed by another key than before")
            .hint("find out why; a new data folder has a new key, an old one never"));
    }
    let Some((origin, key)) = parse_verifier(verifier) else {
        return Err(Failure::wrong_use("the verifier is no public key of an audit record"));
    };
    let witness = Witness::new(&typed.name, seed, &origin, key);
    let signed = (|| {
        let last = seen.as_ref().map(|seen| witness.read(&seen.note)).transpose()?;
        let new = witness.read(note)?;
        Ok::<_, engine::WitnessError>((last, new))
    })();
    let (last, new) = signed.map_err(|error| Failure::new(error.to_string()))?;
    let proof = match &last {
        Some(last) if last.size < new.size => proof(client, last.size, new.size)?,
        _ => Vec::new(),
    };
    match witness.cosign(last.as_ref(), note, &proof, SystemClock.now()) {
        Ok(cosigned) => {
            Seen { verifier: verifier.to_owned(), note: cosigned }
                .write(&beside(&typed.key_file, "seen"))?;
            println!("{} records, root {}", new.size, hash_to_hex(&new.root));
            Ok(())
        }
        Err(error) => {
            let evidence = beside(&typed.key_file, "contradiction");
            fs::write(&evidence, note)?;
            Err(Failure::new(error.to_string()).hint(format!(
                "the two checkpoints are in `{}` and `{}`; `clerestory audit verify --checkpoint` \
                 finds where the record differs",
                beside(&typed.key_file, "seen").display(),
                evidence.display()
            )))
        }
    }
}

fn proof(client: &Client, old: u64, new: u64) -> Result<Vec<[u8; 32]>> {
    let path = format!("/_clerestory/audit/proof?old={old}&new={new}");
    let answer = client.json("GET", &path, Body::Nothing)?;
    let hashes = answer["proof"].as_array().into_iter().flatten();
    let read = hashes.map(|hash| hash.as_str().and_then(hash_from_hex)).collect::<Option<_>>();
    read.ok_or_else(|| Failure::new("the server's proof is no list of hashes"))
}

/// What the witness remembers: the key of the record, and the last checkpoint that it signed.
struct Seen {
    verifier: String,
    note: String,
}

impl Seen {
    fn read(file: &Path) -> Result<Option<Seen>> {
        let Some(note) = read_if_any(file)? else { return Ok(None) };
        let wrong = || Failure::new(format!("`{}` has no key beside it", file.display()));
        let verifier = read_if_any(&verifier_file(file))?.ok_or_else(wrong)?;
        Ok(Some(Seen { verifier: verifier.trim().to_owned(), note }))
    }

    /// The key first: a checkpoint is never without it.
    fn write(&self, file: &Path) -> Result<()> {
        replace(&verifier_file(file), &self.verifier)?;
        replace(file, &self.note)
    }
}

fn verifier_file(seen: &Path) -> PathBuf {
    beside(seen, "verifier")
}

fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

fn read_if_any(file: &Path) -> Result<Option<String>> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            Err(Failure::from(error).while_doing(&format!("cannot read `{}`", file.display())))
        }
    }
}

/// Written beside and put in place, so that a crash leaves the old or the new one.
#[expect(clippy::disallowed_methods, reason = "no data folder; the file is synced before")]
fn replace(file: &Path, text: &str) -> Result<()> {
    let new = beside(file, "new");
    let mut open = fs::File::create(&new)?;
    open.write_all(text.as_bytes())?;
    open.sync_all()?;
    Ok(fs::rename(new, file)?)
}

/// The seed of the witness's key: 64 hexadecimal characters in a file for its owner alone.
fn seed_of(file: &Path) -> Result<Zeroizing<[u8; 32]>> {
    if let Some(text) = read_if_any(file)?.map(Zeroizing::new) {
        let seed = hash_from_hex(text.trim()).map(Zeroizing::new);
        return seed
            .ok_or_else(|| Failure::new(format!("`{}` is no witness's key", file.display())));
    }
    let seed = Witness::new_seed();
    let text = Zeroizing::new(hash_to_hex(&seed));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut open = options.open(file)?;
    open.write_all(text.as_bytes())?;
    open.sync_all()?;
    Ok(seed)
}
