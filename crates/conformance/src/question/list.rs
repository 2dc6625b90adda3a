use super::{Filter, Grain, Measure, Question};
use demo::Fleet;

/// All questions. Some ask for one person's rows by the real value.
pub fn all(fleet: &Fleet) -> Vec<Question> {
    use Grain::{Day, Hour};
    use Measure::{Count, Distinct, Max, Mean, Min, Share, Sum};
    let is = |field, values: &[&str]| {
        Filter::Is(field, values.iter().map(|v| (*v).to_owned()).collect())
    };
    let ask = |title, measure, filters: &[&Filter], grain, by: &[&'static str]| Question {
        title,
        measure,
        filters: filters.iter().map(|filter| (*filter).clone()).collect(),
        grain,
        by: by.to_vec(),
    };
    let activation = is("kind", &["activation"]);
    let tries = is("kind", &["connect", "connect_failed"]);
    let failed = is("kind", &["connect_failed"]);
    let connect = is("kind", &["connect"]);
    let heartbeat = is("kind", &["heartbeat"]);
    let device = is("device_id", &[&fleet.devices()[1].id]);
    let user = &fleet.users()[fleet.devices()[2].owner as usize];
    let address = is("client_ip", &[&user.ip]);
    let person = is("user_id", &[&user.id]);
    vec![
        ask("all events", Count, &[], None, &[]),
        ask("events by kind", Count, &[], None, &["kind"]),
        ask("events by model", Count, &[], None, &["model"]),
        ask("events by model, region and status", Count, &[], None, &["model", "region", "status"]),
        ask("events per day", Count, &[], Some(Day), &[]),
        ask("events per hour", Count, &[], Some(Hour), &[]),
        ask("events per hour by kind", Count, &[], Some(Hour), &["kind"]),
        ask("activations", Count, &[&activation], None, &[]),
        ask("activations per day by model", Count, &[&activation], Some(Day), &["model"]),
        ask("activations by region", Count, &[&activation], None, &["region"]),
        ask("failed connections by reason", Count, &[&failed], None, &["reason"]),
        ask("failed connections per day by firmware", Count, &[&failed], Some(Day), &["firmware"]),
        ask(
            "events by reason, where there is one",
            Count,
            &[&is("status", &["failed"]), &is("kind", &["error", "connect_failed"])],
            None,
            &["reason"],
        ),
        ask("failed rate", Share(failed.clone()), &[&tries], None, &[]),
        ask("failed rate by firmware", Share(failed.clone()), &[&tries], None, &["firmware"]),
        ask(
            "failed rate per hour by firmware",
            Share(failed.clone()),
            &[&tries],
            Some(Hour),
            &["firmware"],
        ),
        ask(
            "failed rate per day by model",
            Share(failed.clone()),
            &[&tries],
            Some(Day),
            &["model"],
        ),
        ask("share of failed events", Share(is("status", &["failed"])), &[], None, &["kind"]),
        ask("devices", Distinct("device_id"), &[], None, &[]),
        ask("active devices per day", Distinct("device_id"), &[], Some(Day), &[]),
        ask("active devices per day by model", Distinct("device_id"), &[], Some(Day), &["model"]),
        ask("active users by region", Distinct("user_id"), &[], None, &["region"]),
        ask(
            "devices that failed, by firmware",
            Distinct("device_id"),
            &[&failed],
            None,
            &["firmware"],
        ),
        ask("mean latency of connections", Mean("latency_ms"), &[&connect], None, &[]),
        ask(
            "mean latency per day by model",
            Mean("latency_ms"),
            &[&connect],
            Some(Day),
            &["model"],
        ),
        ask("mean signal by region", Mean("rssi"), &[&heartbeat], None, &["region"]),
        ask(
            "sum of latencies by status",
            Sum("latency_ms"),
            &[&is("kind", &["command"])],
            None,
            &["status"],
        ),
        ask("sum of signals per day", Sum("rssi"), &[&heartbeat], Some(Day), &[]),
        ask("lowest battery by model", Min("battery"), &[&heartbeat], None, &["model"]),
        ask("highest battery per day", Max("battery"), &[&heartbeat], Some(Day), &[]),
        ask("weakest signal by firmware", Min("rssi"), &[&tries], None, &["firmware"]),
        ask(
            "slow connections",
            Count,
            &[&connect, &Filter::AtLeast("latency_ms", 300)],
            None,
            &["model"],
        ),
        ask("strong signals per day", Count, &[&Filter::AtLeast("rssi", -50)], Some(Day), &[]),
        ask(
            "connections since the second day",
            Count,
            &[&connect, &Filter::SinceDay(1)],
            None,
            &["firmware"],
        ),
        ask(
            "devices since the second day",
            Distinct("device_id"),
            &[&Filter::SinceDay(1)],
            None,
            &[],
        ),
        ask("events of one device, by its real id", Count, &[&device], None, &["kind"]),
        ask("events from one address, by the real address", Count, &[&address], Some(Day), &[]),
        ask("devices of one person, by the real id", Distinct("device_id"), &[&person], None, &[]),
        ask("signals of one person", Mean("rssi"), &[&person, &heartbeat], None, &[]),
    ]
}
