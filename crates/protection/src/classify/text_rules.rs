//! The table of rules on free text that start at a fixed word (an anchor): credentials with a
//! known prefix, and the sentences in which programs name users.
//!
//! One pass finds all anchors; the pattern of a rule is only asked where its anchor stands.
//! Patterns are ASCII: bytes above 127 match only what is negated.

use super::checks;
use model::Class;

/// One rule on text.
pub(super) struct TextRule {
    /// The kind of value; prefix of pseudonyms and tags.
    pub(super) kind: &'static str,
    pub(super) class: Class,
    /// What stands at the place; never the start of another anchor.
    pub(super) anchors: &'static [&'static str],
    /// What must stand before the anchor; empty: anything but a letter or digit.
    pub(super) before: &'static [&'static str],
    /// What must not stand before the anchor.
    pub(super) unless: &'static [&'static str],
    pub(super) place: Place,
    /// Must match at the place; each group that takes part is a value, without groups the whole.
    pub(super) pattern: &'static str,
    /// The last word on each value.
    pub(super) check: fn(&[u8]) -> bool,
    /// Texts with the value that must be found.
    #[cfg_attr(not(test), expect(dead_code, reason = "the tests run the examples"))]
    pub(super) takes: &'static [(&'static str, &'static str)],
    /// Texts in which this rule must find nothing.
    #[cfg_attr(not(test), expect(dead_code, reason = "the tests run the examples"))]
    pub(super) leaves: &'static [&'static str],
}

/// Where the pattern of a rule is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// From the anchor on.
    Anchor,
    /// From the end of the anchor on.
    After,
    /// The value is the word that ends where the anchor starts.
    WordBefore,
}

const fn secret(
    kind: &'static str,
    anchors: &'static [&'static str],
    pattern: &'static str,
    takes: &'static [(&'static str, &'static str)],
    leaves: &'static [&'static str],
) -> TextRule {
    TextRule {
        kind,
        class: Class::Secret,
        anchors,
        before: &[],
        unless: &[],
        place: Place::Anchor,
        pattern,
        check: anything,
        takes,
        leaves,
    }
}

const fn user(
    anchors: &'static [&'static str],
    before: &'static [&'static str],
    place: Place,
    pattern: &'static str,
    takes: &'static [(&'static str, &'static str)],
    leaves: &'static [&'static str],
) -> TextRule {
    TextRule {
        kind: "user",
        class: Class::Personal,
        anchors,
        before,
        unless: &[],
        place,
        pattern,
        check: is_user,
        takes,
        leaves,
    }
}

use Place::{After, WordBefore};

