use super::checks;
use super::views;
use hashbrown::{HashMap, HashSet};
use model::FieldType;
use std::net::IpAddr;
use std::sync::LazyLock;

/// What may stand in the clear beside a personal or special value: the part of it that very many
/// people share. Pure: it depends on the value alone.
///
/// ```
/// use protection::classify::Companion;
/// let domain = Companion::of("email").expect("e-mail has a companion");
/// assert_eq!(domain.suffix, "domain");
/// assert_eq!(domain.value("ada@gmail.com").as_deref(), Some("gmail.com"));
/// assert_eq!(domain.value("ada@lovelace.family").as_deref(), Some("other"));
/// ```
///
/// Each is chosen so that its value alone does not single somebody out; why, and where that ends,
/// stands in `docs/decisions/0009-companions-say-what-many-share.md`.
#[derive(Debug)]
pub struct Companion {
    /// The kind of value it belongs to.
    pub kind: &'static str,
    /// Its name below the field: `email` has the companion `email.domain`.
    pub suffix: &'static str,
    /// What it holds.
    pub ty: FieldType,
    make: fn(&str) -> Option<String>,
    is_told: fn(&str) -> bool,
}

/// What is too rare to be named.
const OTHER: &str = "other";
/// The maker of an address that was drawn by a device for itself.
const DRAWN: &str = "random";

const COMPANIONS: [Companion; 5] = [
    Companion {
        kind: "email",
        suffix: "domain",
        ty: FieldType::Keyword,
        make: domain,
        is_told: is_domain,
    },
    Companion {
        kind: "ip",
        suffix: "network",
        ty: FieldType::Keyword,
        make: network,
        is_told: is_network,
    },
    Companion {
        kind: "mac",
        suffix: "maker",
        ty: FieldType::Keyword,
        make: maker,
        is_told: is_maker,
    },
    Companion { kind: "birth", suffix: "year", ty: FieldType::Long, make: year, is_told: is_year },
    Companion {
        kind: "position",
        suffix: "place",
        ty: FieldType::Keyword,
        make: place,
        is_told: is_place,
    },
];

impl Companion {
    /// The companion of fields of this kind, if there is one.
    pub fn of(kind: &str) -> Option<&'static Companion> {
        const ALL: &[Companion] = &COMPANIONS;
        ALL.iter().find(|companion| companion.kind == kind)
    }

    /// What is shown of `value`; `None` if it is no value of its kind. Decimal digits if the type
    /// is [`FieldType::Long`].
    pub fn value(&self, value: &str) -> Option<String> {
        (self.make)(views::plain_value(self.kind, value.trim()).trim())
    }

    /// Whether `told` is something that [`Companion::value`] says: nothing else is kept in the
    /// field of a companion.
    pub fn is_told(&self, told: &str) -> bool {
        (self.is_told)(told)
    }
}

static PROVIDERS: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    let lines = include_str!("rules/providers.txt").lines();
    lines.filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace).collect()
});

static MAKERS: LazyLock<HashMap<u32, &str>> = LazyLock::new(|| {
    let mut makers = HashMap::new();
    for line in include_str!("rules/makers.txt").lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split(' ');
        let Some(maker) = words.next() else { continue };
        makers
            .extend(words.filter_map(|block| Some((u32::from_str_radix(block, 16).ok()?, maker))));
    }
    makers
});

/// The provider, if very many have an address there.
fn domain(email: &str) -> Option<String> {
    let (_, domain) = email.rsplit_once('@')?;
    let domain = domain.trim_end_matches(['.', '>']).to_ascii_lowercase();
    if domain.is_empty() {
        return None;
    }
    let known = PROVIDERS.get(domain.as_str());
    Some(known.map_or(OTHER, |domain| *domain).to_owned())
}

fn is_domain(told: &str) -> bool {
    told == OTHER || PROVIDERS.contains(told)
}

/// 256 neighbours of an IPv4 address; of an IPv6 address what one provider was given. Without the
/// zeros behind it, which would be somebody's address.
fn network(ip: &str) -> Option<String> {
    Some(match checks::ip_of(ip)? {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            format!("{a}.{b}.{c}/24")
        }
        IpAddr::V6(address) => {
            let [a, b, ..] = address.segments();
            format!("{a:x}:{b:x}/32")
        }
    })
}

fn is_network(told: &str) -> bool {
    told.split_once('/').is_some_and(|(start, _)| {
        [format!("{start}.0"), format!("{start}::")]
            .iter()
            .any(|ip| network(ip).as_deref() == Some(told))
    })
}

/// Who made the network part; `random` if the address was drawn.
fn maker(mac: &str) -> Option<String> {
    let is_part = |c: char| c.is_ascii_hexdigit() || ":-.".contains(c);
    let digits: String = mac.chars().filter(char::is_ascii_hexdigit).collect();
    if !matches!(digits.len(), 12 | 16) || !mac.chars().all(is_part) {
        return None;
    }
    let block = u32::from_str_radix(&digits[..6], 16).ok()?;
    // The second lowest bit of the first octet: locally administered (IEEE 802).
    let is_drawn = block & 0x02_0000 != 0;
    let known = if is_drawn { DRAWN } else { MAKERS.get(&block).copied().unwrap_or(OTHER) };
    Some(known.to_ascii_lowercase())
}

