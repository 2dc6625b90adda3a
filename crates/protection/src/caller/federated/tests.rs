use super::super::oidc::tests::Provider;
use super::*;
use crate::caller::Credential;
use crate::grant::SettingValue;
use crate::keys::{KeyRing, PassphraseCost};
use crate::outside::testing::PlainClient;
use crate::records::{MemoryRecords, RecordStore};
use model::{Clock, ManualClock};
use serde_json::json;

const PASSWORD: &str = "correct horse battery";
const NOW: Timestamp = Timestamp(1_795_000_000_000);
const REDIRECT: &str = "https://data.example.org/_ui/oidc/callback";

fn house() -> Directory {
    let records: Arc<dyn RecordStore> = Arc::new(MemoryRecords::new());
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(NOW));
    let ring = KeyRing::in_memory();
    let directory = Directory::open_with(records, &ring, clock, PassphraseCost::TEST).unwrap();
    directory
        .bootstrap(&[
            ("adm", PASSWORD, &[Role::Administrator]),
            ("bob", PASSWORD, &[Role::Analyst]),
        ])
        .unwrap();
    directory
}

fn administrator(directory: &Directory) -> Caller {
    let credential = Credential::Password { name: "adm", password: PASSWORD, network: None };
    directory.authenticate(credential).unwrap()
}

fn with_provider() -> (Directory, Provider) {
    let directory = house();
    let provider = Provider::new(NOW);
    directory.ask_outside(Arc::new(PlainClient));
    assert!(!directory.has_oidc());
    let entries = SettingValue::Set(provider.entries().into_iter().collect());
    directory
        .policies
        .update("test", NOW, |policy| {
            policy.settings_mut().set(Setting::Oidc, entries).unwrap();
            Ok::<(), RecordError>(())
        })
        .unwrap();
    directory.set_oidc_secret(&administrator(&directory), Some("the secret")).unwrap();
    assert!(directory.has_oidc());
    (directory, provider)
}

fn log_in(directory: &Directory, provider: &Provider) -> Result<Caller, OidcError> {
    let begun = directory.begin_oidc(REDIRECT)?;
    provider.visit(&begun);
    directory.finish_oidc(&begun.state, "right")
}

#[test]
fn a_person_of_the_provider_gets_the_roles_of_the_mapping() {
    let (directory, provider) = with_provider();
    let ada = log_in(&directory, &provider).unwrap();
    assert_eq!((ada.name(), ada.roles(), ada.credential()), ("ada", &[Role::Analyst][..], "oidc"));
    let token = directory.start_session(&ada).unwrap();
    let version = directory.policies.version();
    log_in(&directory, &provider).unwrap();
    assert_eq!(directory.policies.version(), version, "nothing changed, no new version");

    provider.change(json!({ "groups": ["cn=ops,dc=example"] }));
    let ada_now = log_in(&directory, &provider).unwrap();
    assert_eq!(ada_now.roles(), [Role::Engineer]);
    assert!(ada.is_expired(NOW), "who was let in with a role that is gone is out");
    let session = directory.authenticate(Credential::Session(token.as_str())).unwrap();
    assert_eq!(session.roles(), [Role::Engineer], "a session has the roles of today");
    provider.change(json!({ "groups": ["football"] }));
    assert!(matches!(log_in(&directory, &provider), Err(OidcError::NoRole)));
    assert!(session.is_expired(NOW), "in no group any more: out at once");
    let session = directory.authenticate(Credential::Session(token.as_str())).unwrap();
    assert!(session.roles().is_empty());
    let no_password = Credential::Password { name: "ada", password: "", network: None };
    assert!(directory.authenticate(no_password).is_err());
}

#[test]
fn nobody_takes_over_an_account_of_ours_or_of_another_person() {
    let (directory, provider) = with_provider();
    provider.change(json!({ "preferred_username": "bob" }));
    assert!(matches!(log_in(&directory, &provider), Err(OidcError::OtherAccount)));
    provider.change(json!({}));
    log_in(&directory, &provider).unwrap();
    provider.change(json!({ "sub": "9", "preferred_username": "eve", "groups": [] }));
    assert!(matches!(log_in(&directory, &provider), Err(OidcError::NoRole)));
    assert!(!directory.state.read().people.contains_key("eve"), "nobody here gets no account");
    provider.change(json!({ "sub": "5678" }));
    let other = log_in(&directory, &provider);
    assert!(matches!(other, Err(OidcError::OtherAccount)), "the name was given to somebody else");
}

#[test]
fn without_a_provider_nobody_logs_in_with_one() {
    let directory = house();
    assert!(matches!(directory.begin_oidc(REDIRECT), Err(OidcError::NotSetUp)));
    directory.ask_outside(Arc::new(PlainClient));
    assert!(matches!(directory.begin_oidc(REDIRECT), Err(OidcError::NotSetUp)));
    assert!(matches!(directory.finish_oidc("s", "c"), Err(OidcError::NotSetUp)));
    let bob = Credential::Password { name: "bob", password: PASSWORD, network: None };
    let bob = directory.authenticate(bob).unwrap();
    let refused = directory.set_oidc_secret(&bob, None);
    assert!(matches!(refused, Err(DirectoryError::NotAllowed)));
}

#[test]
fn the_companys_directory_adds_people_without_a_role_and_shuts_them_out_at_once() {
    let (directory, provider) = with_provider();
    let adm = administrator(&directory);
    let made = directory.add_external(&adm, "ada", Some("00u1")).unwrap();
    assert!(made.active && made.external_id.as_deref() == Some("00u1"));
    assert!(
        directory
            .people(&adm)
            .unwrap()
            .iter()
            .any(|person| person.name == "ada" && person.roles.is_empty())
    );
    let twice = directory.add_external(&adm, "ada", None);
    assert!(matches!(twice, Err(DirectoryError::Exists(_))));
    assert!(matches!(directory.add_external(&adm, "Ada L", None), Err(DirectoryError::Name)));
    assert!(matches!(directory.add_external(&adm, "bob", None), Err(DirectoryError::Exists(_))));
    let ours = directory.external_person(&adm, "bob");
    assert!(matches!(ours, Err(DirectoryError::NoPerson(_))), "people of our own are not theirs");

    let ada = log_in(&directory, &provider).unwrap();
    let token = directory.start_session(&ada).unwrap();
    let key = directory.create_api_key(&ada, "k", &[Role::Analyst], None).unwrap();
    assert!(!directory.set_external_active(&adm, "ada", false).unwrap().active);
    assert!(ada.is_expired(NOW), "under way");
    assert!(directory.authenticate(Credential::Session(token.as_str())).is_err());
    assert!(directory.authenticate(Credential::ApiKey(&key.encoded)).is_err());
    assert!(matches!(log_in(&directory, &provider), Err(OidcError::Disabled)));
    let again = directory.set_external_active(&adm, "ada", true);
    assert!(matches!(again, Err(DirectoryError::EnablingWaits(_))));
    directory.set_external_id(&adm, "ada", Some("00u2")).unwrap();
    let shown = directory.external_person(&adm, "ada").unwrap();
    assert_eq!((shown.active, shown.external_id.as_deref()), (false, Some("00u2")));
    directory.remove_external(&adm, "ada").unwrap();
    assert!(directory.external_people(&adm).unwrap().is_empty());
    assert!(matches!(directory.remove_external(&adm, "ada"), Err(DirectoryError::NoPerson(_))));
    assert!(matches!(log_in(&directory, &provider), Err(OidcError::OtherAccount)));
}
