//! One node in this process: the engine, and the server in front of it.

use crate::failure::{Failure, Result};
use crate::key_place::KeyPlace;
use crate::outside::HttpOutside;
use crate::settings::TlsSettings;
use api::{Certificate, Limits, Server};
use engine::{AuditCheck, AuditEvidence, Engine, Role, Unlock};
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tracing_subscriber::EnvFilter;

/// An open data folder that nobody can reach yet.
pub(crate) struct Node {
    dir: PathBuf,
    engine: Arc<Engine>,
}

/// An open data folder behind a listening server.
pub(crate) struct ListeningNode {
    node: Node,
    server: Server,
}

impl Node {
    /// Makes the folder with a fresh key ring, and opens it.
    pub(crate) fn create(dir: &Path, place: &KeyPlace) -> Result<Node> {
        make_private_folder(dir)?;
        place.note(dir)?;
        let settings = engine::Settings::new(dir, place.unlock.clone());
        Engine::init(&settings)?;
        Node::open_with(settings)
    }

    /// Opens a folder that [`Node::create`] made.
    pub(crate) fn open(dir: &Path, unlock: Unlock) -> Result<Node> {
        if !has_key_ring(dir)? {
            return Err(Failure::new(format!("`{}` is no data folder", dir.display()))
                .hint(format!("clerestory init --dir {}", dir.display())));
        }
        Node::open_with(engine::Settings::new(dir, unlock))
    }

    fn open_with(mut settings: engine::Settings) -> Result<Node> {
        settings.ask_space = Some(crate::disk_space::ask);
        settings.outside = Some(Arc::new(HttpOutside::trusting(None)?));
        Ok(Node { dir: settings.dir.clone(), engine: Arc::new(Engine::open(&settings)?) })
    }

    /// Makes the first administrator without an enrolment code.
    pub(crate) fn make_first_administrator(&self, name: &str, password: &str) -> Result<()> {
        self.make_first_people(&[(name, password, &[Role::Guardian, Role::Administrator])])
    }

    /// Makes the accounts of a fresh node, as (name, password, roles).
    pub(crate) fn make_first_people(&self, people: &[(&str, &str, &[Role])]) -> Result<()> {
        Ok(self.engine.bootstrap(people)?)
    }

    /// Whether nobody can log in yet.
    pub(crate) fn is_without_people(&self) -> bool {
        self.engine.is_without_people()
    }

    /// A fresh enrolment code, while nobody can log in; it replaces an older one.
    pub(crate) fn enrolment_code(&self) -> Result<Option<String>> {
        if !self.is_without_people() {
            return Ok(None);
        }
        Ok(Some(self.engine.enrolment_code()?))
    }

    /// Puts a server in front; `url` is where people reach it, if they do not where it listens.
    pub(crate) fn listen(
        self,
        address: SocketAddr,
        tls: &TlsSettings,
        url: Option<String>,
    ) -> Result<ListeningNode> {
        let certificate = match &tls.files {
            Some((certificate, key)) => {
                Certificate::Files { certificate: certificate.clone(), key: key.clone() }
            }
            None => Certificate::Made { folder: self.dir.join("tls"), names: tls.names.clone() },
        };
        self.engine.check_listener(address)?;
        let settings = api::Settings {
            address,
            certificate,
            tls_on_loopback: tls.on_loopback || self.engine.wants_tls_on_loopback(),
            url,
            limits: Limits::default(),
        };
        let server = Server::start(Arc::clone(&self.engine), &settings)?;
        Ok(ListeningNode { node: self, server })
    }

    /// Closes the folder in good order.
    pub(crate) fn close(self) {
        self.engine.close();
    }
}

impl ListeningNode {
    /// What to type into a browser on this machine.
    pub(crate) fn url(&self) -> String {
        self.server.url()
    }

    /// SHA-256 of the certificate, if TLS is spoken.
    pub(crate) fn fingerprint(&self) -> Option<&str> {
        self.server.fingerprint()
    }

    /// The certificate that a client of this node must trust, if TLS is spoken.
    pub(crate) fn certificate(&self) -> Option<PathBuf> {
        self.server.fingerprint().map(|_| self.node.dir.join("tls").join("certificate.pem"))
    }

    /// A fresh enrolment code, while nobody can log in.
    pub(crate) fn enrolment_code(&self) -> Result<Option<String>> {
        self.node.enrolment_code()
    }

    /// Serves until the process is asked to end.
    pub(crate) fn run_until_signal(self) {
        self.server.run_until_signal();
        self.node.close();
    }

    /// Stops.
    pub(crate) fn stop(self) {
        self.server.stop();
        self.node.close();
    }
}

/// Whether the folder holds a key ring.
pub(crate) fn has_key_ring(dir: &Path) -> Result<bool> {
    Ok(dir.join("keyring").try_exists()?)
}

/// Whether the key ring opens.
pub(crate) fn check_key_ring(dir: &Path, unlock: &Unlock) -> Result<()> {
    Ok(engine::check_key_ring(dir, unlock)?)
}

/// Seals the key ring of a folder under another key.
pub(crate) fn rewrap_key_ring(dir: &Path, unlock: &Unlock, to: &Unlock) -> Result<()> {
    Ok(engine::rewrap_key_ring(dir, unlock, to)?)
}

/// Has the key service wrap the key ring of a folder anew; gives whether it has versions.
pub(crate) fn refresh_key_ring(dir: &Path, unlock: &Unlock) -> Result<bool> {
    Ok(engine::refresh_key_ring(dir, unlock)?)
}

/// Checks the audit record of a folder that no server has open.
pub(crate) fn verify_audit(
    dir: &Path,
    unlock: &Unlock,
    evidence: &AuditEvidence,
) -> Result<AuditCheck> {
    Ok(engine::verify_audit(dir, unlock, evidence)?)
}

/// Checks the catalog and the segments of a folder; `None` if a server has it open.
pub(crate) fn verify_store(dir: &Path, unlock: &Unlock) -> Result<Option<engine::Verified>> {
    match engine::verify_store(dir, unlock) {
        Err(error) if error.is_in_use() => Ok(None),
        found => Ok(Some(found?)),
    }
}

/// Log lines go to standard error; `CLERESTORY_LOG` says which, `level` if it says nothing.
pub(crate) fn start_logging(level: tracing::Level) {
    let filter = EnvFilter::builder()
        .with_env_var("CLERESTORY_LOG")
        .with_default_directive(level.into())
        .from_env_lossy()
        // What it says of a source may quote rows.
        .add_directive("pg_walstream=off".parse().expect("the directive is fixed"));
    // Fails only if logging was started before, which is as good.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        // It would panic where standard error is a file on a full disk.
        .log_internal_errors(false)
        .try_init();
}

/// Makes a folder that only its owner may look into.
fn make_private_folder(dir: &Path) -> Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir).map_err(|error| {
        Failure::from(error).while_doing(&format!("cannot make `{}`", dir.display()))
    })?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}
