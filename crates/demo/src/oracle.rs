use crate::event::Kind;
use crate::fleet::{FIRMWARES, Fleet, HOUR_MS, MODELS};
use std::collections::BTreeMap;

/// The right answers, counted from the generator itself. Times are the starts of UTC days and
/// hours in milliseconds since 1970; groups without events are absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Oracle {
    /// Activations by day and model.
    pub activations: BTreeMap<(i64, &'static str), u64>,
    /// Failed and all tries to connect, by hour and firmware.
    pub connections: BTreeMap<(i64, &'static str), Connections>,
    /// Distinct devices that sent anything, by day.
    pub active_devices: BTreeMap<i64, u64>,
    /// Events by kind.
    pub kinds: BTreeMap<&'static str, u64>,
}

/// Tries to connect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// Those that failed.
    pub failed: u64,
    /// All, also those that failed.
    pub all: u64,
}

impl Oracle {
    /// Counts through all events of the fleet.
    pub fn of(fleet: &Fleet) -> Oracle {
        let mut oracle = Oracle::default();
        let mut active = Active::new(fleet.devices().len());
        for event in fleet.events_in(0..fleet.settings().events) {
            let day = fleet.day_start(event.hour / 24);
            let hour = fleet.settings().first_day_ms + i64::from(event.hour) * HOUR_MS;
            *oracle.kinds.entry(event.kind.as_str()).or_default() += 1;
            if active.is_new(event.hour / 24, event.device) {
                *oracle.active_devices.entry(day).or_default() += 1;
            }
            match event.kind {
                Kind::Activation => {
                    let model = MODELS[fleet.devices()[event.device as usize].model];
                    *oracle.activations.entry((day, model)).or_default() += 1;
                }
                Kind::Connect | Kind::ConnectFailed => {
                    let key = (hour, FIRMWARES[event.firmware]);
                    let connections = oracle.connections.entry(key).or_default();
                    connections.all += 1;
                    connections.failed += u64::from(event.kind == Kind::ConnectFailed);
                }
                _ => {}
            }
        }
        oracle
    }
}

/// Which devices were seen on the current day. Days come in order.
struct Active {
    day: u32,
    seen: Vec<u64>,
}

impl Active {
    fn new(devices: usize) -> Active {
        Active { day: 0, seen: vec![0; devices.div_ceil(64)] }
    }

    fn is_new(&mut self, day: u32, device: u32) -> bool {
        if day != self.day {
            self.day = day;
            self.seen.fill(0);
        }
        let word = &mut self.seen[device as usize / 64];
        let bit = 1_u64 << (device % 64);
        let new = *word & bit == 0;
        *word |= bit;
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BAD_FIRMWARE, FleetSettings};

    fn rate(fleet: &Fleet, oracle: &Oracle, firmware: &str, bad_days: bool) -> f64 {
        let bad_from = fleet.day_start(fleet.bad_day());
        let (mut failed, mut all) = (0, 0);
        for ((hour, of), connections) in &oracle.connections {
            if *of == firmware && (*hour >= bad_from) == bad_days {
                failed += connections.failed;
                all += connections.all;
            }
        }
        failed as f64 / all as f64
    }

    #[test]
    fn the_planted_firmware_fails_from_day_twenty_on_and_no_other() {
        let fleet = Fleet::new(FleetSettings {
            devices: 2_000,
            events: 200_000,
            ..FleetSettings::default()
        });
        let oracle = Oracle::of(&fleet);
        assert_eq!(fleet.bad_day(), 19, "the twentieth day, counted from 0");
        assert!(rate(&fleet, &oracle, BAD_FIRMWARE, false) < 0.10);
        assert!(rate(&fleet, &oracle, BAD_FIRMWARE, true) > 0.25);
        assert!(rate(&fleet, &oracle, "4.2.1", true) < 0.10);
    }

    #[test]
    fn the_sums_are_those_of_a_plain_count() {
        let fleet = Fleet::new(FleetSettings {
            devices: 300,
            days: 4,
            events: 20_000,
            ..FleetSettings::default()
        });
        let oracle = Oracle::of(&fleet);
        assert_eq!(oracle.kinds.values().sum::<u64>(), 20_000);
        assert_eq!(oracle.activations.values().sum::<u64>(), 180);
        assert_eq!(oracle.kinds["activation"], 180);
        let tries: u64 = oracle.connections.values().map(|connections| connections.all).sum();
        assert_eq!(tries, oracle.kinds["connect"] + oracle.kinds["connect_failed"]);
        assert_eq!(oracle.active_devices.len(), 4);
        for (&day, &devices) in &oracle.active_devices {
            let mut seen: Vec<u32> = fleet
                .events_in(0..20_000)
                .filter(|event| (day..day + 24 * HOUR_MS).contains(&event.at_ms))
                .map(|event| event.device)
                .collect();
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(devices, seen.len() as u64);
        }
    }
}
