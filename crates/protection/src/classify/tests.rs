use super::*;
use crate::pseudonym;
use model::Strings;

/// Marks what is found: `from ‹ip 1.2.3.4›`.
fn marked(text: &str, hints: Hints) -> String {
    let mut findings = Vec::new();
    Classifier::standard().find(text, hints, &mut findings);
    let mut out = String::new();
    let mut at = 0;
    for finding in findings {
        assert!(finding.start >= at && finding.end > finding.start, "ascending, no overlaps");
        out.push_str(&text[at..finding.start]);
        out.push_str(&format!("‹{} {}›", finding.kind, &text[finding.start..finding.end]));
        at = finding.end;
    }
    out.push_str(&text[at..]);
    out
}

#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(marked(text, Hints::TEXT), expected);
}

#[track_caller]
fn check_clean(text: &str) {
    check(text, text);
}

#[track_caller]
fn read(yaml: &str) -> RuleFile {
    serde_norway::from_str(yaml).unwrap()
}

#[test]
fn every_rule_is_held_to_its_examples() {
    for rule in read(include_str!("rules/fields.yaml")).fields {
        let compiled = rule.compile().unwrap_or_else(|why| panic!("{}: {why}", rule.name));
        let checked = rule.check_examples(&Arc::new(compiled), &standard().words.noise);
        assert_eq!(checked, Ok(()), "{}", rule.name);
    }
    for rule in read(include_str!("rules/texts.yaml")).texts {
        let compiled = rule.compile().unwrap_or_else(|why| panic!("{}: {why}", rule.name));
        let checked = rule.check_examples(&Arc::new(compiled));
        assert_eq!(checked, Ok(()), "{}", rule.name);
    }
}

/// Together, too: a rule is not hidden by another.
#[test]
fn every_example_of_a_text_is_found_among_all_rules() {
    let yaml: serde_norway::Value =
        serde_norway::from_str(include_str!("rules/texts.yaml")).unwrap();
    for rule in yaml["texts"].as_sequence().unwrap() {
        for example in rule["takes"].as_sequence().unwrap() {
            let (plain, marks) = rule_file::unmark(example.as_str().unwrap());
            let mut found = Vec::new();
            Classifier::standard().find_in_text(&plain, &mut found);
            for (start, end) in marks {
                let kind = rule["kind"].as_str().unwrap();
                let is_it = |one: &Finding| (one.start, one.end, one.kind) == (start, end, kind);
                assert!(found.iter().any(is_it), "{plain}: {found:?}");
            }
        }
    }
}

#[test]
fn no_anchor_hides_another() {
    let texts = read(include_str!("rules/texts.yaml")).texts;
    let anchors: Vec<&String> = texts.iter().flat_map(|rule| &rule.anchors).collect();
    for one in &anchors {
        for other in &anchors {
            assert!(one == other || !one.starts_with(*other), "`{other}` hides `{one}`");
        }
    }
}

/// The class and kind of a field whose name alone speaks, as people may read them in the file.
#[test]
fn every_field_example_is_ruled_so_among_all_rules() {
    let yaml: serde_norway::Value =
        serde_norway::from_str(include_str!("rules/fields.yaml")).unwrap();
    for rule in yaml["fields"].as_sequence().unwrap() {
        for example in rule["takes"].as_sequence().unwrap() {
            let (field, value) = example.as_str().unwrap().split_once('=').unwrap();
            let (name, word) = field.rsplit_once(' ').unwrap_or((field, "keyword"));
            let ty = match word {
                "text" => FieldType::Text,
                "long" => FieldType::Long,
                "double" => FieldType::Double,
                "date" => FieldType::Date,
                "ip" => FieldType::Ip,
                _ => FieldType::Keyword,
            };
            let values = strings(&[value]);
            let verdict =
                Classifier::standard().rule_on_field(&FieldFacts { name, ty, values: &values });
            assert_eq!(verdict.class.as_str(), rule["class"].as_str().unwrap(), "{name}");
        }
    }
}

