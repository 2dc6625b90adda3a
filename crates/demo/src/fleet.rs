use crate::event::Kind;
use crate::json;
use crate::people::User;
use crate::random::{Random, Stream};
use crate::words::NICKNAMES;

/// The five models.
pub const MODELS: [&str; 5] = ["plug-1", "bulb-2", "cam-3", "lock-1", "scale-1"];
/// What messages call a device of each model.
pub(crate) const NOUNS: [&str; 5] = ["plug", "bulb", "camera", "lock", "scale"];
/// Where users live.
pub const REGIONS: [&str; 6] =
    ["eu-central", "us-east", "eu-west", "us-west", "ap-south", "sa-east"];
/// All firmware versions; the last is [`BAD_FIRMWARE`].
pub const FIRMWARES: [&str; 4] = ["4.1.7", "4.2.0", "4.2.1", BAD_FIRMWARE];
/// The firmware whose devices fail to connect from day 20 on.
pub const BAD_FIRMWARE: &str = "4.3.0";
const BAD: u8 = 3;

const DAY_MS: i64 = 86_400_000;
pub(crate) const HOUR_MS: i64 = 3_600_000;
/// How busy each hour of a day (UTC) is.
const HOUR_WEIGHTS: [u64; 24] = [
    55, 45, 40, 38, 40, 50, 70, 95, 110, 112, 108, 105, 108, 106, 104, 106, 112, 125, 140, 145,
    138, 120, 95, 72,
];
const NEVER: u32 = u32::MAX;

/// How large a fleet to invent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetSettings {
    /// Same seed and sizes, same bytes.
    pub seed: u64,
    /// How many devices, from 1.
    pub devices: u32,
    /// How many days of events, 1 to 3,650.
    pub days: u32,
    /// How many events.
    pub events: u64,
    /// Midnight (UTC) of the first day, in milliseconds since 1970.
    pub first_day_ms: i64,
    /// How many people test the scale.
    pub testers: u32,
}

impl Default for FleetSettings {
    /// 20,000 devices, 30 days from 2026-10-24, two million events, 140 testers.
    fn default() -> FleetSettings {
        FleetSettings {
            seed: 2019,
            devices: 20_000,
            days: 30,
            events: 2_000_000,
            first_day_ms: 1_792_800_000_000,
            testers: 140,
        }
    }
}

/// A size that no fleet can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingsError {
    /// Devices must be 1 to 10,000,000.
    Devices,
    /// Days must be 1 to 3,650.
    Days,
    /// Events must be at most 100,000,000,000.
    Events,
}

impl std::fmt::Display for SettingsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            SettingsError::Devices => "the fleet needs 1 to 10,000,000 devices",
            SettingsError::Days => "the fleet needs 1 to 3,650 days",
            SettingsError::Events => "the fleet makes at most 100,000,000,000 events",
        })
    }
}

impl std::error::Error for SettingsError {}

impl FleetSettings {
    /// Whether a fleet of these sizes can be made.
    pub fn check(&self) -> Result<(), SettingsError> {
        if !(1..=10_000_000).contains(&self.devices) {
            return Err(SettingsError::Devices);
        }
        if !(1..=3_650).contains(&self.days) {
            return Err(SettingsError::Days);
        }
        if self.events > 100_000_000_000 {
            return Err(SettingsError::Events);
        }
        Ok(())
    }
}

/// A device in somebody's home.
#[derive(Clone, Debug)]
pub struct Device {
    /// Serial number, the `_id` in the table `devices`.
    pub id: String,
    /// Place in [`Fleet::users`].
    pub owner: u32,
    /// Place in [`MODELS`].
    pub model: usize,
    /// What its owner calls it.
    pub nickname: String,
    /// Hardware address (locally administered, so no maker's).
    pub mac: String,
    /// When it was set up, in milliseconds since 1970. For devices that are set up while events
    /// are recorded this is the time of their activation event.
    pub activated_at: i64,
    firmware_at_first: u8,
    updated_on_day: u32,
    dormant_from_day: u32,
    /// The members of its events that never change, ready as JSON.
    pub(crate) members: Box<[u8]>,
}

impl Device {
    /// Place in [`FIRMWARES`] of what it runs on this day (counted from 0).
    pub fn firmware_on(&self, day: u32) -> usize {
        usize::from(if day >= self.updated_on_day { BAD } else { self.firmware_at_first })
    }

    /// Whether it is switched off for good on this day.
    pub(crate) fn is_dormant_on(&self, day: u32) -> bool {
        day >= self.dormant_from_day
    }
}

