use super::{Disk, DiskFile, DiskRead, folder_of};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A disk in memory that keeps apart what is durable and what only looks so, for crash tests.
///
/// Two tests that it makes possible: [`cut_after`](LossyDisk::cut_after) each number of
/// operations, [`crash`](LossyDisk::crash), reopen, compare; and [`flip`](LossyDisk::flip) each
/// byte, reopen, expect an error. Clones are the same disk.
#[derive(Clone)]
pub struct LossyDisk {
    state: Arc<Mutex<State>>,
}

/// What a power cut leaves of that which was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remains {
    /// Nothing.
    Synced,
    /// Of each file a part of the unsynced bytes, some of it as zeros; of the unsynced names a
    /// part from the first on. The seed decides how much.
    Some(u64),
    /// Everything, as after a killed process.
    All,
}

#[derive(Default)]
struct State {
    folders: BTreeSet<PathBuf>,
    /// What the running system sees.
    names: BTreeMap<PathBuf, usize>,
    /// What a power cut leaves for certain.
    synced_names: BTreeMap<PathBuf, usize>,
    /// Changes of names since, in order.
    unsynced: Vec<NameChange>,
    files: Vec<Content>,
    operations: u64,
    cut_after: Option<u64>,
    /// Bytes that can still be written before the disk is full.
    free: Option<u64>,
    /// How many syncs of files fail from now on.
    failing_syncs: u64,
    dead: bool,
}

#[derive(Clone, Default)]
struct Content {
    now: Vec<u8>,
    synced: Vec<u8>,
    /// Cut below what is synced: `now` does not simply go on where `synced` ends.
    rewritten: bool,
}

#[derive(Clone)]
enum NameChange {
    Made { path: PathBuf, file: usize },
    Removed { path: PathBuf },
    Renamed { from: PathBuf, to: PathBuf, file: usize },
}

impl NameChange {
    fn touches(&self, dir: &Path) -> bool {
        match self {
            NameChange::Made { path, .. } | NameChange::Removed { path } => folder_of(path) == dir,
            NameChange::Renamed { from, to, .. } => folder_of(from) == dir || folder_of(to) == dir,
        }
    }

    fn apply(self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            NameChange::Made { path, file } => {
                names.insert(path, file);
            }
            NameChange::Removed { path } => {
                names.remove(&path);
            }
            NameChange::Renamed { from, to, file } => {
                names.remove(&from);
                names.insert(to, file);
            }
        }
    }
}

impl LossyDisk {
    /// An empty disk of unlimited size.
    pub fn new() -> LossyDisk {
        let mut state = State::default();
        state.folders.insert(PathBuf::from("/"));
        state.folders.insert(PathBuf::from("."));
        LossyDisk { state: Arc::new(Mutex::new(state)) }
    }

    /// How many operations were done that change something; reads do not count.
    pub fn operations(&self) -> u64 {
        self.state.lock().operations
    }

    /// Lets `operations` more succeed, counted from now, and then none: each fails, reads too.
    pub fn cut_after(&self, operations: u64) {
        let mut state = self.state.lock();
        state.cut_after = Some(state.operations + operations);
    }

    /// Whether the cut has come.
    pub fn is_cut(&self) -> bool {
        self.state.lock().dead
    }

    /// Cuts the power: this disk fails from now on, the returned one is what is found after it.
    pub fn crash(&self, remains: Remains) -> LossyDisk {
        let mut state = self.state.lock();
        state.dead = true;
        let mut seed = match remains {
            Remains::Some(seed) => seed,
            Remains::Synced | Remains::All => 0,
        };
        let kept_changes = match remains {
            Remains::Synced => 0,
            Remains::All => state.unsynced.len(),
            Remains::Some(_) => below(&mut seed, state.unsynced.len() + 1),
        };
        let mut names = state.synced_names.clone();
        for change in state.unsynced.iter().take(kept_changes) {
            change.clone().apply(&mut names);
        }
        let files = state
            .files
            .iter()
            .map(|content| {
                let left = match remains {
                    Remains::Synced => content.synced.clone(),
                    Remains::All => content.now.clone(),
                    Remains::Some(_) => content.some(&mut seed),
                };
                Content { now: left.clone(), synced: left, rewritten: false }
            })
            .collect();
        let found = State {
            folders: state.folders.clone(),
            synced_names: names.clone(),
            names,
            files,
            ..State::default()
        };
        LossyDisk { state: Arc::new(Mutex::new(found)) }
    }

