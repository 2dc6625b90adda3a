//! Style sheets, scripts and drawings, in the binary.

use crate::error::{Answer, ApiError};
use crate::reply::{Body, Reply};
use crate::route::Call;
use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::CACHE_CONTROL;
use std::sync::LazyLock;

/// A file with its media type.
struct File {
    name: &'static str,
    media_type: &'static str,
    bytes: &'static [u8],
}

const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// All files. Those of others are in `vendor`, with where they come from.
const FILES: &[File] = &[
    File { name: "app.css", media_type: CSS, bytes: include_bytes!("assets/app.css") },
    File { name: "data.css", media_type: CSS, bytes: include_bytes!("assets/data.css") },
    File { name: "watch.css", media_type: CSS, bytes: include_bytes!("assets/watch.css") },
    File { name: "board.css", media_type: CSS, bytes: include_bytes!("assets/board.css") },
    File { name: "app.js", media_type: SCRIPT, bytes: include_bytes!("assets/app.js") },
    File { name: "search.js", media_type: SCRIPT, bytes: include_bytes!("assets/search.js") },
    File { name: "search.css", media_type: CSS, bytes: include_bytes!("assets/search.css") },
    File { name: "keys.js", media_type: SCRIPT, bytes: include_bytes!("assets/keys.js") },
    File { name: "chart.js", media_type: SCRIPT, bytes: include_bytes!("assets/chart.js") },
    File {
        name: "icon.svg",
        media_type: "image/svg+xml",
        bytes: include_bytes!("assets/icon.svg"),
    },
    File {
        name: "uplot.js",
        media_type: SCRIPT,
        bytes: include_bytes!("vendor/uPlot.iife.min.js"),
    },
    File { name: "htmx.js", media_type: SCRIPT, bytes: include_bytes!("vendor/htmx.min.js") },
    File { name: "uplot.css", media_type: CSS, bytes: include_bytes!("vendor/uPlot.min.css") },
];

/// Changes when any file changes, so that browsers may keep them for long.
static STAMP: LazyLock<String> = LazyLock::new(|| {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325; // FNV-1a
    for byte in FILES.iter().flat_map(|file| file.bytes) {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("{hash:016x}")
});

/// Where a page finds a file.
pub(super) fn address(name: &str) -> String {
    debug_assert!(FILES.iter().any(|file| file.name == name), "{name} is embedded");
    format!("/_ui/assets/{name}?v={}", *STAMP)
}

/// `GET /_ui/assets/{file}`. Open to anyone: the login page needs them.
pub(super) fn file(call: &Call<'_>) -> Answer {
    let wanted = call.request.part("file");
    let Some(file) = FILES.iter().find(|file| file.name == wanted) else {
        return Err(ApiError::not_found("no such file"));
    };
    let body = Body::Plain(Bytes::from_static(file.bytes), file.media_type);
    let is_this = call.request.param("v") == Some(STAMP.as_str());
    let keep = if is_this { "public, max-age=31536000, immutable" } else { "no-cache" };
    Ok(Reply::of(StatusCode::OK, body).with(CACHE_CONTROL, keep))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    #[test]
    fn all_files_together_are_a_light_first_load() {
        let mut bytes = 0;
        for file in FILES {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(file.bytes).unwrap();
            bytes += encoder.finish().unwrap().len();
        }
        assert!(bytes < 90_000, "{bytes} bytes compressed");
    }

    fn is_of_others(file: &File) -> bool {
        ["uplot", "htmx"].iter().any(|name| file.name.starts_with(name))
    }

    #[test]
    fn our_files_hold_nothing_that_the_content_security_policy_forbids() {
        for file in FILES.iter().filter(|file| !is_of_others(file)) {
            let text = std::str::from_utf8(file.bytes).unwrap();
            for forbidden in ["eval(", "new Function", "innerHTML", "https://", "@import"] {
                assert!(!text.contains(forbidden), "{forbidden} in {}", file.name);
            }
        }
    }
}
