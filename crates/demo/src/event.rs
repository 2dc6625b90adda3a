use crate::fleet::{BAD_FIRMWARE, FIRMWARES, Fleet, HOUR_MS, NOUNS};
use crate::json;
use crate::random::{Random, Stream};
use std::ops::Range;

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Set up for the first time.
    Activation,
    /// Joined the cloud.
    Connect,
    /// Tried to and failed.
    ConnectFailed,
    /// Still there.
    Heartbeat,
    /// Did what somebody asked.
    Command,
    /// The app asked the cloud something.
    ApiRequest,
    /// Something broke inside.
    Error,
    /// Somebody changed a setting.
    Setting,
    /// A step on the way to being set up; the last one is the activation.
    Setup,
    /// The firmware stopped and started again.
    Crash,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 10] = [
        Kind::Activation,
        Kind::Connect,
        Kind::ConnectFailed,
        Kind::Heartbeat,
        Kind::Command,
        Kind::ApiRequest,
        Kind::Error,
        Kind::Setting,
        Kind::Setup,
        Kind::Crash,
    ];

    /// The value of the field `kind`.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Activation => "activation",
            Kind::Connect => "connect",
            Kind::ConnectFailed => "connect_failed",
            Kind::Heartbeat => "heartbeat",
            Kind::Command => "command",
            Kind::ApiRequest => "api_request",
            Kind::Error => "error",
            Kind::Setting => "setting",
            Kind::Setup => "setup",
            Kind::Crash => "crash",
        }
    }
}

/// The values of `step` on `setup`, in the order in which a device takes them.
pub const SETUP_STEPS: [&str; 3] = ["started", "wifi", "cloud"];
const SETUP_WORDS: [&str; 3] =
    ["was switched on for the first time", "joined the network at home", "found its account"];
/// A crash of the firmware, of a thousand events …
const CRASHES_PER_MILLE: u32 = 4;
/// … and with the firmware that fails to connect.
const BAD_CRASHES_PER_MILLE: u32 = 9;
const CRASH_REASONS: [&str; 3] = ["watchdog", "assert", "stack"];

/// Why a connection failed: the values of `reason` on `connect_failed`.
pub const FAILURE_REASONS: [&str; 6] =
    ["wifi_auth", "weak_signal", "dhcp_timeout", "dns", "tls_handshake", "cloud_unreachable"];
const FAILURE_WORDS: [&str; 6] = [
    "network password refused",
    "signal too weak",
    "no address from the router",
    "name server silent",
    "handshake with the cloud timed out",
    "cloud unreachable",
];
const TLS_HANDSHAKE: u32 = 4;
const ERROR_REASONS: [&str; 4] = ["sensor", "flash", "memory", "thermal"];
const ERROR_WORDS: [&str; 4] =
    ["sensor gave no reading", "flash page worn out", "out of memory", "too hot, slowing down"];
const VERBS: [&str; 5] = ["turn on", "turn off", "dim", "lock", "read state"];
const SOURCES: [&str; 4] = ["app", "schedule", "voice", "button"];
/// What the app asks: the values of `endpoint` on `api_request`.
pub const ENDPOINTS: [&str; 6] = [
    "/v1/devices/list",
    "/v1/devices/state",
    "/v1/scenes/run",
    "/v1/account/profile",
    "/v1/history/day",
    "/v1/firmware/check",
];
const SETTINGS: [&str; 5] = ["schedule", "brightness", "time zone", "notifications", "sensitivity"];