/// An invented fleet: its people, its devices, and where every event stands in time.
#[derive(Debug)]
pub struct Fleet {
    settings: FleetSettings,
    users: Vec<User>,
    devices: Vec<Device>,
    /// Numbers of the activation events, ascending; the k-th sets up device `veterans + k`.
    pub(crate) activations: Vec<u64>,
    /// Devices that were set up before the first day.
    pub(crate) veterans: u32,
    /// For each hour the number of its first event, and behind the last hour the number of events.
    pub(crate) hour_starts: Vec<u64>,
}

impl Fleet {
    /// Draws users and devices.
    ///
    /// # Panics
    /// If [`FleetSettings::check`] refuses the settings.
    pub fn new(settings: FleetSettings) -> Fleet {
        settings.check().expect("the caller checks the settings");
        let user_count = (u64::from(settings.devices) * 3 / 5).max(1) as u32;
        let users: Vec<User> = (0..user_count)
            .map(|number| User::invent(settings.seed, number, settings.first_day_ms))
            .collect();
        let hour_starts = hour_starts(&settings);
        let activations = activations(&settings);
        let veterans = settings.devices - activations.len() as u32;
        let mut fleet =
            Fleet { settings, users, devices: Vec::new(), activations, veterans, hour_starts };
        fleet.devices =
            (0..fleet.settings.devices).map(|number| fleet.invent_device(number)).collect();
        // An activated device's time is that of its event.
        let times: Vec<(u32, i64)> = fleet
            .activations
            .iter()
            .map(|&number| fleet.event_at(number))
            .filter(|event| event.kind == Kind::Activation)
            .map(|event| (event.device, event.at_ms))
            .collect();
        for (device, at) in times {
            fleet.devices[device as usize].activated_at = at;
        }
        fleet
    }

    /// The sizes it was made with.
    pub fn settings(&self) -> &FleetSettings {
        &self.settings
    }

    /// Everybody, in the order of their number.
    pub fn users(&self) -> &[User] {
        &self.users
    }

    /// All devices, in the order in which they were set up.
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// The day (counted from 0) on which [`BAD_FIRMWARE`] begins to fail: the twentieth of thirty.
    pub fn bad_day(&self) -> u32 {
        (self.settings.days * 2 / 3).saturating_sub(1)
    }

    /// The people who test the scale: the first of the users.
    pub fn testers(&self) -> &[User] {
        &self.users[..(self.settings.testers as usize).min(self.users.len())]
    }

    /// Days have this many milliseconds; there is no summer time in UTC.
    pub(crate) fn day_start(&self, day: u32) -> i64 {
        self.settings.first_day_ms + i64::from(day) * DAY_MS
    }

    fn invent_device(&self, number: u32) -> Device {
        const MODEL_SHARES: [u32; 5] = [35, 25, 22, 10, 8];
        let mut random = Random::of(self.settings.seed, Stream::Device, u64::from(number));
        let mut left = random.below(100);
        let mut model = 0;
        while left >= MODEL_SHARES[model] {
            left -= MODEL_SHARES[model];
            model += 1;
        }
        let owner = random.below(self.users.len() as u32);
        let user = &self.users[owner as usize];
        let mut id = String::from("dev-");
        random.spell(b"0123456789abcdef", 4, &mut id);
        id.push_str(&format!("{number:06x}"));
        let hardware = random.bits();
        let mac = format!(
            "02:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}",
            hardware & 255,
            (hardware >> 8) & 255,
            (number >> 16) & 255,
            (number >> 8) & 255,
            number & 255
        );
        let nickname = format!("{}'s {}", first_word(&user.name), random.pick(NICKNAMES));
        let days = self.settings.days;
        // Four devices in ten take the new firmware between a third and three fifths of the time.
        let updated_on_day = if random.below(10) < 4 {
            days / 3 + random.below((days * 3 / 5).saturating_sub(days / 3).max(1))
        } else {
            NEVER
        };
        let dormant_from_day = if random.below(100) < 12 { random.below(days * 2) } else { NEVER };
        let mut members = Vec::with_capacity(160);
        json::string(&mut members, "device_id", &id);
        json::string(&mut members, "user_id", &user.id);
        json::string(&mut members, "model", MODELS[model]);
        json::string(&mut members, "region", REGIONS[user.region]);
        json::string(&mut members, "client_ip", &user.ip);
        Device {
            id,
            owner,
            model,
            nickname,
            mac,
            activated_at: (user.created_at + random.between(0, DAY_MS))
                .min(self.settings.first_day_ms),
            firmware_at_first: [0, 1, 1, 2, 2, 2][random.below(6) as usize],
            updated_on_day,
            dormant_from_day,
            members: members.into(),
        }
    }

