//! Lines in the shapes of common logs, with nobody in them.

use crate::random::Random;

type Shape = (&'static str, fn(&mut Random) -> String);

pub(crate) const SHAPES: &[Shape] = &[
    ("nginx error", |random| {
        format!(
            "2026/11/23 14:{:02}:{:02} [error] {}#0: *{} upstream timed out (110: Connection timed out) while reading response header from upstream, request: \"GET /api/v2/state?n={} HTTP/1.1\", upstream: \"http://unix:/run/app.sock\"",
            random.below(60),
            random.below(60),
            random.below(60_000),
            random.below(9_000_000),
            random.below(100)
        )
    }),
    ("access log, address taken out", |random| {
        format!(
            "- - [23/Nov/2026:14:05:{:02} +0000] \"GET /static/app.{}.js HTTP/2.0\" 200 {} \"-\" \"Mozilla/5.0 (X11; Linux x86_64; rv:{}.0) Gecko/20100101 Firefox/{}.0\"",
            random.below(60),
            random.hex(8),
            random.below(2_000_000),
            random.between(90, 145),
            random.between(90, 145)
        )
    }),
    ("sshd", |random| {
        let lines = [
            "Server listening on 0.0.0.0 port 22.",
            "Server listening on :: port 22.",
            "Received signal 15; terminating.",
            "error: kex_exchange_identification: Connection closed by remote host",
            "pam_unix(sshd:auth): check pass; user unknown",
        ];
        format!("sshd[{}]: {}", random.below(60_000), random.pick(&lines))
    }),
    ("systemd", |random| {
        let unit = random.pick(&["logrotate", "apt-daily", "man-db", "fstrim", "clerestory"]);
        format!(
            "Nov 23 14:05:{:02} web-{} systemd[1]: {unit}.service: Consumed {}.{:03}s CPU time.",
            random.below(60),
            random.below(40),
            random.below(90),
            random.below(1_000)
        )
    }),
    ("kernel", |random| {
        format!(
            "[{:>5}.{:06}] e1000e 0000:00:{:02x}.{}: eth0: NIC Link is Up 1000 Mbps Full Duplex, Flow Control: Rx/Tx",
            random.below(99_999),
            random.below(1_000_000),
            random.below(32),
            random.below(8)
        )
    }),
    ("kernel memory", |random| {
        format!(
            "BIOS-e820: [mem 0x{}-0x{}] usable; RIP: 0010:ffffffff{} Code: 48 8b {} {} {}",
            random.hex(16),
            random.hex(16),
            random.hex(8),
            random.hex(2),
            random.hex(2),
            random.hex(2)
        )
    }),
    ("java stack trace", |random| {
        let class =
            random.pick(&["HashMap", "ConcurrentLinkedQueue", "HikariPool", "DispatcherServlet"]);
        format!(
            "\tat com.example.fleet.core.{class}$Worker.run({class}.java:{}) ~[fleet-core-{}.{}.{}.jar!/:?]",
            random.below(2_000),
            random.below(9),
            random.below(20),
            random.below(99)
        )
    }),
    ("python trace", |random| {
        format!(
            "  File \"/usr/lib/python3.{}/site-packages/app/worker_{}.py\", line {}, in handle_request",
            random.below(14),
            random.below(99),
            random.below(900)
        )
    }),
    ("rust log", |random| {
        format!(
            "2026-11-23T14:05:{:02}.{:06}Z  INFO request{{method=GET path=/v2/state id={}}}: app::http: finished latency={}µs status=200",
            random.below(60),
            random.below(1_000_000),
            random.below(1 << 40),
            random.below(9_000)
        )
    }),
    ("kubernetes", |random| {
        format!(
            "Successfully assigned prod/api-{}-{} to node-{}: pulled image \"registry.internal/fleet/api:v{}.{}.{}@sha256:{}\"",
            random.hex(9),
            random.spell("bcdfghjklmnpqrstvwxz2456789", 5),
            random.below(99),
            random.below(9),
            random.below(40),
            random.below(40),
            random.hex(64)
        )
    }),
    ("uuid", |random| {
        format!(
            "span {}-{}-4{}-a{}-{} closed",
            random.hex(8),
            random.hex(4),
            random.hex(3),
            random.hex(3),
            random.hex(12)
        )
    }),
    ("commit", |random| {
        format!(
            "Merge commit {} into release/{}.{}",
            random.hex(40),
            random.below(9),
            random.below(60)
        )
    }),
    ("short commit", |random| {
        format!("built from {} ({} files changed)", random.hex(7), random.below(900))
    }),
    ("digest", |random| {
        format!("layer sha256:{} verified, md5 {}", random.hex(64), random.hex(32))
    }),
    ("version", |random| {
        format!(
            "upgraded libssl from {}.{}.{}-{}ubuntu{} to {}.{}.{}",
            random.below(4),
            random.below(9),
            random.below(30),
            random.below(9),
            random.below(30),
            random.below(4),
            random.below(9),
            random.below(40)
        )
    }),
    ("version of four parts", |random| {
        format!(
            "firmware {}.{}.{}.{} installed",
            random.below(9),
            random.below(30),
            random.below(30),
            random.below(255)
        )
    }),
    ("build id", |random| {
        format!(
            "Chrome/{}.0.{}.{} build-2026{:04}.{}",
            random.between(90, 145),
            random.between(3_000, 7_000),
            random.below(200),
            random.between(101, 1_231),
            random.below(30)
        )
    }),
    ("moments", |random| {
        format!(
            "window 2026-11-{:02}T{:02}:05:03.123Z..2026-11-30 23:59:59,999 at {} ({})",
            random.between(1, 31),
            random.below(24),
            random.between(1_700_000_000, 1_900_000_000),
            random.between(1_700_000_000_000, 1_900_000_000_000)
        )
    }),
    ("counters", |random| {
        format!(
            "rx_bytes {} tx_bytes {} drops {} seq {}",
            random.bits() >> 4,
            random.bits() >> 8,
            random.below(100),
            random.bits() >> 16
        )
    }),
    ("large numbers", |random| {
        format!(
            "heap {} of {} KiB, gc took {} ns, id {}",
            random.below(1 << 44),
            random.below(1 << 30),
            random.below(1 << 34),
            random.bits() >> 1
        )
    }),
    ("queue", |random| {
        format!(
            "consumer group fleet-events: partition {} offset {} lag {}",
            random.below(64),
            random.below(9_999_999_999),
            random.below(10_000)
        )
    }),
    ("sql", |random| {
        format!(
            "duration: {}.{:03} ms  statement: SELECT model, count(*) FROM events WHERE kind = 'connect' AND day >= '2026-11-{:02}' GROUP BY 1",
            random.below(900),
            random.below(1_000),
            random.between(1, 31)
        )
    }),
    ("paths", |random| {
        format!(
            "wrote /var/lib/app/segments/{}/{}.idx ({} rows)",
            random.hex(2),
            random.hex(16),
            random.below(9_000_000)
        )
    }),
    ("prose", |random| {
        let lines = [
            "the user interface was restarted at the end of the night",
            "look at the dot in the corner of the screen",
            "meet at the office, the door is open from nine to five",
            "for the first time since the update the lamp answered at once",
            "key not found in cache, loading it from the store",
            "password policy was changed by an administrator",
            "login page shown, session started",
            "see section 4.2.1 at page 12 of the manual",
        ];
        random.pick(&lines).to_owned()
    }),
    ("other languages", |random| {
        let lines = [
            "Das Gerät hat sich nach 12 Sekunden wieder verbunden",
            "устройство снова в сети, задержка 17 мс",
            "设备已恢复连接，延迟 17 毫秒（正常）。",
            "デバイスは１７ミリ秒で再接続しました。",
            "L’appareil s’est reconnecté — tout va bien à 100 %",
            "기기가 다시 연결되었습니다",
        ];
        random.pick(&lines).to_owned()
    }),
    ("http client", |random| {
        format!(
            "POST https://api.internal/v1/devices/batch?limit={}&sort=-created_at%2Cname&q=a%20b 202 in {} ms",
            random.below(500),
            random.below(900)
        )
    }),
    ("base64 of an image", |random| {
        format!("icon data:image/png;base64,iVBORw0KGgoAAAANSUhEUg{}", random.word(60))
    }),
    ("environment", |random| {
        format!(
            "PATH=/usr/local/bin:/usr/bin LANG=C.UTF-8 TERM=xterm-256color SHLVL={} JOBS={}",
            random.below(4),
            random.below(64)
        )
    }),
    ("numbers in a list", |random| {
        format!(
            "quantiles: {}",
            (0..12).map(|_| random.below(1_000).to_string()).collect::<Vec<_>>().join(" ")
        )
    }),
    ("dates in a list", |random| {
        format!(
            "missing days: 2026-{:02}-{:02}, 2026-{:02}-{:02}; {:02}/{:02}/2026",
            random.between(1, 13),
            random.between(1, 29),
            random.between(1, 13),
            random.between(1, 29),
            random.between(1, 29),
            random.between(1, 13)
        )
    }),
];
