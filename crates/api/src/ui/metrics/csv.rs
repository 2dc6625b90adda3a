//! A metric's numbers as a file: lines of text, or a drawing.

use super::answer::{Numbers, step_name};
use super::ask::{Asked, ask};
use super::chart;
use super::declared::Declared;
use super::journey::Journey;
use super::question::MetricQuestion;
use crate::backend;
use crate::error::{Answer, ApiError};
use crate::reply::{Body, Reply};
use crate::route::Call;
use engine::Caller;
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, CONTENT_DISPOSITION, HeaderName, HeaderValue};

/// `GET /_ui/metrics/{name}/csv`: the numbers of the page with the same parameters.
pub(in crate::ui) fn csv(call: &Call<'_>, caller: &Caller) -> Answer {
    let (metric, question, asked) = asked(call, caller)?;
    let bytes = written(&metric, &question, &asked.numbers)
        .map_err(|_| ApiError::internal("numbers that cannot be written as CSV"))?;
    file(&metric, "csv", Body::Plain(bytes.into(), "text/csv; charset=utf-8"))
}

/// `GET /_ui/metrics/{name}/svg`: the chart of the page with the same parameters.
pub(in crate::ui) fn svg(call: &Call<'_>, caller: &Caller) -> Answer {
    let (metric, question, asked) = asked(call, caller)?;
    let drawing = chart::alone(&metric, &question, &asked);
    let reply = file(&metric, "svg", Body::Plain(drawing.into(), "image/svg+xml"))?;
    // Opened by itself it is a page of ours: nothing in it runs or loads anything.
    let nothing = "default-src 'none'; style-src 'unsafe-inline'";
    Ok(reply.with(HeaderName::from_static("content-security-policy"), nothing))
}

fn asked(call: &Call<'_>, caller: &Caller) -> Result<(Declared, MetricQuestion, Asked), ApiError> {
    let engine = &call.app.engine;
    let declared = backend::metric(engine, caller, call.request.part("name"))?;
    let metric = Declared::read(&declared)
        .ok_or_else(|| ApiError::internal("a declared metric has no name"))?;
    if Journey::of(&metric).is_some() {
        let reason = "a funnel or a retention is no file yet; its page has the table and the curl";
        return Err(ApiError::illegal_argument(reason));
    }
    let mut question =
        MetricQuestion::read(&metric, &call.request.params).map_err(ApiError::illegal_argument)?;
    let asked = ask(engine, caller, &metric, &mut question)?;
    Ok((metric, question, asked))
}

fn file(metric: &Declared, ending: &str, body: Body) -> Answer {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let name: String = metric.name.chars().filter(|c| is_plain(*c)).collect();
    let name = format!("attachment; filename=\"{name}.{ending}\"");
    let disposition = HeaderValue::from_str(&name)
        .map_err(|_| ApiError::internal("a file name of plain letters is no header"))?;
    Ok(Reply::of(StatusCode::OK, body)
        .with(CACHE_CONTROL, "no-store")
        .with_value(CONTENT_DISPOSITION, disposition))
}

/// One line for each step and group.
fn written(
    metric: &Declared,
    question: &MetricQuestion,
    numbers: &Numbers,
) -> Result<Vec<u8>, csv::Error> {
    let mut out = csv::Writer::from_writer(Vec::new());
    let head = ["time"].into_iter().chain(question.by.iter().map(String::as_str));
    out.write_record(head.chain([metric.name.as_str()]))?;
    for (row, at) in numbers.times.iter().enumerate() {
        for series in &numbers.series {
            let Some(value) = series.values[row] else { continue };
            let group = series.group.iter().map(|name| cell(name));
            let line = std::iter::once(step_name(numbers, *at)).chain(group);
            out.write_record(line.chain([value.to_string()]))?;
        }
    }
    out.into_inner().map_err(|error| error.into_error().into())
}

/// A text that no spreadsheet takes for a formula.
fn cell(text: &str) -> String {
    match text.chars().next() {
        Some('=' | '+' | '-' | '@' | '\t' | '\r') => format!("'{text}"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lines_hold_what_the_page_shows_and_no_formula() {
        let declared = json!({ "name": "rate", "type": "ratio", "dimensions": ["model"] });
        let metric = Declared::read(&declared).unwrap();
        let question = MetricQuestion::read(&metric, &[]).unwrap();
        let answer = json!({
            "columns": [{ "name": "time" }, { "name": "model" }, { "name": "rate" }],
            "rows": [["2026-11-01T00:00:00Z", "=cmd()", 0.5], ["2026-11-02T00:00:00Z", "a,b", 0.25]],
        });
        let numbers = Numbers::read(&metric, &question.by, &answer);
        let text = String::from_utf8(written(&metric, &question, &numbers).unwrap()).unwrap();
        assert_eq!(text, "time,model,rate\n2026-11-01,'=cmd(),0.5\n2026-11-02,\"a,b\",0.25\n");
    }
}
