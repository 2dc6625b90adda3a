//! One message as a row.

use crate::CopiedRows;
use crate::document::Ids;
use model::{Clock, Op};
use rumqttc::Publish;

/// The member that holds the topic.
pub(super) const TOPIC: &str = "mqtt_topic";

/// Turns messages into rows.
pub(super) struct Reader<'k> {
    key: &'k [String],
    ids: Ids<'k>,
    clock: &'k dyn Clock,
}

impl<'k> Reader<'k> {
    pub(super) fn new(key: &'k [String], clock: &'k dyn Clock) -> Reader<'k> {
        Reader { key, ids: Ids::new(key), clock }
    }

    /// Adds the row of a message, or says why it has none, without a value of it.
    ///
    /// A JSON object becomes the row; any other payload stands under `value`. An empty payload
    /// takes a topic's value back where the topic is the key, and is nothing elsewhere.
    pub(super) fn push(&mut self, message: &Publish, rows: &mut CopiedRows) -> Result<(), String> {
        let payload = message.payload.trim_ascii();
        if payload.is_empty() {
            if self.key == [TOPIC] {
                rows.start(Op::Delete);
                rows.push_text(&message.topic);
                rows.push_json("{}");
            }
            return Ok(());
        }
        let text = std::str::from_utf8(payload).map_err(|_| "is no UTF-8".to_owned())?;
        let mut document = format!(
            "{{\"{TOPIC}\":{},\"mqtt_received\":\"{}\"",
            quoted(&message.topic),
            self.clock.now().to_rfc3339()
        );
        match text.strip_prefix('{') {
            Some(rest) => {
                // What follows the brace is checked with all that stands before it.
                if rest.trim_ascii_start() != "}" {
                    document.push(',');
                }
                document.push_str(rest);
            }
            None => {
                let is_json = serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
                document.push_str(",\"value\":");
                document.push_str(&if is_json { text.into() } else { quoted(text) });
                document.push('}');
            }
        }
        self.ids.check(document.as_bytes())?;
        rows.start(Op::Put);
        self.ids.push(rows);
        rows.push_json(&document);
        Ok(())
    }
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a text can always be written as JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{ManualClock, Timestamp};
    use rumqttc::QoS;

    fn row(
        topic: &str,
        payload: &str,
        key: &[&str],
    ) -> Result<Option<(Option<String>, String)>, String> {
        let clock = ManualClock::at(Timestamp(0));
        let key: Vec<String> = key.iter().map(|&name| name.to_owned()).collect();
        let mut rows = CopiedRows::new(2);
        let publish = Publish::new(topic, QoS::AtLeastOnce, payload);
        Reader::new(&key, &clock).push(&publish, &mut rows)?;
        if rows.is_empty() {
            return Ok(None);
        }
        let cells = rows.row(0);
        let id = rows.text(cells[0]).map(str::to_owned);
        Ok(Some((id, rows.text(cells[1]).unwrap().to_owned())))
    }

    #[test]
    fn an_object_is_the_row() {
        let (id, json) = row("fleet/7/t", r#" {"n":1,"id":"a"} "#, &["id"]).unwrap().unwrap();
        assert_eq!(id.as_deref(), Some("a"));
        assert_eq!(
            json,
            r#"{"mqtt_topic":"fleet/7/t","mqtt_received":"1970-01-01T00:00:00.000Z","n":1,"id":"a"}"#
        );
        assert!(row("t", "{}", &[]).unwrap().unwrap().1.ends_with(r#"00Z"}"#));
    }

    #[test]
    fn anything_else_is_a_value() {
        assert!(row("t", "21.5", &[]).unwrap().unwrap().1.ends_with(r#","value":21.5}"#));
        assert!(row("t", "on", &[]).unwrap().unwrap().1.ends_with(r#","value":"on"}"#));
        assert_eq!(row("t", "", &[]).unwrap(), None);
        let gone = row("t", "", &["mqtt_topic"]).unwrap().unwrap();
        assert_eq!(gone.0.as_deref(), Some("t"));
    }

    #[test]
    fn half_a_message_is_refused_without_a_word_of_it() {
        for bad in [r#"{"n":"#, r#"{"n":1}{"#, r#"{,}"#, r#"{"n":1}"#] {
            let reason = row("t", bad, &["id"]).unwrap_err();
            assert!(!reason.contains("\"n\""), "{reason}");
        }
    }
}
