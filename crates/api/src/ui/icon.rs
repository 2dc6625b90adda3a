//! Small drawings, in the colour of the text around them.

use maud::{Markup, PreEscaped, html};

fn drawing(paths: &'static str) -> Markup {
    html! {
        svg.icon viewBox="0 0 16 16" width="16" height="16" fill="none" stroke="currentColor"
            stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"
            focusable="false" {
            (PreEscaped(paths))
        }
    }
}

/// The mark of the house: a row of high windows over a wall.
pub(super) fn mark() -> Markup {
    html! {
        svg.mark viewBox="0 0 24 24" width="24" height="24" aria-hidden="true" focusable="false" {
            (PreEscaped(
                "<rect x='1' y='1' width='22' height='22' rx='6' class='mark-wall'/>\
                 <g class='mark-light'><path d='M5 11V7.5a1.75 1.75 0 0 1 3.5 0V11z'/>\
                 <path d='M10.25 11V7.5a1.75 1.75 0 0 1 3.5 0V11z'/>\
                 <path d='M15.5 11V7.5a1.75 1.75 0 0 1 3.5 0V11z'/>\
                 <path d='M5 14h14v1.5H5zM5 17h14v1.5H5z' opacity='.45'/></g>"
            ))
        }
    }
}

pub(super) fn home() -> Markup {
    drawing("<path d='M2.5 7.2 8 2.5l5.5 4.7v6.3h-3.7V9.8H6.2v3.7H2.5z'/>")
}

pub(super) fn search() -> Markup {
    drawing("<circle cx='7' cy='7' r='4.5'/><path d='m10.5 10.5 3.3 3.3'/>")
}

pub(super) fn again() -> Markup {
    drawing("<path d='M13 8a5 5 0 1 1-1.5-3.6M13.2 2.2v2.9h-2.9'/>")
}

pub(super) fn terminal() -> Markup {
    drawing(
        "<rect x='2' y='3' width='12' height='10' rx='1.5'/><path d='m4.8 6.3 1.9 1.7-1.9 1.7M8.3 10h2.9'/>",
    )
}

pub(super) fn metrics() -> Markup {
    drawing("<path d='M2.5 2.5v11h11'/><path d='m5 10 2.5-3.2 2.2 1.7L13.3 4'/>")
}

pub(super) fn bell() -> Markup {
    drawing(
        "<path d='M3 12h10c-1.1-1-1.5-2.2-1.5-4.5a3.5 3.5 0 0 0-7 0C4.5 9.8 4.1 11 3 12z'/><path d='M6.8 14a1.3 1.3 0 0 0 2.4 0'/>",
    )
}

pub(super) fn lock() -> Markup {
    drawing(
        "<rect x='3' y='7' width='10' height='6.5' rx='1.5'/><path d='M5.2 7V5a2.8 2.8 0 0 1 5.6 0v2'/>",
    )
}

pub(super) fn tables() -> Markup {
    drawing(
        "<rect x='2.5' y='3' width='11' height='10' rx='1.5'/><path d='M2.5 6.5h11M6.5 6.5V13'/>",
    )
}

pub(super) fn ruling() -> Markup {
    drawing("<path d='M8 2.5v11M5 13.5h6M3 4.5h10M3 4.5 1.5 9h3zM13 4.5 11.5 9h3z'/>")
}

pub(super) fn change() -> Markup {
    drawing("<path d='M3 5.5h9.5M10 3l2.5 2.5L10 8M13 10.5H3.5M6 8l-2.5 2.5L6 13'/>")
}

pub(super) fn key() -> Markup {
    drawing("<circle cx='5' cy='11' r='2.7'/><path d='m7 9 6-6M10.5 5.5l2 2'/>")
}

pub(super) fn eye() -> Markup {
    drawing(
        "<path d='M1.5 8S4 3.8 8 3.8 14.5 8 14.5 8 12 12.2 8 12.2 1.5 8 1.5 8z'/><circle cx='8' cy='8' r='1.9'/>",
    )
}

pub(super) fn clock() -> Markup {
    drawing("<circle cx='8' cy='8' r='5.5'/><path d='M8 5v3.2l2 1.3'/>")
}

pub(super) fn shield() -> Markup {
    drawing(
        "<path d='M8 2 3 4v3.7c0 3 2 5.2 5 6.3 3-1.1 5-3.3 5-6.3V4z'/><path d='m5.8 8 1.6 1.6L10.3 6.6'/>",
    )
}

pub(super) fn person() -> Markup {
    drawing(
        "<circle cx='8' cy='5.5' r='2.7'/><path d='M2.8 13.5c.6-2.6 2.6-4 5.2-4s4.6 1.4 5.2 4'/>",
    )
}

pub(super) fn leave() -> Markup {
    drawing("<path d='M6.5 2.5h-4v11h4M10 5l3 3-3 3M13 8H6'/>")
}

pub(super) fn arrow() -> Markup {
    drawing("<path d='M3 8h10M9 4l4 4-4 4'/>")
}

pub(super) fn download() -> Markup {
    drawing("<path d='M8 2.5v7.5M5 7l3 3 3-3M3 13h10'/>")
}

pub(super) fn plus() -> Markup {
    drawing("<path d='M8 3.5v9M3.5 8h9'/>")
}

pub(super) fn dashboard() -> Markup {
    drawing(
        "<rect x='2.5' y='2.5' width='5' height='6' rx='1'/><rect x='9.5' y='2.5' width='4' height='3.5' rx='1'/><rect x='2.5' y='10.5' width='5' height='3' rx='1'/><rect x='9.5' y='8' width='4' height='5.5' rx='1'/>",
    )
}

pub(super) fn full_screen() -> Markup {
    drawing("<path d='M6 2.5H2.5V6M10 2.5h3.5V6M6 13.5H2.5V10M10 13.5h3.5V10'/>")
}

pub(super) fn edit() -> Markup {
    drawing("<path d='M3 13v-2.6L10.6 2.8l2.6 2.6L5.6 13z'/>")
}

pub(super) fn link() -> Markup {
    drawing(
        "<path d='M6.8 9.2 9.2 6.8M7 4.6l1.4-1.4a2.8 2.8 0 0 1 4 4L11 8.6M9 11.4l-1.4 1.4a2.8 2.8 0 0 1-4-4L5 7.4'/>",
    )
}

pub(super) fn copies() -> Markup {
    drawing(
        "<path d='M2.5 5c0-1.4 2.5-2.5 5.5-2.5S13.5 3.6 13.5 5 11 7.5 8 7.5 2.5 6.4 2.5 5zM2.5 5v6c0 1.4 2.5 2.5 5.5 2.5M13.5 5v2.5M10 11.5h4M12.3 9.5l2 2-2 2'/>",
    )
}

pub(super) fn record() -> Markup {
    drawing("<path d='M4 2.5h6l2.5 2.5v8.5H4z'/><path d='M6 7.5h4.5M6 10.5h4.5'/>")
}