    /// Appends the action line and the document of device `number` for the table `devices`.
    pub(crate) fn write_device(&self, number: u32, out: &mut Vec<u8>) {
        let device = &self.devices[number as usize];
        let owner = &self.users[device.owner as usize];
        let last_day = self.settings.days - 1;
        out.extend_from_slice(b"{\"index\":{\"_id\":\"");
        out.extend_from_slice(device.id.as_bytes());
        out.extend_from_slice(b"\"}}\n{\"device_id\":\"");
        out.extend_from_slice(device.id.as_bytes());
        out.push(b'"');
        json::string(out, "user_id", &owner.id);
        json::string(out, "model", MODELS[device.model]);
        json::string(out, "firmware", FIRMWARES[device.firmware_on(last_day)]);
        json::string(out, "region", REGIONS[owner.region]);
        json::string(out, "nickname", &device.nickname);
        json::string(out, "mac", &device.mac);
        json::string(out, "ssid", &owner.ssid);
        json::key(out, "activated_at");
        json::number(out, device.activated_at);
        json::key(out, "dormant");
        let dormant = device.is_dormant_on(last_day);
        out.extend_from_slice(if dormant { b"true" } else { b"false" });
        out.extend_from_slice(b"}\n");
    }
}

fn first_word(name: &str) -> &str {
    name.split(' ').next().unwrap_or(name)
}

/// Spreads the events over the hours by [`HOUR_WEIGHTS`]; later days are busier.
fn hour_starts(settings: &FleetSettings) -> Vec<u64> {
    let weight = |hour: u32| HOUR_WEIGHTS[(hour % 24) as usize] * u64::from(60 + hour / 24);
    let hours = settings.days * 24;
    let total: u64 = (0..hours).map(weight).sum();
    let mut starts = Vec::with_capacity(hours as usize + 1);
    let mut sum: u64 = 0;
    for hour in 0..hours {
        starts.push((u128::from(settings.events) * u128::from(sum) / u128::from(total)) as u64);
        sum += weight(hour);
    }
    starts.push(settings.events);
    starts
}

/// Three devices in five are set up while events are recorded, faster and faster.
fn activations(settings: &FleetSettings) -> Vec<u64> {
    let count = (u64::from(settings.devices) * 3 / 5).min(settings.events / 2);
    // Growth: number k of n stands where the square root of k/n says, so the last tenth of the
    // time has nearly twice the activations of an even spread. Integer square root, so that no
    // machine rounds differently. Neighbours are pushed apart where they would share an event.
    let mut numbers = Vec::with_capacity(count as usize);
    let mut next_free = 0;
    for k in 0..count {
        let square =
            u128::from(settings.events) * u128::from(settings.events) * u128::from(2 * k + 1)
                / u128::from(2 * count);
        let number = (square.isqrt() as u64).max(next_free);
        next_free = number + 1;
        numbers.push(number);
    }
    // Pushing apart may have run over the end: push back from there.
    let mut last = settings.events;
    for number in numbers.iter_mut().rev() {
        if *number < last {
            break;
        }
        last -= 1;
        *number = last;
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small(devices: u32, days: u32, events: u64) -> Fleet {
        Fleet::new(FleetSettings { devices, days, events, ..FleetSettings::default() })
    }

    #[test]
    fn ids_are_unique() {
        let fleet = small(2_000, 30, 10_000);
        let mut ids: Vec<&str> = fleet.devices.iter().map(|device| device.id.as_str()).collect();
        ids.extend(fleet.users.iter().map(|user| user.id.as_str()));
        ids.extend(fleet.users.iter().map(|user| user.email.as_str()));
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count);
    }

    #[test]
    fn activation_events_are_distinct_and_in_range() {
        for (devices, events) in [(1, 0), (1, 2), (10, 4), (1_000, 1_001), (2_000, 50_000)] {
            let fleet = small(devices, 30, events);
            assert!(
                fleet.activations.windows(2).all(|pair| pair[0] < pair[1]),
                "{devices} {events}"
            );
            assert!(fleet.activations.last().is_none_or(|&last| last < events));
        }
    }

    #[test]
    fn hours_cover_every_event_once() {
        for days in [1, 2, 30] {
            let fleet = small(10, days, 12_345);
            assert_eq!(fleet.hour_starts.len() as u32, days * 24 + 1);
            assert_eq!(fleet.hour_starts[0], 0);
            assert_eq!(fleet.hour_starts.last(), Some(&12_345));
            assert!(fleet.hour_starts.is_sorted());
        }
    }

    #[test]
    fn first_day_is_a_midnight_and_sizes_are_checked() {
        assert_eq!(FleetSettings::default().first_day_ms % DAY_MS, 0);
        let refused = FleetSettings { devices: 0, ..FleetSettings::default() };
        assert_eq!(refused.check(), Err(SettingsError::Devices));
        let refused = FleetSettings { days: 0, ..FleetSettings::default() };
        assert_eq!(refused.check(), Err(SettingsError::Days));
    }
}
