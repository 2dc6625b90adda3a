//! Listens, limits, stops.

use crate::request::Peer;
use crate::service::{App, answer};
use crate::tls::{self, Certificate, Tls, TlsError};
use copy::Copies;
use engine::{AlertClock, Engine, EngineError};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// How often the server looks whether it may still listen.
const LOOK: Duration = Duration::from_secs(1);
/// A client must send the head of a request, or the next one, within this time.
const HEAD_WAIT: Duration = Duration::from_secs(30);
/// A client must finish the TLS handshake within this time.
const HANDSHAKE_WAIT: Duration = Duration::from_secs(10);
/// Requests that are under way when the server stops may take this long.
const STOP_WAIT: Duration = Duration::from_secs(20);
/// The head of a request takes this many bytes at most.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// A request has this many headers at most.
const HEADERS_MAX: usize = 100;
/// Requests on one HTTP/2 connection at once.
const STREAMS_MAX: u32 = 100;

/// Where and how to listen.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The address; port 0 takes any free port. Every address but loopback speaks TLS only.
    pub address: SocketAddr,
    /// The certificate for TLS. Not touched while only plain HTTP is spoken.
    pub certificate: Certificate,
    /// Speak TLS on loopback, too.
    pub tls_on_loopback: bool,
    /// Where people reach the pages, such as `https://clerestory.example.org`; `None`: where it
    /// listens.
    pub url: Option<String>,
    /// How much at once.
    pub limits: Limits,
}

/// How much the server takes on at once. More waits, and is refused with 429 after half a minute.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of one body, also after decompression.
    pub body_bytes_max: usize,
    /// Bytes of all bodies together; at least two of the largest.
    pub all_bodies_bytes_max: usize,
    /// Open connections.
    pub connections_max: usize,
    /// Open connections from one address off loopback.
    pub connections_per_address_max: usize,
    /// Passwords that are checked.
    pub checks_max: usize,
    /// Look-ups, keys and sessions that are checked.
    pub quick_max: usize,
    /// Writes; they mostly wait for the disk, together.
    pub writes_max: usize,
    /// Searches, SQL and metrics.
    pub questions_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Limits {
            body_bytes_max: 100 * 1024 * 1024,
            all_bodies_bytes_max: 512 * 1024 * 1024,
            connections_max: 4096,
            connections_per_address_max: 512,
            checks_max: 2 * cores,
            quick_max: 8 * cores,
            writes_max: 16,
            questions_max: 2 * cores,
        }
    }
}

