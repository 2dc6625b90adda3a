use crate::step::{cargo, run};
use anyhow::Result;

/// Builds the server and the bench as they are shipped (profile `release`) and runs the bench;
/// `arguments` are the bench's own.
pub(crate) fn run_bench(arguments: &[String]) -> Result<()> {
    run("build the server", cargo().args(["build", "--release", "--package", "cli"]))?;
    let fixed = ["run", "--release", "--quiet", "--package", "bench", "--"];
    run("bench", cargo().args(fixed).args(arguments))
}
