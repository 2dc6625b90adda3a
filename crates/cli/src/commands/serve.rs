//! `serve`: a data folder over HTTP until the process is asked to end.

use crate::arguments::Serve;
use crate::failure::Result;
use crate::key_place;
use crate::node::{self, Node};
use crate::settings::ServerSettings;

pub(super) fn run(typed: Serve) -> Result<()> {
    node::start_logging(tracing::Level::INFO);
    let settings = ServerSettings::of_serve(typed)?;
    let unlock = key_place::for_known_folder(&settings.dir, &settings.unlock)?;
    let node = Node::open(&settings.dir, unlock)?;
    let node = node.listen(settings.http, &settings.tls, settings.url)?;
    println!("{}", node.url());
    if let Some(fingerprint) = node.fingerprint() {
        println!("certificate SHA-256 {fingerprint}");
    }
    if let Some(code) = node.enrolment_code()? {
        println!(
            "\nNobody can log in yet. Open {}/_ui/enrol and use this code: {code}",
            node.url()
        );
    }
    node.run_until_signal();
    Ok(())
}
