//! A whole server over an empty house, with one login for each role.

use super::client::{Answer, ask};
use crate::{Certificate, Limits, Server, Settings};
use engine::Engine;
use std::net::SocketAddr;
use std::sync::Arc;

pub(super) struct House {
    pub(super) server: Server,
    pub(super) folder: tempfile::TempDir,
}

impl House {
    pub(super) const NAME: &str = "ada";
    pub(super) const PASSWORD: &str = "right";
    /// Of somebody who may write and read.
    pub(super) const LOGIN: &str = "authorization: Basic YWRhOnJpZ2h0";

    pub(super) fn open() -> House {
        House::listening("127.0.0.1:0", Limits::default())
    }

    pub(super) fn listening(address: &str, limits: Limits) -> House {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings {
            address: address.parse().unwrap(),
            certificate: Certificate::Made { folder: folder.path().join("tls"), names: Vec::new() },
            tls_on_loopback: false,
            limits,
        };
        let server = Server::start(Arc::new(Engine), &settings).unwrap();
        House { server, folder }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Asks as somebody who may.
    #[track_caller]
    pub(super) fn ask(&self, method: &str, uri: &str, body: &str) -> Answer {
        self.ask_with(method, uri, &["content-type: application/json"], body.as_bytes())
    }

    /// Asks as somebody who may, with these headers.
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
