//! How the record is: its last signed checkpoint, and the folders that it is written to.

use crate::ui::frame;
use crate::ui::number;
use crate::ui::shown::time;
use engine::AuditState;
use maud::{Markup, html};

/// The lines of a checkpoint that people read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::ui) struct Checkpoint {
    /// How many records it covers.
    pub(in crate::ui) records: u64,
    /// When it was signed; RFC 3339.
    pub(in crate::ui) at: String,
}

/// Reads the [note](https://c2sp.org/tlog-checkpoint) that the engine signed.
pub(in crate::ui) fn checkpoint_of(note: &str) -> Option<Checkpoint> {
    let mut lines = note.lines().skip(1);
    let records = lines.next()?.parse().ok()?;
    let at = lines.nth(1)?.strip_prefix("time ")?.to_owned();
    Some(Checkpoint { records, at })
}

/// The panel above the list.
pub(super) fn panel(state: &AuditState, records: Option<u64>) -> Markup {
    let checkpoint = state.checkpoint.as_deref().and_then(checkpoint_of);
    html! {
        section.panel.state aria-labelledby="state" {
            h2 #state { (crate::ui::icon::shield()) " State of the record" }
            dl.pairs.wide {
                @if let Some(records) = records { dt { "Length" } dd { (number::of(records, "record", "records")) } }
                dt { "Checkpoint" }
                dd {
                    @match &checkpoint {
                        Some(checkpoint) => {
                            span.dot.good {} "signed " (time(&checkpoint.at)) " over "
                            (number::of(checkpoint.records, "record", "records"))
                        },
                        None => { span.dot.bad {} "none signed since the start" },
                    }
                }
                @for (folder, trouble) in &state.sinks {
                    dt { "Folder" }
                    dd {
                        @match trouble {
                            None => { span.dot.good {} code { (folder) } " is written" },
                            Some(trouble) => { span.dot.bad {} code { (folder) } " " strong { (trouble) } },
                        }
                    }
                }
            }
            @if state.sinks.len() < 2 {
                p.hint { "It is written to one folder. A second one, on another disk, is the setting " code { "audit_sinks" } "." }
            }
            (frame::code_box("Prove it from outside", &proof(state)))
        }
    }
}

fn proof(state: &AuditState) -> String {
    let mut text = String::from(
        "# Offline, on a copy of the folder and with its keys:\n\
         clerestory audit verify --dir DIR\n\
         # From elsewhere, again and again; keeps what it saw:\n\
         clerestory audit witness --key witness.key\n",
    );
    text.push_str("\n# Checkpoints are signed with\n");
    text.push_str(state.verifier.trim());
    if let Some(note) = &state.checkpoint {
        text.push_str("\n\n# The last one\n");
        text.push_str(note.trim());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_read_as_it_is_written() {
        let note =
            "clerestory.audit/5f3a\n1807201457\n4gLz=\ntime 2019-12-26T08:00:00.000Z\n\n— x y\n";
        let read = checkpoint_of(note).unwrap();
        assert_eq!((read.records, read.at.as_str()), (1_807_201_457, "2019-12-26T08:00:00.000Z"));
        assert_eq!(checkpoint_of("x\n1\n"), None);
    }

    #[test]
    fn a_folder_in_trouble_is_named() {
        let state = AuditState {
            checkpoint: None,
            verifier: "clerestory.audit/5f3a+1+key".to_owned(),
            sinks: vec![("/a".to_owned(), None), ("/b".to_owned(), Some("no space".to_owned()))],
        };
        let shown = panel(&state, Some(3)).into_string();
        assert!(shown.contains("no space") && shown.contains("none signed"), "{shown}");
        assert!(shown.contains("3 records") && !shown.contains("one folder"), "{shown}");
    }
}
