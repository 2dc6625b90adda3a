//! Where notices go, as it stands in the setting `notify`.

use crate::outside::{MailServer, Origin};
use std::fmt;
use std::str::FromStr;

/// Who is told, and how. As text:
///
/// ```text
/// ops=webhook:https://ops.example.org/hook secret=0123456789abcdef
/// chat=slack:https://hooks.slack.com/services secret=0123456789abcdef
/// mail=email:guardian@example.org smtp=smtps://user@mail.example.org from=clerestory@example.org secret=…
/// ```
///
/// A `secret` is the mark of one that was left with the node before
/// ([`Notices::keep_secret`](super::Notices::keep_secret)): a webhook is signed with it, it is the
/// end of a Slack address, or the password of a mail server. So the policy shows no secret, and
/// two people who agree on a target agree on its secret, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// What it is called.
    pub name: String,
    /// How it is reached.
    pub kind: TargetKind,
    /// The mark of its secret.
    pub secret: Option<String>,
}

/// How somebody is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetKind {
    /// JSON, signed.
    Webhook {
        /// Where to.
        url: String,
    },
    /// JSON as Slack's incoming webhooks take it, and what is like Slack.
    Slack {
        /// Where to, without its secret end.
        url: String,
    },
    /// A letter.
    Email {
        /// To whom.
        to: String,
        /// From whom.
        from: String,
        /// By which server.
        server: MailServer,
    },
}

/// Why a text is no target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", Target::FORM)]
pub struct TargetError;

impl Target {
    /// What a target looks like, for whoever typed something else.
    pub const FORM: &str = "targets such as NAME=webhook:https://HOST/PATH secret=MARK, \
        NAME=slack:https://hooks.slack.com/services secret=MARK, or NAME=email:TO \
        smtp=smtps://USER@HOST from=FROM secret=MARK; a MARK is what `clerestory notice secret` \
        prints; plain http and smtp only to this machine";

    /// Reads one target.
    ///
    /// # Errors
    /// [`TargetError`] says what one looks like.
    pub fn parse(text: &str) -> Result<Target, TargetError> {
        let mut words = text.split_ascii_whitespace();
        let (name, place) =
            words.next().and_then(|word| word.split_once('=')).ok_or(TargetError)?;
        let (kind, place) = place.split_once(':').ok_or(TargetError)?;
        let (mut secret, mut smtp, mut from) = (None, None, None);
        for word in words {
            let slot = match word.split_once('=').ok_or(TargetError)? {
                ("secret", value) if is_mark(value) => (&mut secret, value),
                ("smtp", value) if kind == "email" => (&mut smtp, value),
                ("from", value) if kind == "email" && is_address(value) => (&mut from, value),
                _ => return Err(TargetError),
            };
            if slot.0.replace(slot.1).is_some() {
                return Err(TargetError);
            }
        }
        if !is_name(name) {
            return Err(TargetError);
        }
        let url = || {
            let is_private = Origin::of(place).is_some_and(|origin| origin.is_private());
            if is_private { Ok(place.to_owned()) } else { Err(TargetError) }
        };
        let kind = match (kind, smtp, from) {
            // Who receives it has to know that it is from us.
            ("webhook", ..) if secret.is_some() => TargetKind::Webhook { url: url()? },
            ("slack", ..) => TargetKind::Slack { url: url()? },
            ("email", Some(smtp), Some(from)) if is_address(place) => {
                let server: MailServer = smtp.parse().map_err(|_| TargetError)?;
                if server.user.is_some() != secret.is_some() {
                    return Err(TargetError);
                }
                TargetKind::Email { to: place.to_owned(), from: from.to_owned(), server }
            }
            _ => return Err(TargetError),
        };
        Ok(Target { name: name.to_owned(), kind, secret: secret.map(str::to_owned) })
    }

    /// The host that is asked, for lists.
    pub fn host(&self) -> &str {
        match &self.kind {
            TargetKind::Webhook { url } | TargetKind::Slack { url } => {
                let rest = url.split_once("://").map_or("", |(_, rest)| rest);
                rest.split('/').next().unwrap_or("")
            }
            TargetKind::Email { server, .. } => &server.host,
        }
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Target, TargetError> {
        Target::parse(text)
    }
}

impl fmt::Display for TargetKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TargetKind::Webhook { .. } => "webhook",
            TargetKind::Slack { .. } => "slack",
            TargetKind::Email { .. } => "email",
        })
    }
}

fn is_name(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(is_plain)
}

/// What [`Notices::keep_secret`](super::Notices::keep_secret) gives.
fn is_mark(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// One address without a name; the mail library looks closer.
fn is_address(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_graphic() && !"<>()[],;:\\\"".contains(c);
    let parts = text.split_once('@');
    text.len() <= 254
        && text.chars().all(is_plain)
        && parts.is_some_and(|(name, host)| !name.is_empty() && host.contains(|c| c != '.'))
        && text.matches('@').count() == 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outside::MailSecurity;

    const MARK: &str = "secret=0123456789abcdef";

    #[test]
    fn three_kinds_are_read() {
        let hook = Target::parse(&format!("ops=webhook:https://ops.example.org/hook {MARK}"));
        let hook = hook.unwrap();
        assert_eq!((hook.name.as_str(), hook.host()), ("ops", "ops.example.org"));
        assert_eq!(hook.secret.as_deref(), Some("0123456789abcdef"));
        let chat = Target::parse("chat=slack:http://127.0.0.1:9/x").unwrap();
        assert_eq!(chat.kind.to_string(), "slack");
        let mail =
            format!("m=email:a@b.example smtp=smtps://u@mail.example from=c@b.example {MARK}");
        let TargetKind::Email { server, .. } = Target::parse(&mail).unwrap().kind else { panic!() };
        assert_eq!((server.port, server.security), (465, MailSecurity::Tls));
        assert_eq!(server.user.as_deref(), Some("u"));
    }

    #[test]
    fn what_leaves_in_the_clear_or_unsigned_is_none() {
        for text in [
            "ops=webhook:https://ops.example.org/hook",
            "ops=webhook:http://ops.example.org/hook secret=0123456789abcdef",
            "ops=webhook:https://user:word@ops.example.org/ secret=0123456789abcdef",
            "o ps=slack:https://x.example",
            "=slack:https://x.example",
            "chat=slack:https://x.example secret=short",
            "chat=slack:https://x.example secret=0123456789abcdef secret=0123456789abcdef",
            "chat=slack:https://x.example smtp=smtps://y",
            "m=email:a@b.example smtp=smtp://mail.example from=c@b.example",
            "m=email:a@b.example smtp=smtps://u@mail.example from=c@b.example",
            "m=email:a@b.example,x@y smtp=smtps://mail.example from=c@b.example",
            "m=email:a@b.example from=c@b.example",
            "a@example.org",
            "",
        ] {
            assert!(Target::parse(text).is_err(), "{text}");
        }
    }
}
