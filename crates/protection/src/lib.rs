//! Two doors around the data.
//!
//! The way in classifies every field and value and replaces, tags or encrypts what is not open
//! before anything else sees it. The way out authorises a read, records it, and only then lets a
//! result leave.

pub mod classify;
pub mod keys;
pub mod outside;

mod batch_codec;
mod cipher;
mod pseudonym;
mod records;
mod release;
mod seal;
mod subject;

pub mod audit;
pub mod caller;
pub mod change;
pub mod exposure;
pub mod grant;
pub mod notice;

pub use batch_codec::DecodeError;
pub use cipher::{CipherError, FileCipher, TAG_BYTES, ValueCipher};
pub use pseudonym::{Pseudonyms, Renewal, is_pseudonym};
pub use records::{MemoryRecords, RecordError, RecordStore};
pub use release::{
    CacheKey, Canaries, Canary, Denied, FieldUse, Guard, Kept, Permit, ReadIntent, Released,
    RowScope, Use,
};
pub use seal::{
    Proposal, RefusedField, RefusedReason, Rewritten, SealError, SealOutcome, SealedBatch, Sealer,
    Shape, Subject,
};
pub use subject::{subject_column, subject_field};
