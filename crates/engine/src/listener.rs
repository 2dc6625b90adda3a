//! Where the node may listen: a setting of the policy, not of a file.

use crate::Engine;
use crate::error::{EngineError, chain};
use protection::audit::{Event, EventKind};
use protection::grant::{Setting, SettingValue};
use std::net::SocketAddr;

impl Engine {
    /// Whether the server may listen on `address`: on loopback always, elsewhere if two people
    /// agreed on it. Before the first row, whoever starts the server decides; that is remembered.
    ///
    /// # Errors
    /// If it may not, with what to do; or if the choice cannot be written down.
    pub fn check_listener(&self, address: SocketAddr) -> Result<(), EngineError> {
        let policy = self.policies.current();
        let mut listeners = policy.settings().entries(Setting::Listeners);
        let allowed = |entry: &String| entry.parse() == Ok(address);
        if address.ip().to_canonical().is_loopback() || listeners.iter().any(allowed) {
            return Ok(());
        }
        if !self.policies.is_founding() {
            return Err(EngineError::forbidden(format!(
                "{address} can be reached from other machines, and is not among the listeners of \
                 this node; serve on 127.0.0.1 and have two people agree: clerestory change set \
                 listeners {address}"
            )));
        }
        listeners.insert(address.to_string());
        let event = Event {
            shape: format!("listeners = {address}"),
            outcome: "allowed".to_owned(),
            ..Event::new(EventKind::PolicyChanged)
        };
        self.record(&event)?;
        let made = self.policies.set_in_founding(
            Setting::Listeners,
            SettingValue::Set(listeners),
            self.clock.now(),
        );
        made.map_err(|error| EngineError::unavailable(chain(&error)))
    }

    /// Whether a server that listens on `address` may go on: a listener that is taken back ends at
    /// once.
    pub fn may_listen(&self, address: SocketAddr) -> bool {
        let is_named = |entry: &String| entry.parse() == Ok(address);
        address.ip().to_canonical().is_loopback()
            || self.policies.current().settings().entries(Setting::Listeners).iter().any(is_named)
    }

    /// Whether the policy asks for TLS on loopback too.
    pub fn wants_tls_on_loopback(&self) -> bool {
        self.policies.current().settings().flag(Setting::TlsOnLoopback)
    }
}
