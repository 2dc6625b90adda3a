//! `restore`: a data folder from a backup.

use crate::arguments::Restore;
use crate::failure::{Failure, Result};
use crate::key_place;
use engine::{RestoreError, RestoreSettings, Restored};
use serde_json::{Value, json};

pub(super) fn run(typed: &Restore) -> Result<()> {
    let noted = engine::folder_of_set(&typed.from, typed.set).map_err(not_restored)?;
    let unlock = key_place::for_known_folder(&noted, &typed.unlock)?;
    let restored = match &typed.dir {
        None => engine::check_backup(&typed.from, typed.set, &unlock),
        Some(dir) => engine::restore(&RestoreSettings {
            from: typed.from.clone(),
            set: typed.set,
            dir: dir.clone(),
            unlock,
        }),
    }
    .map_err(not_restored)?;
    if typed.json {
        println!("{}", as_json(&restored));
        return Ok(());
    }
    println!(
        "set {} of {}: {} segments and {} audit records are whole",
        restored.set,
        restored.made_at.to_rfc3339(),
        restored.segments,
        restored.audit_records
    );
    if let Some(dir) = &typed.dir {
        println!("data folder {}", dir.display());
        tell_what_is_not_as_it_was(&restored);
        eprintln!("hint: clerestory serve --dir {}", dir.display());
    }
    Ok(())
}

fn as_json(restored: &Restored) -> Value {
    json!({
        "set": restored.set,
        "made_at": restored.made_at.to_rfc3339(),
        "segments": restored.segments,
        "audit_records": restored.audit_records,
        "credentials_forgotten": restored.credentials_forgotten,
        "disabled": restored.disabled,
        "old_passwords": restored.old_passwords,
        "erasures_since": restored.erasures_since,
    })
}

/// What somebody has to do now.
fn tell_what_is_not_as_it_was(restored: &Restored) {
    println!(
        "{} API keys and sessions are forgotten; everybody logs in anew",
        restored.credentials_forgotten
    );
    if !restored.disabled.is_empty() {
        println!(
            "{} accounts are disabled until two people let them in: {}",
            restored.disabled.len(),
            restored.disabled.join(", ")
        );
    }
    if !restored.old_passwords.is_empty() {
        println!(
            "changed their password or factors since, and have the old ones again: {}",
            restored.old_passwords.join(", ")
        );
    }
    if restored.erasures_since > 0 {
        println!(
            "{} erasures were finished after this backup, whose rows may be back: erase again",
            restored.erasures_since
        );
    }
}

fn not_restored(error: RestoreError) -> Failure {
    let hint = match &error {
        RestoreError::NoBackup(_) => "clerestory backup --list names the folders of a server",
        RestoreError::Changed(_) | RestoreError::Damaged(_) => {
            "take another set (--set N) or another copy of the backup"
        }
        RestoreError::Keys(_) => {
            "give the key of the node: --key-file F, --passphrase-file F or --key-service S"
        }
        _ => return Failure::from(error),
    };
    Failure::from(error).hint(hint)
}
