//! A real Mosquitto.

use super::*;
use crate::SourceError;
use crate::testing::{Server, Target, free_port, program, runtime, wait_for, wanted};
use model::SystemClock;
use std::fs;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

const PASSWORD: &str = "a quiet password";

struct Broker {
    server: Server,
    port: u16,
    folder: TempDir,
}

impl Broker {
    /// A broker with a password and a disk, so that it keeps sessions also when it is killed.
    fn start(test: &str) -> Option<Broker> {
        let mosquitto = program("mosquitto", test)?;
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let made = Command::new(program("mosquitto_passwd", test)?)
            .args(["-b", "-c", path("passwords").to_str().unwrap(), "copy", PASSWORD])
            .status()
            .unwrap();
        assert!(made.success());
        let port = free_port();
        let config = format!(
            "listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {}\npersistence true\n\
             persistence_location {}/\nautosave_interval 1\nautosave_on_changes true\nuser root\n",
            path("passwords").display(),
            folder.path().display()
        );
        fs::write(path("mosquitto.conf"), config).unwrap();
        let server = Broker::run(&mosquitto, &folder, port);
        Some(Broker { server, port, folder })
    }

    fn run(mosquitto: &Path, folder: &TempDir, port: u16) -> Server {
        let mut command = Command::new(mosquitto);
        let server = Server::start(command.arg("-c").arg(folder.path().join("mosquitto.conf")));
        wait_for(port);
        server
    }

    fn source(&self, password: &str, topics: &[&str]) -> MqttSource {
        let place = MqttPlace {
            host: "127.0.0.1".into(),
            port: self.port,
            tls: false,
            topics: topics.iter().map(|&topic| topic.to_owned()).collect(),
            session: "clerestory-test".into(),
        };
        let login =
            MqttLogin { user: "copy".into(), password: Zeroizing::new(password.to_owned()) };
        let trust = Trust::of_system().unwrap();
        MqttSource::new(place, Some(login), trust, Arc::new(SystemClock)).unwrap()
    }

    /// Publishes with quality of service 1, and waits until the broker has it all.
    async fn publish(&self, messages: impl Iterator<Item = (String, String)>) {
        let source = self.source(PASSWORD, &[]);
        let (client, mut broker) = source.connect("publisher", false);
        let messages: Vec<_> = messages.collect();
        let mut wanted = messages.len();
        let sending = tokio::spawn(async move {
            for (topic, payload) in messages {
                client.publish(topic, QoS::AtLeastOnce, false, payload).await.unwrap();
            }
            client
        });
        while wanted > 0 {
            if let Packet::Incoming(Incoming::PubAck(_)) = broker.poll().await.unwrap() {
                wanted -= 1;
            }
        }
        drop(sending.await.unwrap());
    }
}

fn telemetry(first: u32, count: u32) -> impl Iterator<Item = (String, String)> {
    (first..first + count)
        .map(|n| (format!("fleet/{}/telemetry", n % 7), format!("{{\"id\":\"m{n}\",\"n\":{n}}}")))
}