/// Why the server does not listen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address is taken or not ours.
    #[error("cannot listen on {address}; choose another address with --http")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// TLS is needed and there is no certificate.
    #[error("cannot speak TLS")]
    Tls(#[from] TlsError),
    /// The copies of production data cannot be gone on with.
    #[error("cannot read the copies")]
    Copies(#[source] EngineError),
    /// The system gives no threads.
    #[error("cannot start the server's threads")]
    Threads(#[source] io::Error),
}

/// A running server. It stops when dropped; [`Server::stop`] lets requests finish before that.
///
/// It brings its own threads, so that callers need not be asynchronous; it must not be started or
/// dropped on an asynchronous thread.
#[derive(Debug)]
pub struct Server {
    copies: Arc<Copies>,
    runtime: Option<Runtime>,
    accepting: Option<JoinHandle<()>>,
    stop: watch::Sender<bool>,
    address: SocketAddr,
    fingerprint: Option<String>,
    /// Looks at alerts as long as it listens.
    alerts: Option<AlertClock>,
}

impl Server {
    /// Starts to listen. When this returns, requests are answered.
    ///
    /// # Errors
    /// If the address cannot be listened on, or needs TLS and there is no certificate.
    pub fn start(engine: Arc<Engine>, settings: &Settings) -> Result<Server, ServeError> {
        let limits = &settings.limits;
        let threads = limits.checks_max + limits.quick_max + limits.writes_max;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(threads + limits.questions_max + 4)
            .thread_name("http")
            .enable_all()
            .build()
            .map_err(ServeError::Threads)?;
        let wants_tls = tls::is_required(settings.address.ip()) || settings.tls_on_loopback;
        let tls = if wants_tls {
            Some(Tls::open(&settings.certificate, settings.address, &engine)?)
        } else {
            None
        };
        let failed = |cause| ServeError::Listen { address: settings.address, cause };
        let listener = runtime.block_on(TcpListener::bind(settings.address)).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let fingerprint = tls.as_ref().map(|tls| tls.fingerprint.clone());
        let (stop, stopping) = watch::channel(false);
        let copies = Arc::new(Copies::open(&engine).map_err(ServeError::Copies)?);
        let door = Door {
            listens_on: settings.address,
            app: Arc::new(App::new(engine, Arc::clone(&copies), limits)),
            tls: tls.map(|tls| tls.acceptor),
            connections: Connections::new(limits),
        };
        let own = url_of(address, fingerprint.is_some());
        door.app.engine.is_reached_at(settings.url.as_deref().unwrap_or(&own));
        crate::native::ring::move_files(&door.app.engine);
        let alerts = AlertClock::start(&door.app.engine).map_err(ServeError::Threads)?;
        let accepting = runtime.spawn(accept(listener, Arc::new(door), stopping));
        tracing::info!(%address, tls = fingerprint.is_some(), "listening");
        Ok(Server {
            copies,
            runtime: Some(runtime),
            accepting: Some(accepting),
            stop,
            address,
            fingerprint,
            alerts: Some(alerts),
        })
    }

    /// Where it listens; the port that was taken if any would do.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What to type into a browser on this machine.
    pub fn url(&self) -> String {
        url_of(self.address, self.fingerprint.is_some())
    }

    /// SHA-256 of the certificate as `AB:CD:…`, to compare with what a client shows; `None` if
    /// plain HTTP is spoken.
    pub fn fingerprint(&self) -> Option<&str> {
        self.fingerprint.as_deref()
    }

    /// Blocks until the process is asked to end (Ctrl-C or SIGTERM), then stops.
    pub fn run_until_signal(self) {
        if let Some(runtime) = &self.runtime {
            runtime.block_on(signal());
        }
        self.stop();
    }

    /// Takes no more connections, lets the requests under way finish, and stops.
    pub fn stop(mut self) {
        self.alerts = None;
        self.stop.send_replace(true);
        if let (Some(runtime), Some(accepting)) = (&self.runtime, self.accepting.take()) {
            // A panic of the accepting task has been logged; there is nothing left to wait for.
            let _ = runtime.block_on(accepting);
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(STOP_WAIT);
        }
        self.copies.close();
        tracing::info!("stopped listening");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        self.copies.close();
    }
}

/// What to type into a browser on this machine.
fn url_of(mut address: SocketAddr, secure: bool) -> String {
    let scheme = if secure { "https" } else { "http" };
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => IpAddr::from([127, 0, 0, 1]),
            IpAddr::V6(_) => IpAddr::from(std::net::Ipv6Addr::LOCALHOST),
        });
    }
    format!("{scheme}://{address}")
}

#[cfg(unix)]
async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        let _ = tokio::signal::ctrl_c().await;
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

#[cfg(not(unix))]
async fn signal() {
    let _ = tokio::signal::ctrl_c().await;
}

/// What every connection needs.
struct Door {
    /// As it stands among the listeners of the policy.
    listens_on: SocketAddr,
    app: Arc<App>,
    tls: Option<TlsAcceptor>,
    connections: Connections,
}

/// Counts open connections.
struct Connections {
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
    all_max: usize,
    per_address_max: usize,
}

/// One open connection; gone when dropped.
struct Place {
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
    address: IpAddr,
}

impl Connections {
    fn new(limits: &Limits) -> Connections {
        Connections {
            open: Arc::new(Mutex::new(HashMap::new())),
            all_max: limits.connections_max,
            per_address_max: limits.connections_per_address_max,
        }
    }

