//! From when until when: what stands in the URL, and the picker that writes it.

use super::link::Link;
use chrono::{DateTime, Months, NaiveDate, NaiveDateTime, Utc};
use maud::{Markup, html};

/// Milliseconds of a minute, an hour, a day.
pub(super) const MINUTE: i64 = 60_000;
pub(super) const HOUR: i64 = 60 * MINUTE;
pub(super) const DAY: i64 = 24 * HOUR;

/// The word for "from the first to the last".
const ALL: &str = "all";

/// Ranges that one click gives: what stands in the URL, and what people call it.
const QUICK: &[(&str, &str)] = &[
    ("now-15m", "Last 15 minutes"),
    ("now-1h", "Last hour"),
    ("now-24h", "Last 24 hours"),
    ("now-7d", "Last 7 days"),
    ("now-30d", "Last 30 days"),
    ("now-90d", "Last 90 days"),
    (ALL, "All time"),
];

/// A range of time, in UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TimeRange {
    /// As it was typed.
    pub(super) from: String,
    /// As it was typed.
    pub(super) to: String,
    /// First and last moment in milliseconds since 1970, the last not included; `None`: all time.
    pub(super) span: Option<(i64, i64)>,
    /// Whether somebody chose it, or it is only where the page begins.
    pub(super) is_chosen: bool,
}

impl TimeRange {
    /// Reads the range out of parameters; `usual` is where `from` begins if nobody chose.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub(super) fn read(
        from: Option<&str>,
        to: Option<&str>,
        usual: &str,
        now_ms: i64,
    ) -> Result<TimeRange, String> {
        let typed = |text: Option<&str>| {
            text.map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let (from, to) = (typed(from), typed(to));
        let is_chosen = from.is_some() || to.is_some();
        let from = from.unwrap_or_else(|| usual.to_owned());
        let to = to.unwrap_or_else(|| "now".to_owned());
        if from == ALL {
            return Ok(TimeRange { from, to: String::new(), span: None, is_chosen });
        }
        let start = moment(&from, now_ms).ok_or_else(|| wrong(&from))?;
        let end = moment(&to, now_ms).ok_or_else(|| wrong(&to))?;
        if start >= end {
            return Err(format!("The time range ends before it begins: {from} to {to}."));
        }
        Ok(TimeRange { from, to, span: Some((start, end)), is_chosen })
    }

    /// A range between two moments.
    pub(super) fn between(start: i64, end: i64) -> TimeRange {
        TimeRange {
            from: typed_moment(start),
            to: typed_moment(end),
            span: Some((start, end)),
            is_chosen: true,
        }
    }

    /// The same range, but from the start of its first day if it is longer than two: half a day
    /// among whole ones looks like a fall.
    pub(super) fn starting_with_its_day(mut self) -> TimeRange {
        if let Some((start, end)) = &mut self.span
            && *end - *start >= 2 * DAY
        {
            *start = start.div_euclid(DAY) * DAY;
        }
        self
    }

    /// What people call it.
    pub(super) fn label(&self) -> String {
        let quick = QUICK.iter().find(|(from, _)| *from == self.from);
        match (quick, self.to.as_str()) {
            (Some((_, label)), "" | "now") => (*label).to_owned(),
            _ => match self.span {
                Some((start, end)) => format!("{} – {}", minute(start), minute(end)),
                None => format!("{} – {}", self.from, self.to),
            },
        }
    }

    /// The link with this range in it.
    pub(super) fn put_into(&self, link: Link) -> Link {
        if !self.is_chosen {
            return link.without("from").without("to");
        }
        let to = if self.to == "now" { "" } else { self.to.as_str() };
        link.with("from", self.from.as_str()).with("to", to)
    }

    /// The picker: quick ranges as links, any other by hand. `here` is the page without a range.
    pub(super) fn picker(&self, here: &Link) -> Markup {
        let base = here.clone().without("from").without("to").without("page");
        let (from, to) = match self.span {
            Some(_) => (self.from.as_str(), self.to.as_str()),
            None => ("", ""),
        };
        html! {
            details.popover data-popover {
                summary.button title="Time range" {
                    (super::icon::clock())
                    span { (self.label()) }
                }
                div.popover-body {
                    ul.choices {
                        @for (from, label) in QUICK {
                            li {
                                a href=(base.clone().with("from", *from))
                                    aria-current=[(*from == self.from).then_some("true")] { (label) }
                            }
                        }
                    }
                    form.stack method="get" action=(base.path()) {
                        @for (name, value) in base.params() {
                            input type="hidden" name=(name) value=(value);
                        }
                        label { span { "From" }
                            input name="from" value=(from) placeholder="2026-11-01 08:00" autocomplete="off" spellcheck="false" required;
                        }
                        label { span { "To" }
                            input name="to" value=(to) placeholder="now" autocomplete="off" spellcheck="false";
                        }
                        p.hint { "UTC. A date, a date with time, or such as " code { "now-36h" } "." }
                        button.button.primary type="submit" { "Apply" }
                    }
                }
            }
        }
    }
}

