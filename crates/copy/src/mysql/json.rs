//! JSON of MySQL's binary log, member for member as the server prints it in a result.

use mysql_async::binlog::jsonb::{JsonDom, JsonNumber, JsonScalar, ObjectKey, Value};
use std::io;

/// The text of a value.
pub(super) fn text_of(json: &Value<'_>) -> io::Result<String> {
    let mut text = String::new();
    write(json, &mut text)?;
    Ok(text)
}

fn write(json: &Value<'_>, out: &mut String) -> io::Result<()> {
    match json {
        Value::SmallArray(array) => write_array(array.iter(), out),
        Value::LargeArray(array) => write_array(array.iter(), out),
        Value::SmallObject(object) => write_object(object.iter(), out),
        Value::LargeObject(object) => write_object(object.iter(), out),
        one => {
            match one.clone().parse()? {
                // An exact number stays one: the library would make a text of it.
                JsonDom::Scalar(JsonScalar::Number(JsonNumber::Decimal(number))) => {
                    out.push_str(&number.to_string());
                }
                other => out.push_str(&serde_json::Value::from(other).to_string()),
            }
            Ok(())
        }
    }
}

fn write_array<'a>(
    values: impl Iterator<Item = io::Result<Value<'a>>>,
    out: &mut String,
) -> io::Result<()> {
    out.push('[');
    for (place, value) in values.enumerate() {
        if place > 0 {
            out.push_str(", ");
        }
        write(&value?, out)?;
    }
    out.push(']');
    Ok(())
}

fn write_object<'a>(
    members: impl Iterator<Item = io::Result<(ObjectKey<'a>, Value<'a>)>>,
    out: &mut String,
) -> io::Result<()> {
    out.push('{');
    for (place, member) in members.enumerate() {
        let (key, value) = member?;
        if place > 0 {
            out.push_str(", ");
        }
        out.push_str(&serde_json::Value::from(key.value()).to_string());
        out.push_str(": ");
        write(&value, out)?;
    }
    out.push('}');
    Ok(())
}
