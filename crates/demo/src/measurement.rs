use crate::fleet::Fleet;
use crate::json;
use crate::random::{Random, Stream};

/// Tenths; what a tester is like before the day-to-day changes.
struct Body {
    weight: i64,
    height_cm: i64,
    fat: i64,
    heart_rate: i64,
    gender: &'static str,
    birth_year: i64,
    birth_month: i64,
    birth_day: i64,
}

impl Fleet {
    /// How many documents the table `measurements` gets: one for each tester and day.
    pub(crate) fn measurement_count(&self) -> u64 {
        self.testers().len() as u64 * u64::from(self.settings().days)
    }

    /// Appends the action line and document number `number` of the table `measurements`.
    pub(crate) fn write_measurement(&self, number: u64, out: &mut Vec<u8>) {
        let testers = self.testers().len() as u64;
        let (day, tester) = (number / testers, number % testers);
        let user = &self.users()[tester as usize];
        let body = self.body(tester);
        let mut random = Random::of(self.settings().seed, Stream::Measurement, number);
        let at = self.day_start(day as u32) + random.between(18_000_000, 36_000_000);
        out.extend_from_slice(b"{\"create\":{}}\n{\"@timestamp\":");
        json::number(out, at);
        json::string(out, "user_id", &user.id);
        json::string(out, "model", "scale-1");
        json::string(out, "region", crate::REGIONS[user.region]);
        json::key(out, "weight_kg");
        json::tenths(out, body.weight + random.between(-15, 16));
        json::key(out, "height_cm");
        json::number(out, body.height_cm);
        json::key(out, "body_fat_percent");
        json::tenths(out, body.fat + random.between(-8, 9));
        json::key(out, "heart_rate");
        json::number(out, body.heart_rate + random.between(-9, 10));
        json::string(out, "gender", body.gender);
        json::key(out, "birth_date");
        out.push(b'"');
        json::padded::<4>(out, body.birth_year as u32);
        out.push(b'-');
        json::padded::<2>(out, body.birth_month as u32);
        out.push(b'-');
        json::padded::<2>(out, body.birth_day as u32);
        out.extend_from_slice(b"\"}\n");
    }

    fn body(&self, tester: u64) -> Body {
        // Far above the numbers of single measurements, so that the draws do not meet.
        let mut random = Random::of(self.settings().seed, Stream::Measurement, u64::MAX - tester);
        Body {
            weight: random.between(480, 1_120),
            height_cm: random.between(150, 200),
            fat: random.between(120, 380),
            heart_rate: random.between(52, 90),
            gender: random.pick(&["female", "male", "other", "female", "male"]),
            birth_year: random.between(1950, 2004),
            birth_month: random.between(1, 13),
            birth_day: random.between(1, 29),
        }
    }
}
