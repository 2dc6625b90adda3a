//! A notice as a target takes it.

use super::{Notice, NoticeKind, Notices, Target, TargetKind};
use crate::outside::{Letter, Request};
use crate::records::RecordError;
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::Timestamp;
use serde_json::json;
use zeroize::Zeroizing;

/// What is sent.
#[derive(Debug)]
pub enum Message {
    /// Over HTTP; any status from 200 to 299 says that it was taken.
    Http(Request),
    /// As a letter.
    Mail(Letter),
}

impl Notices {
    /// The notice for the target; `None` if the secret that the target names is not there.
    ///
    /// # Errors
    /// If the catalog cannot be read.
    pub fn message(
        &self,
        notice: &Notice,
        target: &Target,
    ) -> Result<Option<Message>, RecordError> {
        let secret = match &target.secret {
            None => None,
            Some(mark) => match self.secret(mark)? {
                None => return Ok(None),
                secret => secret,
            },
        };
        let node = &self.keys.id()[..16];
        // The wall clock: receivers compare it with theirs.
        Ok(Some(message(notice, target, secret, node, self.clock.wall())))
    }
}

fn message(
    notice: &Notice,
    target: &Target,
    secret: Option<Zeroizing<String>>,
    node: &str,
    now: Timestamp,
) -> Message {
    match &target.kind {
        TargetKind::Webhook { url } => {
            let secret = secret.unwrap_or_default();
            let id = format!("{node}-{}", notice.id);
            let body = json!({
                "id": notice.id,
                "kind": notice.kind.as_str(),
                "at": notice.at.to_rfc3339(),
                "times": notice.times,
                "text": notice.text,
                "change": notice.change.map(|change| change.0),
                "node": node,
            });
            let body = body.to_string();
            let seconds = now.0.div_euclid(1_000).to_string();
            let signature = signature_of(&secret, &id, &seconds, body.as_bytes());
            Message::Http(
                Request::post(url, Zeroizing::new(body.into_bytes()))
                    .with("content-type", "application/json")
                    .with("webhook-id", id)
                    .with("webhook-timestamp", seconds)
                    .with("webhook-signature", signature),
            )
        }
        TargetKind::Slack { url } => {
            let body = json!({ "text": format!("*Clerestory* {}", line(notice)) }).to_string();
            let url = match &secret {
                None => url.clone(),
                Some(end) => {
                    format!("{}/{}", url.trim_end_matches('/'), end.trim_start_matches('/'))
                }
            };
            let body = Zeroizing::new(body.into_bytes());
            Message::Http(Request::post(url, body).with("content-type", "application/json"))
        }
        TargetKind::Email { to, from, server } => Message::Mail(Letter {
            server: server.clone(),
            password: secret,
            from: from.clone(),
            to: to.clone(),
            id: format!("{}.{node}@clerestory", notice.id),
            subject: format!("[clerestory] {}", subject(notice.kind)),
            text: format!(
                "{}\n\nSince {}. Notice {} of node {node}.\n",
                line(notice),
                notice.at.to_rfc3339(),
                notice.id
            ),
        }),
    }
}

fn line(notice: &Notice) -> String {
    match notice.times {
        0 | 1 => notice.text.clone(),
        times => format!("{} ({times} times)", notice.text),
    }
}

fn subject(kind: NoticeKind) -> &'static str {
    match kind {
        NoticeKind::Waiting => "a change waits for a second person",
        NoticeKind::TimeLock => "a change will be in force unless somebody rejects it",
        NoticeKind::Applied => "somebody may do more",
        NoticeKind::BrokenGlass => "somebody broke the glass",
        NoticeKind::Quota => "a quota is used up",
        NoticeKind::Canary => "a canary was read",
        NoticeKind::RefusedLogIns => "many refused log-ins",
        NoticeKind::AuditSink => "the audit record has trouble",
        NoticeKind::Clock => "the clock was set back",
        NoticeKind::KeysExported => "keys left the node",
        NoticeKind::Alert => "alert",
        NoticeKind::Test => "test",
    }
}

/// The header `webhook-signature` of the Standard Webhooks specification (version 1,
/// <https://www.standardwebhooks.com>): `v1,` and HMAC-SHA256 over `ID.SECONDS.BODY`, in base64.
/// The bytes of `secret` are the key as they are, without a `whsec_` prefix.
pub fn signature_of(secret: &str, id: &str, seconds: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let mut context = hmac::Context::with_key(&key);
    for part in [id.as_bytes(), b".", seconds.as_bytes(), b".", body] {
        context.update(part);
    }
    format!("v1,{}", STANDARD.encode(context.sign()))
}
