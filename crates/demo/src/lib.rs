//! An invented fleet of smart home devices: one seed, the same bytes on every machine.
//!
//! * [`Fleet`] draws users and devices from a [`FleetSettings`] and then any stretch of events:
//!   event number `n` depends on the seed and on `n` alone, so stretches can be made anywhere and in
//!   any order.
//! * [`Chunk`] is a ready `_bulk` body. [`Fleet::chunks`] yields all tables as chunks, the people
//!   and devices first, then the events in the order of time.
//! * [`tables`] has the mapping of each table, [`METRICS`] the declared metrics. [`SAAS_METRICS`]
//!   are those of a plain web product, over the table [`SAAS_TABLE`].
//! * [`Oracle`] computes the right answers of those metrics from the generator itself, without any
//!   database.
//!
//! Hidden in the data: from day 20 on, devices with firmware [`BAD_FIRMWARE`] fail to connect about
//! five times as often as before.
//!
//! ```
//! use demo::{Fleet, FleetSettings};
//! let fleet = Fleet::new(FleetSettings { devices: 50, events: 1_000, ..FleetSettings::default() });
//! let again = Fleet::new(FleetSettings { devices: 50, events: 1_000, ..FleetSettings::default() });
//! assert_eq!(fleet.events(0..1_000).body, again.events(0..1_000).body);
//! ```
//!
//! What never happens here: no real name, address or token; no clock; no hash map whose order
//! could change the bytes; nothing but `model` below.

mod event;
mod fleet;
mod json;
mod measurement;
mod oracle;
mod people;
mod random;
mod tables;
mod words;

pub use event::{ENDPOINTS, Event, Events, FAILURE_REASONS, Kind, SETUP_STEPS};
pub use fleet::{
    BAD_FIRMWARE, Device, FIRMWARES, Fleet, FleetSettings, MODELS, REGIONS, SettingsError,
};
pub use oracle::Oracle;
pub use people::User;
pub use tables::{Chunk, Chunks, METRICS, SAAS_METRICS, SAAS_TABLE, TableSpec, tables};
