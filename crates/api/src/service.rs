//! One request from its head to its answer.

use crate::backend;
use crate::body::{BodyMemory, HeldBody};
use crate::caller::{self, Sent};
use crate::error::{Answer, ApiError};
use crate::media::{self, Content};
use crate::reply::{Body, Reply};
use crate::request::{Peer, Request, Verb, path_and_query, read_params};
use crate::route::{self, Call, Door, Found, Missing, Reads, Route, Work};
use crate::routes;
use crate::server::Limits;
use crate::ui;
use bytes::Bytes;
use copy::Copies;
use engine::{Caller, Cancel, Engine};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{ALLOW, EXPECT, HeaderName, HeaderValue};
use hyper::{Method, Response, StatusCode};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// A request waits this long for its turn.
const TURN_WAIT: Duration = Duration::from_secs(30);

/// What is read of the body of a request without identity, at most …
const DISCARDED_BYTES_MAX: usize = 64 * 1024;
/// … and for how long.
const DISCARD_WAIT: Duration = Duration::from_millis(500);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const OPAQUE_ID: HeaderName = HeaderName::from_static("x-opaque-id");

/// The server, as requests see it.
pub(crate) struct App {
    /// The house.
    pub(crate) engine: Arc<Engine>,
    /// The copies that run in it.
    pub(crate) copies: Arc<Copies>,
    bodies: BodyMemory,
    checks: Arc<Semaphore>,
    quick: Arc<Semaphore>,
    writes: Arc<Semaphore>,
    questions: Arc<Semaphore>,
    /// Makes the ids of requests hard to mix up between two runs of the server.
    run: u32,
    requests: AtomicU64,
}

impl App {
    pub(crate) fn new(engine: Arc<Engine>, copies: Arc<Copies>, limits: &Limits) -> App {
        let places = |count: usize| Arc::new(Semaphore::new(count.max(1)));
        App {
            engine,
            copies,
            bodies: BodyMemory::new(limits.all_bodies_bytes_max, limits.body_bytes_max),
            checks: places(limits.checks_max),
            quick: places(limits.quick_max),
            writes: places(limits.writes_max),
            questions: places(limits.questions_max),
            run: RandomState::new().hash_one(std::process::id()) as u32,
            requests: AtomicU64::new(0),
        }
    }

    fn next_request_id(&self) -> String {
        format!("{:08x}-{:x}", self.run, self.requests.fetch_add(1, Ordering::Relaxed))
    }

    /// Waits for a place to do work of this kind.
    async fn turn(&self, work: Work) -> Result<OwnedSemaphorePermit, ApiError> {
        wait_for_place(match work {
            Work::Quick => &self.quick,
            Work::Write => &self.writes,
            Work::Question => &self.questions,
        })
        .await
    }
}

async fn wait_for_place(places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, ApiError> {
    match timeout(TURN_WAIT, Arc::clone(places).acquire_owned()).await {
        Ok(Ok(place)) => Ok(place),
        _ => Err(ApiError::busy("rejected execution: too many requests are waiting")),
    }
}

/// Runs `work` on a thread that may block. A panic becomes a 500 and stops nothing else.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(_) => Err(ApiError::internal("the handler panicked; the panic is in the log")),
    }
}

