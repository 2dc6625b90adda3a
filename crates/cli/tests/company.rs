//! Logging in with a company's identity provider, through the binary: to it and back, as a browser
//! goes.
#![expect(clippy::unwrap_used, reason = "tests are free")]

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use conformance::Node;
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

const BINARY: &str = env!("CARGO_BIN_EXE_clerestory");

/// What the provider was told by the browser, and what it says of the person.
#[derive(Default)]
struct Visit {
    nonce: String,
    challenge: String,
    groups: Vec<&'static str>,
}

/// A provider on loopback that signs with ES256; any code that is `right` is good.
fn provider(visit: &Arc<Mutex<Visit>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let (visit, issuer) = (Arc::clone(visit), url.clone());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            let path = line.split(' ').nth(1).unwrap_or("").to_owned();
            let mut length = 0;
            loop {
                line.clear();
                reader.read_line(&mut line).unwrap();
                let Some((name, value)) = line.trim_end().split_once(": ") else { break };
                if name.eq_ignore_ascii_case("content-length") {
                    length = value.parse().unwrap();
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let body = String::from_utf8(body).unwrap();
            let (status, answer) = answer(&pair, &issuer, &path, &body, &visit.lock().unwrap());
            let text = answer.to_string();
            let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", text.len());
            let _ = stream.write_all(format!("{head}{text}").as_bytes());
        }
    });
    url
}

fn answer(
    pair: &EcdsaKeyPair,
    issuer: &str,
    path: &str,
    body: &str,
    visit: &Visit,
) -> (u16, Value) {
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    match path {
        "/.well-known/openid-configuration" => {
            let at = |path: &str| format!("{issuer}/{path}");
            let document = json!({
                "issuer": issuer,
                "authorization_endpoint": at("authorize"),
                "token_endpoint": at("token"),
                "jwks_uri": at("keys"),
            });
            (200, document)
        }
        "/keys" => {
            let point = pair.public_key().as_ref();
            let (x, y) = (text(&point[1..33]), text(&point[33..]));
            let key = json!({ "kty": "EC", "crv": "P-256", "kid": "1", "x": x, "y": y });
            (200, json!({ "keys": [key] }))
        }
        "/token" => {
            let verifier = parameter(body, "code_verifier");
            let proves = text(digest(&SHA256, verifier.as_bytes()).as_ref()) == visit.challenge;
            if !proves || parameter(body, "code") != "right" {
                return (400, json!({ "error": "invalid_grant" }));
            }
            let claims = json!({
                "iss": issuer,
                "aud": "clerestory",
                "sub": "1234",
                "exp": now() + 300,
                "iat": now(),
                "nonce": visit.nonce,
                "preferred_username": "ada",
                "groups": visit.groups,
            });
            let head = text(br#"{"alg":"ES256","kid":"1"}"#);
            let signed = format!("{head}.{}", text(claims.to_string().as_bytes()));
            let signature = pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
            (200, json!({ "id_token": format!("{signed}.{}", text(signature.as_ref())) }))
        }
        _ => (404, json!({})),
    }
}

#[expect(clippy::disallowed_methods, reason = "a provider has a clock of its own")]
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn parameter(text: &str, name: &str) -> String {
    let prefix = format!("{name}=");
    let query = text.split_once('?').map_or(text, |(_, query)| query);
    query.split('&').find_map(|pair| pair.strip_prefix(&prefix)).unwrap_or("").to_owned()
}

/// A browser that goes to one page: status, where it is sent, the cookies that it is given.
fn browse(url: &str, path: &str, cookie: &str) -> (u16, String, Vec<String>) {
    let config = ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0);
    let request = config.build().new_agent().get(format!("{url}{path}")).header("cookie", cookie);
    let answer = request.call().unwrap();
    let header = |name: &str| -> Vec<String> {
        let values = answer.headers().get_all(name).iter();
        values.map(|value| value.to_str().unwrap().to_owned()).collect()
    };
    let place = header("location").pop().unwrap_or_default();
    (answer.status().as_u16(), place, header("set-cookie"))
}

