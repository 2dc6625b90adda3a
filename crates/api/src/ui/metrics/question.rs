//! What the URL of a metric's page asks, and how the engine is asked.

use super::declared::Declared;
use crate::ui::link::Link;
use crate::ui::time_range::TimeRange;
use model::{Clock, SystemClock, Timestamp};
use serde_json::{Map, Value, json};

/// The parameters of a metric's page.
pub(in crate::ui) const PARAMS: &[&str] =
    &["grain", "by", "from", "to", "where", "chart", "compare", "dimension", "value"];

/// How long a step of time is.
pub(super) const GRAINS: &[&str] = &["hour", "day", "week", "month"];
/// Not split at all.
pub(super) const NONE: &str = "none";
/// Where the range begins if nobody chose.
const USUAL_FROM: &str = "now-30d";

/// The page of a metric.
pub(in crate::ui) fn link_to(name: &str) -> Link {
    Link::to("/_ui/metrics").part(name)
}

/// How numbers are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ui) enum Chart {
    /// A line for each group.
    Line,
    /// Bars, one group upon the other.
    Bars,
    /// The newest number alone.
    Number,
    /// No drawing.
    Table,
}

impl Chart {
    /// The chart with this word; lines if there is none.
    pub(in crate::ui) fn parse(word: &str) -> Chart {
        match word {
            "bars" => Chart::Bars,
            "number" => Chart::Number,
            "table" => Chart::Table,
            _ => Chart::Line,
        }
    }

    /// The word in the URL; none for what is usual.
    pub(in crate::ui) fn word(self) -> &'static str {
        match self {
            Chart::Line => "",
            Chart::Bars => "bars",
            Chart::Number => "number",
            Chart::Table => "table",
        }
    }
}

/// Another stretch of time that numbers are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ui) enum Compare {
    /// The one just before, as long.
    Previous,
    /// The same of the year before.
    Year,
}

impl Compare {
    /// The comparison with this word.
    pub(in crate::ui) fn parse(word: &str) -> Option<Compare> {
        match word {
            "previous" => Some(Compare::Previous),
            "year" => Some(Compare::Year),
            _ => None,
        }
    }

    /// The word in the URL.
    pub(in crate::ui) fn word(self) -> &'static str {
        match self {
            Compare::Previous => "previous",
            Compare::Year => "year",
        }
    }

    /// What people call the other stretch.
    pub(in crate::ui) fn name(self) -> &'static str {
        match self {
            Compare::Previous => "period before",
            Compare::Year => "year before",
        }
    }
}

/// What is asked of a metric.
#[derive(Clone)]
pub(in crate::ui) struct MetricQuestion {
    pub(in crate::ui) name: String,
    /// `None`: as declared.
    pub(in crate::ui) grain: Option<String>,
    /// By which dimensions it is split.
    pub(in crate::ui) by: Vec<String>,
    /// Whether somebody chose how it is split.
    pub(super) by_is_chosen: bool,
    pub(in crate::ui) range: TimeRange,
    /// Dimensions that must have these values.
    pub(in crate::ui) filters: Vec<(String, String)>,
    pub(in crate::ui) chart: Chart,
    pub(in crate::ui) compare: Option<Compare>,
}

impl MetricQuestion {
    /// A metric as a whole over the usual range, a number a day.
    pub(in crate::ui) fn usual(metric: &Declared) -> MetricQuestion {
        let mut question = MetricQuestion::read(metric, &[]).expect("the usual range is one");
        question.grain = Some("day".to_owned());
        question.by = Vec::new();
        question.by_is_chosen = true;
        question
    }

