//! The server over real connections.

mod client;
mod doors;
mod elasticsearch;
mod house;
mod planted;
mod wire;
