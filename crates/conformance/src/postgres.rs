//! A real PostgreSQL to copy from, in a folder of its own.
#![expect(clippy::print_stderr, reason = "says what is skipped")]

use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A server that is stopped when dropped.
#[derive(Debug)]
pub struct Postgres {
    bin: PathBuf,
    folder: TempDir,
    port: u16,
}

const START_WAIT: Duration = Duration::from_secs(60);

impl Postgres {
    /// Starts an empty server with logical replication; `None`, with a word about `test`, if none is
    /// installed.
    ///
    /// # Panics
    /// If one is installed and does not start, or `.ci/run` says that one must be there.
    pub fn start(test: &str) -> Option<Postgres> {
        Postgres::start_with(test, "")
    }

    /// As [`Postgres::start`], with more lines of settings.
    ///
    /// # Panics
    /// As [`Postgres::start`].
    pub fn start_with(test: &str, more: &str) -> Option<Postgres> {
        let Some(bin) = programs() else {
            let must = std::env::var_os("CLERESTORY_CLIENTS_REQUIRED").is_some();
            assert!(!must, "PostgreSQL is not installed");
            eprintln!("SKIPPED {test}: PostgreSQL is not installed; apt-get install postgresql");
            return None;
        };
        let folder = tempfile::Builder::new().prefix("pg").tempdir_in("/tmp").expect("a folder");
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        let postgres = Postgres { bin, folder, port };
        if is_root() {
            let owned = Command::new("chown").arg("postgres").arg(postgres.folder.path()).status();
            assert!(owned.expect("chown runs").success(), "there is no account postgres");
        }
        let data = postgres.data();
        let data = data.to_str().expect("a plain path");
        postgres.run(
            "initdb",
            &["-D", data, "-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8"],
        );
        let settings = format!(
            "wal_level = logical\nmax_replication_slots = 20\nmax_wal_senders = 20\n\
             listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = ''\n\
             max_connections = 100\nshared_buffers = 128MB\nmax_wal_size = 4GB\n{more}\n"
        );
        postgres.write("data/postgresql.auto.conf", &settings);
        postgres.serve();
        Some(postgres)
    }

