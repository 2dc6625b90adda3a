use crate::caller::Caller;
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Debug builds on a busy machine are slow; a hang must still end.
const READY_WAIT: Duration = Duration::from_secs(240);

/// The binary and a fresh folder to run it in.
#[derive(Debug)]
pub struct Program {
    binary: PathBuf,
    folder: TempDir,
}

impl Program {
    /// `binary` is what `env!("CARGO_BIN_EXE_clerestory")` says.
    pub fn new(binary: &str) -> Program {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        Program { binary: binary.into(), folder }
    }

    /// A path in the folder of this test.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// What every server of this test wrote to its standard error.
    pub fn log(&self) -> PathBuf {
        self.path("server.log")
    }

    /// A command of the binary, in this folder, without the surrounding environment's settings.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.in_folder(&self.binary);
        command.args(arguments);
        command
    }

    fn in_folder(&self, binary: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(binary);
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        for name in [
            "URL",
            "API_KEY",
            "DIR",
            "CONFIG",
            "HTTP",
            "CA",
            "KEY_FILE",
            "PASSPHRASE_FILE",
            "KEY_SERVICE",
            "LOG",
        ] {
            command.env_remove(format!("CLERESTORY_{name}"));
        }
        command.env("HOME", self.folder.path()).env_remove("XDG_CONFIG_HOME");
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the binary can be started")
    }

    /// Runs a command that must do what it says; gives its standard output.
    #[track_caller]
    pub fn run_well(&self, arguments: &[&str]) -> String {
        well(arguments, self.run(arguments))
    }

    /// Runs a client command as somebody, which must do what it says.
    #[track_caller]
    pub fn run_as(&self, caller: &Caller, arguments: &[&str]) -> String {
        well(arguments, self.output_as(caller, arguments))
    }

    /// Runs a client command as somebody.
    pub fn output_as(&self, caller: &Caller, arguments: &[&str]) -> Output {
        self.command(arguments)
            .env("CLERESTORY_URL", caller.url())
            .env("CLERESTORY_API_KEY", caller.api_key())
            .output()
            .expect("the binary can be started")
    }

    fn spawn(&self, arguments: &[&str]) -> Child {
        self.spawn_command(self.command(arguments))
    }

    fn spawn_command(&self, mut command: Command) -> Child {
        let log = File::options().create(true).append(true).open(self.log()).expect("log file");
        let out = File::create(self.path("server.out")).expect("output file");
        command
            .env("CLERESTORY_LOG", "debug")
            .stdout(out)
            .stderr(log)
            .spawn()
            .expect("the binary can be started")
    }

    fn log_text(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }
}

