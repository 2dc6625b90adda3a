use crate::fleet::{Fleet, HOUR_MS};
use std::ops::Range;

/// The metric model of a device fleet, as `clerestory metric apply` takes it.
pub const METRICS: &str = include_str!("metrics.yaml");

/// The metric model of a product on the web.
pub const SAAS_METRICS: &str = include_str!("saas.yaml");

/// The table that [`SAAS_METRICS`] are about.
pub const SAAS_TABLE: TableSpec =
    TableSpec { name: "product_events", body: include_str!("tables/product_events.json") };

/// A table of the demo.
#[derive(Clone, Copy, Debug)]
pub struct TableSpec {
    /// Its name.
    pub name: &'static str,
    /// The body of `PUT /{name}`: settings and mappings.
    pub body: &'static str,
}

/// The four tables, in the order in which they are loaded.
pub fn tables() -> [TableSpec; 4] {
    [
        TableSpec { name: "users", body: include_str!("tables/users.json") },
        TableSpec { name: "devices", body: include_str!("tables/devices.json") },
        TableSpec { name: "measurements", body: include_str!("tables/measurements.json") },
        TableSpec { name: "events", body: include_str!("tables/events.json") },
    ]
}

/// A body for `POST /{table}/_bulk`.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// Where it goes.
    pub table: &'static str,
    /// How many documents it holds.
    pub documents: u64,
    /// NDJSON: an action line and a document each.
    pub body: Vec<u8>,
}

impl Fleet {
    /// How many documents all chunks hold together.
    pub fn documents(&self) -> u64 {
        TABLE_NAMES.iter().map(|table| self.documents_of(table)).sum()
    }

    /// How many documents a table gets; 0 for a table the demo does not have.
    pub fn documents_of(&self, table: &str) -> u64 {
        match table {
            "users" => self.users().len() as u64,
            "devices" => self.devices().len() as u64,
            "measurements" => self.measurement_count(),
            "events" => self.settings().events,
            _ => 0,
        }
    }

    /// All tables as chunks of at most `documents` documents.
    ///
    /// # Panics
    /// If `documents` is 0.
    pub fn chunks(&self, documents: u64) -> Chunks<'_> {
        assert!(documents > 0, "a chunk holds at least one document");
        Chunks { fleet: self, table: 0, next: 0, documents }
    }

    /// The events of a range of numbers as one chunk.
    ///
    /// # Panics
    /// If there are not that many events.
    pub fn events(&self, numbers: Range<u64>) -> Chunk {
        let documents = numbers.end.saturating_sub(numbers.start);
        let mut body = Vec::with_capacity(documents as usize * 420);
        let mut hour = u32::MAX;
        let mut hour_text = String::new();
        for event in self.events_in(numbers) {
            if event.hour != hour {
                hour = event.hour;
                hour_text = self.hour_text(hour);
            }
            body.extend_from_slice(b"{\"create\":{}}\n");
            event.write(self, &hour_text, &mut body);
        }
        Chunk { table: "events", documents, body }
    }

    /// The time of an hour as text, up to the hour: `2026-10-24T07`.
    fn hour_text(&self, hour: u32) -> String {
        let at = self.settings().first_day_ms + i64::from(hour) * HOUR_MS;
        let text = model::Timestamp(at).to_rfc3339();
        text.split(':').next().unwrap_or(&text).to_owned()
    }

    fn chunk_of(&self, table: &'static str, numbers: Range<u64>) -> Chunk {
        if table == "events" {
            return self.events(numbers);
        }
        let documents = numbers.end - numbers.start;
        let mut body = Vec::with_capacity(documents as usize * 400);
        for number in numbers {
            match table {
                "users" => self.users()[number as usize].write_bulk(&mut body),
                "devices" => self.write_device(number as u32, &mut body),
                _ => self.write_measurement(number, &mut body),
            }
        }
        Chunk { table, documents, body }
    }
}

const TABLE_NAMES: [&str; 4] = ["users", "devices", "measurements", "events"];

/// Iterator over ready bodies; see [`Fleet::chunks`].
#[derive(Clone, Debug)]
pub struct Chunks<'a> {
    fleet: &'a Fleet,
    table: usize,
    next: u64,
    documents: u64,
}

impl Iterator for Chunks<'_> {
    type Item = Chunk;

    fn next(&mut self) -> Option<Chunk> {
        while let Some(&table) = TABLE_NAMES.get(self.table) {
            let all = self.fleet.documents_of(table);
            if self.next < all {
                let end = (self.next + self.documents).min(all);
                let chunk = self.fleet.chunk_of(table, self.next..end);
                self.next = end;
                return Some(chunk);
            }
            self.table += 1;
            self.next = 0;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FleetSettings;

    fn fleet() -> Fleet {
        let settings = FleetSettings {
            devices: 400,
            days: 3,
            events: 5_000,
            testers: 7,
            ..FleetSettings::default()
        };
        Fleet::new(settings)
    }

    #[test]
    fn chunks_hold_every_document_as_valid_json() {
        let fleet = fleet();
        let mut documents = 0;
        for chunk in fleet.chunks(333) {
            let text = String::from_utf8(chunk.body).unwrap();
            assert!(text.ends_with('\n'));
            let lines: Vec<&str> = text.lines().collect();
            assert_eq!(lines.len() as u64, chunk.documents * 2, "{}", chunk.table);
            for line in lines {
                let value: serde_json::Value = serde_json::from_str(line).unwrap();
                assert!(value.is_object());
            }
            documents += chunk.documents;
        }
        assert_eq!(documents, fleet.documents());
        assert_eq!(documents, 240 + 400 + 21 + 5_000);
    }

    #[test]
    fn every_field_is_in_the_mapping_of_its_table() {
        let fleet = fleet();
        for table in tables() {
            let body: serde_json::Value = serde_json::from_str(table.body).unwrap();
            let properties = &body["mappings"]["properties"];
            for chunk in fleet.chunks(1_000).filter(|chunk| chunk.table == table.name) {
                let text = String::from_utf8(chunk.body).unwrap();
                for line in text.lines().skip(1).step_by(2) {
                    let document: serde_json::Value = serde_json::from_str(line).unwrap();
                    for name in document.as_object().unwrap().keys() {
                        assert!(properties.get(name).is_some(), "{}.{name}", table.name);
                    }
                }
            }
        }
    }

    #[test]
    fn same_seed_same_bytes_other_seed_other_bytes() {
        let bytes = |seed| {
            let settings =
                FleetSettings { seed, devices: 40, events: 200, ..FleetSettings::default() };
            Fleet::new(settings).chunks(100).flat_map(|chunk| chunk.body).collect::<Vec<u8>>()
        };
        assert_eq!(bytes(1), bytes(1));
        assert_ne!(bytes(1), bytes(2));
        // FNV-1a over all bytes: changes when, and only when, the demo's data changes.
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        for byte in bytes(2019) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        assert_eq!(format!("{hash:016x}"), "8a564fce6acad255");
    }

    #[test]
    fn where_a_chunk_is_cut_does_not_change_the_events() {
        let fleet = fleet();
        let whole = fleet.events(0..5_000).body;
        let parts: Vec<u8> = [0..1, 1..1_700, 1_700..5_000]
            .into_iter()
            .flat_map(|part| fleet.events(part).body)
            .collect();
        assert_eq!(whole, parts);
    }
}
