use crate::step::{cargo, has_cargo_tool, run};
use anyhow::Result;

/// What CI asks beside the tests, in the order in which it is cheapest to fail.
pub(crate) fn run_check() -> Result<()> {
    run("fmt", cargo().args(["fmt", "--all", "--check"]))?;
    run("floor plan, links, words", cargo().args(["test", "--quiet", "--package", "xtask"]))?;
    run(
        "clippy",
        cargo().args(["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]),
    )?;
    run(
        "doc",
        cargo()
            .args(["doc", "--workspace", "--no-deps", "--quiet"])
            .env("RUSTDOCFLAGS", "-D warnings"),
    )?;
    optional("deny", &["deny", "--offline", "check", "bans", "licenses", "sources"])?;
    optional("machete", &["machete"])?;
    println!("check: all steps passed");
    Ok(())
}

fn optional(tool: &str, arguments: &[&str]) -> Result<()> {
    if has_cargo_tool(tool) {
        return run(tool, cargo().args(arguments));
    }
    println!("== {tool}: SKIPPED, `cargo {tool}` is not installed (cargo install cargo-{tool})");
    Ok(())
}