    /// A disk with the same content on which nothing is unsynced.
    pub fn copy(&self) -> LossyDisk {
        let state = self.state.lock();
        let files = state
            .files
            .iter()
            .map(|content| Content {
                now: content.now.clone(),
                synced: content.now.clone(),
                rewritten: false,
            })
            .collect();
        let copied = State {
            folders: state.folders.clone(),
            names: state.names.clone(),
            synced_names: state.names.clone(),
            files,
            ..State::default()
        };
        LossyDisk { state: Arc::new(Mutex::new(copied)) }
    }

    /// Changes the byte at `offset` of a file behind everybody's back: the bits of `mask` turn.
    ///
    /// # Panics
    /// If there is no such byte.
    pub fn flip(&self, path: &Path, offset: u64, mask: u8) {
        let mut state = self.state.lock();
        let file = state.names[path];
        let offset = usize::try_from(offset).expect("files in memory are small");
        state.files[file].now[offset] ^= mask;
        if let Some(byte) = state.files[file].synced.get_mut(offset) {
            *byte ^= mask;
        }
    }

    /// Gives a file another content, durably, behind everybody's back.
    pub fn overwrite(&self, path: &Path, bytes: &[u8]) {
        let mut state = self.state.lock();
        let file = state.files.len();
        let bytes = bytes.to_vec();
        state.files.push(Content { now: bytes.clone(), synced: bytes, rewritten: false });
        state.names.insert(path.to_owned(), file);
        state.synced_names.insert(path.to_owned(), file);
    }

    /// Lets `bytes` more be written before the disk is full; `None`: it never is. Removing and
    /// cutting files gives no room back, so that a test says when there is some.
    pub fn set_free(&self, bytes: Option<u64>) {
        self.state.lock().free = bytes;
    }

    /// Lets the next `count` syncs of files fail; their bytes stay unsynced.
    pub fn fail_syncs(&self, count: u64) {
        self.state.lock().failing_syncs = count;
    }
}

impl Content {
    /// What a power cut may leave: a part of the unsynced bytes, its end perhaps zeros, because a
    /// file may have grown before its bytes arrived.
    fn some(&self, seed: &mut u64) -> Vec<u8> {
        if self.rewritten {
            return if below(seed, 2) == 0 { self.synced.clone() } else { self.now.clone() };
        }
        let synced = self.synced.len();
        let len = synced + below(seed, self.now.len() - synced + 1);
        let mut left = self.now[..len].to_vec();
        if below(seed, 3) == 0 {
            let zeros_from = synced + below(seed, len - synced + 1);
            left[zeros_from..].fill(0);
        }
        left
    }
}

/// The next number below `bound` out of `seed` (SplitMix64).
fn below(seed: &mut u64, bound: usize) -> usize {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *seed;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    (mixed % bound as u64) as usize
}

impl State {
    fn alive(&self) -> io::Result<()> {
        if self.dead { Err(io::Error::other("the power was cut")) } else { Ok(()) }
    }

    /// Counts one change; an error once the power is cut.
    fn operate(&mut self) -> io::Result<()> {
        if self.cut_after.is_some_and(|last| self.operations >= last) {
            self.dead = true;
        }
        self.alive()?;
        self.operations += 1;
        Ok(())
    }

