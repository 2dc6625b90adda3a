//! A picture that the camera of a phone reads.

use maud::{Markup, html};
use qrcodegen::{QrCode, QrCodeEcc};

/// `text` as a QR code; nothing if it is too long for one.
pub(super) fn drawing(text: &str) -> Markup {
    let Ok(code) = QrCode::encode_text(text, QrCodeEcc::Medium) else { return html! {} };
    let size = code.size();
    let mut path = String::new();
    for y in 0..size {
        for x in (0..size).filter(|x| code.get_module(*x, y)) {
            path.push_str(&format!("M{x} {y}h1v1h-1z"));
        }
    }
    // Black on white in the dark, too: cameras do not read the other way round.
    html! {
        svg.qr viewBox={ "0 0 " (size) " " (size) } role="img" aria-label="QR code of the key" shape-rendering="crispEdges" {
            path d=(path) fill="#000000" {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_its_three_corners() {
        let drawn = drawing("otpauth://totp/Clerestory:ada?secret=ABCDEFGH").into_string();
        // The first row of a corner is seven dark squares.
        for x in 0..7 {
            assert!(drawn.contains(&format!("M{x} 0h1v1h-1z")), "{x}");
        }
        assert!(!drawn.contains("M7 0h1v1h-1z"), "and then a light one");
        assert_eq!(drawing(&"x".repeat(5000)).into_string(), "");
    }
}