fn wrong(text: &str) -> String {
    format!(
        "“{text}” is no time. Write a date such as 2026-11-01, a date with time such as \
         2026-11-01 08:00, or a distance such as now-7d."
    )
}

/// Reads one end of a range: `now-7d`, `2026-11-01`, `2026-11-01 08:00`, RFC 3339, milliseconds.
fn moment(text: &str, now_ms: i64) -> Option<i64> {
    if let Some(distance) = text.strip_prefix("now") {
        return relative(distance, now_ms);
    }
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.timestamp_millis());
    }
    let text = text.trim_end_matches('Z').replace('T', " ");
    for format in ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M"] {
        if let Ok(time) = NaiveDateTime::parse_from_str(&text, format) {
            return Some(time.and_utc().timestamp_millis());
        }
    }
    if let Ok(day) = NaiveDate::parse_from_str(&text, "%Y-%m-%d") {
        return Some(day.and_hms_opt(0, 0, 0)?.and_utc().timestamp_millis());
    }
    (text.len() >= 12).then(|| text.parse().ok()).flatten().filter(|&ms| from_ms(ms).is_some())
}

/// `-7d`, `-1h+30m`, `-1d/d`.
fn relative(mut rest: &str, now_ms: i64) -> Option<i64> {
    let mut at = from_ms(now_ms)?;
    while let Some(sign) = rest.chars().next() {
        rest = &rest[sign.len_utf8()..];
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, tail) = rest.split_at(digits);
        let unit = tail.chars().next()?;
        rest = &tail[unit.len_utf8()..];
        at = match sign {
            '/' if digits == 0 => from_ms(round_down(at.timestamp_millis(), unit)?)?,
            '+' | '-' => {
                let number: u32 = if digits == 0 { 1 } else { number.parse().ok()? };
                shift(at, number, unit, sign == '-')?
            }
            _ => return None,
        };
    }
    Some(at.timestamp_millis())
}

fn shift(at: DateTime<Utc>, number: u32, unit: char, back: bool) -> Option<DateTime<Utc>> {
    let months = match unit {
        'M' => Some(number),
        'y' => number.checked_mul(12),
        _ => None,
    };
    if let Some(months) = months.map(Months::new) {
        return if back { at.checked_sub_months(months) } else { at.checked_add_months(months) };
    }
    let distance = i64::from(number).checked_mul(unit_ms(unit)?)?;
    from_ms(at.timestamp_millis().checked_add(if back { -distance } else { distance })?)
}

fn unit_ms(unit: char) -> Option<i64> {
    Some(match unit {
        's' => 1000,
        'm' => MINUTE,
        'h' | 'H' => HOUR,
        'd' => DAY,
        'w' => 7 * DAY,
        _ => return None,
    })
}

fn round_down(ms: i64, unit: char) -> Option<i64> {
    // 1970 began on a Thursday; weeks begin on Monday.
    let offset = if unit == 'w' { 4 * DAY } else { 0 };
    let unit = unit_ms(unit)?;
    Some((ms - offset).div_euclid(unit) * unit + offset)
}

fn from_ms(ms: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(ms)
}

