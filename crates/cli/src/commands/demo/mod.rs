//! `demo`: an invented fleet, loaded through the ordinary way in, and served.
//!
//! 1. A fresh folder gets keys, and people of each role with random passwords.
//! 2. The server listens; from here on everything goes over HTTP, as anybody else would do it.
//! 3. The engineer makes the tables, loads them by `_bulk`, and applies the metrics.
//! 4. Counts are compared with the generator's own; then `demo-logins.json` appears.
//!
//! A second start with the same folder serves what is there. A start that was cut off in the middle
//! of loading begins the loading again.

mod load;
mod logins;
mod welcome;

use crate::arguments::{Demo, UnlockWith};
use crate::client::{Body, Client};
use crate::failure::{Failure, Result};
use crate::key_place;
use crate::node::{self, ListeningNode, Node};
use crate::settings::TlsSettings;
use ::demo::{Fleet, FleetSettings};
use engine::Role;
use logins::Logins;
use std::path::Path;

pub(super) fn run(typed: &Demo) -> Result<()> {
    // Whoever tries the demo wants its progress bar, not what a server has to tell.
    node::start_logging(tracing::Level::WARN);
    let settings = FleetSettings {
        seed: typed.seed,
        devices: typed.devices,
        days: typed.days,
        events: typed.events,
        ..FleetSettings::default()
    };
    settings.check().map_err(|error| Failure::wrong_use(error.to_string()))?;
    let node = open(&typed.dir, &typed.unlock)?;
    let known = Logins::read(&typed.dir)?;
    let is_complete = known.as_ref().is_some_and(|known| known.is_complete);
    let logins = match known {
        Some(known) => known,
        None => Logins::invent()?,
    };
    if node.is_without_people() {
        // Written first: passwords that nobody can read again are worth nothing.
        logins.write_unfinished(&typed.dir)?;
        let people: Vec<(&str, &str, &[Role])> = logins.people().collect();
        node.make_first_people(&people)?;
    }
    let node = node.listen(typed.http, &TlsSettings::default(), None)?;
    let logins = if is_complete {
        logins.with_url(&typed.dir, &node.url())?
    } else {
        fill(&node, &typed.dir, logins, settings)?
    };
    welcome::print(&logins, &typed.dir, typed.seed, is_complete);
    if typed.exit_after_load {
        node.stop();
    } else {
        node.run_until_signal();
    }
    Ok(())
}

/// Opens the demo's folder, making it if it is not there or empty.
fn open(dir: &Path, with: &UnlockWith) -> Result<Node> {
    if node::has_key_ring(dir)? {
        return Node::open(dir, key_place::for_known_folder(dir, with)?);
    }
    let is_used = match std::fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(error) => return Err(error.into()),
    };
    if is_used {
        return Err(Failure::new(format!("`{}` holds something else", dir.display()))
            .hint("give --dir D with a folder that is not there yet"));
    }
    Node::create(dir, &key_place::for_new_folder(dir, with)?)
}

/// Everything that goes over HTTP.
fn fill(
    node: &ListeningNode,
    dir: &Path,
    logins: Logins,
    settings: FleetSettings,
) -> Result<Logins> {
    let anonymous = Client::anonymous(&node.url(), node.certificate().as_deref())?;
    let mut logins = logins;
    logins.make_keys(&anonymous, &node.url())?;
    logins.write_unfinished(dir)?;
    let engineer = anonymous.with_key(logins.key_of("engineer")?);
    let fleet = Fleet::new(settings);
    load::make_tables(&engineer)?;
    load::load(&engineer, &fleet)?;
    engineer.json("PUT", "/_clerestory/metrics", Body::Yaml(::demo::METRICS))?;
    let analyst = anonymous.with_key(logins.key_of("analyst")?);
    load::check(&analyst, &fleet)?;
    logins.finish(dir)?;
    Ok(logins)
}
