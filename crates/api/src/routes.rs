//! All routes at a glance.

use crate::elasticsearch::{
    bulk, cat, cluster, cursor, document, index, info, search, security, sql,
};
use crate::native::{
    alerts, audit, backups, canaries, changes, copies, erasures, exposure, factors, keys, metrics,
    notices, oidc, people, prometheus, ring, rulings, saved, scim, tables,
};
use crate::request::Verb::{Delete, Get, Head, Patch, Post, Put};
use crate::route::{Door, Reads, Route, Work};
use crate::ui;
use std::sync::LazyLock;

/// Every route of the server. The UI's come last.
pub(crate) fn all() -> &'static [Route] {
    static ALL: LazyLock<Vec<Route>> =
        LazyLock::new(|| [elasticsearch(), native(), ui::routes()].into_iter().flatten().collect());
    &ALL
}

/// Parameters that belong together, so that the table below stays readable.
mod params {
    pub(super) const NONE: &[&str] = &[];
    pub(super) const TIMEOUTS: &[&str] = &["timeout", "master_timeout", "wait_for_active_shards"];
    pub(super) const INDICES: &[&str] = &[
        "local",
        "ignore_unavailable",
        "allow_no_indices",
        "expand_wildcards",
        "flat_settings",
        "include_defaults",
        "master_timeout",
        "timeout",
        "features",
        "write_index_only",
        "force",
        "wait_if_ongoing",
        "max_num_segments",
        "only_expunge_deletes",
        "flush",
        "wait_for_completion",
    ];
    pub(super) const WRITE: &[&str] = &[
        "refresh",
        "routing",
        "timeout",
        "version",
        "version_type",
        "if_seq_no",
        "if_primary_term",
        "op_type",
        "pipeline",
        "wait_for_active_shards",
        "require_alias",
        "require_data_stream",
        "retry_on_conflict",
        "lang",
        "_source",
        "_source_includes",
        "_source_excludes",
        "list_executed_pipelines",
        "include_source_on_error",
    ];
    pub(super) const READ: &[&str] = &[
        "preference",
        "realtime",
        "refresh",
        "routing",
        "stored_fields",
        "_source",
        "_source_includes",
        "_source_excludes",
        "version",
        "version_type",
    ];
    pub(super) const SEARCH: &[&str] = &[
        "q",
        "df",
        "default_operator",
        "analyzer",
        "analyze_wildcard",
        "lenient",
        "from",
        "size",
        "sort",
        "_source",
        "_source_includes",
        "_source_excludes",
        "stored_fields",
        "docvalue_fields",
        "track_total_hits",
        "track_scores",
        "terminate_after",
        "timeout",
        "min_score",
        "version",
        "seq_no_primary_term",
        "explain",
        "search_type",
        "request_cache",
        "routing",
        "preference",
        "typed_keys",
        "rest_total_hits_as_int",
        "batched_reduce_size",
        "max_concurrent_shard_requests",
        "max_concurrent_searches",
        "pre_filter_shard_size",
        "allow_partial_search_results",
        "ccs_minimize_roundtrips",
        "ignore_unavailable",
        "ignore_throttled",
        "allow_no_indices",
        "expand_wildcards",
    ];
    /// Those of a search, and how long its next page is waited for.
    pub(super) const SCROLLED: &[&str] = &SEARCHED;
    const SEARCHED: [&str; SEARCH.len() + 1] = with(SEARCH, ["scroll"]);
    /// Those of a search, and of how its answer is kept.
    pub(super) const ASYNC: &[&str] = &ASYNC_SEARCHED;
    const ASYNC_SEARCHED: [&str; SEARCH.len() + 3] =
        with(SEARCH, ["wait_for_completion_timeout", "keep_on_completion", "keep_alive"]);
    pub(super) const ASYNC_SHOW: &[&str] =
        &["wait_for_completion_timeout", "keep_alive", "typed_keys"];
    pub(super) const SCROLL: &[&str] = &["scroll", "scroll_id", "rest_total_hits_as_int"];
    pub(super) const PIT: &[&str] = &[
        "keep_alive",
        "ignore_unavailable",
        "preference",
        "routing",
        "expand_wildcards",
        "allow_partial_search_results",
        "max_concurrent_shard_requests",
    ];

