//! Routes as data: what a path looks like, who may come, what it reads, who answers.

use crate::error::{Answer, ApiError};
use crate::request::{Request, Verb, decode};
use crate::service::App;
use engine::Caller;

/// One route.
pub(crate) struct Route {
    /// The methods it answers.
    pub(crate) verbs: &'static [Verb],
    /// Its path; `{name}` stands for one part, `{index}` for one that may be an index, `{new}` for
    /// one that is to become an index.
    pub(crate) path: &'static str,
    /// Which body it reads.
    pub(crate) reads: Reads,
    /// What it costs.
    pub(crate) work: Work,
    /// The parameters it knows, beside [`COMMON_PARAMS`].
    pub(crate) params: &'static [&'static str],
    /// Who answers, and to whom.
    pub(crate) door: Door,
}

/// Who answers, and to whom.
#[derive(Clone, Copy)]
pub(crate) enum Door {
    /// Only to callers with identity.
    Known(fn(&Call<'_>, &Caller) -> Answer),
    /// To anyone: the login page and its assets, nothing else.
    Anyone(fn(&Call<'_>) -> Answer),
}

/// Which body a route reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reads {
    /// None; one that is sent is refused.
    Nothing,
    /// JSON.
    Json,
    /// JSON, one document a line.
    Lines,
    /// YAML.
    Yaml,
    /// A form of the web UI.
    Form,
}

/// What a route costs, which says how many requests may do it at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Looks something small up.
    Quick,
    /// Waits for the log.
    Write,
    /// Computes.
    Question,
}

/// One request on its way through a handler.
pub(crate) struct Call<'a> {
    /// The server.
    pub(crate) app: &'a App,
    /// The request.
    pub(crate) request: &'a Request,
}

/// Parameters that every route knows.
pub(crate) const COMMON_PARAMS: &[&str] =
    &["pretty", "human", "error_trace", "filter_path", "format", "source", "source_content_type"];

/// A route for a path, with the parts it names.
pub(crate) struct Found {
    pub(crate) route: &'static Route,
    pub(crate) captured: Vec<(&'static str, String)>,
}

/// Why there is no route.
pub(crate) enum Missing {
    /// No route has this path.
    Path,
    /// Routes have this path, for these methods.
    Verb(Vec<&'static str>),
}

/// Finds the route of a path. A part that is spelt out wins over one that is named, the leftmost
/// first; a part that starts with `_` is no index.
pub(crate) fn find(
    routes: &'static [Route],
    path: &str,
    verb: Option<Verb>,
) -> Result<Found, Missing> {
    let parts: Vec<&str> = parts(path);
    let mut best: Option<(&'static Route, Vec<bool>)> = None;
    let mut allowed: Vec<&'static str> = Vec::new();
    for route in routes {
        let Some(spelt) = shape(route.path, &parts, verb) else { continue };
        if !verb.is_some_and(|verb| route.verbs.contains(&verb)) {
            allowed.extend(route.verbs.iter().map(|verb| verb.as_str()));
            continue;
        }
        if best.as_ref().is_none_or(|(_, best)| spelt > *best) {
            best = Some((route, spelt));
        }
    }
    match best {
        Some((route, _)) => {
            let captured = capture(route.path, &parts).map_err(|_| Missing::Path)?;
            Ok(Found { route, captured })
        }
        None if allowed.is_empty() => Err(Missing::Path),
        None => {
            allowed.sort_unstable();
            allowed.dedup();
            Err(Missing::Verb(allowed))
        }
    }
}

fn parts(path: &str) -> Vec<&str> {
    path.trim_matches('/').split('/').collect()
}

/// For a path that fits, which parts are spelt out.
fn shape(pattern: &str, parts: &[&str], verb: Option<Verb>) -> Option<Vec<bool>> {
    let mut spelt = Vec::with_capacity(parts.len());
    let mut parts = parts.iter();
    for expected in pattern.trim_matches('/').split('/') {
        let part = *parts.next()?;
        match expected {
            "{index}" if part.starts_with('_') && part != "_all" => return None,
            // Whoever makes an index hears that its name must not start like this.
            "{new}" if part.starts_with('_') && verb != Some(Verb::Put) => return None,
            named if named.starts_with('{') => {
                if part.is_empty() {
                    return None;
                }
                spelt.push(false);
            }
            same if same == part => spelt.push(true),
            _ => return None,
        }
    }
    parts.next().is_none().then_some(spelt)
}

fn capture(pattern: &'static str, parts: &[&str]) -> Result<Vec<(&'static str, String)>, ApiError> {
    let mut captured = Vec::new();
    for (expected, part) in pattern.trim_matches('/').split('/').zip(parts) {
        if let Some(name) = expected.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            captured.push((name, decode(part)?));
        }
    }
    Ok(captured)
}

impl Route {
    /// Refuses parameters that the route does not know, in Elasticsearch's words.
    pub(crate) fn check_params(&self, request: &Request) -> Result<(), ApiError> {
        let mut unknown: Vec<&str> = Vec::new();
        for (name, _) in &request.params {
            let name = name.as_str();
            let is_known = self.params.contains(&name) || COMMON_PARAMS.contains(&name);
            if !is_known && !unknown.contains(&name) {
                unknown.push(name);
            }
        }
        if unknown.is_empty() {
            return Ok(());
        }
        unknown.sort_unstable();
        let plural = if unknown.len() > 1 { "s" } else { "" };
        let names: Vec<String> = unknown.iter().map(|name| format!("[{name}]")).collect();
        Err(ApiError::illegal_argument(format!(
            "request [{}] contains unrecognized parameter{plural}: {}",
            request.path,
            names.join(", ")
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes;

    #[track_caller]
    fn check(verb: Verb, path: &str, expected: &str) {
        let found = match find(routes::all(), path, Some(verb)) {
            Ok(found) => {
                let parts: Vec<&str> =
                    found.captured.iter().map(|(_, value)| value.as_str()).collect();
                format!("{} {}", found.route.path, parts.join(" "))
            }
            Err(Missing::Path) => "no path".to_owned(),
            Err(Missing::Verb(allowed)) => allowed.join(","),
        };
        assert_eq!(found.trim(), expected, "{verb:?} {path}");
    }

    #[test]
    fn spelt_parts_win_and_indexes_do_not_start_with_an_underscore() {
        check(Verb::Get, "/", "/");
        check(Verb::Post, "/_search", "/_search");
        check(Verb::Post, "/logs-*/_search/", "/{index}/_search logs-*");
        check(Verb::Get, "/_all/_search", "/{index}/_search _all");
        check(Verb::Put, "/logs/_doc/a%2Fb", "/{index}/_doc/{id} logs a/b");
        check(Verb::Get, "/_cat/indices/logs", "/_cat/indices/{index} logs");
        check(Verb::Get, "/_nothing", "no path");
        check(Verb::Get, "/logs/_nothing", "no path");
        check(Verb::Get, "/a/b/c/d/e", "no path");
        check(Verb::Get, "/_bulk", "POST,PUT");
    }
}
