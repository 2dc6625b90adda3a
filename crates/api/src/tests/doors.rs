//! Promise 1: no anonymous byte.

use super::client::{ask, exchange};
use super::house::House;
use crate::Limits;
use crate::request::Verb;
use crate::route::Door;
use crate::routes;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// A path that the route answers.
fn example(path: &str) -> String {
    let parts: Vec<&str> =
        path.split('/').map(|part| if part.starts_with('{') { "some" } else { part }).collect();
    parts.join("/")
}

#[test]
fn without_identity_every_route_gives_the_same_bytes() {
    let house = House::open();
    let expected = ask(house.address(), "GET", "/", &[], b"");
    assert_eq!(expected.status, 401);
    assert_eq!(
        expected.text(),
        r#"{"error":{"root_cause":[{"type":"security_exception","reason":"unable to authenticate this request; send Basic, ApiKey or Bearer credentials"}],"type":"security_exception","reason":"unable to authenticate this request; send Basic, ApiKey or Bearer credentials"},"status":401}"#
    );
    let names: Vec<&str> = expected.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        ["www-authenticate", "content-type", "cache-control", "connection", "content-length"]
    );
    assert_eq!(expected.header("www-authenticate"), Some(r#"Basic realm="clerestory", ApiKey"#));

    let mut paths: Vec<String> = routes::all()
        .iter()
        .filter(|route| matches!(route.door, Door::Known(_)))
        .map(|route| example(route.path))
        .collect();
    let unknown = ["/_nothing", "/a/b/c/d/e", "/some/_nothing", "/?x=%zz", "/..", "/%00", "/_ui/x"];
    paths.extend(unknown.map(str::to_owned));
    paths.sort_unstable();
    paths.dedup();
    let mut methods: Vec<&str> = Verb::ALL.iter().map(|verb| verb.as_str()).collect();
    methods.extend(["OPTIONS", "TRACE", "SEARCH"]);
    for path in &paths {
        for method in &methods {
            let answer = ask(house.address(), method, path, &["accept: */*"], b"");
            if *method == "HEAD" {
                assert!(answer.body.is_empty());
                let (head, _) = expected.bytes.split_at(expected.bytes.len() - expected.body.len());
                assert_eq!(answer.bytes, head, "HEAD {path}");
            } else {
                assert_eq!(answer.bytes, expected.bytes, "{method} {path}");
            }
        }
    }
}

#[test]
fn wrong_credentials_are_like_none() {
    let house = House::open();
    let expected = ask(house.address(), "GET", "/", &[], b"").bytes;
    for header in [
        "authorization: Basic YWRhOndyb25n",
        "authorization: Basic !!!",
        "authorization: Basic",
        "authorization: ApiKey abc",
        "authorization: Bearer abc",
        "authorization: Negotiate abc",
        "cookie: clerestory_session=abc",
        "x-forwarded-user: ada",
        "accept-encoding: gzip",
        "accept: image/png",
        "x-opaque-id: 1",
    ] {
        let answer = ask(house.address(), "GET", "/_search?pretty", &[header], b"");
        assert_eq!(answer.bytes, expected, "{header}");
    }
    // The body is not even read.
    let headers = ["content-type: application/json", "expect: 100-continue"];
    let answer = ask(house.address(), "POST", "/_bulk", &headers, b"{}");
    assert_eq!(answer.bytes, expected);
}

#[test]
fn browsers_find_the_login_page_and_nothing_else() {
    let house = House::open();
    let page = ["accept: text/html,*/*;q=0.8"];
    let later = "/_ui/login?next=%2f_ui%2fsearch%3fq%3dx";
    for (path, login) in [("/", "/_ui/login"), ("/_ui", "/_ui/login"), ("/_ui/search?q=x", later)] {
        let answer = ask(house.address(), "GET", path, &page, b"");
        assert_eq!((answer.status, answer.header("location")), (303, Some(login)), "{path}");
        assert!(answer.body.is_empty());
    }
    assert_eq!(ask(house.address(), "GET", "/_search", &page, b"").status, 401);
    assert_eq!(ask(house.address(), "POST", "/", &page, b"").status, 401);
    let login = ask(house.address(), "GET", "/_ui/login", &page, b"");
    assert_eq!(login.status, 200);
    assert!(login.header("content-security-policy").is_some());
    assert!(!login.text().contains(env!("CARGO_PKG_VERSION")), "no version");
    let style = ask(house.address(), "GET", "/_ui/assets/app.css", &[], b"");
    assert_eq!(style.status, 200);
    assert_eq!(ask(house.address(), "GET", "/_ui/assets/..%2fmod.rs", &[], b"").status, 404);
}

#[test]
fn a_browser_logs_in_and_out() {
    let house = House::open();
    let form = "content-type: application/x-www-form-urlencoded";
    let log_in = |password: &str, extra: &[&str]| {
        let mut headers = vec![form];
        headers.extend(extra);
        let body = format!("name={}&password={password}", House::NAME);
        ask(house.address(), "POST", "/_ui/login", &headers, body.as_bytes())
    };
    assert_eq!(log_in("wrong", &[]).status, 401);
    assert_eq!(log_in(House::PASSWORD, &["origin: https://evil.example"]).status, 403);
    let answer = log_in(House::PASSWORD, &["origin: http://test"]);
    assert_eq!(answer.status, 303);
    let cookie = answer.header("set-cookie").unwrap();
    assert!(cookie.contains("; HttpOnly") && cookie.contains("; SameSite=Strict"), "{cookie}");
    assert!(!cookie.contains("Secure"), "this connection is plain");

    let cookie = format!("cookie: {}", cookie.split(';').next().unwrap());
    let root = |method: &str, uri: &str, extra: &[&str]| {
        let mut headers = vec![cookie.as_str(), form];
        headers.extend(extra);
        ask(house.address(), method, uri, &headers, b"")
    };
    assert_eq!(root("GET", "/", &[]).status, 200);
    assert_eq!(root("POST", "/_refresh", &[]).status, 403, "a foreign page could do this");
    assert_eq!(root("POST", "/_refresh", &["sec-fetch-site: cross-site"]).status, 403);
    assert_eq!(root("POST", "/_refresh", &["origin: http://test"]).status, 200);
    assert_eq!(root("POST", "/_ui/logout", &["origin: http://test"]).status, 303);
    assert_eq!(root("GET", "/", &[]).status, 401, "the session has ended");
}

#[test]
fn off_loopback_only_tls_is_spoken() {
    let house = House::listening("0.0.0.0:0", Limits::default());
    let fingerprint = house.server.fingerprint().expect("a certificate was made");
    assert_eq!(fingerprint.len(), 95);
    assert!(house.server.url().starts_with("https://127.0.0.1:"));
    let here = SocketAddr::from(([127, 0, 0, 1], house.address().port()));

    let plain = ask(here, "GET", "/", &[], b"");
    assert_eq!(plain.status, 400);
    assert!(plain.text().contains("TLS only"), "{}", plain.text());

    let mut stream = secure(here, &house, &[b"http/1.1"]);
    let answer = exchange(&mut stream, "GET", "/", &[], b"");
    assert_eq!(answer.status, 401);
    let mut stream = secure(here, &house, &[]);
    let headers = [House::LOGIN];
    assert_eq!(exchange(&mut stream, "GET", "/", &headers, b"").status, 200);
}

/// Connects and trusts the certificate that the server made.
fn secure(
    address: SocketAddr,
    house: &House,
    protocols: &[&[u8]],
) -> rustls::StreamOwned<rustls::ClientConnection, TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    let file = house.folder.path().join("tls/certificate.pem");
    roots.add(CertificateDer::from_pem_file(file).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let name = ServerName::try_from("localhost").unwrap();
    let connection = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    rustls::StreamOwned::new(connection, stream)
}

#[test]
fn connections_are_limited() {
    let house = House::listening("127.0.0.1:0", Limits { connections_max: 1, ..Limits::default() });
    let mut first = TcpStream::connect(house.address()).unwrap();
    first.write_all(b"GET / HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    let mut byte = [0];
    first.read_exact(&mut byte).unwrap();
    let mut second = TcpStream::connect(house.address()).unwrap();
    second.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut rest = Vec::new();
    let closed = second.read_to_end(&mut rest);
    assert!(closed.is_err() || rest.is_empty());
}
