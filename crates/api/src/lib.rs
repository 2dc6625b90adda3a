//! The HTTP face of Clerestory: Elasticsearch's API, our own, and the web UI, on one port.
//!
//! [`Server::start`] listens where [`Settings`] says and hands every request to the
//! [`engine::Engine`]. A request walks through these files, in this order:
//!
//! 1. `server`: connections, TLS, time and size limits;
//! 2. `service`: one request from its head to its answer;
//! 3. `caller`: who asks. Without identity nothing else happens: the same 401 for everything;
//! 4. `routes`: the table of all routes, as data;
//! 5. `elasticsearch`, `native`, `ui`: a handler reads the request, calls the engine through
//!    `backend` and shapes the reply;
//! 6. `reply` and `error`: how an answer and an error look on the wire; `drawing`: numbers as SVG.
//!
//! What never happens here: no decision about who may read what (the engine's doors decide), no
//! access to stored data but through `engine`, no plain HTTP off loopback, no setting that would
//! let an anonymous caller see anything but the login page.

mod backend;
mod body;
mod caller;
mod drawing;
mod elasticsearch;
mod error;
mod filter_path;
mod media;
mod native;
mod reply;
mod request;
mod route;
mod routes;
mod server;
mod service;
mod tls;
mod ui;
mod yaml;

#[cfg(test)]
mod tests;

pub use server::{Limits, ServeError, Server, Settings};
pub use tls::{Certificate, TlsError};
