//! The official Elasticsearch clients against the running binary.
//!
//! `.ci/run` installs them and says where: `CLERESTORY_PYTHON` is a Python with `elasticsearch`,
//! `CLERESTORY_NODE_MODULES` a folder with `@elastic/elasticsearch`. Without them the tests say that
//! they were skipped; with `CLERESTORY_CLIENTS_REQUIRED` set they fail instead.
#![expect(clippy::print_stdout, reason = "says what is skipped")]

use conformance::Node;
use std::path::Path;
use std::process::Command;

#[test]
fn the_official_python_client_works() {
    let Some(python) = required("CLERESTORY_PYTHON", "the_official_python_client_works") else {
        return;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/client.py");
    let mut command = Command::new(python);
    command.arg("-B").arg(script);
    run(command);
}

#[test]
fn the_official_javascript_client_works() {
    let name = "the_official_javascript_client_works";
    let Some(modules) = required("CLERESTORY_NODE_MODULES", name) else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/client.mjs");
    let mut command = Command::new("node");
    command.arg(script).env("CLERESTORY_NODE_MODULES", modules);
    run(command);
}

fn required(variable: &str, test: &str) -> Option<String> {
    let found = std::env::var_os(variable).map(|value| value.to_string_lossy().into_owned());
    let must = std::env::var_os("CLERESTORY_CLIENTS_REQUIRED").is_some();
    assert!(found.is_some() || !must, "{variable} is not set");
    if found.is_none() {
        println!("SKIPPED {test}: {variable} is not set; `.ci/run` sets it");
    }
    found
}

fn run(mut command: Command) {
    let node = Node::start(env!("CARGO_BIN_EXE_clerestory"));
    let engineer = node.caller("engineer");
    let output = command
        .env("CLERESTORY_URL", node.url())
        .env("CLERESTORY_API_KEY", engineer.api_key())
        .output()
        .expect("the client can be started");
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
