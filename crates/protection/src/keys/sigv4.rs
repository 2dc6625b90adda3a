//! Signs requests to AWS: Signature Version 4.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html>; the tests are
//! AWS's own vectors.

use super::hex;
use aws_lc_rs::{digest, hmac};
use model::Timestamp;
use zeroize::Zeroizing;

/// Who signs.
pub struct AwsCredentials {
    /// `AWS_ACCESS_KEY_ID`.
    pub access_key_id: String,
    /// `AWS_SECRET_ACCESS_KEY`.
    pub secret_access_key: Zeroizing<String>,
    /// `AWS_SESSION_TOKEN`, of temporary credentials.
    pub session_token: Option<Zeroizing<String>>,
}

impl std::fmt::Debug for AwsCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AwsCredentials(…)")
    }
}

/// What is signed.
pub(super) struct Signed<'a> {
    pub(super) method: &'a str,
    /// Percent-encoded, beginning with `/`.
    pub(super) path: &'a str,
    /// Percent-encoded and in the order of its names.
    pub(super) query: &'a str,
    /// Names in lower case; `host` and `x-amz-date` among them.
    pub(super) headers: &'a [(&'a str, &'a str)],
    pub(super) body: &'a [u8],
    pub(super) region: &'a str,
    pub(super) service: &'a str,
    pub(super) at: Timestamp,
}

impl Signed<'_> {
    /// The value of the `authorization` header.
    pub(super) fn authorization(&self, credentials: &AwsCredentials) -> String {
        let time = amz_date(self.at);
        let day = &time[..8];
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let mut headers: Vec<(&str, String)> = self
            .headers
            .iter()
            .map(|(name, value)| {
                (*name, value.split_ascii_whitespace().collect::<Vec<_>>().join(" "))
            })
            .collect();
        headers.sort_by(|one, other| one.0.cmp(other.0));
        let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let lines: String =
            headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let canonical = Zeroizing::new(format!(
            "{}\n{}\n{}\n{lines}\n{names}\n{}",
            self.method,
            self.path,
            self.query,
            sha256(self.body)
        ));
        let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", sha256(canonical.as_bytes()));
        let key = signing_key(&credentials.secret_access_key, day, self.region, self.service);
        let signature = hex(hmac::sign(&key, text.as_bytes()).as_ref());
        let id = &credentials.access_key_id;
        format!(
            "AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}"
        )
    }
}

/// The time as AWS writes it: `20150830T123600Z`.
pub(super) fn amz_date(at: Timestamp) -> String {
    let text = at.to_rfc3339();
    let digits: String = text.chars().filter(|c| !matches!(c, '-' | ':')).collect();
    format!("{}Z", digits.split('.').next().unwrap_or(""))
}

fn signing_key(secret: &str, day: &str, region: &str, service: &str) -> hmac::Key {
    let first = Zeroizing::new(format!("AWS4{secret}"));
    let mut key = hmac::Key::new(hmac::HMAC_SHA256, first.as_bytes());
    for part in [day, region, service, "aws4_request"] {
        let tag = hmac::sign(&key, part.as_bytes());
        key = hmac::Key::new(hmac::HMAC_SHA256, tag.as_ref());
    }
    key
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> AwsCredentials {
        AwsCredentials {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: Zeroizing::new(
                "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
            ),
            session_token: None,
        }
    }

    #[track_caller]
    fn check(
        method: &str,
        query: &str,
        extra: &[(&str, &str)],
        body: &str,
        names: &str,
        signature: &str,
    ) {
        let mut headers =
            vec![("host", "example.amazonaws.com"), ("x-amz-date", "20150830T123600Z")];
        headers.extend(extra);
        let signed = Signed {
            method,
            path: "/",
            query,
            headers: &headers,
            body: body.as_bytes(),
            region: "us-east-1",
            service: "service",
            at: Timestamp::parse_rfc3339("2015-08-30T12:36:00Z").unwrap(),
        };
        let expected = format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders={names}, Signature={signature}"
        );
        assert_eq!(signed.authorization(&example()), expected);
    }

    /// AWS's test suite for Signature Version 4: get-vanilla, get-vanilla-query-order-key-case,
    /// post-vanilla, post-header-key-sort, get-header-value-trim, post-x-www-form-urlencoded.
    #[test]
    fn the_vectors_of_aws() {
        let plain = "host;x-amz-date";
        check(
            "GET",
            "",
            &[],
            "",
            plain,
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        );
        check(
            "GET",
            "Param1=value1&Param2=value2",
            &[],
            "",
            plain,
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        );
        check(
            "POST",
            "",
            &[],
            "",
            plain,
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
        );
        check(
            "POST",
            "",
            &[("my-header1", "value1")],
            "",
            "host;my-header1;x-amz-date",
            "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
        );
        check(
            "GET",
            "",
            &[("my-header1", " value1"), ("my-header2", " \"a   b   c\"")],
            "",
            "host;my-header1;my-header2;x-amz-date",
            "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
        );
        check(
            "POST",
            "",
            &[("content-type", "application/x-www-form-urlencoded")],
            "Param1=value1",
            "content-type;host;x-amz-date",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        );
    }

    #[test]
    fn debug_shows_no_secret() {
        assert_eq!(format!("{:?}", example()), "AwsCredentials(…)");
    }
}
