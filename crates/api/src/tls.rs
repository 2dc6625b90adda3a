//! The certificate: given, or made at the first start.

use engine::Engine;
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fs;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

/// How long a certificate that we make is good for. Clients pin its fingerprint, so it is long.
const YEARS_VALID: i32 = 10;

/// What the private key is sealed as.
const KEY_NAME: &str = "tls private key";

/// Where the certificate comes from.
#[derive(Clone, Debug)]
pub enum Certificate {
    /// Self-signed, made at the first start and kept in this folder as `certificate.pem` and
    /// `key.sealed`: the private key, sealed under the key ring.
    Made {
        /// The folder.
        folder: PathBuf,
        /// Names and addresses that clients use for this server, beside those that are found.
        names: Vec<String>,
    },
    /// PEM files.
    Files {
        /// The certificate and those that signed it.
        certificate: PathBuf,
        /// Its private key.
        key: PathBuf,
    },
}

/// Why there is no certificate to listen with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("cannot read or write `{}`", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A file is no PEM file of the right kind.
    #[error("`{}` holds no {expected} in PEM form", path.display())]
    Pem {
        /// Which.
        path: PathBuf,
        /// What should be in it.
        expected: &'static str,
    },
    /// The private key does not open.
    #[error(
        "the private key `{}` was changed or belongs to another data folder; remove the folder it is in, and a new certificate is made", .0.display()
    )]
    Sealed(PathBuf),
    /// Certificate and key do not fit, or one is of a kind that is not supported.
    #[error("the certificate and its key cannot be used together; give a matching pair")]
    Unusable(#[source] rustls::Error),
    /// The certificate could not be made.
    #[error("cannot make a certificate; give one by files")]
    Making(#[source] rcgen::Error),
}

/// A certificate that is ready to listen with.
pub(crate) struct Tls {
    pub(crate) acceptor: TlsAcceptor,
    /// SHA-256 of the certificate, as `AB:CD:…`.
    pub(crate) fingerprint: String,
}

/// Whether a listener on this address must speak TLS: all but loopback.
pub(crate) fn is_required(address: IpAddr) -> bool {
    !address.to_canonical().is_loopback()
}

impl Tls {
    /// Reads the certificate, and makes it before that if it is to be made.
    pub(crate) fn open(
        certificate: &Certificate,
        listen: SocketAddr,
        engine: &Engine,
    ) -> Result<Tls, TlsError> {
        match certificate {
            Certificate::Files { certificate, key } => {
                Tls::read(certificate, key, &Zeroizing::new(read_file(key)?))
            }
            Certificate::Made { folder, names } => {
                let certificate = folder.join("certificate.pem");
                let key = folder.join("key.sealed");
                // The certificate is written last: if it is there, the key is too.
                let is_there = certificate
                    .try_exists()
                    .map_err(|cause| TlsError::File { path: certificate.clone(), cause })?;
                if !is_there {
                    make(folder, &certificate, &key, &subject_names(names, listen), engine)?;
                }
                let pem = engine
                    .open_secret(KEY_NAME, &read_file(&key)?)
                    .ok_or_else(|| TlsError::Sealed(key.clone()))?;
                Tls::read(&certificate, &key, &Zeroizing::new(pem))
            }
        }
    }

    fn read(certificate: &Path, key: &Path, key_pem: &[u8]) -> Result<Tls, TlsError> {
        let certificate_pem = read_file(certificate)?;
        let chain: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(&certificate_pem).filter_map(Result::ok).collect();
        let Some(first) = chain.first() else {
            return Err(TlsError::Pem { path: certificate.into(), expected: "certificate" });
        };
        let fingerprint = fingerprint(first);
        let key_der = PrivateKeyDer::from_pem_slice(key_pem)
            .map_err(|_| TlsError::Pem { path: key.into(), expected: "private key" })?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|config| config.with_no_client_auth().with_single_cert(chain, key_der))
            .map_err(TlsError::Unusable)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Tls { acceptor: TlsAcceptor::from(Arc::new(config)), fingerprint })
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|cause| TlsError::File { path: path.into(), cause })
}

/// SHA-256 of a certificate, as browsers and `openssl x509 -fingerprint -sha256` show it.
fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    let rustls::SupportedCipherSuite::Tls13(suite) =
        aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256
    else {
        unreachable!("the suite is one of TLS 1.3");
    };
    let hash = suite.common.hash_provider.hash(certificate);
    let bytes: Vec<String> = hash.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    bytes.join(":")
}

