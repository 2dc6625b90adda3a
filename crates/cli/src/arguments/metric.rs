//! Declared metrics, and alerts on them.

use super::{Connection, Listed, Named, OutputFormat};
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum Metric {
    /// Which metrics there are
    List(Listed),
    /// How a metric is declared, or was
    Show(MetricShow),
    /// The numbers
    Query(MetricQuery),
    /// Declare the metrics of a YAML file, if they answer what its tests expect
    Apply(MetricApply),
    /// Who declared a metric, and when; the newest first
    History(Named),
    /// All metrics for another program; what is lost is named in the file
    Export(MetricExport),
}

#[derive(Debug, Args)]
pub(crate) struct MetricShow {
    /// The metric
    pub(crate) name: String,
    /// Which version; 1 is the first, without it the newest
    #[arg(long, value_name = "N")]
    pub(crate) version: Option<u32>,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct MetricExport {
    /// The form: the Open Semantic Interchange (Apache Ossie)
    #[arg(long, value_enum, default_value_t = ExportForm::Osi)]
    pub(crate) format: ExportForm,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// A form for other programs.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ExportForm {
    /// Open Semantic Interchange, YAML
    Osi,
}

#[derive(Debug, Args)]
pub(crate) struct MetricQuery {
    /// The metric
    pub(crate) name: String,
    /// Dimensions to split by
    #[arg(long, value_name = "FIELD", value_delimiter = ',')]
    pub(crate) by: Vec<String>,
    /// minute, hour, day, week, month, quarter, year, or total for one number
    #[arg(long)]
    pub(crate) grain: Option<String>,
    /// From this time on, such as 2026-11-01 or now-7d
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,
    /// Before this time
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<String>,
    /// In which days and longer begin, such as Europe/Paris
    #[arg(long, value_name = "ZONE", visible_alias = "tz")]
    pub(crate) time_zone: Option<String>,
    /// With the time before: previous_period or previous_year; needs --from
    #[arg(long, value_name = "WITH")]
    pub(crate) compare: Option<String>,
    /// Only rows with this value, such as model=cam-3; may come several times
    #[arg(long = "where", value_name = "FIELD=VALUE")]
    pub(crate) filters: Vec<String>,
    /// Also say what came from tiles and what from rows
    #[arg(long)]
    pub(crate) explain: bool,
    /// Read rows alone; the numbers are the same, only slower
    #[arg(long)]
    pub(crate) no_tiles: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t = OutputFormat::Table)]
    pub(crate) format: OutputFormat,
    /// Same as --format json
    #[arg(long, conflicts_with = "format")]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct MetricApply {
    /// The YAML file; `-` is standard input
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Alert {
    /// Which alerts there are, and how they are
    List(Listed),
    /// One alert: how it is declared, what it asks, what fires
    Show(Named),
    /// Declare the alerts of a YAML file; they look as you
    Apply(AlertApply),
    /// What an alert would have told in the past
    Try(AlertTry),
    /// Have an alert tell nobody for a while
    Silence(AlertSilence),
    /// Take an alert away
    Remove(Named),
}

#[derive(Debug, Args)]
pub(crate) struct AlertApply {
    /// The YAML file; `-` is standard input
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct AlertTry {
    /// The alert
    pub(crate) name: String,
    /// From this time on, such as 2026-11-01T00:00:00Z
    #[arg(long, value_name = "TIME")]
    pub(crate) from: String,
    /// Before this time
    #[arg(long, value_name = "TIME")]
    pub(crate) to: String,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct AlertSilence {
    /// The alert
    pub(crate) name: String,
    /// For so long
    #[arg(long, value_name = "N", conflicts_with = "end")]
    pub(crate) hours: Option<u32>,
    /// End a silence
    #[arg(long)]
    pub(crate) end: bool,
    /// Why, for everybody who asks later
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: String,
    #[command(flatten)]
    pub(crate) connection: Connection,
}