/// Answers one request.
pub(crate) async fn answer(
    app: Arc<App>,
    peer: Peer,
    request: hyper::Request<Incoming>,
) -> Response<Full<Bytes>> {
    let started = Instant::now();
    let (mut head, body) = request.into_parts();
    caller::keep_host(&head.uri, &mut head.headers);
    let verb = Verb::of(&head.method);
    let found = route::find(routes::all(), head.uri.path(), verb);

    let is_open = matches!(&found, Ok(Found { route: Route { door: Door::Anyone(_), .. }, .. }));
    let caller = if is_open {
        None
    } else {
        let sent = caller::sent(&head.headers);
        let comes_by_itself = sent.as_ref().is_some_and(Sent::comes_by_itself);
        match identify(&app, sent, peer).await {
            Ok(caller) => Some((caller::with_purpose(caller, &head.headers), comes_by_itself)),
            Err(_) if caller::looks_for_a_page(verb, head.uri.path(), &head.headers) => {
                return redirect_to_login(&path_and_query(&head.uri));
            }
            Err(error) => {
                // Who waits to be told to go on sends nothing, and is not told to.
                if !head.headers.contains_key(EXPECT) {
                    discard(body).await;
                }
                return error.into_reply().render_plainly();
            }
        }
    };

    let params = read_params(head.uri.query().unwrap_or(""));
    let mut request = Request {
        verb: verb.unwrap_or(Verb::Post),
        uri: path_and_query(&head.uri),
        path: head.uri.path().to_owned(),
        captured: Vec::new(),
        params: params.as_ref().cloned().unwrap_or_default(),
        headers: head.headers,
        body: Bytes::new(),
        peer,
    };
    let route = found.as_ref().map_or("none", |found| found.route.path);
    let arrived = Arrived { method: head.method, found, caller, body };
    let answered = match params {
        Ok(_) => handle(&app, &mut request, arrived).await,
        Err(error) => Err(error),
    };
    let id = app.next_request_id();
    let mut response = answered.unwrap_or_else(|error| {
        if let Some(detail) = error.detail() {
            tracing::error!(request_id = %id, route, detail, "request failed");
        }
        render_error(error, &request)
    });
    let (status, elapsed_ms) = (response.status().as_u16(), started.elapsed().as_millis() as u64);
    tracing::debug!(request_id = %id, route, status, elapsed_ms, "request answered");
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    if let Some(opaque) = request.headers.remove(OPAQUE_ID) {
        response.headers_mut().insert(OPAQUE_ID, opaque);
    }
    response
}

/// Reads a small body away. A connection that is closed while bytes of it are still to be read is
/// reset, and an answer that the caller has not read yet is lost with it.
async fn discard(body: Incoming) {
    let small = Limited::new(body, DISCARDED_BYTES_MAX);
    // Too long or too slow: then it is cut off.
    let _ = timeout(DISCARD_WAIT, small.collect()).await;
}

/// Finds out who asks, before anything else of the request is looked at.
async fn identify(app: &Arc<App>, sent: Option<Sent>, peer: Peer) -> Result<Caller, ApiError> {
    let Some(sent) = sent else { return Err(ApiError::unauthenticated()) };
    // Passwords are slow to check on purpose; keys and sessions must not wait behind them.
    let is_slow = matches!(sent, Sent::Basic { .. });
    let place = wait_for_place(if is_slow { &app.checks } else { &app.quick }).await?;
    let app = Arc::clone(app);
    blocking(move || {
        let _place = place;
        backend::authenticate(&app.engine, &sent, peer.address)
    })
    .await
}

fn redirect_to_login(wanted: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let page = HeaderValue::from_str(&ui::login_address(wanted))
        .unwrap_or_else(|_| HeaderValue::from_static("/_ui/login"));
    response.headers_mut().insert(hyper::header::LOCATION, page);
    response
}

fn render_error(error: ApiError, request: &Request) -> Response<Full<Bytes>> {
    let is_page = request.path.starts_with("/_ui") && media::wants_page(&request.headers);
    let reply = if is_page { ui::failure(&error) } else { error.into_reply() };
    match reply.render(request) {
        Ok(response) => response,
        // The request asks for an answer that cannot be written: say so in plain JSON.
        Err(error) => error.into_reply().render_plainly(),
    }
}

/// What is known of a request once its caller is.
struct Arrived {
    method: Method,
    found: Result<Found, Missing>,
    /// With whether the credentials came by themselves, as cookies do.
    caller: Option<(Caller, bool)>,
    body: Incoming,
}