/// One event, before it is written as JSON.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its number, from 0 in the order of time.
    pub number: u64,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// Hours since the first day began.
    pub hour: u32,
    /// What about.
    pub kind: Kind,
    /// Place in [`Fleet::devices`].
    pub device: u32,
    /// Place in [`FIRMWARES`].
    pub firmware: usize,
    /// `ok`, `failed`, `denied`.
    pub status: &'static str,
    /// Why, for failed connections and errors.
    pub reason: Option<&'static str>,
    /// Tenths of a millisecond.
    pub latency_tenths: Option<i64>,
    /// Signal in dBm.
    pub rssi: Option<i64>,
    /// Tenths of a percent.
    pub battery_tenths: Option<i64>,
    /// Place in [`SETUP_STEPS`], for steps of a setup.
    pub step: Option<usize>,
    /// Place in [`ENDPOINTS`], for requests.
    pub endpoint: Option<usize>,
    /// How many hours on a heartbeat speaks for.
    pub hours_on: Option<i64>,
    /// Which words of the message.
    words: usize,
    random: Random,
}

impl Fleet {
    /// Event number `number`.
    ///
    /// # Panics
    /// If there are not that many events.
    pub fn event_at(&self, number: u64) -> Event {
        self.events_in(number..number + 1).next().expect("the range holds one event")
    }

    /// The events of a range of numbers, in the order of time.
    ///
    /// # Panics
    /// While iterating, if there are not that many events.
    pub fn events_in(&self, numbers: Range<u64>) -> Events<'_> {
        assert!(numbers.end <= self.settings().events, "the fleet has fewer events");
        let hour = self.hour_starts.partition_point(|&start| start <= numbers.start);
        let activated = self.activations.partition_point(|&event| event < numbers.start);
        Events {
            fleet: self,
            numbers,
            hour: (hour as u32).saturating_sub(1),
            activated: activated as u32,
        }
    }
}

/// Iterator over events; see [`Fleet::events_in`].
#[derive(Clone, Debug)]
pub struct Events<'a> {
    fleet: &'a Fleet,
    numbers: Range<u64>,
    hour: u32,
    /// Devices set up by events before the next one.
    activated: u32,
}

impl Iterator for Events<'_> {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        let number = self.numbers.next()?;
        let starts = &self.fleet.hour_starts;
        while starts[self.hour as usize + 1] <= number {
            self.hour += 1;
        }
        let is_activation = self.fleet.activations.get(self.activated as usize) == Some(&number);
        let event = self.fleet.draw(number, self.hour, self.activated, is_activation);
        self.activated += u32::from(is_activation);
        Some(event)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.numbers.size_hint()
    }
}

impl Fleet {
    fn draw(&self, number: u64, hour: u32, activated: u32, is_activation: bool) -> Event {
        let mut random = Random::of(self.settings().seed, Stream::Event, number);
        let (from, to) = (self.hour_starts[hour as usize], self.hour_starts[hour as usize + 1]);
        let place = (number - from) as i64 * HOUR_MS + random.between(0, HOUR_MS);
        let at_ms =
            self.settings().first_day_ms + i64::from(hour) * HOUR_MS + place / (to - from) as i64;
        let day = hour / 24;
        let known = self.veterans + activated;
        let setup = if is_activation { None } else { self.setup_at(number, activated as usize) };
        let device = if let Some((device, _)) = setup {
            device
        } else if is_activation || known == 0 {
            known.min(self.settings().devices - 1)
        } else {
            self.awake_device(&mut random, known, day)
        };
        let firmware = self.devices()[device as usize].firmware_on(day);
        let mut event = Event {
            number,
            at_ms,
            hour,
            kind: Kind::Activation,
            device,
            firmware,
            status: "ok",
            reason: None,
            latency_tenths: None,
            rssi: None,
            battery_tenths: None,
            step: None,
            endpoint: None,
            hours_on: None,
            words: 0,
            random,
        };
        match setup {
            Some((_, step)) => {
                event.kind = Kind::Setup;
                event.step = Some(step);
            }
            None if !is_activation => event.draw_kind(self.bad_day() <= day),
            None => {}
        }
        event
    }