fn make(
    folder: &Path,
    certificate: &Path,
    key: &Path,
    names: &[String],
    engine: &Engine,
) -> Result<(), TlsError> {
    let mut params = CertificateParams::new(names).map_err(TlsError::Making)?;
    params.distinguished_name.push(DnType::CommonName, "Clerestory");
    let year =
        engine.now().to_rfc3339().get(..4).and_then(|year| year.parse().ok()).unwrap_or(2026);
    params.not_before = rcgen::date_time_ymd(year, 1, 1);
    params.not_after = rcgen::date_time_ymd(year + YEARS_VALID, 12, 31);
    let key_pair = KeyPair::generate().map_err(TlsError::Making)?;
    let made = params.self_signed(&key_pair).map_err(TlsError::Making)?;
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |cause| TlsError::File { path, cause }
    };
    fs::create_dir_all(folder).map_err(failed(folder))?;
    let pem = Zeroizing::new(key_pair.serialize_pem());
    let sealed = engine.seal_secret(KEY_NAME, pem.as_bytes());
    write_private(key, &sealed).map_err(failed(key))?;
    write_private(certificate, made.pem().as_bytes()).map_err(failed(certificate))?;
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed(folder))
}

/// Writes a file that only its owner may read.
fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // What a start that was cut short left behind.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// What clients may call this server: the given names, its host name, its addresses.
fn subject_names(given: &[String], listen: SocketAddr) -> Vec<String> {
    let mut names: Vec<String> = given.to_vec();
    names.extend(["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()]);
    if let Ok(host) = fs::read_to_string("/proc/sys/kernel/hostname") {
        names.push(host.trim().to_ascii_lowercase());
    }
    if !listen.ip().is_unspecified() {
        names.push(listen.ip().to_canonical().to_string());
    }
    names.extend(outward_address().map(|address| address.to_string()));
    names.retain(|name| is_plain_name(name));
    let mut distinct: Vec<String> = Vec::new();
    for name in names {
        if !distinct.contains(&name) {
            distinct.push(name);
        }
    }
    distinct
}

fn is_plain_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-.:*".contains(c);
    !name.is_empty() && name.len() <= 253 && name.chars().all(plain)
}

/// The address that this machine would speak to others from. Nothing is sent: connecting a UDP
/// socket only looks at the routes.
fn outward_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind(("0.0.0.0", 0)).ok()?;
    socket.connect(("192.0.2.1", 9)).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_unspecified()).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::{Settings, Unlock};

    #[test]
    fn only_loopback_may_be_plain() {
        for plain in ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"] {
            assert!(!is_required(plain.parse().unwrap()), "{plain}");
        }
        for open in ["0.0.0.0", "::", "192.168.1.4", "10.0.0.1", "::ffff:10.0.0.1", "fe80::1"] {
            assert!(is_required(open.parse().unwrap()), "{open}");
        }
    }

    #[test]
    fn a_certificate_is_made_once_and_kept_private() {
        let house = tempfile::tempdir().unwrap();
        let open = |name: &str| {
            let unlock = Unlock::KeyFile(house.path().join(format!("{name}.key")));
            let settings = Settings::new(&house.path().join(name), unlock);
            Engine::init(&settings).unwrap();
            Engine::open(&settings).unwrap()
        };
        let (engine, other) = (open("one"), open("other"));
        let folder = house.path().join("tls");
        let made = Certificate::Made {
            folder: folder.clone(),
            names: vec!["data.example.org".to_owned()],
        };
        let listen = "0.0.0.0:9200".parse().unwrap();
        let first = Tls::open(&made, listen, &engine).unwrap().fingerprint;
        assert_eq!(first.len(), 32 * 3 - 1);
        assert_eq!(Tls::open(&made, listen, &engine).unwrap().fingerprint, first);
        let sealed = fs::read(folder.join("key.sealed")).unwrap();
        assert!(!sealed.windows(7).any(|seven| seven == b"PRIVATE"), "a copy is noise");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let key = fs::metadata(folder.join("key.sealed")).unwrap();
            assert_eq!(key.permissions().mode() & 0o777, 0o600);
        }
        let elsewhere = Tls::open(&made, listen, &other).err().unwrap();
        assert!(matches!(elsewhere, TlsError::Sealed(_)), "{elsewhere}");
        fs::write(folder.join("key.sealed"), "no key").unwrap();
        assert!(matches!(Tls::open(&made, listen, &engine), Err(TlsError::Sealed(_))));
    }
}
