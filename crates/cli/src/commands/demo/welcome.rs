use super::logins::Logins;
use std::path::{Path, PathBuf};

/// Says where to go, as whom, and what to try.
pub(super) fn print(logins: &Logins, dir: &Path, seed: u64, was_there: bool) {
    let url = &logins.url;
    let program = program();
    let loaded = if was_there { "serves what an earlier start loaded" } else { "is loaded" };
    println!("\nThe demo {loaded}. Open {url}/ and log in as one of these:\n");
    for login in &logins.logins {
        println!("  {:<14} {:<8} {}", login.role, login.name, login.password);
    }
    println!("\nAPI keys of the four: {}", dir.join("demo-logins.json").display());
    let key = logins.key_of("analyst").unwrap_or("…");
    println!("\nThree questions to try on the command line:\n");
    println!("  export CLERESTORY_URL={url} CLERESTORY_API_KEY={key}");
    println!("\n  # Which firmware went bad, and on which day?");
    println!("  {program} metric query failed_connection_rate --by firmware --grain day");
    println!("\n  # What do its devices say?");
    println!(
        "  {program} sql \"SELECT reason, count(*) AS n FROM events \
         WHERE firmware = '4.3.0' AND match(message, 'handshake') GROUP BY reason\""
    );
    println!("\n  # Find a person by the real address. What comes back does not hold it.");
    println!("  {program} sql \"SELECT * FROM users WHERE email = '{}'\"\n", example_address(seed));
}

/// The address of the first of the made-up users.
fn example_address(seed: u64) -> String {
    use demo::{Fleet, FleetSettings};
    let settings = FleetSettings { seed, devices: 1, events: 0, ..FleetSettings::default() };
    let fleet = Fleet::new(settings);
    fleet.users().first().map_or_else(String::new, |user| user.email.clone())
}

/// How this program can be called from here.
fn program() -> String {
    let found = || -> Option<PathBuf> {
        let program = std::env::current_exe().ok()?;
        let here = std::env::current_dir().ok()?;
        program.strip_prefix(here).ok().map(|rest| Path::new(".").join(rest))
    };
    found().map_or_else(|| "clerestory".to_owned(), |path| path.display().to_string())
}