fn written(ms: i64, format: &str) -> String {
    from_ms(ms).map_or_else(|| ms.to_string(), |time| time.format(format).to_string())
}

/// `2026-11-01 08:00`
pub(super) fn minute(ms: i64) -> String {
    written(ms, "%Y-%m-%d %H:%M")
}

/// `2026-11-01 08:00:07.123`
pub(super) fn millisecond(ms: i64) -> String {
    written(ms, "%Y-%m-%d %H:%M:%S%.3f")
}

/// A moment as the picker takes it back, as short as it is exact.
pub(super) fn typed_moment(ms: i64) -> String {
    match ms {
        _ if ms.rem_euclid(DAY) == 0 => written(ms, "%Y-%m-%d"),
        _ if ms.rem_euclid(MINUTE) == 0 => written(ms, "%Y-%m-%dT%H:%M"),
        _ => written(ms, "%Y-%m-%dT%H:%M:%S%.3f"),
    }
}

/// A moment as short as `step` allows: a day, an hour, a second.
pub(super) fn at_step(ms: i64, step: i64) -> String {
    match step {
        _ if step >= DAY => written(ms, "%Y-%m-%d"),
        _ if step >= MINUTE => minute(ms),
        _ => written(ms, "%Y-%m-%d %H:%M:%S"),
    }
}

/// The label of an axis that covers `span` milliseconds.
pub(super) fn tick(ms: i64, span: i64) -> String {
    match span {
        _ if span > 400 * DAY => written(ms, "%b %Y"),
        _ if span > 4 * DAY => written(ms, "%b %-d"),
        _ if span > DAY => written(ms, "%b %-d %H:%M"),
        _ if span > 10 * MINUTE => written(ms, "%H:%M"),
        _ => written(ms, "%H:%M:%S"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_444_245_123; // 2026-11-23T14:30:45.123Z

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let read = moment(text, NOW).map_or_else(|| "no time".to_owned(), millisecond);
        assert_eq!(read, expected, "{text}");
    }

    #[test]
    fn moments() {
        check("now", "2026-11-23 14:30:45.123");
        check("now-7d", "2026-11-16 14:30:45.123");
        check("now-1d/d", "2026-11-22 00:00:00.000");
        check("now/w", "2026-11-23 00:00:00.000");
        check("now-1M", "2026-10-23 14:30:45.123");
        check("now-1h+30m", "2026-11-23 14:00:45.123");
        check("2026-11-01", "2026-11-01 00:00:00.000");
        check("2026-11-01T08:05", "2026-11-01 08:05:00.000");
        check("2026-11-01 08:05:06.5", "2026-11-01 08:05:06.500");
        check("2026-11-01T08:05:06+02:00", "2026-11-01 06:05:06.000");
        check("1795444245123", "2026-11-23 14:30:45.123");
        for wrong in [
            "",
            "yesterday",
            "now-",
            "now-7",
            "now-7x",
            "2026-13-01",
            "now-99999999999d",
            "7",
            "now-é",
        ] {
            if !wrong.is_empty() {
                check(wrong, "no time");
            }
        }
    }

    #[test]
    fn ranges() {
        let read = |from, to| TimeRange::read(from, to, "now-30d", NOW);
        let usual = read(None, None).unwrap();
        assert_eq!((usual.label().as_str(), usual.is_chosen), ("Last 30 days", false));
        assert_eq!(usual.put_into(Link::to("/a")).to_string(), "/a");
        let chosen = read(Some("2026-11-01"), Some("2026-11-02")).unwrap();
        assert_eq!(chosen.label(), "2026-11-01 00:00 – 2026-11-02 00:00");
        assert_eq!(chosen.put_into(Link::to("/a")).to_string(), "/a?from=2026-11-01&to=2026-11-02");
        assert_eq!(read(Some("all"), None).unwrap().span, None);
        assert!(read(Some("now"), Some("now-1d")).unwrap_err().contains("ends before"));
        assert!(read(Some("soon"), None).unwrap_err().contains("“soon”"));
        let (start, end) = chosen.span.unwrap();
        assert_eq!(TimeRange::between(start, end), chosen);
    }
}
