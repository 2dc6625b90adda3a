//! The server over real connections.

mod client;
mod doors;
mod elasticsearch;
mod house;
mod leaving;
mod planted;
mod saved;
mod saved_search;
mod states;
mod wire;