    /// The device and the step, if event `number` is one of a setup. The three events before an
    /// activation are its steps. Of the three before those, some are steps of a device that was
    /// reset and is not set up again.
    fn setup_at(&self, number: u64, activated: usize) -> Option<(u32, usize)> {
        let next = *self.activations.get(activated)?;
        let before = activated.checked_sub(1).map_or(0, |last| self.activations[last] + 1);
        let distance = next - number;
        if next - before < 8 || !(1..=6).contains(&distance) {
            return None;
        }
        let step = ((6 - distance) % 3) as usize;
        if distance <= 3 {
            return Some((self.veterans + activated as u32, step));
        }
        // One setup in three, and each step is taken by fewer.
        let mut random = Random::of(self.settings().seed, Stream::Setup, next);
        let steps = if random.once_in(3) { 1 + random.below(3) as usize } else { 0 };
        let known = self.veterans + activated as u32;
        (step < steps && known > 0).then(|| (random.below(known), step))
    }

    /// A device that is not dormant; busy ones (those set up early) come more often.
    fn awake_device(&self, random: &mut Random, known: u32, day: u32) -> u32 {
        for _ in 0..6 {
            let drawn = random.bits();
            let mut device = (((drawn & 0xffff_ffff) * u64::from(known)) >> 32) as u32;
            if drawn >> 62 == 0 {
                device = device.min(random.below(known));
            }
            if !self.devices()[device as usize].is_dormant_on(day) {
                return device;
            }
        }
        0
    }
}

impl Event {
    fn draw_kind(&mut self, bad_days: bool) {
        let random = &mut self.random;
        let bad = bad_days && FIRMWARES[self.firmware] == BAD_FIRMWARE;
        let crashes = if bad { BAD_CRASHES_PER_MILLE } else { CRASHES_PER_MILLE };
        match random.below(1000) {
            0..240 => {
                let failures_per_mille = if bad { 310 } else { 60 };
                self.rssi = Some(-40 - random.between(0, 40) - random.between(0, 12));
                if random.below(1000) < failures_per_mille {
                    self.kind = Kind::ConnectFailed;
                    self.status = "failed";
                    let reason = if bad && random.below(10) < 8 {
                        TLS_HANDSHAKE
                    } else {
                        random.below(FAILURE_REASONS.len() as u32)
                    };
                    self.words = reason as usize;
                    self.reason = Some(FAILURE_REASONS[reason as usize]);
                    self.latency_tenths = Some(20_000 + random.between(0, 80_000));
                } else {
                    self.kind = Kind::Connect;
                    let slow = random.once_in(40);
                    self.latency_tenths = Some(
                        random.between(600, 4_000)
                            + if slow { random.between(0, 40_000) } else { 0 },
                    );
                }
            }
            240..680 => {
                self.kind = Kind::Heartbeat;
                self.rssi = Some(-40 - random.between(0, 40) - random.between(0, 12));
                self.battery_tenths = Some(random.between(80, 1_001));
                self.hours_on = Some(random.between(1, 25));
            }
            680..840 => {
                self.kind = Kind::Command;
                self.words = random.below(VERBS.len() as u32) as usize;
                self.latency_tenths = Some(random.between(50, 900) + random.between(0, 900));
                if random.once_in(50) {
                    self.status = "failed";
                }
            }
            840..950 => {
                self.kind = Kind::ApiRequest;
                self.words = random.below(ENDPOINTS.len() as u32) as usize;
                self.endpoint = Some(self.words);
                self.latency_tenths = Some(random.between(30, 400) + random.between(0, 1_200));
                self.status = match random.below(100) {
                    0..3 => "failed",
                    3..5 => "denied",
                    _ => "ok",
                };
            }
            950..980 => {
                self.kind = Kind::Error;
                self.status = "failed";
                self.words = random.below(ERROR_REASONS.len() as u32) as usize;
                self.reason = Some(ERROR_REASONS[self.words]);
            }
            draw if draw >= 1000 - crashes => {
                self.kind = Kind::Crash;
                self.status = "failed";
                self.words = random.below(CRASH_REASONS.len() as u32) as usize;
                self.reason = Some(CRASH_REASONS[self.words]);
            }
            _ => {
                self.kind = Kind::Setting;
                self.words = random.below(SETTINGS.len() as u32) as usize;
            }
        }
    }

