//! Put in a document, ask a question: the two doors of the house, and what stands around them.
//!
//! * In: [`Engine::bulk`] and its sisters read JSON into columns, have them sealed and append them.
//!   The answer comes when the log is durable.
//! * Out: [`Engine::search`], [`Engine::sql`] and [`Engine::query_metric`] plan a question, have it
//!   authorised and recorded, run it, and return [`Released`] results. Nothing else leaves.
//! * Cursors: [`Engine::scroll`], [`Engine::open_point_in_time`] and [`Engine::begin_search`] go on
//!   where a read was, as whoever asks and under the policy of each page.
//! * Accounts, keys and sessions: [`Engine::log_in`], [`Engine::create_person`], … All of it is
//!   recorded.
//!
//! All methods block; a server calls them from threads that may.
//!
//! ```no_run
//! # use engine::{Engine, Settings, Unlock};
//! # use std::path::Path;
//! let settings = Settings::new(Path::new("data"), Unlock::KeyFile("data.key".into()));
//! let code = Engine::init(&settings)?;
//! let engine = Engine::open(&settings)?;
//! engine.enrol(&code, "ada", "correct horse battery staple")?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What never happens here: no method returns rows that were not released, no write goes around
//! the sealer, and no network.

mod admin;
mod alert;
mod alias;
mod audit;
mod backup;
mod bulk;
mod canary;
mod carry_out;
mod change;
mod copying;
mod cursor;
mod document;
mod erase;
mod error;
mod exposure;
mod factors;
mod herald;
mod in_use;
mod latest_time;
mod listener;
mod mapping;
mod metric;
mod notice;
mod offline;
mod open;
mod own_rules;
mod people;
mod read;
mod ring;
mod rotate;
mod ruling;
mod saved;
mod sql;
mod vitals;
mod write;

#[cfg(test)]
mod row_filter_tests;
#[cfg(test)]
mod test_house;
#[cfg(test)]
mod tile_tests;

pub use alert::AlertClock;
pub use alias::Alias;
pub use audit::{AuditProof, AuditQuestion, AuditState};
pub use backup::{RestoreError, RestoreSettings, Restored, check_backup, folder_of_set, restore};
pub use bulk::{
    ActionKind, BulkAnswer, BulkItem, BulkOptions, ItemError, WriteOptions, WriteResult,
};
pub use copying::{Asides, CopyRuling, CopyTable, FieldProposal};
pub use cursor::{BackgroundOptions, SearchState};
pub use erase::EraseRequest;
pub use error::EngineError;
pub use exposure::WhoRead;
pub use in_use::{FieldUses, FieldsInUse};
pub use mapping::{render_index, render_mapping, render_settings};
pub use metric::MetricsApplied;
pub use offline::{
    AuditCheck, AuditEvidence, check_key_ring, refresh_key_ring, rewrap_key_ring, verify_audit,
    verify_store,
};
pub use open::{Engine, OpenError, Settings};
pub use people::AccountError;
pub use protection::audit::merkle::{hash_from_hex, hash_to_hex};
pub use protection::audit::{Checkpoint, EventKind, Witness, WitnessError, parse_verifier};
pub use protection::caller::{
    ApiKeySummary, Assertion, AuthError, Caller, Credential, DirectoryError, ExternalPerson,
    FactorAnswer, FactorError, FactorSummary, NewApiKey, OidcBegun, OidcError, PersonSummary,
    PresenceProof, Registration, Role, SessionToken, TotpEnrolment, WebOrigin,
};
pub use protection::grant::Action;
pub use protection::keys::{
    AwsCredentials, AwsKms, Family, Generation, KeyError, KmsKind, Unlock, VaultTransit,
    lock_memory_with,
};
pub use protection::outside;
pub use protection::{Released, Shape};
pub use query::Cancel;
pub use ring::RingStatus;
pub use ruling::{NewRuling, RulingEffect, RulingPlan};
pub use saved::{Dashboard, NewSaved, Panel, PanelShows, Saved, SavedKind, Variable};
pub use sql::{SqlAnswer, SqlColumn};
pub use storage::Verified;
pub use storage::{Aside, AsideReader, TableStats};
pub use vitals::{AskSpace, DiskSpace, DiskUse, Ingest, Vitals};
pub use write::{Compared, CopyColumn, CopyOutcome, CopyPiece, OtherRow};
