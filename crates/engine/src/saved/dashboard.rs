//! What a dashboard is made of.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// So many panels; each is a question.
const PANELS_MAX: usize = 24;
/// So many variables.
const VARIABLES_MAX: usize = 8;
/// Longest text of any kind, in bytes.
const TEXT_BYTES_MAX: usize = 400;
/// How wide a panel may be, in twelfths of the page.
const WIDTHS: [u8; 5] = [3, 4, 6, 8, 12];
/// How wide a panel is if nobody says.
const WIDTH_USUAL: u8 = 6;
/// How a metric may be drawn.
const CHARTS: [&str; 4] = ["line", "bars", "number", "table"];
/// How a search may be shown.
const SHOWS: [&str; 3] = ["histogram", "rows", "count"];
/// What another period a metric may be compared with.
const COMPARED: [&str; 2] = ["previous", "year"];

/// Panels side by side, with a range of time and variables that count for all of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dashboard {
    /// Where the range of time begins if nobody chooses, such as `now-30d`; empty: the usual one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub from: String,
    /// Where it ends; empty: now.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub to: String,
    /// Dimensions that whoever looks may set for all panels that have them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variables: Vec<Variable>,
    /// In the order in which they are laid out.
    #[serde(default)]
    pub panels: Vec<Panel>,
}

/// A dimension that is set for all panels at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variable {
    /// The dimension.
    pub name: String,
    /// Its value if nobody chooses; empty: all.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub value: String,
}

/// One panel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "PanelForm", into = "PanelForm")]
pub struct Panel {
    /// What stands over it; empty: what the metric or the search is called.
    pub title: String,
    /// In twelfths of the page: 3, 4, 6, 8 or 12.
    pub width: u8,
    /// What it shows.
    pub shows: PanelShows,
}

/// What a panel shows.
#[derive(Clone, Debug, PartialEq)]
pub enum PanelShows {
    /// A declared metric.
    Metric {
        /// Its name.
        metric: String,
        /// `line`, `bars`, `number` or `table`; empty: as fits the metric.
        chart: String,
        /// The dimensions it is split by.
        by: Vec<String>,
        /// How long a step of time is; empty: as declared.
        grain: String,
        /// Dimensions that must have these values.
        filters: Vec<(String, String)>,
        /// `previous` or `year`: what it is compared with; empty: nothing.
        compare: String,
    },
    /// A saved search.
    Search {
        /// Its id.
        search: String,
        /// `histogram`, `rows` or `count`.
        show: String,
    },
}

/// A panel as it is written: what it shows says what else it has.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PanelForm {
    #[serde(skip_serializing_if = "String::is_empty")]
    title: String,
    width: Option<u8>,
    #[serde(skip_serializing_if = "String::is_empty")]
    metric: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    chart: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    by: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    grain: String,
    #[serde(rename = "where", skip_serializing_if = "Vec::is_empty")]
    filters: Vec<(String, String)>,
    #[serde(skip_serializing_if = "String::is_empty")]
    compare: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    search: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    show: String,
}

impl TryFrom<PanelForm> for Panel {
    type Error = &'static str;

    fn try_from(form: PanelForm) -> Result<Panel, &'static str> {
        let PanelForm { title, width, metric, chart, by, grain, filters, compare, search, show } =
            form;
        let of_metric = !chart.is_empty() || !by.is_empty() || !grain.is_empty();
        let of_metric = of_metric || !filters.is_empty() || !compare.is_empty();
        let shows = match (metric.is_empty(), search.is_empty()) {
            (false, true) if show.is_empty() => {
                PanelShows::Metric { metric, chart, by, grain, filters, compare }
            }
            (true, false) if !of_metric => PanelShows::Search { search, show },
            _ => return Err("a panel shows a metric or a search"),
        };
        Ok(Panel { title, width: width.unwrap_or(WIDTH_USUAL), shows })
    }
}

impl From<Panel> for PanelForm {
    fn from(panel: Panel) -> PanelForm {
        let form =
            PanelForm { title: panel.title, width: Some(panel.width), ..PanelForm::default() };
        match panel.shows {
            PanelShows::Metric { metric, chart, by, grain, filters, compare } => {
                PanelForm { metric, chart, by, grain, filters, compare, ..form }
            }
            PanelShows::Search { search, show } => PanelForm { search, show, ..form },
        }
    }
}

impl Dashboard {
    /// Reads the content of a saved dashboard.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn read(body: &Json) -> Result<Dashboard, String> {
        // A list would be read as its members in their order.
        let read = body.is_object().then(|| Dashboard::deserialize(body).ok()).flatten();
        let dashboard = read.ok_or_else(|| {
            "a dashboard has [from], [to], [variables] with [name] and [value], and [panels], each \
             with [title], [width], and either [metric], [chart], [by], [grain], [where], \
             [compare] or [search] and [show]"
                .to_owned()
        })?;
        dashboard.check()?;
        Ok(dashboard)
    }

    /// As it is kept.
    pub fn to_json(&self) -> Json {
        serde_json::to_value(self).expect("texts and numbers are JSON")
    }

    fn check(&self) -> Result<(), String> {
        if self.panels.len() > PANELS_MAX {
            return Err(format!("a dashboard has up to {PANELS_MAX} panels"));
        }
        if self.variables.len() > VARIABLES_MAX {
            return Err(format!("a dashboard has up to {VARIABLES_MAX} variables"));
        }
        let of_variables = self.variables.iter().flat_map(|one| [&one.name, &one.value]);
        let mut texts = [&self.from, &self.to].into_iter().chain(of_variables);
        if texts.any(|text| text.len() > TEXT_BYTES_MAX) {
            return Err(format!("a text of a dashboard has up to {TEXT_BYTES_MAX} bytes"));
        }
        if self.variables.iter().any(|one| one.name.is_empty()) {
            return Err("a variable has the name of a dimension".to_owned());
        }
        self.panels.iter().try_for_each(Panel::check)
    }
}

impl Panel {
    fn check(&self) -> Result<(), String> {
        if !WIDTHS.contains(&self.width) {
            return Err("a panel is 3, 4, 6, 8 or 12 twelfths wide".to_owned());
        }
        let one_of = |what: &str, word: &str, words: &[&str]| match words.contains(&word) {
            true => Ok(()),
            false => Err(format!("the [{what}] of a panel is one of {}", words.join(", "))),
        };
        let is_long = |text: &String| text.len() > TEXT_BYTES_MAX;
        let too_long = match &self.shows {
            PanelShows::Metric { metric, chart, by, grain, filters, compare } => {
                if !chart.is_empty() {
                    one_of("chart", chart, &CHARTS)?;
                }
                if !compare.is_empty() {
                    one_of("compare", compare, &COMPARED)?;
                }
                let texts = by.iter().chain([metric, grain]);
                let filters = filters.iter().flat_map(|(name, value)| [name, value]);
                texts.chain(filters).any(is_long) || by.len() > 4
            }
            PanelShows::Search { search, show } => {
                one_of("show", show, &SHOWS)?;
                is_long(search)
            }
        };
        if too_long || is_long(&self.title) {
            return Err(format!("a text of a panel has up to {TEXT_BYTES_MAX} bytes"));
        }
        Ok(())
    }
}