    /// Two lists in one.
    const fn with<const MORE: usize, const ALL: usize>(
        some: &[&'static str],
        more: [&'static str; MORE],
    ) -> [&'static str; ALL] {
        let mut all = [""; ALL];
        let mut at = 0;
        while at < ALL {
            all[at] = if at < some.len() { some[at] } else { more[at - some.len()] };
            at += 1;
        }
        all
    }

    pub(super) const FIELD_CAPS: &[&str] = &[
        "fields",
        "include_unmapped",
        "filters",
        "types",
        "include_empty_fields",
        "ignore_unavailable",
        "allow_no_indices",
        "expand_wildcards",
    ];
    pub(super) const CAT: &[&str] = &[
        "v",
        "h",
        "s",
        "help",
        "bytes",
        "time",
        "health",
        "pri",
        "local",
        "ts",
        "master_timeout",
        "expand_wildcards",
        "include_unloaded_segments",
    ];
    pub(super) const HEALTH: &[&str] = &[
        "level",
        "local",
        "timeout",
        "master_timeout",
        "wait_for_status",
        "wait_for_nodes",
        "wait_for_active_shards",
        "wait_for_events",
        "wait_for_no_initializing_shards",
        "wait_for_no_relocating_shards",
        "expand_wildcards",
        "include_defaults",
        "flat_settings",
        "categories",
        "accept_enterprise",
    ];
    pub(super) const KEYS: &[&str] = &[
        "id",
        "name",
        "username",
        "realm_name",
        "owner",
        "active_only",
        "refresh",
        "with_limited_by",
        "with_profile_uid",
    ];
    pub(super) const SQL: &[&str] = &["delimiter"];
    pub(super) const METRIC: &[&str] = &["version"];
    pub(super) const EXPORT: &[&str] = &["form"];
    pub(super) const PROMETHEUS: &[&str] = &[
        "query",
        "time",
        "start",
        "end",
        "step",
        "timeout",
        "limit",
        "match[]",
        "metric",
        "limit_per_metric",
    ];
    pub(super) const RULINGS: &[&str] = &["table"];
    pub(super) const PLAN: &[&str] = &["purpose", "until"];
    pub(super) const FORCE: &[&str] = &["force"];
    pub(super) const SCIM: &[&str] =
        &["filter", "startIndex", "count", "attributes", "excludedAttributes"];
    pub(super) const REACH: &[&str] = &["person", "table"];
    pub(super) const AUDIT: &[&str] = &["from", "to", "who", "table", "kind", "action", "limit"];
    pub(super) const SAVED: &[&str] = &["version"];
    pub(super) const TRY: &[&str] = &["from", "to"];
    pub(super) const PROOF: &[&str] = &["old", "new", "record", "size"];
}

#[rustfmt::skip] // A table is read by its columns.
fn elasticsearch() -> Vec<Route> {
    use Reads::{Json, Lines, Nothing};
    use Work::{Question, Quick, Write};
    use params::{
        ASYNC, ASYNC_SHOW, CAT, FIELD_CAPS, HEALTH, INDICES, KEYS, NONE, PIT, READ, SCROLL, SCROLLED,
        SEARCH, SQL, TIMEOUTS, WRITE,
    };
    let known = Door::Known;
    let route = |verbs, path, reads, work, params, door| Route { verbs, path, reads, work, params, door };
    vec![
        route(&[Get, Head],         "/",                              Nothing, Quick,    NONE,       known(info::root)),
        route(&[Get],               "/_license",                      Nothing, Quick,    HEALTH,     known(info::license)),
        route(&[Get],               "/_xpack",                        Nothing, Quick,    HEALTH,     known(info::xpack)),

        route(&[Post, Put],         "/_bulk",                         Lines,   Write,    WRITE,      known(bulk::bulk)),
        route(&[Post, Put],         "/{index}/_bulk",                 Lines,   Write,    WRITE,      known(bulk::bulk)),
        route(&[Post],              "/{index}/_doc",                  Json,    Write,    WRITE,      known(document::index)),
        route(&[Post, Put],         "/{index}/_doc/{id}",             Json,    Write,    WRITE,      known(document::index)),
        route(&[Post, Put],         "/{index}/_create/{id}",          Json,    Write,    WRITE,      known(document::create)),
        route(&[Post],              "/{index}/_update/{id}",          Json,    Write,    WRITE,      known(document::update)),
        route(&[Delete],            "/{index}/_doc/{id}",             Nothing, Write,    WRITE,      known(document::delete)),
        route(&[Get, Head],         "/{index}/_doc/{id}",             Nothing, Question, READ,       known(document::get)),
        route(&[Get, Head],         "/{index}/_source/{id}",          Nothing, Question, READ,       known(document::source)),
        route(&[Get, Post],         "/_mget",                         Json,    Question, READ,       known(document::mget)),
        route(&[Get, Post],         "/{index}/_mget",                 Json,    Question, READ,       known(document::mget)),

        route(&[Get, Post],         "/_search",                       Json,    Question, SCROLLED,   known(search::search)),
        route(&[Get, Post],         "/{index}/_search",               Json,    Question, SCROLLED,   known(search::search)),
        route(&[Get, Post],         "/_search/scroll",                Json,    Question, SCROLL,     known(cursor::scroll)),
        route(&[Get, Post],         "/_search/scroll/{id}",           Json,    Question, SCROLL,     known(cursor::scroll)),
        route(&[Delete],            "/_search/scroll",                Json,    Quick,    NONE,       known(cursor::close_scrolls)),
        route(&[Delete],            "/_search/scroll/{id}",           Json,    Quick,    NONE,       known(cursor::close_scrolls)),
        route(&[Post],              "/{index}/_pit",                  Json,    Question, PIT,        known(cursor::open_pit)),
        route(&[Delete],            "/_pit",                          Json,    Quick,    NONE,       known(cursor::close_pit)),
        route(&[Post],              "/_async_search",                 Json,    Question, ASYNC,      known(cursor::begin_search)),
        route(&[Post],              "/{index}/_async_search",         Json,    Question, ASYNC,      known(cursor::begin_search)),
        route(&[Get],               "/_async_search/{id}",            Nothing, Question, ASYNC_SHOW, known(cursor::show_search)),
        route(&[Get],               "/_async_search/status/{id}",     Nothing, Quick,    ASYNC_SHOW, known(cursor::search_status)),
        route(&[Delete],            "/_async_search/{id}",            Nothing, Quick,    NONE,       known(cursor::delete_search)),
        route(&[Get, Post],         "/_msearch",                      Lines,   Question, SEARCH,     known(search::msearch)),
        route(&[Get, Post],         "/{index}/_msearch",              Lines,   Question, SEARCH,     known(search::msearch)),
        route(&[Get, Post],         "/_count",                        Json,    Question, SEARCH,     known(search::count)),
        route(&[Get, Post],         "/{index}/_count",                Json,    Question, SEARCH,     known(search::count)),
        route(&[Get, Post],         "/_field_caps",                   Json,    Quick,    FIELD_CAPS, known(search::field_caps)),
        route(&[Get, Post],         "/{index}/_field_caps",           Json,    Quick,    FIELD_CAPS, known(search::field_caps)),
        route(&[Get, Post],         "/{index}/_terms_enum",           Json,    Question, NONE,       known(search::terms_enum)),
        route(&[Get, Post],         "/_sql",                          Json,    Question, SQL,        known(sql::sql)),
        route(&[Post],              "/_sql/close",                    Json,    Quick,    NONE,       known(sql::close)),

        route(&[Put],               "/{new}",                         Json,    Write,    TIMEOUTS,   known(index::create)),
        route(&[Delete],            "/{index}",                       Nothing, Write,    INDICES,    known(index::drop_index)),
        route(&[Get],               "/{index}",                       Nothing, Quick,    INDICES,    known(index::show)),
        route(&[Head],              "/{index}",                       Nothing, Quick,    INDICES,    known(index::exists)),
        route(&[Get],               "/_mapping",                      Nothing, Quick,    INDICES,    known(index::mapping)),
        route(&[Get],               "/{index}/_mapping",              Nothing, Quick,    INDICES,    known(index::mapping)),
        route(&[Post, Put],         "/{index}/_mapping",              Json,    Write,    INDICES,    known(index::put_mapping)),
        route(&[Get],               "/_settings",                     Nothing, Quick,    INDICES,    known(index::settings)),
        route(&[Get],               "/{index}/_settings",             Nothing, Quick,    INDICES,    known(index::settings)),
        route(&[Put],               "/{index}/_settings",             Json,    Quick,    INDICES,    known(index::no_settings)),
        route(&[Get, Post],         "/_refresh",                      Nothing, Quick,    INDICES,    known(index::refresh)),
        route(&[Get, Post],         "/{index}/_refresh",              Nothing, Quick,    INDICES,    known(index::refresh)),
        route(&[Get, Post],         "/_flush",                        Nothing, Quick,    INDICES,    known(index::refresh)),
        route(&[Get, Post],         "/{index}/_flush",                Nothing, Quick,    INDICES,    known(index::refresh)),
        route(&[Post],              "/_forcemerge",                   Nothing, Quick,    INDICES,    known(index::refresh)),
        route(&[Post],              "/{index}/_forcemerge",           Nothing, Quick,    INDICES,    known(index::refresh)),

        route(&[Get, Head],         "/_alias",                        Nothing, Quick,    INDICES,    known(index::aliases)),
        route(&[Get, Head],         "/_alias/{name}",                 Nothing, Quick,    INDICES,    known(index::aliases)),
        route(&[Get, Head],         "/{index}/_alias",                Nothing, Quick,    INDICES,    known(index::aliases)),
        route(&[Get, Head],         "/{index}/_alias/{name}",         Nothing, Quick,    INDICES,    known(index::aliases)),
        route(&[Put, Post, Delete], "/{index}/_alias/{name}",         Json,    Write,    INDICES,    known(index::change_alias)),
        route(&[Put, Post, Delete], "/{index}/_aliases/{name}",       Json,    Write,    INDICES,    known(index::change_alias)),
        route(&[Post],              "/_aliases",                      Json,    Write,    INDICES,    known(index::update_aliases)),
        route(&[Get],               "/_template",                     Nothing, Quick,    INDICES,    known(index::no_templates)),
        route(&[Get, Head, Put, Post, Delete], "/_template/{name}",   Json,    Quick,    INDICES,    known(index::no_templates)),
        route(&[Get],               "/_index_template",               Nothing, Quick,    INDICES,    known(index::no_templates)),
        route(&[Get, Head, Put, Post, Delete], "/_index_template/{name}", Json, Quick,   INDICES,    known(index::no_templates)),
        route(&[Get, Head, Put, Post, Delete], "/_component_template/{name}", Json, Quick, INDICES,  known(index::no_templates)),

        route(&[Get],               "/_cat",                          Nothing, Quick,    CAT,        known(cat::help)),
        route(&[Get],               "/_cat/indices",                  Nothing, Quick,    CAT,        known(cat::indices)),
        route(&[Get],               "/_cat/indices/{index}",          Nothing, Quick,    CAT,        known(cat::indices)),
        route(&[Get],               "/_cat/count",                    Nothing, Question, CAT,        known(cat::count)),
        route(&[Get],               "/_cat/count/{index}",            Nothing, Question, CAT,        known(cat::count)),
        route(&[Get],               "/_cat/health",                   Nothing, Quick,    CAT,        known(cat::health)),
        route(&[Get],               "/_cluster/health",               Nothing, Quick,    HEALTH,     known(cluster::health)),
        route(&[Get],               "/_cluster/health/{index}",       Nothing, Quick,    HEALTH,     known(cluster::health)),
        route(&[Get],               "/_cluster/settings",             Nothing, Quick,    HEALTH,     known(cluster::settings)),
        route(&[Get],               "/_nodes",                        Nothing, Quick,    HEALTH,     known(cluster::nodes)),
        route(&[Get],               "/_nodes/http",                   Nothing, Quick,    HEALTH,     known(cluster::nodes)),
        route(&[Get],               "/_nodes/_all/http",              Nothing, Quick,    HEALTH,     known(cluster::nodes)),

        route(&[Get],               "/_security/_authenticate",       Nothing, Quick,    NONE,       known(security::authenticate)),
        route(&[Post, Put],         "/_security/api_key",             Json,    Write,    KEYS,       known(security::create_key)),
        route(&[Get],               "/_security/api_key",             Nothing, Quick,    KEYS,       known(security::show_keys)),
        route(&[Delete],            "/_security/api_key",             Json,    Write,    KEYS,       known(security::revoke_keys)),
    ]
}

#[rustfmt::skip] // A table is read by its columns.
fn native() -> Vec<Route> {
    use Reads::{Form, Json, Nothing, Yaml};
    use Work::{Question, Quick, Write};
    use params::{
        AUDIT, EXPORT, FORCE, METRIC, NONE, PLAN, PROMETHEUS, PROOF, REACH, RULINGS, SAVED, SCIM, TRY,
    };
    let known = Door::Known;
    let route = |verbs, path, reads, work, params, door| Route { verbs, path, reads, work, params, door };
    vec![
        route(&[Get],               "/_clerestory/metrics",           Nothing, Quick,    NONE,       known(metrics::list)),
        route(&[Put, Post],         "/_clerestory/metrics",           Yaml,    Write,    NONE,       known(metrics::apply)),
        route(&[Get],               "/_clerestory/metrics/{name}",    Nothing, Quick,    METRIC,     known(metrics::show)),
        route(&[Get],               "/_clerestory/metrics/{name}/_history", Nothing, Quick, NONE,    known(metrics::history)),
        route(&[Get],               "/_clerestory/metrics/_export",   Nothing, Quick,    EXPORT,     known(metrics::export)),
        route(&[Post],              "/_clerestory/metrics/{name}",    Json,    Question, NONE,       known(metrics::query)),
        route(&[Post],              "/_metrics/{name}",               Json,    Question, NONE,       known(metrics::query)),
        route(&[Get],               "/_prometheus/api/v1/query",      Nothing, Question, PROMETHEUS, known(prometheus::instant)),
        route(&[Post],              "/_prometheus/api/v1/query",      Form,    Question, PROMETHEUS, known(prometheus::instant)),
        route(&[Get],               "/_prometheus/api/v1/query_range", Nothing, Question, PROMETHEUS, known(prometheus::range)),
        route(&[Post],              "/_prometheus/api/v1/query_range", Form,   Question, PROMETHEUS, known(prometheus::range)),
        route(&[Get],               "/_prometheus/api/v1/labels",     Nothing, Quick,    PROMETHEUS, known(prometheus::labels)),
        route(&[Post],              "/_prometheus/api/v1/labels",     Form,    Quick,    PROMETHEUS, known(prometheus::labels)),
        route(&[Get],               "/_prometheus/api/v1/series",     Nothing, Quick,    PROMETHEUS, known(prometheus::series)),
        route(&[Post],              "/_prometheus/api/v1/series",     Form,    Quick,    PROMETHEUS, known(prometheus::series)),
        route(&[Get],               "/_prometheus/api/v1/label/{name}/values", Nothing, Question, PROMETHEUS, known(prometheus::values)),
        route(&[Get],               "/_prometheus/api/v1/metadata",   Nothing, Quick,    PROMETHEUS, known(prometheus::metadata)),
        route(&[Get],               "/_clerestory/saved/{kind}",      Nothing, Quick,    NONE,       known(saved::list)),
        route(&[Post],              "/_clerestory/saved/{kind}",      Json,    Write,    NONE,       known(saved::create)),
        route(&[Get],               "/_clerestory/saved/{kind}/{id}", Nothing, Quick,    SAVED,      known(saved::show)),
        route(&[Put],               "/_clerestory/saved/{kind}/{id}", Json,    Write,    NONE,       known(saved::save_again)),
        route(&[Delete],            "/_clerestory/saved/{kind}/{id}", Nothing, Write,    NONE,       known(saved::delete)),
        route(&[Get],               "/_clerestory/alerts",            Nothing, Quick,    NONE,       known(alerts::list)),
        route(&[Put, Post],         "/_clerestory/alerts",            Yaml,    Question, NONE,       known(alerts::apply)),
        route(&[Get],               "/_clerestory/alerts/{name}",     Nothing, Quick,    NONE,       known(alerts::show)),
        route(&[Delete],            "/_clerestory/alerts/{name}",     Nothing, Write,    NONE,       known(alerts::remove)),
        route(&[Post],              "/_clerestory/alerts/{name}/_silence", Json, Write,  NONE,       known(alerts::silence)),
        route(&[Post],              "/_clerestory/alerts/{name}/_evaluate", Nothing, Question, NONE, known(alerts::evaluate)),
        route(&[Get],               "/_clerestory/alerts/{name}/_try", Nothing, Question, TRY,       known(alerts::attempt)),
        route(&[Get],               "/_clerestory/alerts/{name}/_chart", Nothing, Question, TRY,     known(alerts::chart)),
        route(&[Get],               "/_clerestory/tables",            Nothing, Quick,    NONE,       known(tables::list)),
        route(&[Get],               "/_clerestory/tables/{index}",    Nothing, Quick,    NONE,       known(tables::show)),
        route(&[Get],               "/_clerestory/copies",            Nothing, Quick,    NONE,       known(copies::list)),
        route(&[Put],               "/_clerestory/copies",            Yaml,    Write,    NONE,       known(copies::propose)),
        route(&[Post],              "/_clerestory/copies/_plan",      Yaml,    Question, PLAN,       known(copies::plan)),
        route(&[Get],               "/_clerestory/copies/{name}",     Nothing, Quick,    NONE,       known(copies::show)),
        route(&[Delete],            "/_clerestory/copies/{name}",     Nothing, Write,    FORCE,      known(copies::remove)),
        route(&[Post],              "/_clerestory/copies/{name}/_sign", Json,  Write,    NONE,       known(copies::sign)),
        route(&[Post],              "/_clerestory/copies/{name}/_run", Nothing, Write,   NONE,       known(copies::run)),
        route(&[Post],              "/_clerestory/copies/{name}/_pause", Nothing, Write, NONE,       known(copies::pause)),
        route(&[Post],              "/_clerestory/copies/{name}/_resnapshot", Nothing, Write, RULINGS, known(copies::resnapshot)),
        route(&[Post],              "/_clerestory/copies/{name}/_verify", Nothing, Question, NONE,   known(copies::verify)),
        route(&[Get],               "/_clerestory/source-secrets",    Nothing, Quick,    NONE,       known(copies::secrets)),
        route(&[Put],               "/_clerestory/source-secrets/{name}", Json, Write,   NONE,       known(copies::put_secret)),
        route(&[Delete],            "/_clerestory/source-secrets/{name}", Nothing, Write, NONE,      known(copies::remove_secret)),
        route(&[Get],               "/_clerestory/erasures",          Nothing, Question, NONE,       known(erasures::list)),
        route(&[Post],              "/_clerestory/erasures",          Json,    Question, NONE,       known(erasures::create)),
        route(&[Get],               "/_clerestory/erasures/{id}",     Nothing, Question, NONE,       known(erasures::show)),
        route(&[Get],               "/_clerestory/rulings",           Nothing, Question, RULINGS,    known(rulings::queue)),
        route(&[Get],               "/_clerestory/rulings/{index}/{field}", Nothing, Question, NONE, known(rulings::show)),
        route(&[Post],              "/_clerestory/rulings/{index}/{field}", Json, Write, NONE,       known(rulings::rule)),
        route(&[Get],               "/_clerestory/audit",             Nothing, Question, AUDIT,      known(audit::show)),
        route(&[Get],               "/_clerestory/audit/checkpoint",  Nothing, Quick,    NONE,       known(audit::checkpoint)),
        route(&[Get],               "/_clerestory/audit/proof",       Nothing, Question, PROOF,      known(audit::proof)),
        route(&[Post],              "/_clerestory/exposure",          Json,    Question, NONE,       known(exposure::ask)),
        route(&[Get],               "/_clerestory/people",            Nothing, Quick,    NONE,       known(people::list)),
        route(&[Post],              "/_clerestory/people",            Json,    Write,    NONE,       known(people::create)),
        route(&[Post],              "/_clerestory/people/{name}/_password", Json, Write, NONE,       known(people::set_password)),
        route(&[Post],              "/_clerestory/people/{name}/_disable", Nothing, Write, NONE,     known(people::disable)),
        route(&[Post],              "/_clerestory/people/{name}/_reset_factors", Nothing, Write, NONE, known(factors::reset)),
        route(&[Post],              "/_clerestory/session",           Nothing, Write,    NONE,       known(factors::start_session)),
        route(&[Get],               "/_clerestory/factors",           Nothing, Quick,    NONE,       known(factors::show)),
        route(&[Post],              "/_clerestory/factors/totp",      Json,    Write,    NONE,       known(factors::begin_totp)),
        route(&[Delete],            "/_clerestory/factors/totp",      Json,    Write,    NONE,       known(factors::remove_totp)),
        route(&[Post],              "/_clerestory/factors/totp/_confirm", Json, Write,   NONE,       known(factors::confirm_totp)),
        route(&[Post],              "/_clerestory/factors/keys",      Json,    Write,    NONE,       known(factors::finish_key)),
        route(&[Post],              "/_clerestory/factors/keys/_begin", Json,  Write,    NONE,       known(factors::begin_key)),
        route(&[Delete],            "/_clerestory/factors/keys/{id}", Json,    Write,    NONE,       known(factors::remove_key)),
        route(&[Post],              "/_clerestory/presence/_ask",     Json,    Quick,    NONE,       known(factors::ask_key)),
        route(&[Put],               "/_clerestory/oidc/_secret",      Json,    Write,    NONE,       known(oidc::set_secret)),
        route(&[Get],               "/_clerestory/scim/v2/ServiceProviderConfig", Nothing, Quick, NONE, known(scim::config)),
        route(&[Get],               "/_clerestory/scim/v2/Users",     Nothing, Quick,    SCIM,       known(scim::list)),
        route(&[Post],              "/_clerestory/scim/v2/Users",     Json,    Write,    SCIM,       known(scim::create)),
        route(&[Get],               "/_clerestory/scim/v2/Users/{id}", Nothing, Quick,   SCIM,       known(scim::show)),
        route(&[Put],               "/_clerestory/scim/v2/Users/{id}", Json,   Write,    SCIM,       known(scim::replace)),
        route(&[Patch],             "/_clerestory/scim/v2/Users/{id}", Json,   Write,    SCIM,       known(scim::patch)),
        route(&[Delete],            "/_clerestory/scim/v2/Users/{id}", Nothing, Write,   SCIM,       known(scim::remove)),
        route(&[Get],               "/_clerestory/policy",            Nothing, Quick,    NONE,       known(changes::policy)),
        route(&[Get],               "/_clerestory/grants",            Nothing, Quick,    NONE,       known(changes::grants)),
        route(&[Get],               "/_clerestory/reach",             Nothing, Quick,    REACH,      known(changes::reach)),
        route(&[Get],               "/_clerestory/changes",           Nothing, Quick,    NONE,       known(changes::list)),
        route(&[Post],              "/_clerestory/changes",           Json,    Write,    NONE,       known(changes::propose)),
        route(&[Get],               "/_clerestory/changes/{id}",      Nothing, Quick,    NONE,       known(changes::show)),
        route(&[Post],              "/_clerestory/changes/{id}/_approve", Json, Write,   NONE,       known(changes::approve)),
        route(&[Post],              "/_clerestory/break-glass",       Json,    Write,    NONE,       known(changes::break_glass)),
        route(&[Post],              "/_clerestory/changes/{id}/_reject", Json,  Write,   NONE,       known(changes::reject)),
        route(&[Post],              "/_clerestory/changes/{id}/_withdraw", Nothing, Write, NONE,     known(changes::withdraw)),
        route(&[Get],               "/_clerestory/notices",           Nothing, Quick,    NONE,       known(notices::list)),
        route(&[Get],               "/_clerestory/notices/{id}",      Nothing, Quick,    NONE,       known(notices::show)),
        route(&[Post],              "/_clerestory/notices/_test",     Nothing, Write,    NONE,       known(notices::test)),
        route(&[Post],              "/_clerestory/notices/_secret",   Json,    Write,    NONE,       known(notices::secret)),
        route(&[Get],               "/_clerestory/canaries",          Nothing, Quick,    NONE,       known(canaries::list)),
        route(&[Post],              "/_clerestory/canaries",          Json,    Write,    NONE,       known(canaries::mark)),
        route(&[Get],               "/_clerestory/rules",             Nothing, Quick,    NONE,       known(rulings::rules)),
        route(&[Get],               "/_clerestory/keys",              Nothing, Quick,    NONE,       known(keys::list)),
        route(&[Post],              "/_clerestory/keys",              Json,    Write,    NONE,       known(keys::create)),
        route(&[Delete],            "/_clerestory/keys/{id}",         Nothing, Write,    NONE,       known(keys::revoke)),
        route(&[Get],               "/_clerestory/backups",           Nothing, Quick,    NONE,       known(backups::list)),
        route(&[Post],              "/_clerestory/backups",           Json,    Question, NONE,       known(backups::create)),
        route(&[Get],               "/_clerestory/rotation",          Nothing, Quick,    NONE,       known(ring::rotation)),
        route(&[Post],              "/_clerestory/rotation",          Nothing, Write,    NONE,       known(ring::rotate_pseudonyms)),
        route(&[Get],               "/_clerestory/ring",              Nothing, Quick,    NONE,       known(ring::show)),
        route(&[Post],              "/_clerestory/ring/_rotate",      Nothing, Write,    NONE,       known(ring::rotate)),
        route(&[Post],              "/_clerestory/ring/_destroy",     Json,    Write,    NONE,       known(ring::destroy)),
        route(&[Post],              "/_clerestory/ring/_export",      Json,    Write,    NONE,       known(ring::export)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Promise 1: whoever adds a door without a lock has to say so here.
    #[test]
    fn only_the_login_is_open_to_anyone() {
        let open: Vec<&str> = all()
            .iter()
            .filter(|route| matches!(route.door, Door::Anyone(_)))
            .map(|route| route.path)
            .collect();
        let expected = [
            "/_ui/login",
            "/_ui/login",
            "/_ui/login/key",
            "/_ui/oidc",
            "/_ui/oidc/callback",
            "/_ui/enrol",
            "/_ui/enrol",
            "/_ui/assets/{file}",
        ];
        assert_eq!(open, expected);
    }

    #[test]
    fn no_two_routes_answer_the_same() {
        let mut seen = std::collections::HashSet::new();
        for route in all() {
            for verb in route.verbs {
                assert!(seen.insert((verb.as_str(), route.path)), "{verb:?} {}", route.path);
            }
        }
    }
}
