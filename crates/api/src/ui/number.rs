//! Numbers as people read them.

/// With a comma between thousands.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes with three digits that matter.
pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut size = bytes as f64 / 1000.0;
    let mut unit = 0;
    while size >= 999.5 && unit + 1 < UNITS.len() {
        size /= 1000.0;
        unit += 1;
    }
    let digits = if size < 9.995 { 2 } else { usize::from(size < 99.95) };
    format!("{size:.digits$} {}", UNITS[unit])
}

/// A number of a metric or a document: whole ones with commas, others with four digits that matter.
pub(super) fn plain(number: f64) -> String {
    if !number.is_finite() {
        return "–".to_owned();
    }
    let sign = if number < 0.0 { "−" } else { "" };
    let size = number.abs();
    if size.fract() == 0.0 && size < 1e15 {
        return format!("{sign}{}", count(size as u64));
    }
    if size >= 1000.0 {
        return format!("{sign}{}", count(size.round() as u64));
    }
    let digits = match size {
        _ if size >= 100.0 => 1,
        _ if size >= 10.0 => 2,
        _ if size >= 1.0 => 3,
        _ => 4,
    };
    let text = format!("{size:.digits$}");
    format!("{sign}{}", text.trim_end_matches('0').trim_end_matches('.'))
}

/// A share as a percentage.
pub(super) fn percent(share: f64) -> String {
    if !share.is_finite() {
        return "–".to_owned();
    }
    format!("{:.1} %", share * 100.0)
}

/// How much more or less a number is than one before.
pub(super) fn change(before: f64, now: f64) -> String {
    if before == 0.0 || !before.is_finite() || !now.is_finite() {
        return "–".to_owned();
    }
    let share = (now - before) / before.abs() * 100.0;
    let sign = if share < 0.0 { "−" } else { "+" };
    let digits = usize::from(share.abs() < 99.95);
    format!("{sign}{:.digits$} %", share.abs())
}

/// `1 row`, `2 rows`.
pub(super) fn of(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_807_201_457), "1,807,201,457");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(12_345), "12.3 kB");
        assert_eq!(bytes(999_960), "1.00 MB");
        assert_eq!(bytes(152_000_000), "152 MB");
        assert_eq!(plain(1234.0), "1,234");
        assert_eq!(plain(-0.12345), "−0.1235");
        assert_eq!(plain(23.456), "23.46");
        assert_eq!(plain(0.5), "0.5");
        assert_eq!(plain(2.000_001), "2");
        assert_eq!(plain(f64::NAN), "–");
        assert_eq!(percent(0.3456), "34.6 %");
        assert_eq!(of(1, "row", "rows"), "1 row");
        assert_eq!(change(200.0, 150.0), "−25.0 %");
        assert_eq!(change(1.0, 3.5), "+250 %");
        assert_eq!(change(0.0, 3.5), "–");
    }
}
