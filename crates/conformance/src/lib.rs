//! Looks at the running program from outside: over HTTP, as any client does, and at its files.
//!
//! * [`Program`] starts the binary in a fresh folder, in a process of its own that can be killed at
//!   any moment; [`Node`] is an empty house with people in it, [`DemoNode`] the loaded demo.
//! * [`Caller`] speaks to it as somebody.
//! * [`question`] says one question in three languages, and the right answer.
//! * [`Receiver`] and [`MailPeer`] are whom it may tell things.
//! * [`Needles`] finds values in the clear, wherever they are; [`Noise`] finds whatever is not
//!   noise in a copy of the data folder.
//!
//! The tests stand in `crates/cli/tests`, where cargo tells them the path of the binary.
//!
//! What never happens here: a call into our own code beyond `demo`. Failures panic with what was
//! expected; this crate is for tests only.

mod caller;
mod needles;
mod noise;
mod postgres;
mod program;
pub mod question;
mod receivers;
mod time;
mod totp;

pub use caller::{Answer, Caller};
pub use needles::Needles;
pub use noise::Noise;
pub use postgres::Postgres;
pub use program::{DemoNode, DemoSize, Node, PASSWORD, Program};
pub use receivers::{Hook, MailPeer, Receiver, TakenLetter};
pub use time::{now_ms, rfc3339};
pub use totp::totp_code;