#[track_caller]
fn well(arguments: &[&str], output: Output) -> String {
    assert!(
        output.status.success(),
        "`{}` failed with {}:\n{}",
        arguments.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("standard output is UTF-8")
}

/// A process that is killed when dropped.
#[derive(Debug)]
struct Running(Child);

impl Running {
    fn kill(&mut self) {
        // It may have ended by itself; either way nothing is left running.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A house made by `init`, with one person of each role, served by `serve`.
#[derive(Debug)]
pub struct Node {
    /// The binary and its folder.
    pub program: Program,
    running: Option<Running>,
    url: String,
    keys: Vec<(&'static str, String)>,
}

const ADMINISTRATOR: (&str, &str) = ("root-of-the-test", "a long password for the test 1");
/// The password of the person of each role.
pub const PASSWORD: &str = "a long password for the test 2";
const SERVE: [&str; 5] = ["serve", "--dir", "data", "--http", "127.0.0.1:0"];
const ROLES: [&str; 4] = ["analyst", "engineer", "guardian", "administrator"];

impl Node {
    /// Makes and serves an empty house.
    pub fn start(binary: &str) -> Node {
        let program = Program::new(binary);
        let (name, password) = ADMINISTRATOR;
        fs::write(program.path("password"), password).expect("the password file is written");
        let arguments = [
            "init",
            "--dir",
            "data",
            "--admin",
            name,
            "--password-file",
            "password",
            "--key-file",
            "ring.key",
        ];
        program.run_well(&arguments);
        let mut node = Node { program, running: None, url: String::new(), keys: Vec::new() };
        node.serve();
        let administrator = Caller::with_password(&node.url, name, password);
        for role in ROLES {
            let person = json!({ "name": role, "password": PASSWORD, "roles": [role] });
            administrator.post("/_clerestory/people", &person).expect(201);
            let made = Caller::with_password(&node.url, role, PASSWORD)
                .post("/_clerestory/keys", &json!({ "name": format!("{role} of the test") }))
                .expect(201);
            node.keys.push((role, made["encoded"].as_str().expect("an encoded key").to_owned()));
        }
        node
    }

    /// Starts the server again; whatever ran before is killed first.
    pub fn serve(&mut self) {
        self.kill();
        let mut running = Running(self.program.spawn(&SERVE));
        self.url = wait_for_url(&self.program, &mut running.0);
        self.running = Some(running);
    }

    /// As [`Node::serve`], with more arguments, and variables in its environment.
    pub fn serve_with(&mut self, arguments: &[&str], environment: &[(&str, &str)]) {
        self.kill();
        let mut command = self.program.command(&SERVE);
        command.args(arguments).envs(environment.iter().copied());
        let mut running = Running(self.program.spawn_command(command));
        self.url = wait_for_url(&self.program, &mut running.0);
        self.running = Some(running);
    }

    /// As [`Node::serve`], but listening on this address, such as `0.0.0.0:0`.
    pub fn serve_at(&mut self, http: &str) {
        self.kill();
        let mut arguments = SERVE;
        arguments[4] = http;
        let mut running = Running(self.program.spawn(&arguments));
        self.url = wait_for_url(&self.program, &mut running.0);
        self.running = Some(running);
    }

    /// As [`Node::serve`], but started by another program, which gets the command as its last
    /// arguments.
    pub fn serve_under(&mut self, starter: &[&str]) {
        self.kill();
        let server = self.program.command(&SERVE);
        let mut command = self.program.in_folder(starter[0]);
        command.args(&starter[1..]).arg(server.get_program()).args(server.get_args());
        let mut running = Running(self.program.spawn_command(command));
        self.url = wait_for_url(&self.program, &mut running.0);
        self.running = Some(running);
    }

    /// As [`Node::serve`], but a file that grows beyond `prlimit --fsize` is an error to its
    /// writer, as on a full disk, and not the end of the process.
    pub fn serve_with_limits_as_errors(&mut self) {
        self.serve_under(&["sh", "-c", "trap '' XFSZ; exec \"$0\" \"$@\""]);
    }

    /// Ends the server as a power cut would: without a word.
    pub fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.kill();
        }
    }

    /// The number of the server's process.
    pub fn process(&self) -> Option<u32> {
        self.running.as_ref().map(|running| running.0.id())
    }

    /// The most memory that the server's process ever held, in MiB.
    ///
    /// # Panics
    /// If it does not run.
    #[track_caller]
    pub fn peak_memory_mib(&self) -> u64 {
        let process = self.process().expect("the server runs");
        let status = fs::read_to_string(format!("/proc/{process}/status")).expect("its state");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its peak");
        let kib = line.trim().trim_end_matches("kB").trim().parse::<u64>().expect("a number");
        kib / 1024
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The person with this role.
    #[track_caller]
    pub fn caller(&self, role: &str) -> Caller {
        let key = self.keys.iter().find(|(name, _)| *name == role).expect("a role of the test");
        Caller::with_key(&self.url, &key.1)
    }
}

/// `serve` prints its address as the first line.
fn wait_for_url(program: &Program, child: &mut Child) -> String {
    let out = program.path("server.out");
    wait(program, child, || {
        let text = fs::read_to_string(&out).ok()?;
        let (line, _) = text.split_once('\n')?;
        Some(line.to_owned())
    })
}

fn wait<T>(program: &Program, child: &mut Child, ready: impl Fn() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = ready() {
            return found;
        }
        if let Some(status) = child.try_wait().expect("the process can be asked") {
            panic!("the server ended ({status}):\n{}", program.log_text());
        }
        assert!(start.elapsed() < READY_WAIT, "the server is not ready:\n{}", program.log_text());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// How large a demo to start.
#[derive(Clone, Copy, Debug)]
pub struct DemoSize {
    /// Devices.
    pub devices: u32,
    /// Days.
    pub days: u32,
    /// Events.
    pub events: u64,
}

impl DemoSize {
    /// The fleet of this size: the same bytes that the demo loads.
    pub fn fleet(self) -> demo::Fleet {
        demo::Fleet::new(demo::FleetSettings {
            devices: self.devices,
            days: self.days,
            events: self.events,
            ..demo::FleetSettings::default()
        })
    }
}

/// The demo, loaded and served.
#[derive(Debug)]
pub struct DemoNode {
    /// The binary and its folder.
    pub program: Program,
    /// What stands in `demo-logins.json`.
    pub logins: Value,
    _running: Running,
}

impl DemoNode {
    /// Starts `demo` and waits until it is loaded.
    pub fn start(binary: &str, size: DemoSize) -> DemoNode {
        let program = Program::new(binary);
        let numbers = [size.devices.to_string(), size.days.to_string(), size.events.to_string()];
        let arguments = [
            "demo",
            "--dir",
            "data",
            "--http",
            "127.0.0.1:0",
            "--key-file",
            "ring.key",
            "--devices",
            &numbers[0],
            "--days",
            &numbers[1],
            "--events",
            &numbers[2],
        ];
        let mut running = Running(program.spawn(&arguments));
        let file = program.data().join("demo-logins.json");
        let text = wait(&program, &mut running.0, || fs::read_to_string(&file).ok());
        let logins = serde_json::from_str(&text).expect("the logins are JSON");
        DemoNode { program, logins, _running: running }
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        self.logins["url"].as_str().expect("the logins name the url")
    }

    /// The person with this role.
    #[track_caller]
    pub fn caller(&self, role: &str) -> Caller {
        let logins = self.logins["logins"].as_array().expect("logins");
        let login = logins.iter().find(|login| login["role"] == role).expect("a role of the demo");
        Caller::with_key(self.url(), login["api_key"].as_str().expect("an API key"))
    }
}
