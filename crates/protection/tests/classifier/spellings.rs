//! Values as they are written so that nobody, or no program, reads them at once.

use crate::random::Random;
use crate::values::{Case, Kind};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// A way to write a value.
pub(crate) struct Spelling {
    pub(crate) name: &'static str,
    /// Whether values of this kind are written so.
    pub(crate) fits: fn(&Kind) -> bool,
    write: fn(&str, &mut Random) -> String,
}

impl Spelling {
    pub(crate) fn case(&self, kind: &Kind, random: &mut Random) -> Case {
        let value = (kind.make)(random);
        let around = if kind.around.is_empty() { "please take {} down" } else { kind.around };
        Case::new(around, &(self.write)(&value, random))
    }
}

fn is_any(kind: &Kind) -> bool {
    kind.around.is_empty() && !matches!(kind.name, "private key")
}

fn is_email(kind: &Kind) -> bool {
    kind.name == "e-mail"
}

fn is_number(kind: &Kind) -> bool {
    matches!(kind.name, "payment card")
}

pub(crate) const SPELLINGS: &[Spelling] = &[
    Spelling {
        name: "at and dot in words",
        fits: is_email,
        write: |value, random| {
            let (at, dot) = [
                (" at ", " dot "),
                (" AT ", " DOT "),
                ("(at)", "(dot)"),
                (" [at] ", " [dot] "),
                ("[at]", "."),
            ][random.below(5) as usize];
            value.replace('.', dot).replace('@', at)
        },
    },
    Spelling {
        name: "blanks around the signs",
        fits: is_email,
        write: |value, _| value.replace('.', " . ").replace('@', " @ "),
    },
    Spelling {
        name: "letters with blanks between",
        fits: |kind| is_email(kind) || is_number(kind),
        write: |value, _| {
            let letters: Vec<String> =
                value.chars().filter(|c| !" -".contains(*c)).map(String::from).collect();
            letters.join(" ")
        },
    },
    Spelling {
        name: "percent codes",
        fits: is_any,
        write: |value, _| {
            let code = |c: char| match c {
                c if c.is_ascii_alphanumeric() || !c.is_ascii() || "-._~".contains(c) => {
                    c.to_string()
                }
                c => format!("%{:02X}", c as u32),
            };
            value.chars().map(code).collect()
        },
    },
    Spelling {
        name: "all in percent codes",
        fits: is_any,
        write: |value, _| {
            let code =
                |c: char| if c.is_ascii() { format!("%{:02x}", c as u32) } else { c.to_string() };
            value.chars().map(code).collect()
        },
    },
    Spelling {
        name: "base 64",
        fits: is_any,
        write: |value, _| STANDARD.encode(value).trim_end_matches('=').to_owned(),
    },
    Spelling {
        name: "characters without width",
        fits: is_any,
        write: |value, random| {
            let hidden = ["\u{200b}", "\u{200d}", "\u{2060}", "\u{ad}", "\u{feff}"];
            let place = random.between(1, value.chars().count() as u64) as usize;
            let mut out = String::new();
            for (number, c) in value.chars().enumerate() {
                if number == place || number == place + 3 {
                    out.push_str(random.pick(&hidden));
                }
                out.push(c);
            }
            out
        },
    },
    Spelling {
        name: "full width",
        fits: is_any,
        write: |value, _| {
            let wide = |c: char| match c {
                '!'..='~' => char::from_u32(c as u32 - 0x21 + 0xff01).expect("full-width forms"),
                ' ' => '\u{3000}',
                c => c,
            };
            value.chars().map(wide).collect()
        },
    },
];
