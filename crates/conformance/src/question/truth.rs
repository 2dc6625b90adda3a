use super::{Cells, Filter, Grain, Measure, Question};
use demo::{Event, FIRMWARES, Fleet, MODELS, REGIONS};
use std::collections::{BTreeMap, BTreeSet};

const HOUR_MS: i64 = 3_600_000;

/// What one group adds up to.
#[derive(Default)]
struct Group {
    events: u64,
    part: u64,
    numbers: Vec<f64>,
    distinct: BTreeSet<String>,
}

impl Question {
    /// The right answer, by going through every event of the fleet.
    pub fn truth(&self, fleet: &Fleet) -> Cells {
        let mut groups: BTreeMap<Vec<String>, Group> = BTreeMap::new();
        for event in fleet.events_in(0..fleet.settings().events) {
            if !self.filters.iter().all(|filter| filter.fits(fleet, &event)) {
                continue;
            }
            let Some(key) = self.key(fleet, &event) else { continue };
            let group = groups.entry(key).or_default();
            group.events += 1;
            match &self.measure {
                Measure::Count => {}
                Measure::Sum(field)
                | Measure::Mean(field)
                | Measure::Min(field)
                | Measure::Max(field) => {
                    group.numbers.extend(number(&event, field));
                }
                Measure::Distinct(field) => group.distinct.extend(text(fleet, &event, field)),
                Measure::Share(filter) => group.part += u64::from(filter.fits(fleet, &event)),
            }
        }
        groups.into_iter().map(|(key, group)| (key, self.result(&group))).collect()
    }

    /// The group of an event; `None` if a field that it is split by has no value.
    fn key(&self, fleet: &Fleet, event: &Event) -> Option<Vec<String>> {
        let mut key = Vec::new();
        if let Some(grain) = self.grain {
            let length = match grain {
                Grain::Hour => HOUR_MS,
                Grain::Day => 24 * HOUR_MS,
            };
            key.push((event.at_ms - event.at_ms.rem_euclid(length)).to_string());
        }
        for field in &self.by {
            key.push(text(fleet, event, field)?);
        }
        Some(key)
    }

    fn result(&self, group: &Group) -> f64 {
        let sum: f64 = group.numbers.iter().sum();
        match self.measure {
            Measure::Count => group.events as f64,
            Measure::Sum(_) => sum,
            Measure::Mean(_) => sum / group.numbers.len() as f64,
            Measure::Min(_) => group.numbers.iter().copied().fold(f64::INFINITY, f64::min),
            Measure::Max(_) => group.numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            Measure::Distinct(_) => group.distinct.len() as f64,
            Measure::Share(_) => group.part as f64 / group.events as f64,
        }
    }
}

impl Filter {
    fn fits(&self, fleet: &Fleet, event: &Event) -> bool {
        match self {
            Filter::Is(field, values) => {
                text(fleet, event, field).is_some_and(|value| values.contains(&value))
            }
            Filter::AtLeast(field, least) => {
                number(event, field).is_some_and(|value| value >= *least as f64)
            }
            Filter::SinceDay(day) => event.hour / 24 >= *day,
        }
    }
}

fn text(fleet: &Fleet, event: &Event, field: &str) -> Option<String> {
    let device = &fleet.devices()[event.device as usize];
    let owner = &fleet.users()[device.owner as usize];
    match field {
        "kind" => Some(event.kind.as_str().to_owned()),
        "model" => Some(MODELS[device.model].to_owned()),
        "firmware" => Some(FIRMWARES[event.firmware].to_owned()),
        "region" => Some(REGIONS[owner.region].to_owned()),
        "status" => Some(event.status.to_owned()),
        "reason" => event.reason.map(str::to_owned),
        "device_id" => Some(device.id.clone()),
        "user_id" => Some(owner.id.clone()),
        "client_ip" => Some(owner.ip.clone()),
        _ => panic!("the questions know no text field `{field}`"),
    }
}

fn number(event: &Event, field: &str) -> Option<f64> {
    match field {
        "latency_ms" => event.latency_tenths.map(|tenths| tenths as f64 / 10.0),
        "battery" => event.battery_tenths.map(|tenths| tenths as f64 / 10.0),
        "rssi" => event.rssi.map(|rssi| rssi as f64),
        _ => panic!("the questions know no number field `{field}`"),
    }
}