fn is_maker(told: &str) -> bool {
    matches!(told, OTHER | DRAWN) || MAKERS.values().any(|maker| maker.eq_ignore_ascii_case(told))
}

/// The first year that is told: those who are older are few.
const YEAR_MIN: u32 = 1940;

/// The year of a date of birth; all before 1940 are 1940.
fn year(birth: &str) -> Option<String> {
    let numbers = birth.split(|c: char| !c.is_ascii_digit()).filter(|part| part.len() == 4);
    let year = numbers
        .filter_map(|part| part.parse::<u32>().ok())
        .find(|year| (1880..2200).contains(year))?;
    Some(year.max(YEAR_MIN).to_string())
}

fn is_year(told: &str) -> bool {
    year(told).as_deref() == Some(told)
}

/// The cell of one degree of latitude and longitude (about 111 by at most 111 km), by its
/// south-western corner.
fn place(position: &str) -> Option<String> {
    let bare = position.trim_start_matches("geo:").trim_matches(['(', ')', '[', ']', ' ']);
    let (lat, lon) = bare.split_once([',', ';', ' '])?;
    let degrees = |text: &str, most: f64| {
        let value: f64 = text.trim().parse().ok()?;
        (value.abs() <= most).then(|| value.floor() as i32)
    };
    Some(format!("{},{}", degrees(lat, 90.0)?, degrees(lon, 180.0)?))
}

fn is_place(told: &str) -> bool {
    place(told).as_deref() == Some(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: &str, value: &str, expected: Option<&str>) {
        let companion = Companion::of(kind).unwrap();
        assert_eq!(companion.value(value).as_deref(), expected, "{value}");
        assert!(!companion.is_told(value) && expected.is_none_or(|told| companion.is_told(told)));
    }

    #[test]
    fn only_what_many_share_is_told() {
        check("email", "Ada@GMAIL.com ", Some("gmail.com"));
        check("email", "ada%40gmail.com", Some("gmail.com"));
        check("email", "ada@lovelace.family", Some("other"));
        check("email", "ada@gmail.com.lovelace.family", Some("other"));
        check("email", "a@b@gmail.com", Some("gmail.com"));
        check("email", "nobody", None);
        check("ip", "83.149.9.216", Some("83.149.9/24"));
        check("ip", "[2001:db8:1:2::7]:443", Some("2001:db8/32"));
        check("ip", "::ffff:83.149.9.216", Some("83.149.9/24"));
        check("ip", "gateway.local", None);
        check("mac", "B8:27:EB:12:34:56", Some("raspberry"));
        check("mac", "b827.eb12.3456", Some("raspberry"));
        check("mac", "da:a1:19:00:00:01", Some("random"));
        check("mac", "00:00:5e:00:53:01", Some("other"));
        check("mac", "unknown", None);
        check("birth", "1984-05-07", Some("1984"));
        check("birth", "1984-05-07T00:00:00Z", Some("1984"));
        check("birth", "7.5.1984", Some("1984"));
        check("birth", "1921-01-01", Some("1940"));
        check("birth", "spring", None);
        check("position", "52.5163,13.3777", Some("52,13"));
        check("position", "-33.86, 151.21", Some("-34,151"));
        check("position", "100.0,13.0", None);
        assert!(Companion::of("name").is_none() && Companion::of("phone").is_none());
    }

    #[test]
    fn the_lists_are_read_to_the_end() {
        for line in include_str!("rules/makers.txt").lines().filter(|line| !line.starts_with('#')) {
            let mut words = line.split(' ');
            let maker = words.next().unwrap().to_lowercase();
            for block in words {
                let mac = format!("{block}000001");
                let drawn = u32::from_str_radix(block, 16).unwrap() & 0x02_0000 != 0;
                assert!(!drawn, "{block} is no block of a maker");
                check("mac", &mac, Some(&maker));
            }
        }
    }

    #[test]
    fn a_companion_never_grows_finer_than_its_cell() {
        use proptest::prelude::*;
        use std::net::Ipv4Addr;
        proptest!(|(a: u32, b: u32)| {
            let (one, two) = (Ipv4Addr::from(a), Ipv4Addr::from(b));
            let same = a >> 8 == b >> 8;
            prop_assert_eq!(network(&one.to_string()) == network(&two.to_string()), same);
        });
        proptest!(|(lat in -90.0..90.0_f64, lon in -180.0..180.0_f64)| {
            let told = place(&format!("{lat:.6},{lon:.6}")).unwrap();
            prop_assert!(!told.contains('.') && told.len() <= 8, "{}", told);
        });
        proptest!(|(text in ".{0,40}")| {
            for companion in &COMPANIONS {
                if let Some(told) = companion.value(&text) {
                    prop_assert!(told.len() <= 32 && companion.is_told(&told));
                }
            }
        });
    }
}
