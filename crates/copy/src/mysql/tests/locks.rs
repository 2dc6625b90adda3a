//! Who is let in, and how it is spoken to.

use super::database::{Brand, Database, PASSWORD, run};
use crate::testing::{Target, wanted};
use crate::tls::Trust;
use crate::{Source, SourceError};
use std::fs;

/// A certificate for this machine, and its key, both as PEM.
fn certificate() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

async fn refused(source: &impl Source) -> String {
    let error = source.describe().await.unwrap_err();
    assert!(matches!(error, SourceError::Refused(_)), "{error}");
    error.to_string()
}

/// MySQL's way to log in (`caching_sha2_password`) has two: with the password, which is encrypted
/// for the server where there is no TLS, and a short one while the server remembers it.
pub(super) async fn tls_and_passwords(brand: Brand, test: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (pem, key) = certificate();
    let files = ["certificate.pem", "key.pem"].map(|name| folder.path().join(name));
    fs::write(&files[0], &pem).unwrap();
    fs::write(&files[1], key).unwrap();
    let options =
        [format!("--ssl-cert={}", files[0].display()), format!("--ssl-key={}", files[1].display())];
    let options = [options[0].as_str(), options[1].as_str()];
    let Some(database) = Database::start_in(folder, brand, test, &options).await else { return };
    let mut root = database.root().await;
    run(&mut root, &["CREATE TABLE items (id INT PRIMARY KEY)", "INSERT INTO items VALUES (1)"])
        .await;
    let plain = database.source(PASSWORD);
    for _ in ["with the password", "remembered"] {
        assert_eq!(plain.describe().await.unwrap()[0].name, "items");
    }
    let stranger = database.source("hunter2");
    assert!(refused(&stranger).await.contains("password"));
    assert!(!format!("{stranger:?}").contains("hunter2"));

    run(&mut root, &["FLUSH PRIVILEGES", "SET GLOBAL require_secure_transport = ON"]).await;
    let asks = if brand == Brand::Maria { "asks for TLS" } else { "`tls: true`" };
    assert!(refused(&plain).await.contains(asks));
    let trust = Trust::of_pem(pem.as_bytes()).unwrap();
    let source = database.source_as("copy", PASSWORD, true, trust.clone());
    let all = [wanted("items", &["id"])];
    let mut target = Target::default();
    target.read_all(&*source.snapshot(&all, &[]).await.unwrap(), &["id"]).await;
    let start = target.reached.clone().unwrap();
    let mut follow = source.follow(&all, &start, &target.marks).await.unwrap();
    run(&mut root, &["INSERT INTO items VALUES (2)"]).await;
    target.follow_until(&mut *follow, &["id"], |t| t.rows.len() == 2).await;
    let other = Trust::of_pem(certificate().0.as_bytes()).unwrap();
    let error = refused(&database.source_as("copy", PASSWORD, true, other)).await;
    assert!(error.contains("certificate"), "{error}");
    let stranger = database.source_as("copy", "hunter2", true, trust);
    assert!(refused(&stranger).await.contains("password"));

    run(&mut root, &["ALTER USER copy@'127.0.0.1' ACCOUNT LOCK"]).await;
    assert!(refused(&source).await.contains("locked"));
    run(
        &mut root,
        &[
            "ALTER USER copy@'127.0.0.1' ACCOUNT UNLOCK",
            "ALTER USER copy@'127.0.0.1' PASSWORD EXPIRE",
        ],
    )
    .await;
    assert!(refused(&source).await.contains("expired"));
}
