//! The server over real connections.

mod client;
mod doors;
mod elasticsearch;
mod house;
mod leaving;
mod planted;
mod saved;
mod states;
mod wire;