async fn handle(
    app: &Arc<App>,
    request: &mut Request,
    arrived: Arrived,
) -> Result<Response<Full<Bytes>>, ApiError> {
    let route = match arrived.found {
        Ok(found) => {
            request.captured = found.captured;
            found.route
        }
        Err(missing) => return no_route(&missing, &arrived.method, request),
    };
    let is_forged = match &arrived.caller {
        Some((_, true)) => !caller::is_from_our_pages(request.verb, &request.headers),
        Some((_, false)) => false,
        None => caller::is_from_foreign_pages(request.verb, &request.headers),
    };
    if is_forged {
        let reason = "a request of a browser that changes something must come from the pages of \
                      this server";
        return Err(ApiError::forbidden(reason));
    }
    route.check_params(request)?;
    // An answer that cannot be written is refused before anything is done.
    media::accepted(&request.headers)?;
    request.flag("pretty")?;

    let held = app.bodies.read(arrived.body).await?;
    let place = app.turn(route.work).await?;
    let mut moved = std::mem::replace(request, request.without_body());
    let caller = arrived.caller.map(|(caller, _)| caller);
    let app = Arc::clone(app);
    let client = ClientIsThere(Cancel::default());
    let cancel = client.0.clone();
    blocking(move || {
        let _place = place;
        let held = read_body(&app, route, &mut moved, held)?;
        let reply = match route.work {
            Work::Question => cancel.during(|| call(&app, route, &moved, caller.as_ref())),
            // What changes something is not left half done.
            Work::Quick | Work::Write => call(&app, route, &moved, caller.as_ref()),
        }?;
        drop(held);
        reply.render(&moved)
    })
    .await
}

/// Lives as long as somebody waits for the answer: where the connection is closed, the future that
/// holds it is dropped, and the questions of the request stop at their next block of rows.
struct ClientIsThere(Cancel);

impl Drop for ClientIsThere {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

fn call(app: &App, route: &Route, request: &Request, caller: Option<&Caller>) -> Answer {
    let call = Call { app, request };
    match (route.door, caller) {
        (Door::Anyone(handler), _) => handler(&call),
        (Door::Known(handler), Some(caller)) => handler(&call, caller),
        (Door::Known(_), None) => Err(ApiError::unauthenticated()),
    }
}

/// Decompresses and checks the body; the handler finds it in the request.
fn read_body(
    app: &App,
    route: &Route,
    request: &mut Request,
    held: HeldBody,
) -> Result<HeldBody, ApiError> {
    let held = app.bodies.decompress(held, &request.headers)?;
    request.body = held.bytes();
    if request.body.is_empty() {
        // For clients that cannot send a body with GET.
        if let Some(source) = request.param("source").map(|text| text.as_bytes().to_vec()) {
            request.body = source.into();
        }
        return Ok(held);
    }
    if route.reads == Reads::Nothing {
        let (verb, path) = (request.verb.as_str(), &request.path);
        let reason = format!("request [{verb} {path}] does not support having a body");
        return Err(ApiError::illegal_argument(reason));
    }
    let content = media::content(&request.headers)?;
    let fits = match route.reads {
        Reads::Nothing | Reads::Json => content == Content::Json,
        Reads::Lines => matches!(content, Content::Json | Content::Ndjson),
        Reads::Yaml => matches!(content, Content::Yaml | Content::Text),
        Reads::Form => content == Content::Form,
    };
    if fits {
        return Ok(held);
    }
    let sent = request.headers.get(hyper::header::CONTENT_TYPE);
    Err(ApiError::content_type(Some(sent.and_then(|sent| sent.to_str().ok()).unwrap_or(""))))
}

fn no_route(
    missing: &Missing,
    method: &Method,
    request: &Request,
) -> Result<Response<Full<Bytes>>, ApiError> {
    match missing {
        Missing::Verb(allowed) if *method == Method::OPTIONS => {
            let reply = Reply::of(StatusCode::OK, Body::Empty);
            match HeaderValue::from_str(&allowed.join(",")) {
                Ok(allowed) => reply.with_value(ALLOW, allowed).render(request),
                Err(_) => reply.render(request),
            }
        }
        Missing::Verb(allowed) => {
            Err(ApiError::wrong_method(&request.uri, method.as_str(), allowed))
        }
        Missing::Path => Err(ApiError::no_handler(&request.uri, method.as_str())),
    }
}

impl Request {
    /// The same request again, to render an error with when the first was moved away.
    fn without_body(&self) -> Request {
        Request {
            verb: self.verb,
            uri: self.uri.clone(),
            path: self.path.clone(),
            captured: Vec::new(),
            params: self.params.clone(),
            headers: self.headers.clone(),
            body: Bytes::new(),
            peer: self.peer,
        }
    }
}
