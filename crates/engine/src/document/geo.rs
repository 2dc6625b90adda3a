//! Positions: an object with `lat` and `lon`, a text `lat,lon` or `POINT (lon lat)`, or an array
//! `[lon, lat]`. All become the text `lat,lon`.

use super::reader::{Reader, refuse};
use model::FieldId;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

const NO_POSITION: &str =
    "a position is an object with lat and lon, a text `lat,lon` or an array [lon, lat]";

/// Reads a position that was written as text.
pub(super) fn parse_point(text: &str) -> Result<String, &'static str> {
    let well_known = text.strip_prefix("POINT").and_then(|rest| {
        let (lon, lat) =
            rest.trim().strip_prefix('(')?.strip_suffix(')')?.trim().split_once(' ')?;
        Some((lat, lon))
    });
    let (lat, lon) = well_known.or_else(|| text.split_once(',')).ok_or(NO_POSITION)?;
    let number = |text: &str| text.trim().parse::<f64>().map_err(|_| NO_POSITION);
    write_point(number(lat)?, number(lon)?)
}

fn write_point(lat: f64, lon: f64) -> Result<String, &'static str> {
    if !(-90.0..=90.0).contains(&lat) || !(-180.0..=180.0).contains(&lon) {
        return Err("latitude goes from -90 to 90 and longitude from -180 to 180");
    }
    Ok(format!("{lat},{lon}"))
}

/// The value of a geo_point field that is an object.
pub(super) fn read_object<'de, A: MapAccess<'de>>(
    reader: &mut Reader<'de, '_>,
    id: FieldId,
    mut map: A,
) -> Result<(), A::Error> {
    let mut lat = None;
    let mut lon = None;
    while let Some(key) = map.next_key::<Key>()? {
        match key {
            Key::Lat => lat = map.next_value::<Degrees>()?.0,
            Key::Lon => lon = map.next_value::<Degrees>()?.0,
            Key::Other => {
                map.next_value::<IgnoredAny>()?;
                return Err(refuse(reader, id, NO_POSITION));
            }
        }
    }
    put(reader, id, lat, lon)
}

/// The value of a geo_point field that is an array: one position as two numbers, or many.
pub(super) fn read_array<'de, A: SeqAccess<'de>>(
    reader: &mut Reader<'de, '_>,
    id: FieldId,
    mut seq: A,
) -> Result<(), A::Error> {
    let before = reader.open_array();
    let mut numbers = Vec::new();
    let mut items = 0;
    while let Some(item) = seq.next_element_seed(Item { reader: &mut *reader, id })? {
        items += 1;
        if let Some(number) = item {
            numbers.push(number);
        }
        if numbers.len() > 3 {
            break;
        }
    }
    match (items, numbers.as_slice()) {
        (_, []) => {
            reader.close_array(items);
            Ok(())
        }
        (2, [lon, lat]) | (3, [lon, lat, _]) => {
            reader.forget_array(before);
            put(reader, id, Some(*lat), Some(*lon))
        }
        _ => Err(refuse(reader, id, NO_POSITION)),
    }
}

fn put<E: Error>(
    reader: &mut Reader<'_, '_>,
    id: FieldId,
    lat: Option<f64>,
    lon: Option<f64>,
) -> Result<(), E> {
    let point = lat.zip(lon).ok_or(NO_POSITION).and_then(|(lat, lon)| write_point(lat, lon));
    match point {
        Ok(point) => {
            reader.put_text(id, &point);
            Ok(())
        }
        Err(why) => Err(refuse(reader, id, why)),
    }
}

/// One element: a number to collect, or a position that was put.
struct Item<'r, 'de, 'b> {
    reader: &'r mut Reader<'de, 'b>,
    id: FieldId,
}

impl<'de> DeserializeSeed<'de> for Item<'_, 'de, '_> {
    type Value = Option<f64>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<f64>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Item<'_, 'de, '_> {
    type Value = Option<f64>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a position")
    }
    fn visit_i64<E: Error>(self, value: i64) -> Result<Option<f64>, E> {
        Ok(Some(value as f64))
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<Option<f64>, E> {
        Ok(Some(value as f64))
    }
    fn visit_f64<E: Error>(self, value: f64) -> Result<Option<f64>, E> {
        Ok(Some(value))
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<Option<f64>, E> {
        match parse_point(text) {
            Ok(point) => self.reader.put_text(self.id, &point),
            Err(why) => return Err(refuse(self.reader, self.id, why)),
        }
        Ok(None)
    }
    fn visit_bool<E: Error>(self, _: bool) -> Result<Option<f64>, E> {
        Err(refuse(self.reader, self.id, NO_POSITION))
    }
    fn visit_unit<E: Error>(self) -> Result<Option<f64>, E> {
        self.reader.put_null();
        Ok(None)
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Option<f64>, A::Error> {
        read_object(self.reader, self.id, map).map(|()| None)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Option<f64>, A::Error> {
        read_array(self.reader, self.id, seq).map(|()| None)
    }
}

enum Key {
    Lat,
    Lon,
    Other,
}

impl<'de> serde::Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Key, D::Error> {
        struct KeyVisitor;
        impl Visitor<'_> for KeyVisitor {
            type Value = Key;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("lat or lon")
            }
            fn visit_str<E: Error>(self, key: &str) -> Result<Key, E> {
                Ok(match key {
                    "lat" => Key::Lat,
                    "lon" => Key::Lon,
                    _ => Key::Other,
                })
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

/// A number, also as text; `None` for anything else.
struct Degrees(Option<f64>);

impl<'de> serde::Deserialize<'de> for Degrees {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Degrees, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        Ok(Degrees(value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_as_text() {
        assert_eq!(parse_point("41.12,-71.34").as_deref(), Ok("41.12,-71.34"));
        assert_eq!(parse_point("POINT (-71.34 41.12)").as_deref(), Ok("41.12,-71.34"));
        for text in ["", "41.12", "a,b", "91,0", "0,181", "NaN,0", "drm3btev3e86"] {
            assert!(parse_point(text).is_err(), "{text}");
        }
    }
}
