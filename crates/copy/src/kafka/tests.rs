//! A real Kafka: one broker in KRaft mode, run with the Java of the system.

use super::*;
use crate::testing::{
    Server, Target, free_port, installed, noise, program, runtime, wait_for, wanted,
};
use rskafka::client::partition::{Compression, UnknownTopicHandling};
use rskafka::record::Record;
use std::fs;
use std::process::Command;
use tempfile::TempDir;

struct Broker {
    _server: Server,
    port: u16,
    _folder: TempDir,
}

impl Broker {
    fn start(test: &str) -> Option<Broker> {
        let java = program("java", test)?;
        let jars = installed("CLERESTORY_KAFKA", test)?;
        let classes = format!("{}/*", jars.display());
        let folder = tempfile::tempdir().unwrap();
        let (port, controller) = (free_port(), free_port());
        let config = folder.path().join("server.properties");
        fs::write(
            &config,
            format!(
                "process.roles=broker,controller\nnode.id=1\n\
                 controller.quorum.voters=1@127.0.0.1:{controller}\n\
                 listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
                 advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
                 controller.listener.names=CONTROLLER\ninter.broker.listener.name=PLAINTEXT\n\
                 listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
                 log.dirs={}/data\noffsets.topic.replication.factor=1\n\
                 transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n",
                folder.path().display()
            ),
        )
        .unwrap();
        let run = |class: &str| {
            let mut command = Command::new(&java);
            command.args(["-Xmx256m", "-cp", &classes, class]);
            command
        };
        let formatted = run("kafka.tools.StorageTool")
            .args(["format", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c"])
            .arg(&config)
            .output()
            .unwrap();
        assert!(formatted.status.success(), "{}", String::from_utf8_lossy(&formatted.stderr));
        let server = Server::start(run("kafka.Kafka").arg(&config));
        wait_for(port);
        Some(Broker { _server: server, port, _folder: folder })
    }

    fn source(&self, topics: &[&str]) -> KafkaSource {
        let place = KafkaPlace {
            brokers: vec![format!("127.0.0.1:{}", self.port)],
            tls: false,
            topics: topics.iter().map(|&topic| topic.to_owned()).collect(),
        };
        KafkaSource::new(place, None, Trust::of_system().unwrap()).unwrap()
    }

    async fn client(&self) -> Client {
        loop {
            match self.source(&[]).connect().await {
                Ok(client) => return client,
                Err(error) => assert!(matches!(error, SourceError::Unreachable(_)), "{error}"),
            }
        }
    }
}

async fn produce(
    client: &Client,
    topic: &str,
    partition: i32,
    messages: Vec<(Option<String>, Option<String>)>,
) {
    let partition =
        client.partition_client(topic, partition, UnknownTopicHandling::Retry).await.unwrap();
    let records = messages.into_iter().map(|(key, value)| Record {
        key: key.map(String::into_bytes),
        value: value.map(String::into_bytes),
        headers: Default::default(),
        timestamp: chrono::Utc::now(),
    });
    partition.produce(records.collect(), Compression::Zstd).await.unwrap();
}

fn event(n: usize) -> (Option<String>, Option<String>) {
    (Some(format!("d{}", n % 10)), Some(format!("{{\"n\":{n},\"pad\":\"{}\"}}", pad(n))))
}

/// So long and so mixed that a fetch does not take all of a partition at once.
fn pad(n: usize) -> String {
    let mut seed = n as u64;
    (0..45).map(|_| format!("{:016x}", noise(&mut seed) << 20 ^ noise(&mut seed))).collect()
}

/// Offsets are kept with the rows: whatever is cut off, every message is one row.
#[test]
fn every_message_is_stored_once() {
    let Some(broker) = Broker::start("every_message_is_stored_once") else { return };
    runtime().block_on(async {
        let client = broker.client().await;
        let controller = client.controller_client().unwrap();
        controller.create_topic("events", 3, 1, 10_000).await.unwrap();
        controller.create_topic("devices", 1, 1, 10_000).await.unwrap();
        for batch in 0..30 {
            let messages = (0..500).map(|n| event(batch * 500 + n)).collect();
            produce(&client, "events", (batch % 3) as i32, messages).await;
        }
        let odd = ["[1]", "not json", "{\"n\":"].map(|value| (None, Some(value.to_owned())));
        produce(&client, "events", 0, odd.into()).await;
        let devices = (0..20).map(|n| (Some(format!("dev{n}")), Some(format!("{{\"v\":{n}}}"))));
        produce(&client, "devices", 0, devices.collect()).await;

        let source = broker.source(&["events", "devices"]);
        let tables = source.describe().await.unwrap();
        let told: Vec<_> =
            tables.iter().map(|t| (t.name.as_str(), t.key.len(), t.rows.unwrap())).collect();
        assert_eq!(told, [("devices", 1, 20), ("events", 0, 15_003)]);
        assert_eq!(tables[1].columns[0].name, "n");

        let all = [wanted("events", &[])];
        let mut target = Target::default();
        let start = Position::new(&[]);
        let mut seed = 3;
        let mut cuts = 0;
        let mut later = 15_000;
        while target.given < later {
            let mut follow = source.follow(&all, &start, &target.marks).await.unwrap();
            let enough = target.given + 1 + (noise(&mut seed) % 600) as usize;
            target.follow_until(&mut *follow, &[], |t| t.given >= enough.min(later)).await;
            if cuts == 5 {
                produce(&client, "events", 1, (later..later + 100).map(event).collect()).await;
                later += 100;
            }
            cuts += 1;
        }
        assert!(cuts >= 5, "{cuts}");
        let mut seen: Vec<&String> = target.rows.values().map(|row| &row["_source"]).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!((target.given, seen.len()), (later, later));
        let mut follow = source.follow(&all, &start, &target.marks).await.unwrap();
        target.follow_until(&mut *follow, &[], |t| t.refused.len() >= 3).await;
        assert!(target.refused.iter().all(|refused| refused.at.starts_with("partition 0, offset")));

        // A compacted topic: the key names the row, no value deletes it.
        let all = [wanted("devices", &[MESSAGE_KEY])];
        let mut devices = Target::default();
        let mut follow = source.follow(&all, &start, &devices.marks).await.unwrap();
        devices.follow_until(&mut *follow, &[], |t| t.rows.len() == 20).await;
        let changes = vec![
            (Some("dev1".to_owned()), None),
            (Some("dev2".to_owned()), Some("{\"v\":\"new\"}".to_owned())),
        ];
        produce(&client, "devices", 0, changes).await;
        devices.follow_until(&mut *follow, &[], |t| t.rows.len() == 19).await;
        assert_eq!(devices.rows["dev2"]["_source"], "{\"v\":\"new\"}");
        while follow.lag().waiting != Some(0) {
            follow.next().await.unwrap();
        }

        // What the broker deleted before it was copied is said, and the rest is copied.
        let partition =
            client.partition_client("events", 2, UnknownTopicHandling::Error).await.unwrap();
        partition.delete_records(100, 10_000).await.unwrap();
        let mut late = Target::default();
        late.marks.raise("events", "2", Position::number(10));
        let all = [wanted("events", &[])];
        let mut follow = source.follow(&all, &start, &late.marks).await.unwrap();
        late.follow_until(&mut *follow, &[], |t| !t.told.is_empty()).await;
        assert!(late.told[0].starts_with("messages 10 to 99 of partition 2"), "{}", late.told[0]);
        late.marks.raise("events", "1", Position::number(1 << 40));
        let mut follow = source.follow(&all, &start, &late.marks).await.unwrap();
        let lost = loop {
            match follow.next().await {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert!(matches!(&lost, SourceError::Lost(why) if why.contains("made anew")), "{lost}");
        let gone = source.follow(&[wanted("nowhere", &[])], &start, &late.marks).await;
        assert!(matches!(gone.map(drop), Err(SourceError::Refused(_))));
    });
}
