use crate::fleet::REGIONS;
use crate::json;
use crate::random::{Random, Stream};
use crate::words::{FAMILY_END, FAMILY_START, GIVEN, MAIL_DOMAINS, NETWORK_END, NETWORK_START};

/// Somebody who owns devices, all invented.
#[derive(Clone, Debug)]
pub struct User {
    /// Account id, the `_id` in the table `users`.
    pub id: String,
    /// First and family name.
    pub name: String,
    /// E-mail address under a domain reserved for examples.
    pub email: String,
    /// Telephone number out of a range reserved for fiction.
    pub phone: String,
    /// Name of the WiFi at home.
    pub ssid: String,
    /// Address the user's devices call from (out of 100.64.0.0/10, which nobody owns).
    pub ip: String,
    /// Place in [`REGIONS`].
    pub region: usize,
    /// Token of a linked voice assistant, for about one user in eight.
    pub voice_token: Option<String>,
    /// `free` or `plus`.
    pub plan: &'static str,
    /// When the account was made, milliseconds since 1970.
    pub created_at: i64,
}

const HEX: &[u8] = b"0123456789abcdef";
const TOKEN: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

impl User {
    pub(crate) fn invent(seed: u64, number: u32, first_day_ms: i64) -> User {
        let mut random = Random::of(seed, Stream::User, u64::from(number));
        let mut id = String::from("usr-");
        random.spell(HEX, 4, &mut id);
        // The number makes the id unique; the hexadecimal before it makes it look like one.
        id.push_str(&format!("{number:06x}"));

        let given = random.pick(GIVEN);
        let family = format!("{}{}", random.pick(FAMILY_START), random.pick(FAMILY_END));
        let email = format!(
            "{}.{}{}@{}",
            given.to_lowercase(),
            family.to_lowercase(),
            number,
            random.pick(MAIL_DOMAINS)
        );
        let phone = format!("+1 {} 555 01{:02}", 200 + random.below(700), random.below(100));
        let mut ssid = format!("{}{}-", random.pick(NETWORK_START), random.pick(NETWORK_END));
        random.spell(HEX, 4, &mut ssid);
        let host = (number.wrapping_mul(2_654_435) ^ random.below(64)) & 0x3f_ffff;
        let ip = format!("100.{}.{}.{}", 64 + (host >> 16), (host >> 8) & 255, host & 255);
        let voice_token = random.once_in(8).then(|| {
            let mut token = String::from("Atza|");
            random.spell(TOKEN, 96, &mut token);
            token
        });
        let created_at =
            first_day_ms - random.between(0, 400) * 86_400_000 - random.between(0, 86_400_000);
        User {
            id,
            name: format!("{given} {family}"),
            email,
            phone,
            ssid,
            ip,
            region: weighted_region(&mut random),
            voice_token,
            plan: if random.once_in(5) { "plus" } else { "free" },
            created_at,
        }
    }

    /// Appends the action line and the document for the table `users`.
    pub(crate) fn write_bulk(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"index\":{\"_id\":\"");
        out.extend_from_slice(self.id.as_bytes());
        out.extend_from_slice(b"\"}}\n{\"user_id\":\"");
        out.extend_from_slice(self.id.as_bytes());
        out.push(b'"');
        json::string(out, "name", &self.name);
        json::string(out, "email", &self.email);
        json::string(out, "phone", &self.phone);
        json::string(out, "ssid", &self.ssid);
        json::string(out, "region", REGIONS[self.region]);
        json::string(out, "plan", self.plan);
        json::key(out, "created_at");
        json::number(out, self.created_at);
        if let Some(token) = &self.voice_token {
            json::key(out, "integration");
            out.extend_from_slice(b"{\"provider\":\"voice\"");
            json::string(out, "access_token", token);
            out.push(b'}');
        }
        out.extend_from_slice(b"}\n");
    }
}

fn weighted_region(random: &mut Random) -> usize {
    const SHARES: [u32; REGIONS.len()] = [30, 24, 18, 14, 9, 5];
    let mut left = random.below(SHARES.iter().sum());
    for (place, share) in SHARES.iter().enumerate() {
        if left < *share {
            return place;
        }
        left -= share;
    }
    0
}