/// All rules.
pub(super) const TEXT_RULES: &[TextRule] = &[
    secret(
        "jwt",
        &["eyJ"],
        r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)*",
        &[(
            "got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl ok",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
        )],
        &["eyJust a word"],
    ),
    secret(
        "aws",
        &["AKIA", "ASIA", "ABIA", "ACCA"],
        r"A[A-Z]IA[A-Z0-9]{16}|ACCA[A-Z0-9]{16}",
        &[("id=AKIAIOSFODNN7EXAMPLE;", "AKIAIOSFODNN7EXAMPLE")],
        &["ASIA and EUROPE"],
    ),
    secret(
        "github",
        &["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"],
        r"gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,}",
        &[(
            "push with ghp_abcdefghijklmnopqrstuvwxyz0123456789",
            "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
        )],
        &["ghp_short"],
    ),
    secret(
        "gitlab",
        &["glpat-"],
        r"glpat-[A-Za-z0-9_-]{20,}",
        &[("glpat-abcdefghij0123456789", "glpat-abcdefghij0123456789")],
        &[],
    ),
    secret(
        "slack",
        &["xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", "xapp-", "hooks.slack.com/"],
        r"xox[abprs]-[A-Za-z0-9-]{10,}|xapp-[A-Za-z0-9-]{10,}|hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/_-]{20,}",
        &[
            ("use xoxb-123456789012-abcdefABCDEF", "xoxb-123456789012-abcdefABCDEF"),
            (
                "https://hooks.slack.com/services/T00000000/B00000000/abcdefghijkl",
                "hooks.slack.com/services/T00000000/B00000000/abcdefghijkl",
            ),
        ],
        &["xoxb-short", "see hooks.slack.com/help"],
    ),
    secret(
        "google",
        &["AIza", "ya29.", "GOCSPX-"],
        r"AIza[A-Za-z0-9_-]{35}|ya29\.[A-Za-z0-9_-]{20,}|GOCSPX-[A-Za-z0-9_-]{20,}",
        &[(
            "key AIzaSyA-abcdefghijklmnopqrstuvwxyz01234 x",
            "AIzaSyA-abcdefghijklmnopqrstuvwxyz01234",
        )],
        &["AIzawa"],
    ),
    secret(
        "stripe",
        &["sk_live_", "sk_test_", "rk_live_", "rk_test_", "whsec_"],
        r"(?:[sr]k_(?:live|test)|whsec)_[A-Za-z0-9]{16,}",
        &[("charge by sk_live_abcdefghij0123456789", "sk_live_abcdefghij0123456789")],
        &["sk_test_x"],
    ),
    secret(
        "token",
        &[
            "npm_", "sk-ant-", "sk-proj-", "SG.", "hf_", "cls_", "Atza|", "shpat_", "dop_v1_",
            "pypi-",
        ],
        r"(?:npm_|hf_|cls_|shpat_|dop_v1_)[A-Za-z0-9_-]{24,}|(?:sk-ant-|sk-proj-|pypi-)[A-Za-z0-9_-]{20,}|SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}|Atza\|[A-Za-z0-9_-]{20,}",
        &[
            (
                "npm_abcdefghijklmnopqrstuvwxyz0123456789",
                "npm_abcdefghijklmnopqrstuvwxyz0123456789",
            ),
            ("linked Atza|ABCDEFGHIJKLMNOPQRSTUVWXYZ", "Atza|ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
        ],
        &["npm_config_cache", "SG. Köln"],
    ),
    secret(
        "private-key",
        &["-----BEGIN "],
        r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----(?s:.*?)(?:-----END [A-Z0-9 ]*-----|\z)",
        &[(
            "a -----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY----- b",
            "-----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY-----",
        )],
        &["-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"],
    ),
    TextRule {
        before: &["B", "b"],
        place: After,
        check: is_header_token,
        ..secret(
            "bearer",
            &["earer "],
            r"([A-Za-z0-9._~+/=-]{16,})",
            &[("Authorization: Bearer abcdef0123456789abcdef", "abcdef0123456789abcdef")],
            &["the bearer authentication-failure"],
        )
    },
    TextRule {
        before: &["B", "b"],
        place: After,
        check: checks::is_basic_header,
        ..secret(
            "basic",
            &["asic "],
            r"([A-Za-z0-9+/]{6,}={0,2})",
            &[("authorization: Basic dXNlcjpwYXNz", "dXNlcjpwYXNz")],
            &["Basic authentication failed"],
        )
    },
    TextRule {
        place: After,
        ..secret(
            "password",
            &["--password ", "--token ", "--secret ", "--api-key ", "--passphrase "],
            r#"['"]?([^\s'"]+)"#,
            &[("mysql --password hunter2 -h db", "hunter2")],
            &[],
        )
    },
    // sshd: "Invalid user X from ADDRESS", also with blanks inside the name.
    user(
        &["user "],
        &["nvalid "],
        After,
        r"([^ ].{0,99}?)(?: from | \[preauth\]| port |: |\]|$)",
        &[
            ("Invalid user pi from 181.25.206.27", "pi"),
            ("input_userauth_request: invalid user support [preauth]", "support"),
            ("Failed password for invalid user a b from 1.2.3.4 port 5 ssh2", "a b"),
        ],
        &["Invalid user  from 34.204.227.175", "input_userauth_request: invalid user  [preauth]"],
    ),
    user(
        &["user "],
        &[
            "opened for ",
            "closed for ",
            "changed for ",
            "failed for ",
            "denied for ",
            "failure for ",
            "created for ",
            "granted for ",
            "attempt for ",
            "locked for ",
            "expired for ",
            "logged in for ",
            "login for ",
            "authenticating ",
            "session: ",
        ],
        After,
        r#"["'`]?([^\s"'`:;,()\[\]]+)"#,
        &[
            ("session opened for user ubuntu by (uid=0)", "ubuntu"),
            ("pam_unix(cron:session): session closed for user elastic_user_0", "elastic_user_0"),
            ("session opened for user bob(uid=1000) by (uid=0)", "bob"),
            ("Connection closed by authenticating user mike 1.2.3.4 port 22", "mike"),
            ("Close session: user ubuntu from 1.2.3.4", "ubuntu"),
        ],
        &["check pass; user unknown", "disconnected by user", "made for user experience"],
    ),
    user(
        &["user "],
        &["of "],
        After,
        r"([^\s.,;]+)\.?$",
        &[("New session 1 of user ubuntu.", "ubuntu")],
        &["the number of user sessions that failed"],
    ),
    user(
        &["user "],
        &["from ", "for ", "by "],
        After,
        r"([^\s]+) (?:\d{1,3}\.|[0-9a-f]{0,4}:)",
        &[("Disconnected from user mike 1.2.3.4 port 22", "mike")],
        &["read from user space 12 times"],
    ),
    user(
        &["User "],
        &[],
        After,
        r"([^\s]+) (?:from |not allowed|not known|does not exist|logged|authenticated|added|removed|deleted)",
        &[("User bob from 1.2.3.4 not allowed because not listed", "bob")],
        &["User child is on pid 29582", "User agent is unknown"],
    ),
    user(
        &["user ", "User ", "user: ", "group ", "owned by "],
        &[],
        After,
        r#"["'`]([^\s"'`]+)["'`]"#,
        &[
            ("user \"elastic_user_1\" does not exist in /etc/passwd", "elastic_user_1"),
            ("failed adding user 'bob', data deleted", "bob"),
            ("password authentication failed for user \"ada\"", "ada"),
        ],
        &[],
    ),
    // sshd: "Accepted publickey for X from ADDRESS", "attempts exceeded for X from ADDRESS".
    user(
        &[" for "],
        &[""],
        After,
        r"([^\s]+) from (?:\d{1,3}\.\d|[0-9a-f]*:|[^\s]+ port )",
        &[
            ("Accepted publickey for ubuntu from 85.245.107.41 port 54259 ssh2", "ubuntu"),
            (
                "maximum authentication attempts exceeded for root from 122.176.37.221 port 1",
                "root",
            ),
            ("Starting session: shell on pts/0 for eve from fe80::1 port 61663 id 0", "eve"),
        ],
        &["waiting for data from upstream"],
    ),
    user(
        &["word changed for "],
        &[""],
        After,
        r"([^\s]+)$",
        &[("pam_unix(chpasswd:chauthtok): password changed for bob", "bob")],
        &[],
    ),
    user(
        &[" su for "],
        &[""],
        After,
        r"([^\s]+) by ([^\s]+)",
        &[("Successful su for root by ada", "root"), ("Successful su for root by ada", "ada")],
        &[],
    ),
    user(
        &["SU (to "],
        &[],
        After,
        r"([^\s)]+)\) ([^\s]+)",
        &[("FAILED SU (to root) ada on pts/0", "ada")],
        &[],
    ),
    user(
        &[" by "],
        &[""],
        After,
        r"([^\s(]+)\(uid=",
        &[("session opened for user root by ada(uid=0)", "ada")],
        &["opened by (uid=0)", "done by nobody"],
    ),
    user(
        &["logged in as ", "Logged in as ", "signed in as ", "logging in as "],
        &[""],
        After,
        r#"["'`]?([^\s"'`,;]+)"#,
        &[("client logged in as ada.", "ada")],
        &[],
    ),
    // sudo: "X : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/true".
    user(
        &[
            " : TTY=",
            " : command not allowed",
            " : user NOT in sudoers",
            " : a password is required",
            " : 1 incorrect password",
            " : 2 incorrect password",
            " : 3 incorrect password",
        ],
        &[""],
        WordBefore,
        "",
        &[
            ("  ubuntu : TTY=pts/0 ; PWD=/tmp ; USER=root ; COMMAND=/bin/su", "ubuntu"),
            ("sudo:  eve : command not allowed ; TTY=pts/1", "eve"),
        ],
        &[" : TTY=pts/0"],
    ),
    // cron: "(X) CMD (command)".
    user(
        &[") CMD", ") RELOAD", ") LIST", ") REPLACE", ") BEGIN EDIT", ") END EDIT"],
        &[""],
        WordBefore,
        "",
        &[("(www-data) CMD (  cd / && run-parts)", "www-data")],
        &["(a) and (b"],
    ),
    user(
        &["user: ", "group: ", "shadow: ", "passwd: "],
        &[""],
        After,
        r"name=([^\s,]+)",
        &[("new user: name=bob, UID=1001, GID=1001, home=/srv/b, shell=/bin/bash", "bob")],
        &[],
    ),
    TextRule {
        check: is_home,
        unless: &["GET ", "POST ", "PUT ", "HEAD ", "DELETE ", "PATCH ", "OPTIONS "],
        ..user(
            &["/home/", "/Users/", "\\Users\\"],
            &[],
            After,
            r"\\?([A-Za-z0-9._-]+)",
            &[
                ("PWD=/home/ubuntu/misc_scripts ; USER=root", "ubuntu"),
                (r"in C:\Users\ada\x", "ada"),
            ],
            &["GET /home/about HTTP/1.1", "http://example.org/home/about"],
        )
    },
    user(
        &["chown "],
        &["", "/"],
        After,
        r"(?:-[^\s]+ )*([A-Za-z_][\w.-]*)(?::([A-Za-z_][\w.-]*))?(?: |$)",
        &[("COMMAND=/bin/chown -R ada:staff x/", "ada"), ("COMMAND=/bin/chown eve x", "eve")],
        &[],
    ),
    user(
        &["useradd ", "adduser ", "userdel ", "usermod ", "bin/passwd ", "bin/su "],
        &["", "/"],
        After,
        r"(?:-{1,2}[^\s]* ?)*(?:[^\s]+ )*([A-Za-z_][\w.-]*)$",
        &[("COMMAND=/usr/sbin/useradd -m bob", "bob"), ("COMMAND=/bin/su - bob", "bob")],
        &[],
    ),
    user(
        &["/dev/pts/", "/dev/tty"],
        &[""],
        After,
        r"\w+ ([\w.-]+):([\w.-]+)$",
        &[("+ /dev/pts/0 ada:root", "ada"), ("+ /dev/pts/0 ada:root", "root")],
        &["/dev/pts/0 opened"],
    ),
    TextRule {
        check: is_login,
        ..user(
            &["ssh ", "scp ", "sftp ", "rsync "],
            &[],
            After,
            r"(?:-[^\s]+ )*([A-Za-z_][\w.-]*)@[\w.-]+",
            &[("ssh ada@web-1 uptime", "ada")],
            &["ssh web-1"],
        )
    },
];

/// What the anchor rules never take, because patterns alone would.
fn is_user(value: &[u8]) -> bool {
    const WORDS: [&str; 14] = [
        "user", "invalid", "the", "a", "an", "illegal", "this", "that", "unknown", "by", "for",
        "from", "child", "is",
    ];
    !WORDS.iter().any(|word| value.eq_ignore_ascii_case(word.as_bytes()))
        && value.iter().any(|&byte| byte.is_ascii_alphanumeric() || byte >= 0x80)
}

fn is_login(value: &[u8]) -> bool {
    !value.is_empty()
}

fn is_home(value: &[u8]) -> bool {
    value.iter().any(u8::is_ascii_alphanumeric)
}

fn is_header_token(value: &[u8]) -> bool {
    let letters_only = value.iter().all(|byte| byte.is_ascii_lowercase() || *byte == b'-');
    !letters_only
}

fn anything(_: &[u8]) -> bool {
    true
}