#[test]
fn addresses_in_text() {
    check(
        "83.149.9.216 - - [17/May/2015:10:05:03 +0000]",
        "‹ip 83.149.9.216› - - [17/May/2015:10:05:03 +0000]",
    );
    check("from 1.2.3.4.", "from ‹ip 1.2.3.4›.");
    check(
        "http://10.0.0.1:8080/x and /devices/10.0.0.2/",
        "http://‹ip 10.0.0.1›:8080/x and /devices/‹ip 10.0.0.2›/",
    );
    check("10.0.0.1-10.0.0.9", "‹ip 10.0.0.1›-‹ip 10.0.0.9›");
    check("218.60.136.106.static.example.net", "‹ip 218.60.136.106›.static.example.net");
    check(
        "fe80::1%eth0 and [2001:db8::8a2e:370:7334]:443",
        "‹ip fe80::1›%eth0 and [‹ip 2001:db8::8a2e:370:7334›]:443",
    );
    check("::ffff:1.2.3.4 up", "‹ip ::ffff:1.2.3.4› up");
    check("on ip-10-77-20-248 port", "on ‹ip ip-10-77-20-248› port");
    check("ec2-54-12-3-4.compute-1.amazonaws.com", "‹ip ec2-54-12-3-4›.compute-1.amazonaws.com");
    check(
        "at 00:1A:2b:3c:4d:5e, 00-1a-2b-3c-4d-5e",
        "at ‹mac 00:1A:2b:3c:4d:5e›, ‹mac 00-1a-2b-3c-4d-5e›",
    );
    for text in [
        "Chrome/32.0.1700.77 Firefox/2.0.0.4 rv:1.9.0.14",
        "firmware 2.4.1.7 installed",
        "UP.Browser/6.2.3.3.c.1.1",
        "v1.2.3.4",
        "listening on 0.0.0.0 mask 255.255.255.0",
        "Server listening on :: port 22.",
        "1.2.3.4.5",
        "1.2.3",
        "2015-03-27T13:06:56Z 10:05:03",
        "std::vec dead::beef a::b",
        "00:00:00:00:00:00",
        "41.1.1.3.227.1935",
    ] {
        check_clean(text);
    }
}

#[test]
fn people_in_text() {
    check("mail Ada.L@Example.org now", "mail ‹email Ada.L@Example.org› now");
    check("<josé@exämple.org>", "<‹email josé@exämple.org›>");
    check(
        "call +49 171 1234567 or 415-555-2671 or (415) 555-2671!",
        "call ‹phone +49 171 1234567› or ‹phone 415-555-2671› or ‹phone (415) 555-2671›!",
    );
    check(
        "pay 4111 1111 1111 1111 or 4111111111111111.",
        "pay ‹card 4111 1111 1111 1111› or ‹card 4111111111111111›.",
    );
    check(
        "to DE89 3704 0044 0532 0130 00 or GB82WEST12345698765432",
        "to ‹iban DE89 3704 0044 0532 0130 00› or ‹iban GB82WEST12345698765432›",
    );
    check("root@10.0.0.1", "‹user root›@‹ip 10.0.0.1›");
    for text in [
        "1431857103000 1431857103000000000",
        "+0000 +01:00",
        "2015-03-27 13:06:56.123456789",
        "a@b @here x@1.2",
        "order 4111111111111112",
        "550e8400-e29b-41d4-a716-446655440000",
        "npm pkg@1.2.3",
        "DE12 not an account",
        "1,234,567,890",
    ] {
        check_clean(text);
    }
}