    /// Appends the document and a line feed. `hour_text` is the time up to the hour, such as
    /// `2026-10-24T07`.
    pub(crate) fn write(mut self, fleet: &Fleet, hour_text: &str, out: &mut Vec<u8>) {
        let in_hour =
            (self.at_ms - fleet.settings().first_day_ms - i64::from(self.hour) * HOUR_MS) as u32;
        out.extend_from_slice(b"{\"@timestamp\":\"");
        out.extend_from_slice(hour_text.as_bytes());
        out.push(b':');
        json::padded::<2>(out, in_hour / 60_000);
        out.push(b':');
        json::padded::<2>(out, in_hour / 1_000 % 60);
        out.push(b'.');
        json::padded::<3>(out, in_hour % 1_000);
        out.extend_from_slice(b"Z\"");
        json::string(out, "kind", self.kind.as_str());
        out.extend_from_slice(&fleet.devices()[self.device as usize].members);
        json::string(out, "firmware", FIRMWARES[self.firmware]);
        json::string(out, "status", self.status);
        if let Some(reason) = self.reason {
            json::string(out, "reason", reason);
        }
        if let Some(latency) = self.latency_tenths {
            json::key(out, "latency_ms");
            json::tenths(out, latency);
        }
        if let Some(rssi) = self.rssi {
            json::key(out, "rssi");
            json::number(out, rssi);
        }
        if let Some(battery) = self.battery_tenths {
            json::key(out, "battery");
            json::tenths(out, battery);
        }
        if let Some(step) = self.step {
            json::string(out, "step", SETUP_STEPS[step]);
        }
        if let Some(endpoint) = self.endpoint {
            json::string(out, "endpoint", ENDPOINTS[endpoint]);
        }
        if let Some(hours) = self.hours_on {
            json::key(out, "hours_on");
            json::number(out, hours);
        }
        json::key(out, "message");
        out.push(b'"');
        self.write_message(fleet, out);
        out.extend_from_slice(b"\"}\n");
    }

    /// Forty to seventy characters, more where somebody is named.
    fn write_message(&mut self, fleet: &Fleet, out: &mut Vec<u8>) {
        let device = &fleet.devices()[self.device as usize];
        let noun = NOUNS[device.model];
        let milliseconds = self.latency_tenths.unwrap_or(0) / 10;
        let mut text = Text(out);
        match self.kind {
            Kind::Activation => {
                text.words(noun).words(" set up for the first time with firmware ");
                text.words(FIRMWARES[self.firmware]);
            }
            Kind::Connect => {
                text.words(noun)
                    .words(" connected on channel ")
                    .number(1 + i64::from(self.random.below(13)));
                text.words(" in ").number(milliseconds).words(" ms, signal ");
                text.number(self.rssi.unwrap_or(0)).words(" dBm");
            }
            Kind::ConnectFailed => {
                text.words(noun).words(" could not connect: ").words(FAILURE_WORDS[self.words]);
                text.words(", attempt ").number(1 + i64::from(self.random.below(5)));
            }
            Kind::Heartbeat => {
                text.words("heartbeat of ").words(noun).words(" after ");
                text.number(1 + i64::from(self.random.below(400))).words(" hours, ");
                text.number(16 * (1 + i64::from(self.random.below(60)))).words(" KiB free");
            }
            Kind::Command => {
                text.words(noun).words(" did command ").words(VERBS[self.words]).words(" from ");
                text.words(self.random.pick(&SOURCES))
                    .words(" in ")
                    .number(milliseconds)
                    .words(" ms");
            }
            Kind::ApiRequest => {
                text.words("GET ").words(ENDPOINTS[self.words]).words(" answered ");
                text.words(match self.status {
                    "failed" => "503",
                    "denied" => "403",
                    _ => "200",
                });
                text.words(" in ").number(milliseconds).words(" ms");
                // What log lines really look like: now and then somebody is in them.
                if self.random.once_in(100) {
                    text.words(" for ").words(&fleet.users()[device.owner as usize].email);
                }
            }
            Kind::Error => {
                text.words(noun).words(" reports: ").words(ERROR_WORDS[self.words]);
                text.words(", restart ").number(1 + i64::from(self.random.below(9)));
                text.words(" of this week");
            }
            Kind::Setting => {
                text.words("setting ").words(SETTINGS[self.words]).words(" of ").words(noun);
                text.words(" changed from the app");
            }
            Kind::Setup => {
                text.words("new ").words(noun).words(" ");
                text.words(SETUP_WORDS[self.step.unwrap_or(0)]).words(", signal ");
                text.number(-40 - i64::from(self.random.below(40))).words(" dBm");
            }
            Kind::Crash => {
                text.words(noun).words(" crashed and started again: ");
                text.words(CRASH_REASONS[self.words]).words(", up for ");
                text.number(1 + i64::from(self.random.below(300))).words(" hours");
            }
        }
    }
}

