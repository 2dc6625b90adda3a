//! A whole server over an empty house, with one login for each role.

use super::client::{Answer, ask};
use crate::{Certificate, Limits, Server, Settings};
use engine::{Engine, Role, Unlock};
use std::net::SocketAddr;
use std::sync::Arc;

pub(super) struct House {
    pub(super) server: Server,
    pub(super) engine: Arc<Engine>,
    pub(super) folder: tempfile::TempDir,
}

impl House {
    pub(super) const NAME: &str = "eve";
    pub(super) const PASSWORD: &str = "a-long-password";
    /// Of an engineer, who may read and write: `eve:a-long-password`.
    pub(super) const LOGIN: &str = "authorization: Basic ZXZlOmEtbG9uZy1wYXNzd29yZA==";
    /// Of an analyst, who may read: `ann:a-long-password`.
    pub(super) const ANALYST: &str = "authorization: Basic YW5uOmEtbG9uZy1wYXNzd29yZA==";
    /// Of a guardian: `gus:a-long-password`.
    pub(super) const GUARDIAN: &str = "authorization: Basic Z3VzOmEtbG9uZy1wYXNzd29yZA==";
    /// Of an administrator: `ada:a-long-password`.
    pub(super) const ADMINISTRATOR: &str = "authorization: Basic YWRhOmEtbG9uZy1wYXNzd29yZA==";

    pub(super) fn open() -> House {
        House::listening("127.0.0.1:0", Limits::default())
    }

    pub(super) fn listening(address: &str, limits: Limits) -> House {
        let people: [(&str, &str, &[Role]); 4] = [
            ("eve", House::PASSWORD, &[Role::Engineer]),
            ("ann", House::PASSWORD, &[Role::Analyst]),
            ("gus", House::PASSWORD, &[Role::Guardian]),
            ("ada", House::PASSWORD, &[Role::Administrator]),
        ];
        House::with(&people, address, limits).0
    }

    /// A house in which nobody lives, and the code that lets the first one in.
    pub(super) fn unborn() -> (House, String) {
        House::with(&[], "127.0.0.1:0", Limits::default())
    }

    fn with(people: &[(&str, &str, &[Role])], address: &str, limits: Limits) -> (House, String) {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let unlock = Unlock::KeyFile(folder.path().join("data.key"));
        let settings = engine::Settings::new(&data, unlock);
        let code = Engine::init(&settings).unwrap();
        let engine = Engine::open(&settings).unwrap();
        if !people.is_empty() {
            engine.bootstrap(people).unwrap();
        }
        let settings = Settings {
            address: address.parse().unwrap(),
            certificate: Certificate::Made { folder: folder.path().join("tls"), names: Vec::new() },
            tls_on_loopback: false,
            url: None,
            limits,
        };
        let engine = Arc::new(engine);
        engine.check_listener(settings.address).unwrap();
        let server = Server::start(Arc::clone(&engine), &settings).unwrap();
        (House { server, engine, folder }, code)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Asks as an engineer.
    #[track_caller]
    pub(super) fn ask(&self, method: &str, uri: &str, body: &str) -> Answer {
        self.ask_as(House::LOGIN, method, uri, body)
    }

    /// Asks as somebody.
    #[track_caller]
    pub(super) fn ask_as(&self, login: &str, method: &str, uri: &str, body: &str) -> Answer {
        let headers = ["content-type: application/json", login];
        ask(self.address(), method, uri, &headers, body.as_bytes())
    }

    /// Asks as an engineer, with these headers.
    #[track_caller]
    pub(super) fn ask_with(
        &self,
        method: &str,
        uri: &str,
        headers: &[&str],
        body: &[u8],
    ) -> Answer {
        let mut headers = headers.to_vec();
        headers.push(House::LOGIN);
        ask(self.address(), method, uri, &headers, body)
    }
}