#[test]
fn names_and_values_in_text() {
    check(
        "logname= uid=0 euid=0 tty=ssh ruser= rhost=1.2.3.4  user=root",
        "logname= uid=0 euid=0 tty=ssh ruser= rhost=‹ip 1.2.3.4›  user=‹user root›",
    );
    check("rhost=dsl.example.net", "rhost=‹ip dsl.example.net›");
    check(
        r#"{"user":"ada","password": "p\"w","n":1}"#,
        r#"{"user":"‹user ada›","password": "‹password p\"w›","n":1}"#,
    );
    check(r#"{\"password\":\"hunter2\"}"#, r#"{\"password\":\"‹password hunter2›\"}"#);
    check(
        "GET /x?user_id=42&token=8f14e45fceea167a5a36dedd4bea2543&n=1",
        "GET /x?user_id=‹user 42›&token=‹secret 8f14e45fceea167a5a36dedd4bea2543›&n=1",
    );
    check(
        "ssid=Home-5G device_id=dev-1 lat=52.5",
        "ssid=‹ssid Home-5G› device_id=‹device dev-1› lat=‹position 52.5›",
    );
    check("password: hunter2; api_key = k1", "password: ‹password hunter2›; api_key = ‹key k1›");
    check("Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic ‹basic dXNlcjpwYXNz›");
    check("Cookie: a=b; c=d", "Cookie: ‹token a=b; c=d›");
    check(
        "postgres://app:pw@db/x https://bob@example.org/",
        "postgres://‹url-login app:pw›@db/x https://‹user bob›@example.org/",
    );
    for text in [
        "tty=ssh x=1 status=200",
        "user=- user=null user=unknown",
        "login: failed",
        "PWD=/tmp ; COMMAND=x",
        "token=comma",
        "a == b",
        "time: 10:05",
        "uid=0",
    ] {
        check_clean(text);
    }
}

#[test]
fn a_sealed_text_is_left_alone() {
    let pseudonym = format!("user:{}0", "0123456789abcdefghijklmno");
    assert!(pseudonym::is_pseudonym(&pseudonym));
    for text in [
        format!("user={pseudonym} from ip:{}", &pseudonym[5..]),
        format!("Invalid user {pseudonym} from ip:{} port 1", &pseudonym[5..]),
        format!("password=secret-password:{}", &pseudonym[5..]),
        format!("{{\"user\":\"{pseudonym}\"}}"),
        format!("  {pseudonym} : TTY=pts/0 ; PWD=/home/{pseudonym} ; USER={pseudonym}"),
        format!("+ /dev/pts/0 {pseudonym}:{pseudonym} for {pseudonym} from ip:{}", &pseudonym[5..]),
    ] {
        check_clean(&text);
    }
}

#[test]
fn hints_change_what_is_found() {
    let classifier = Classifier::standard();
    assert_eq!(marked("2.4.1.7", classifier.hints("firmware")), "2.4.1.7");
    assert_eq!(marked("2.4.1.7", classifier.hints("peer")), "‹ip 2.4.1.7›");
    assert_eq!(marked("/home/about", classifier.hints("http.path")), "/home/about");
    assert_eq!(marked("/home/about", classifier.hints("cwd")), "/home/‹user about›");
    let random = "8f14e45fceea167a5a36dedd4bea2543";
    assert_eq!(marked(random, classifier.hints("token")), format!("‹secret {random}›"));
    assert_eq!(marked(random, classifier.hints("etag")), random);
    assert_eq!(marked("password=x", Hints::NAME), "password=x");
    assert_eq!(marked("a@example.org", Hints::NAME), "‹email a@example.org›");
}

#[test]
fn text_of_any_characters_is_taken() {
    for text in [
        "",
        "ü",
        "日本語 user=日本語 10.0.0.1",
        "=\u{0}=:@+-",
        "user ",
        "ユーザー@例え.jp",
        "\u{feff}@",
        "eyJ",
        "Invalid user 日",
        "@.@.@",
        "+1",
        "::::::",
        "http://@x",
        "\"=\"",
        "password=\"日",
    ] {
        marked(text, Hints::TEXT);
    }
    check("Invalid user 日本 from 1.2.3.4", "Invalid user ‹user 日本› from ‹ip 1.2.3.4›");
}

fn strings(values: &[&str]) -> Values {
    let mut strings = Strings::default();
    for value in values {
        let id = strings.push_distinct(value);
        strings.ids.push(id);
    }
    Values::Strings(strings)
}

#[track_caller]
fn check_field(name: &str, ty: FieldType, values: &[&str], class: Class, kind: &str) {
    let values = strings(values);
    let verdict = Classifier::standard().rule_on_field(&FieldFacts { name, ty, values: &values });
    assert_eq!((verdict.class, verdict.kind), (class, kind), "{name}: {}", verdict.reason);
}

#[test]
fn fields_are_ruled_by_their_values_if_no_name_says_more() {
    use FieldType::{GeoPoint, Ip, Keyword, Text};
    check_field(
        "contact",
        Keyword,
        &["ada@example.org", "+49 171 1234567", "bob@example.org"],
        Class::Personal,
        "email",
    );
    check_field("peer", Keyword, &["1.2.3.4", "10.0.0.1"], Class::Personal, "ip");
    check_field("firmware", Keyword, &["2.4.1.7", "2.4.1.8"], Class::Open, "");
    check_field("sdk_level", Keyword, &["2.4.1.7", "2.4.1.8"], Class::Open, "");
    check_field("host", Keyword, &["ip-10-77-20-248"], Class::Open, "");
    check_field("note", Text, &["mail ada@example.org", "fine"], Class::Open, "");
    check_field(
        "blob",
        Keyword,
        &["ghp_abcdefghijklmnopqrstuvwxyz0123456789"],
        Class::Secret,
        "github",
    );
    check_field(
        "name",
        Keyword,
        &["Ada Lovelace", "Mary Shelley", "root"],
        Class::Personal,
        "name",
    );
    check_field("name", Keyword, &["plug", "bulb"], Class::Open, "");
    check_field("where", GeoPoint, &["52.5,13.4"], Class::Special, "position");
    check_field("source", Ip, &["1.2.3.4"], Class::Personal, "ip");
    check_field(
        "callback",
        Keyword,
        &["+1 201 555 0123", "0049 171 1234567"],
        Class::Personal,
        "phone",
    );
}