struct Text<'a>(&'a mut Vec<u8>);

impl Text<'_> {
    fn words(&mut self, words: &str) -> &mut Self {
        self.0.extend_from_slice(words.as_bytes());
        self
    }

    fn number(&mut self, number: i64) -> &mut Self {
        json::number(self.0, number);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FleetSettings;

    fn fleet() -> Fleet {
        Fleet::new(FleetSettings { devices: 500, events: 60_000, ..FleetSettings::default() })
    }

    #[test]
    fn an_event_is_the_same_wherever_iteration_begins() {
        let fleet = fleet();
        for number in [0, 1, 777, 59_999] {
            let alone = format!("{:?}", fleet.event_at(number));
            let within = fleet.events_in(0..60_000).nth(number as usize).unwrap();
            assert_eq!(alone, format!("{within:?}"));
        }
    }

    #[test]
    fn time_never_falls_and_stays_in_its_hour() {
        let fleet = fleet();
        let mut before = i64::MIN;
        for event in fleet.events_in(0..60_000) {
            assert!(event.at_ms >= before);
            let hour_start = fleet.settings().first_day_ms + i64::from(event.hour) * HOUR_MS;
            assert!((hour_start..hour_start + HOUR_MS).contains(&event.at_ms));
            before = event.at_ms;
        }
    }

    #[test]
    fn nothing_happens_on_a_device_before_it_is_set_up() {
        let fleet = fleet();
        let after_setup = fleet.events_in(0..60_000).filter(|event| event.kind != Kind::Setup);
        for event in after_setup {
            assert!(fleet.devices()[event.device as usize].activated_at <= event.at_ms);
        }
        let activations = fleet.events_in(0..60_000).filter(|event| event.kind == Kind::Activation);
        assert_eq!(activations.count(), 300, "three devices in five");
    }

    #[test]
    fn a_setup_takes_its_steps_in_order_and_some_give_up() {
        let fleet = fleet();
        let mut way: Vec<Vec<usize>> = vec![Vec::new(); 500];
        for event in fleet.events_in(0..60_000) {
            let step = match event.kind {
                Kind::Setup => event.step.unwrap(),
                Kind::Activation => SETUP_STEPS.len(),
                _ => continue,
            };
            way[event.device as usize].push(step);
        }
        let new = way[200..].iter().filter(|way| way.starts_with(&[0, 1, 2, 3])).count();
        assert!(new > 290, "{new} of 300 take all steps");
        let gave_up: usize = way.iter().flatten().filter(|step| **step == 0).count() - new;
        assert!((50..150).contains(&gave_up), "{gave_up} setups of 400 go nowhere");
    }

    #[test]
    fn every_kind_comes_and_messages_are_short() {
        let fleet = fleet();
        let mut seen = [0_u32; 10];
        for event in fleet.events_in(0..60_000) {
            seen[event.kind as usize] += 1;
            let mut message = Vec::new();
            let mut event = event;
            event.write_message(&fleet, &mut message);
            assert!((30..=110).contains(&message.len()), "{} bytes", message.len());
        }
        assert!(seen.iter().all(|&count| count > 100), "{seen:?}");
    }
}