/// Stored before acknowledged: whatever was not is given again, and the key makes it one row.
#[test]
fn nothing_that_was_published_is_lost() {
    let Some(mut broker) = Broker::start("nothing_that_was_published_is_lost") else { return };
    runtime().block_on(async {
        let topic = "fleet/+/telemetry";
        let source = broker.source(PASSWORD, &[topic]);
        let all = [wanted(topic, &["id"])];
        let mut target = Target::default();
        let start = Position::new(&[]);
        // The session is made; from now on the broker keeps what we do not take.
        let mut follow = source.follow(&all, &start, &target.marks).await.unwrap();
        subscribed(&mut *follow).await;
        broker.publish(telemetry(0, 100)).await;
        target.follow_until(&mut *follow, &[], |t| t.rows.len() == 100).await;
        // Cut off thirty times, often between storing and acknowledging: that comes again.
        let mut published = 100;
        for cut in 0..30 {
            drop(follow);
            broker.publish(telemetry(published, 20)).await;
            published += 20;
            follow = source.follow(&all, &start, &target.marks).await.unwrap();
            target.take_events(&mut *follow, 1 + cut % 4).await;
        }
        target.follow_until(&mut *follow, &[], |t| t.rows.len() == published as usize).await;
        assert!(target.given > target.rows.len(), "some came again: {}", target.given);
        // The broker is killed, and what it had on its disk comes when it is back.
        drop(follow);
        broker.publish(telemetry(published, 50)).await;
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        broker.server.kill();
        let error = source.follow(&all, &start, &target.marks).await.unwrap().next().await;
        assert!(matches!(error, Err(SourceError::Unreachable(_))), "{error:?}");
        let mosquitto = program("mosquitto", "").unwrap();
        broker.server = Broker::run(&mosquitto, &broker.folder, broker.port);
        let mut follow = source.follow(&all, &start, &target.marks).await.unwrap();
        let all_rows = published as usize + 50;
        target.follow_until(&mut *follow, &[], |t| t.rows.len() == all_rows).await;
        assert_eq!(target.refused, []);
        for n in 0..all_rows {
            assert!(target.rows.contains_key(&format!("m{n}")), "m{n}");
        }
    });
}

#[test]
fn what_is_published_is_described_and_bad_payloads_are_named() {
    let test = "what_is_published_is_described_and_bad_payloads_are_named";
    let Some(broker) = Broker::start(test) else { return };
    runtime().block_on(async {
        let source = broker.source(PASSWORD, &["fleet/+/telemetry", "state/#"]);
        let publishing = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            broker.publish(telemetry(0, 5).chain([("state/7".into(), "on".into())])).await;
        };
        let (tables, ()) = tokio::join!(source.describe(), publishing);
        let tables = tables.unwrap();
        let columns: Vec<&str> = tables[0].columns.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(columns, ["mqtt_topic", "mqtt_received", "id", "n"]);
        let columns: Vec<&str> = tables[1].columns.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(columns, ["mqtt_topic", "mqtt_received", "value"]);

        let all = [wanted("state/#", &[])];
        let mut target = Target::default();
        let mut follow = source.follow(&all, &Position::new(&[]), &target.marks).await.unwrap();
        subscribed(&mut *follow).await;
        let odd =
            ["{\"half\":", "21.5", ""].map(|payload| ("state/1".to_owned(), payload.to_owned()));
        broker.publish(odd.into_iter()).await;
        target.follow_until(&mut *follow, &[], |t| t.rows.len() == 1).await;
        assert_eq!(target.refused.len(), 1);
        assert!(target.refused[0].reason.starts_with("ends too early"));
        source.forget().await.unwrap();
    });
}

#[test]
fn a_wrong_password_says_so_and_not_what_it_was() {
    let test = "a_wrong_password_says_so_and_not_what_it_was";
    let Some(broker) = Broker::start(test) else { return };
    runtime().block_on(async {
        let source = broker.source("hunter2", &["t"]);
        let error = source.describe().await.unwrap_err();
        assert!(matches!(&error, SourceError::Refused(why) if why.contains("password")), "{error}");
        assert!(!format!("{error} {source:?}").contains("hunter2"));
    });
    let place = MqttPlace {
        host: "broker.example".into(),
        port: 1883,
        tls: false,
        topics: vec![],
        session: "s".into(),
    };
    let trust = Trust::of_system().unwrap();
    let error = MqttSource::new(place, None, trust, Arc::new(SystemClock)).unwrap_err();
    assert!(error.to_string().contains("tls"), "{error}");
}

/// Waits until the broker knows what we want: nothing comes for two seconds.
async fn subscribed(follow: &mut dyn Follow) {
    for _ in 0..2 {
        assert!(matches!(follow.next().await.unwrap(), crate::Event::Idle));
    }
}

impl Target {
    /// Takes so many events, as if the copier was killed behind the last.
    async fn take_events(&mut self, follow: &mut dyn Follow, count: usize) {
        for _ in 0..count {
            match follow.next().await.unwrap() {
                crate::Event::Rows(piece) => self.take(piece, &[]),
                crate::Event::Reached(position) => follow.stored(&position).await.unwrap(),
                _ => {}
            }
        }
    }
}
