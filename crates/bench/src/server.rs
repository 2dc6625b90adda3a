use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// It must be ready within this time.
const START_WAIT: Duration = Duration::from_secs(120);
/// Background work counts as done when the folder has not changed for this long, which is longer
/// than the store lets a table be before it makes tiles, …
const QUIET: Duration = Duration::from_secs(15);
/// … and the process hardly computed, in ticks of a hundredth of a second of one core …
const IDLE_TICKS_MAX: u64 = 100;
/// … or after this time.
const SETTLE_WAIT: Duration = Duration::from_secs(900);

/// The measured program. Killed when dropped.
pub(crate) struct Server {
    child: Child,
    data: PathBuf,
    url: String,
    logins: Value,
    agent: ureq::Agent,
}

/// Bytes on disk.
pub(crate) struct OnDisk {
    pub(crate) total: u64,
    /// By folder directly below the data folder; files there count as `.`.
    pub(crate) folders: BTreeMap<String, u64>,
}

impl Server {
    /// Starts the demo without events: its tables, people, devices and metrics are there, and
    /// the way in is ours.
    pub(crate) fn start(program: &Path, folder: &Path, devices: u32) -> Result<Server> {
        fs::create_dir_all(folder)?;
        let data = folder.join("data");
        let log = File::create(folder.join("server.log"))?;
        let child = Command::new(program)
            .arg("demo")
            .args(["--http", "127.0.0.1:0", "--events", "0"])
            .arg("--devices")
            .arg(devices.to_string())
            .arg("--dir")
            .arg(&data)
            .arg("--key-file")
            .arg(folder.join("bench.key"))
            .env("CLERESTORY_LOG", "info")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_idle_connections_per_host(64)
            .proxy(None)
            .build()
            .new_agent();
        let mut server = Server { child, data, url: String::new(), logins: Value::Null, agent };
        server.logins = server.wait_for_logins(folder)?;
        server.url = server.logins["url"].as_str().context("the logins name no url")?.to_owned();
        Ok(server)
    }

    fn wait_for_logins(&mut self, folder: &Path) -> Result<Value> {
        let start = Instant::now();
        loop {
            if let Ok(bytes) = fs::read(self.data.join("demo-logins.json")) {
                let logins: Value = serde_json::from_slice(&bytes)?;
                // An earlier run may have left its address here.
                if self.agent.get(logins["url"].as_str().unwrap_or_default()).call().is_ok() {
                    return Ok(logins);
                }
            }
            if let Some(status) = self.child.try_wait()? {
                let log = fs::read_to_string(folder.join("server.log")).unwrap_or_default();
                bail!("the server ended ({status}):\n{log}");
            }
            if start.elapsed() > START_WAIT {
                bail!("the server was not ready after {} s", START_WAIT.as_secs());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// `Authorization` of the person with this role.
    pub(crate) fn authorization(&self, role: &str) -> Result<String> {
        let logins = self.logins["logins"].as_array().context("there are no logins")?;
        let login = logins.iter().find(|login| login["role"] == role);
        let key = login.and_then(|login| login["api_key"].as_str());
        Ok(format!("ApiKey {}", key.with_context(|| format!("there is no {role}"))?))
    }

    /// Reads an answer whole; any status but 200 is an error.
    pub(crate) fn get(&self, path: &str, authorization: &str) -> Result<Vec<u8>> {
        let request = self.agent.get(format!("{}{path}", self.url));
        let mut response = request.header("authorization", authorization).call()?;
        let status = response.status().as_u16();
        let bytes = response.body_mut().read_to_vec()?;
        if status != 200 {
            bail!("{path}: status {status}: {}", String::from_utf8_lossy(&bytes));
        }
        Ok(bytes)
    }

    /// How many segments there are, of all tables, and how many files of tiles.
    pub(crate) fn segments_and_tiles(&self) -> Result<(usize, usize)> {
        let names = self.segment_files()?;
        let count = |ending: &str| names.iter().filter(|(name, _)| name.ends_with(ending)).count();
        Ok((count(".segment"), count(".tiles")))
    }

    /// Bytes of all files of tiles.
    pub(crate) fn tile_bytes(&self) -> Result<u64> {
        let names = self.segment_files()?;
        Ok(names.iter().filter(|(name, _)| name.ends_with(".tiles")).map(|(_, bytes)| bytes).sum())
    }

    fn segment_files(&self) -> Result<Vec<(String, u64)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(self.data.join("segments"))? {
            let entry = entry?;
            let bytes = entry.metadata().map_or(0, |metadata| metadata.len());
            files.push((entry.file_name().to_string_lossy().into_owned(), bytes));
        }
        Ok(files)
    }

    /// Posts a body and reads the answer whole; any status but 200 is an error.
    pub(crate) fn post(
        &self,
        path: &str,
        authorization: &str,
        content: &str,
        body: &[u8],
    ) -> Result<Vec<u8>> {
        let mut response = self
            .agent
            .post(format!("{}{path}", self.url))
            .header("authorization", authorization)
            .header("content-type", content)
            .send(body)?;
        let status = response.status().as_u16();
        let bytes = response.body_mut().with_config().limit(1 << 30).read_to_vec()?;
        if status != 200 {
            bail!("{path}: status {status}: {}", String::from_utf8_lossy(&bytes));
        }
        Ok(bytes)
    }

    /// The most memory the process ever held, as Linux tells it.
    pub(crate) fn peak_memory_mib(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()).context("no VmHWM")?;
        Ok(kib.parse::<f64>()? / 1024.0)
    }

    /// What the process computed so far, in hundredths of a second of one core.
    fn ticks(&self) -> Result<u64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name before may hold anything; 14 and 15 are time in the program and for it.
        let (_, fields) = stat.rsplit_once(')').context("no stat")?;
        let ticks = |place: usize| fields.split_whitespace().nth(place)?.parse::<u64>().ok();
        ticks(11).zip(ticks(12)).map(|(user, system)| user + system).context("no times")
    }

    /// Waits for background work, then adds the files up.
    pub(crate) fn settled_disk(&self) -> Result<OnDisk> {
        let start = Instant::now();
        let mut last = (self.disk()?, self.ticks()?);
        let mut since = Instant::now();
        while since.elapsed() < QUIET {
            if start.elapsed() > SETTLE_WAIT {
                bail!("the server was still at work after {} s", SETTLE_WAIT.as_secs());
            }
            std::thread::sleep(Duration::from_millis(500));
            let (disk, ticks) = (self.disk()?, self.ticks()?);
            if disk.folders != last.0.folders || ticks > last.1 + IDLE_TICKS_MAX {
                since = Instant::now();
                last = (disk, ticks);
            }
        }
        Ok(last.0)
    }

    fn disk(&self) -> Result<OnDisk> {
        let mut folders = BTreeMap::new();
        for entry in fs::read_dir(&self.data)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.insert(
                    entry.file_name().to_string_lossy().into_owned(),
                    size_of(&entry.path())?,
                );
            } else {
                *folders.entry(".".to_owned()).or_default() +=
                    entry.metadata().map_or(0, |m| m.len());
            }
        }
        Ok(OnDisk { total: folders.values().sum(), folders })
    }

    /// Stops it.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; either way nothing is left running.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Files come and go while compaction works; those that are gone count nothing.
fn size_of(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    let Ok(entries) = fs::read_dir(folder) else { return Ok(0) };
    for entry in entries {
        let entry = entry?;
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes += size_of(&entry.path())?,
            Ok(metadata) => bytes += metadata.len(),
            Err(_) => {}
        }
    }
    Ok(bytes)
}