    /// Its port on loopback; the account `postgres` needs no password.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Starts the server again, after [`Postgres::kill`].
    ///
    /// # Panics
    /// If it does not start within a minute.
    pub fn serve(&self) {
        let data = self.data();
        let log = self.folder.path().join("log");
        let started = Instant::now();
        loop {
            let arguments = ["-D", path(&data), "-l", path(&log), "-w", "-t", "60", "start"];
            if self.command("pg_ctl", &arguments).output().expect("pg_ctl runs").status.success() {
                return;
            }
            assert!(started.elapsed() < START_WAIT, "PostgreSQL does not start");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Ends the server as a power cut would.
    ///
    /// # Panics
    /// If it does not run.
    pub fn kill(&self) {
        let file = self.data().join("postmaster.pid");
        let text = self.read(&file);
        let pid = text.lines().next().expect("a process number").trim().to_owned();
        let killed = self.command_of("kill", &["-9", &pid]).status().expect("kill runs");
        assert!(killed.success(), "the server does not run");
        // Its processes notice that it is gone, and the next one must not meet them.
        while Path::new(&format!("/proc/{pid}")).try_exists().unwrap_or(false) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Runs statements; gives what they say, a line for each row, columns separated by `|`.
    ///
    /// # Panics
    /// If one fails.
    #[track_caller]
    pub fn sql(&self, statements: &str) -> String {
        let output = self.try_sql(statements);
        match output {
            Ok(said) => said,
            Err(error) => panic!("psql: {error}"),
        }
    }

    /// As [`Postgres::sql`], where the server may be gone.
    ///
    /// # Errors
    /// What psql wrote.
    pub fn try_sql(&self, statements: &str) -> Result<String, String> {
        let port = self.port.to_string();
        let mut child = Command::new(self.bin.join("psql"))
            .args(["-h", "127.0.0.1", "-p", &port, "-U", "postgres", "-d", "postgres"])
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f", "-"])
            .env("PGOPTIONS", "-c timezone=UTC")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("psql runs");
        let mut input = child.stdin.take().expect("its input");
        let statements = statements.to_owned();
        let writer = std::thread::spawn(move || input.write_all(statements.as_bytes()));
        let output = child.wait_with_output().expect("psql ends");
        // A server that is gone closes its ears.
        let _ = writer.join();
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout).expect("UTF-8")),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    /// The `source` of a copy file.
    pub fn source(&self) -> String {
        format!(
            "source:\n  postgres:\n    host: 127.0.0.1\n    port: {}\n    database: postgres\n    \
             user: postgres\n",
            self.port
        )
    }

    /// Has the server speak TLS with a certificate for these names (`IP:127.0.0.1`, `DNS:db.example`),
    /// and let `account` in with TLS and its password alone. Gives the path of the authority's
    /// certificate.
    ///
    /// # Panics
    /// If there is no `openssl`, or the server does not take it.
    pub fn speak_tls(&self, names: &str, account: &str) -> PathBuf {
        let made = "set -e; cd \"$1\"
            openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority \
                -keyout ca.key -out ca.pem
            openssl req -newkey rsa:2048 -nodes -subj /CN=server -keyout server.key -out server.csr
            printf 'subjectAltName=%s\\nbasicConstraints=CA:FALSE\\n' \"$2\" > extensions
            openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
                -extfile extensions -out server.crt
            chmod 600 server.key";
        let data = self.data();
        self.run("/bin/sh", &["-c", made, "sh", path(&data), names]);
        self.write(
            "data/pg_hba.conf",
            &format!(
                "hostssl all {account} 127.0.0.1/32 scram-sha-256\n\
                 host all {account} all reject\nhost all all 127.0.0.1/32 trust\n"
            ),
        );
        for setting in ["ssl = on", "ssl_cert_file = 'server.crt'", "ssl_key_file = 'server.key'"] {
            self.sql(&format!("ALTER SYSTEM SET {setting}"));
        }
        let before = self.sql("SELECT clock_timestamp()");
        self.sql("SELECT pg_reload_conf()");
        let is_loaded = format!(
            "SELECT pg_conf_load_time() > '{}' AND current_setting('ssl') = 'on'",
            before.trim()
        );
        let started = Instant::now();
        while self.sql(&is_loaded).trim() != "t" {
            assert!(started.elapsed() < START_WAIT, "the server does not speak TLS");
            std::thread::sleep(Duration::from_millis(50));
        }
        // Whoever copies runs under another account.
        let ca = self.folder.path().join("ca.pem");
        let text = self.read(&data.join("ca.pem"));
        self.write("ca.pem", &text);
        ca
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        // An absolute path stays what it is.
        self.command_of(path(&self.bin.join(program)), arguments)
    }

    /// A command as the account that owns the server: it does not run as root.
    fn command_of(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = match is_root() {
            true => {
                let mut command = Command::new("runuser");
                command.args(["-u", "postgres", "--", program]);
                command
            }
            false => Command::new(program),
        };
        command.args(arguments).current_dir("/tmp").stdin(Stdio::null());
        command
    }

    #[track_caller]
    fn run(&self, program: &str, arguments: &[&str]) {
        let output = self.command(program, arguments).output().expect("the program runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{program}: {said}");
    }

    fn write(&self, name: &str, text: &str) {
        let file = self.folder.path().join(name);
        let mut child = self
            .command_of("tee", &[path(&file)])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("tee runs");
        child.stdin.take().expect("its input").write_all(text.as_bytes()).expect("written");
        assert!(child.wait().expect("tee ends").success(), "{name} is written");
    }

    fn read(&self, file: &Path) -> String {
        let output = self.command_of("cat", &[path(file)]).output().expect("cat runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let data = self.data();
        // It may have been killed by the test.
        let _ = self.command("pg_ctl", &["-D", path(&data), "-m", "immediate", "stop"]).output();
        if is_root() {
            let all = path(self.folder.path());
            let _ = Command::new("chown").args(["-R", "root", all]).status();
        }
    }
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

fn is_root() -> bool {
    std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").expect("a process")) == 0
}

/// The folder of the newest server that is installed.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut found: Vec<PathBuf> = versions
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|bin| bin.join("initdb").is_file() && bin.join("psql").is_file())
        .collect();
    found.sort();
    found.pop()
}