    /// A place for a connection from `address`, if there is one.
    fn take(&self, address: IpAddr) -> Option<Place> {
        let address = address.to_canonical();
        let mut open = self.open.lock();
        let all: usize = open.values().sum();
        let from_address = open.get(&address).copied().unwrap_or(0);
        let is_crowded = !address.is_loopback() && from_address >= self.per_address_max;
        if all >= self.all_max || is_crowded {
            return None;
        }
        open.insert(address, from_address + 1);
        Some(Place { open: Arc::clone(&self.open), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.open.lock();
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

async fn accept(listener: TcpListener, door: Arc<Door>, mut stopping: watch::Receiver<bool>) {
    let graceful = GracefulShutdown::new();
    let mut look = tokio::time::interval(LOOK);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = look.tick() => {
                if door.app.engine.may_listen(door.listens_on) {
                    continue;
                }
                let address = door.listens_on;
                tracing::error!(%address, "no listener of the policy any more: the door is shut");
                break;
            }
            _ = stopping.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, peer)) => match door.connections.take(peer.ip()) {
                Some(place) => {
                    let connection = serve(stream, peer, Arc::clone(&door), graceful.watcher());
                    tokio::spawn(async move {
                        connection.await;
                        drop(place);
                    });
                }
                None => tracing::debug!("connection refused: too many are open"),
            },
            Err(error) => {
                // Mostly too many open files: wait for some to close.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    let _ = timeout(STOP_WAIT, graceful.shutdown()).await;
}

async fn serve(stream: TcpStream, peer: SocketAddr, door: Arc<Door>, watcher: Watcher) {
    // A failure here only costs a little speed.
    let _ = stream.set_nodelay(true);
    let address = peer.ip().to_canonical();
    let Some(acceptor) = &door.tls else {
        let peer = Peer { address, secure: false };
        return speak(TokioIo::new(stream), Protocol::Http1, peer, &door, watcher).await;
    };
    let mut first = [0; 1];
    match timeout(HANDSHAKE_WAIT, stream.peek(&mut first)).await {
        Ok(Ok(1)) if first[0] == TLS_HANDSHAKE => {}
        Ok(Ok(1)) => return refuse_plain_http(stream).await,
        _ => return,
    }
    let Ok(Ok(stream)) = timeout(HANDSHAKE_WAIT, acceptor.accept(stream)).await else { return };
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let protocol = if is_http2 { Protocol::Http2 } else { Protocol::Http1 };
    let peer = Peer { address, secure: true };
    speak(TokioIo::new(stream), protocol, peer, &door, watcher).await;
}

/// The first byte of a TLS connection.
const TLS_HANDSHAKE: u8 = 0x16;

async fn refuse_plain_http(mut stream: TcpStream) {
    let body = r#"{"error":"this port speaks TLS only; use https://","status":400}"#;
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    let _ = timeout(HANDSHAKE_WAIT, async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        // Read what was sent: closing on unread bytes would take the answer back.
        let mut rest = [0; 4096];
        for _ in 0..16 {
            stream.readable().await?;
            match stream.try_read(&mut rest) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok::<(), io::Error>(())
    })
    .await;
}

/// Decided by the handshake, never guessed from the first bytes: waiting for those has no time
/// limit.
#[derive(Clone, Copy)]
enum Protocol {
    Http1,
    Http2,
}

async fn speak<S>(
    stream: TokioIo<S>,
    protocol: Protocol,
    peer: Peer,
    door: &Arc<Door>,
    watcher: Watcher,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let builder = auto::Builder::new(TokioExecutor::new());
    let mut builder = match protocol {
        Protocol::Http1 => builder.http1_only(),
        Protocol::Http2 => builder.http2_only(),
    };
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WAIT)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        // The same 401 for everybody, to the byte.
        .auto_date_header(false);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(HEAD_WAIT)
        .keep_alive_timeout(HANDSHAKE_WAIT)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEAD_BYTES_MAX as u32)
        .auto_date_header(false);
    let app = Arc::clone(&door.app);
    let service = service_fn(move |request| {
        let app = Arc::clone(&app);
        async move { Ok::<_, Infallible>(answer(app, peer, request).await) }
    });
    let connection = builder.serve_connection(stream, service).into_owned();
    if watcher.watch(connection).await.is_err() {
        // A client that went away or spoke nonsense: its own affair.
        tracing::trace!("connection ended early");
    }
}