fn pair_of(cookies: &[String], name: &str) -> String {
    let cookie = cookies.iter().find(|cookie| cookie.starts_with(name)).unwrap();
    cookie.split(';').next().unwrap().to_owned()
}

#[test]
fn a_browser_goes_to_the_provider_and_comes_back_logged_in() {
    let node = Node::start(BINARY);
    let visit = Arc::new(Mutex::new(Visit { groups: vec!["data team"], ..Visit::default() }));
    let issuer = provider(&visit);
    let administrator = node.caller("administrator");
    let refused =
        json!({ "name": "oidc", "value": ["issuer=http://id.example.org", "client_id=x"] });
    let edit = |setting: &Value| {
        let body = json!({ "edits": [{ "setting": setting }], "why": "the company's accounts" });
        administrator.post("/_clerestory/changes", &body)
    };
    let said = edit(&refused).body;
    assert!(String::from_utf8_lossy(&said).contains("role:GROUP=ROLE"));
    let entries = [
        format!("issuer={issuer}"),
        "client_id=clerestory".into(),
        "role:data team=analyst".into(),
    ];
    // Nothing was stored yet, so this counts at once; later it waits for a second person.
    edit(&json!({ "name": "oidc", "value": entries })).expect(200);
    let secret = json!({ "secret": "the secret" });
    administrator.put("/_clerestory/oidc/_secret", &secret).expect(200);

    let go = || {
        let (status, place, cookies) = browse(node.url(), "/_ui/oidc", "");
        assert_eq!(status, 303, "{place}");
        assert!(place.starts_with(&format!("{issuer}/authorize?")), "{place}");
        assert_eq!(parameter(&place, "code_challenge_method"), "S256");
        assert!(cookies[0].contains("HttpOnly") && cookies[0].contains("SameSite=Lax"));
        let mut visit = visit.lock().unwrap();
        visit.nonce = parameter(&place, "nonce");
        visit.challenge = parameter(&place, "code_challenge");
        (parameter(&place, "state"), pair_of(&cookies, "clerestory_oidc="))
    };
    let back = |state: &str, cookie: &str, code: &str| {
        let path = format!("/_ui/oidc/callback?state={state}&code={code}&session_state=x");
        browse(node.url(), &path, cookie)
    };
    let (state, cookie) = go();
    assert_eq!(back(&state, "", "right").0, 401, "another browser");
    assert_eq!(back("made-up", &cookie, "right").0, 401);
    assert_eq!(back(&state, &cookie, "wrong").0, 401);
    assert_eq!(back(&state, &cookie, "right").0, 401, "used up");
    let (state, cookie) = go();
    let (status, _, cookies) = back(&state, &cookie, "right");
    assert_eq!(status, 200);
    let session = pair_of(&cookies, "clerestory_session=");
    assert_eq!(browse(node.url(), "/_security/_authenticate", &session).0, 200);
    let people = administrator.get("/_clerestory/people").expect(200);
    let ada = people["people"].as_array().unwrap().iter().find(|person| person["name"] == "ada");
    assert_eq!(ada.unwrap()["roles"], json!(["analyst"]));

    // In no group any more: not let in, and the session of before opens nothing.
    visit.lock().unwrap().groups = vec!["football"];
    let (state, cookie) = go();
    assert_eq!(back(&state, &cookie, "right").0, 401);
    let people = administrator.get("/_clerestory/people").expect(200);
    let ada = people["people"].as_array().unwrap().iter().find(|person| person["name"] == "ada");
    assert_eq!(ada.unwrap()["roles"], json!([]));
    node.program.run_as(&administrator, &["user", "disable", "ada"]);
    assert_eq!(browse(node.url(), "/_security/_authenticate", &session).0, 401);
    let log = fs::read_to_string(node.program.log()).unwrap();
    assert!(log.contains("none of the person's groups is a role here"), "the reason is in the log");
    assert!(!log.contains("the secret") && !log.contains(&session["clerestory_session=".len()..]));
}