    /// What an alert looks at, with its filters as `dimension:value`.
    pub(in crate::ui) fn of_alert(
        metric: &Declared,
        filters: &[String],
        alert: &Value,
    ) -> MetricQuestion {
        let by = alert["by"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let filters = filters.iter().filter_map(|text| text.split_once(':'));
        MetricQuestion {
            grain: alert["grain"].as_str().map(str::to_owned),
            by: by.map(str::to_owned).collect(),
            filters: filters.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            ..MetricQuestion::usual(metric)
        }
    }

    /// Reads the parameters of a URL.
    ///
    /// # Errors
    /// What is wrong with the range of time, for people.
    pub(in crate::ui) fn read(
        metric: &Declared,
        params: &[(String, String)],
    ) -> Result<MetricQuestion, String> {
        let param = |name: &str| {
            let last = params.iter().rev().find(|(key, _)| key == name);
            last.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
        };
        let now = SystemClock.now().0;
        let range = TimeRange::read(param("from"), param("to"), USUAL_FROM, now)?;
        let chosen = param("by");
        let by = match chosen {
            Some(NONE) => Vec::new(),
            Some(by) => by.split(',').map(str::trim).map(str::to_owned).collect(),
            None => metric.dimensions.first().cloned().into_iter().collect(),
        };
        let filters = params.iter().filter(|(name, _)| name == "where");
        let mut filters: Vec<(String, String)> = filters
            .filter_map(|(_, text)| text.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        // What the form for a further filter sends.
        if let Some((name, value)) = param("dimension").zip(param("value")) {
            filters.push((name.to_owned(), value.to_owned()));
        }
        Ok(MetricQuestion {
            name: metric.name.clone(),
            grain: param("grain").map(str::to_owned),
            by,
            by_is_chosen: chosen.is_some(),
            range: range.starting_with_its_day(),
            filters,
            chart: Chart::parse(param("chart").unwrap_or("")),
            compare: param("compare").and_then(Compare::parse),
        })
    }

    /// The URL of this question.
    pub(in crate::ui) fn link(&self) -> Link {
        self.put_into(link_to(&self.name))
    }

    /// The link with this question in it.
    pub(in crate::ui) fn put_into(&self, link: Link) -> Link {
        let mut link = link.with("grain", self.grain.clone().unwrap_or_default());
        if self.by_is_chosen {
            let by = if self.by.is_empty() { NONE.to_owned() } else { self.by.join(",") };
            link = link.with("by", by);
        }
        for (name, value) in &self.filters {
            link = link.and("where", format!("{name}:{value}"));
        }
        let compare = self.compare.map_or("", Compare::word);
        self.range.put_into(link.with("chart", self.chart.word()).with("compare", compare))
    }

    /// The URL of this question for one group alone.
    pub(super) fn only_link(&self, group: &[String]) -> Option<Link> {
        let is_known = group.len() == self.by.len() && !group.iter().any(|name| name == "(none)");
        is_known.then(|| {
            self.by.iter().zip(group).fold(self.link(), |link, (name, value)| {
                link.and("where", format!("{name}:{value}"))
            })
        })
    }

    /// As the engine is asked.
    pub(in crate::ui) fn body(&self) -> Value {
        let mut body = Map::new();
        if let Some(grain) = &self.grain {
            body.insert("grain".to_owned(), json!(grain));
        }
        if let Some((start, end)) = self.range.span {
            body.insert("from".to_owned(), json!(Timestamp(start).to_rfc3339()));
            body.insert("to".to_owned(), json!(Timestamp(end).to_rfc3339()));
        }
        if !self.by.is_empty() {
            body.insert("dimensions".to_owned(), json!(self.by));
        }
        let mut filters = Map::new();
        for (name, value) in &self.filters {
            let values = filters.entry(name.clone()).or_insert_with(|| json!([]));
            if let Some(values) = values.as_array_mut() {
                values.push(json!(value));
            }
        }
        if !filters.is_empty() {
            body.insert("filters".to_owned(), Value::Object(filters));
        }
        Value::Object(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_says_everything() {
        let declared = json!({ "name": "rate", "type": "ratio", "dimensions": ["model"] });
        let metric = Declared::read(&declared).unwrap();
        let params = |text: &str| crate::request::read_params(text).unwrap();
        let url = "grain=week&by=region&where=model:a&from=now-7d&chart=bars&compare=year";
        let question = MetricQuestion::read(&metric, &params(url)).unwrap();
        let link = question.link().to_string();
        assert_eq!(
            link,
            "/_ui/metrics/rate?grain=week&by=region&where=model:a&chart=bars&compare=year&from=now-7d"
        );
        let again =
            MetricQuestion::read(&metric, &params(link.split_once('?').unwrap().1)).unwrap();
        assert_eq!(again.link().to_string(), link);
        let usual = MetricQuestion::read(&metric, &[]).unwrap();
        assert_eq!(
            (usual.by.as_slice(), usual.link().to_string().as_str()),
            (["model".to_owned()].as_slice(), "/_ui/metrics/rate")
        );
        let added = MetricQuestion::read(&metric, &params("dimension=model&value=b:c")).unwrap();
        assert_eq!(added.filters, [("model".to_owned(), "b:c".to_owned())]);
        assert!(MetricQuestion::read(&metric, &params("from=soon")).is_err());
    }
}
