//! The server over real connections.

mod client;
mod doors;
mod house;
mod wire;
