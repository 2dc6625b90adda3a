//! Messages of one partition, and each as a row.

use super::{MESSAGE_KEY, failure};
use crate::document::Ids;
use crate::{CopiedRows, SourceError};
use model::Op;
use rskafka::client::Client;
use rskafka::client::error::{Error, ProtocolError};
use rskafka::client::partition::{OffsetAt, PartitionClient, UnknownTopicHandling};
use rskafka::record::RecordAndOffset;

/// So many bytes are asked for at once; a larger message comes alone.
const FETCH_BYTES: i32 = 1 << 20;
/// How long a broker waits for messages, in milliseconds.
const FETCH_WAIT_MS: i32 = 500;

/// One partition, and how far it was read.
#[derive(Debug)]
pub(super) struct Partition {
    client: PartitionClient,
    pub(super) number: i32,
    /// The offset of the next message.
    pub(super) next: i64,
    /// The offset that the next new message will have.
    pub(super) end: i64,
}

impl Partition {
    /// Opens a partition; reading starts at the first message that there ever was.
    pub(super) async fn open(
        client: &Client,
        topic: &str,
        number: i32,
    ) -> Result<Partition, SourceError> {
        let opened = client.partition_client(topic, number, UnknownTopicHandling::Error).await;
        let client = opened.map_err(|error| failure(&error))?;
        Ok(Partition { client, number, next: 0, end: 0 })
    }

    /// The offset of the oldest message that is kept.
    pub(super) async fn earliest(&self) -> Result<i64, SourceError> {
        self.client.get_offset(OffsetAt::Earliest).await.map_err(|error| failure(&error))
    }

    /// The offset behind the newest message that may be read.
    pub(super) async fn latest(&self) -> Result<i64, SourceError> {
        self.client.get_offset(OffsetAt::Latest).await.map_err(|error| failure(&error))
    }

    /// The next messages, if there are any within half a second.
    pub(super) async fn fetch(&mut self) -> Result<Vec<RecordAndOffset>, SourceError> {
        let fetched = self.client.fetch_records(self.next, 1..FETCH_BYTES, FETCH_WAIT_MS).await;
        let (messages, end) = match fetched {
            Ok(fetched) => fetched,
            Err(Error::ServerError { protocol_error: ProtocolError::OffsetOutOfRange, .. }) => {
                return Err(SourceError::Lost(format!(
                    "the broker no longer has message {} of partition {}",
                    self.next, self.number
                )));
            }
            Err(error) => return Err(failure(&error)),
        };
        self.end = end;
        match messages.last() {
            Some(last) => self.next = last.offset + 1,
            // Offsets that hold no message: the mark of a transaction, or what compaction took.
            // An open transaction gives nothing either, but then the end that may be read is here.
            None if self.next < end && self.next < self.latest().await? => self.next += 1,
            None => {}
        }
        Ok(messages)
    }
}

/// Turns messages into rows.
pub(super) struct Reader<'k> {
    ids: Ids<'k>,
    by_message_key: bool,
}

impl<'k> Reader<'k> {
    pub(super) fn new(key: &'k [String]) -> Reader<'k> {
        let by_message_key = key == [MESSAGE_KEY];
        let members = if by_message_key { &[] } else { key };
        Reader { ids: Ids::new(members), by_message_key }
    }

    /// Adds the row of a message, or says why it has none, without a value of it.
    pub(super) fn push(
        &mut self,
        message: &RecordAndOffset,
        rows: &mut CopiedRows,
    ) -> Result<(), String> {
        let record = &message.record;
        let key = match (&record.key, self.by_message_key) {
            (_, false) => None,
            (None, true) => return Err("has no key".to_owned()),
            (Some(key), true) => match std::str::from_utf8(key) {
                Ok("") => return Err("has an empty key".to_owned()),
                Ok(key) => Some(key),
                Err(_) => return Err("has a key that is no text".to_owned()),
            },
        };
        let Some(value) = record.value.as_deref() else {
            // A message without a value deletes what its key names, and is nothing elsewhere.
            if let Some(key) = key {
                rows.start(Op::Delete);
                rows.push_text(key);
                rows.push_json("{}");
            }
            return Ok(());
        };
        let value = value.trim_ascii();
        self.ids.check(value)?;
        rows.start(Op::Put);
        match key {
            Some(key) => rows.push_text(key),
            None => self.ids.push(rows),
        }
        // It was checked to be UTF-8.
        rows.push_json(std::str::from_utf8(value).unwrap_or("{}"));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rskafka::record::Record;

    fn push(key: Option<&str>, value: Option<&str>, by: &[&str]) -> Result<CopiedRows, String> {
        let by: Vec<String> = by.iter().map(|&name| name.to_owned()).collect();
        let mut rows = CopiedRows::new(2);
        let record = Record {
            key: key.map(|key| key.as_bytes().to_vec()),
            value: value.map(|value| value.as_bytes().to_vec()),
            headers: Default::default(),
            timestamp: chrono::DateTime::UNIX_EPOCH,
        };
        Reader::new(&by).push(&RecordAndOffset { record, offset: 0 }, &mut rows)?;
        Ok(rows)
    }

    #[test]
    fn the_key_of_the_message_names_the_row() {
        let rows = push(Some("d1"), Some(r#"{"n":1}"#), &["_key"]).unwrap();
        assert_eq!(rows.text(rows.row(0)[0]), Some("d1"));
        let rows = push(Some("d1"), None, &["_key"]).unwrap();
        assert_eq!((rows.len(), rows.op(0)), (1, Op::Delete));
        assert_eq!(push(None, Some("{}"), &["_key"]).unwrap_err(), "has no key");
    }

    #[test]
    fn a_member_names_the_row_or_nothing_does() {
        let rows = push(Some("d1"), Some(r#"{"n":1}"#), &["n"]).unwrap();
        assert_eq!(rows.text(rows.row(0)[0]), Some("1"));
        let rows = push(Some("d1"), Some(r#"{"n":1}"#), &[]).unwrap();
        assert_eq!(rows.row(0)[0], crate::Cell::Null);
        assert!(push(Some("d1"), None, &[]).unwrap().is_empty());
        assert!(push(None, Some("[1]"), &[]).is_err());
    }
}