    fn file(&self, path: &Path) -> io::Result<usize> {
        self.alive()?;
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn folder(&self, dir: &Path) -> io::Result<()> {
        if self.folders.contains(dir) { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    fn append(&mut self, file: usize, bytes: &[u8]) -> io::Result<()> {
        if !self.dead && self.cut_after == Some(self.operations) {
            // The write at which the power goes has begun.
            self.files[file].now.extend_from_slice(&bytes[..bytes.len() / 2]);
        }
        self.operate()?;
        let room = self.free.map_or(bytes.len(), |free| {
            usize::try_from(free).unwrap_or(usize::MAX).min(bytes.len())
        });
        self.files[file].now.extend_from_slice(&bytes[..room]);
        if let Some(free) = &mut self.free {
            *free -= room as u64;
        }
        if room < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn sync(&mut self, file: usize) -> io::Result<()> {
        self.operate()?;
        if self.failing_syncs > 0 {
            self.failing_syncs -= 1;
            return Err(io::Error::other("the disk failed to sync"));
        }
        let content = &mut self.files[file];
        if content.rewritten {
            content.synced.clone_from(&content.now);
            content.rewritten = false;
        } else {
            let synced = content.synced.len();
            content.synced.extend_from_slice(&content.now[synced..]);
        }
        Ok(())
    }

    fn truncate(&mut self, file: usize, len: u64) -> io::Result<()> {
        self.operate()?;
        let content = &mut self.files[file];
        let len = usize::try_from(len).map_err(io::Error::other)?;
        content.now.resize(len, 0);
        content.rewritten |= len < content.synced.len();
        Ok(())
    }
}

impl Disk for LossyDisk {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state.lock();
        state.folder(folder_of(path))?;
        if state.names.contains_key(path) || state.folders.contains(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.operate()?;
        let file = state.files.len();
        state.files.push(Content::default());
        state.names.insert(path.to_owned(), file);
        state.unsynced.push(NameChange::Made { path: path.to_owned(), file });
        Ok(Box::new(LossyFile { disk: self.clone(), file }))
    }

    fn open_append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = self.state.lock().file(path)?;
        Ok(Box::new(LossyFile { disk: self.clone(), file }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskRead>> {
        let file = self.state.lock().file(path)?;
        Ok(Arc::new(LossyFile { disk: self.clone(), file }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        let file = state.file(from)?;
        state.folder(folder_of(to))?;
        state.operate()?;
        state.names.remove(from);
        state.names.insert(to.to_owned(), file);
        let (from, to) = (from.to_owned(), to.to_owned());
        state.unsynced.push(NameChange::Renamed { from, to, file });
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.file(path)?;
        state.operate()?;
        state.names.remove(path);
        state.unsynced.push(NameChange::Removed { path: path.to_owned() });
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>> {
        let state = self.state.lock();
        state.alive()?;
        state.folder(dir)?;
        let paths = state.names.keys().chain(&state.folders);
        let mut names: Vec<OsString> = paths
            .filter(|path| path.parent() == Some(dir))
            .filter_map(|path| path.file_name().map(ToOwned::to_owned))
            .collect();
        names.sort();
        Ok(names)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.alive()?;
        state.folder(dir)?;
        state.operate()?;
        let (synced, left) = std::mem::take(&mut state.unsynced)
            .into_iter()
            .partition::<Vec<_>, _>(|change| change.touches(dir));
        state.unsynced = left;
        for change in synced {
            change.apply(&mut state.synced_names);
        }
        Ok(())
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.operate()?;
        for folder in dir.ancestors().filter(|folder| !folder.as_os_str().is_empty()) {
            state.folders.insert(folder.to_owned());
        }
        Ok(())
    }

    fn try_exists(&self, path: &Path) -> io::Result<bool> {
        let state = self.state.lock();
        state.alive()?;
        Ok(state.names.contains_key(path) || state.folders.contains(path))
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        let state = self.state.lock();
        let file = state.file(path)?;
        Ok(state.files[file].now.len() as u64)
    }
}

impl Default for LossyDisk {
    fn default() -> LossyDisk {
        LossyDisk::new()
    }
}

impl fmt::Debug for LossyDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LossyDisk(…)")
    }
}

#[derive(Debug)]
struct LossyFile {
    disk: LossyDisk,
    file: usize,
}

impl DiskFile for LossyFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.disk.state.lock().append(self.file, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.state.lock().sync(self.file)
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.disk.state.lock().truncate(self.file, len)
    }
}

impl DiskRead for LossyFile {
    fn size(&self) -> io::Result<u64> {
        let state = self.disk.state.lock();
        state.alive()?;
        Ok(state.files[self.file].now.len() as u64)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let state = self.disk.state.lock();
        state.alive()?;
        let content = &state.files[self.file].now;
        let part = usize::try_from(offset)
            .ok()
            .and_then(|start| content.get(start..start.checked_add(buffer.len())?))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(part);
        Ok(())
    }
}
