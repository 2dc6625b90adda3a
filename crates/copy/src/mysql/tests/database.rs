//! A server that ends with the test.

use super::super::{MysqlLogin, MysqlPlace, MysqlSource};
use crate::testing::{Server as Process, free_port, installed, program, wait_for};
use crate::tls::Trust;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use zeroize::Zeroizing;

pub(super) const PASSWORD: &str = "a quiet password";

/// Whose server it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Brand {
    Maria,
    Mysql,
}

impl Brand {
    fn program(self, test: &str) -> Option<PathBuf> {
        match self {
            Brand::Maria => program("mariadbd", test),
            Brand::Mysql => installed("CLERESTORY_MYSQL", test),
        }
    }

    /// Makes the folder of a server whose `root` has no password.
    fn make(self, folder: &TempDir, test: &str) -> Option<()> {
        let data = format!("--datadir={}", folder.path().join("data").display());
        let temporary = format!("--tmpdir={}", folder.path().display());
        let mut command = match self {
            Brand::Maria => {
                let mut command = Command::new(program("mariadb-install-db", test)?);
                command.args(["--no-defaults", "--auth-root-authentication-method=normal"]);
                command.args(["--skip-test-db", "--user=root"]);
                command
            }
            Brand::Mysql => {
                let mut command = Command::new(self.program(test)?);
                command.args(["--no-defaults", "--initialize-insecure", "--user=root"]);
                command
            }
        };
        let made = command.args([data, temporary]).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Some(())
    }

    fn options(self) -> &'static [&'static str] {
        match self {
            Brand::Maria => &["--skip-name-resolve"],
            Brand::Mysql => &[
                "--gtid-mode=ON",
                "--enforce-gtid-consistency=ON",
                "--mysqlx=OFF",
                "--secure-file-priv=NULL",
                "--performance-schema=OFF",
                "--innodb-buffer-pool-size=64M",
            ],
        }
    }
}

pub(super) struct Database {
    brand: Brand,
    pub(super) process: Process,
    pub(super) port: u16,
    folder: TempDir,
    options: Vec<String>,
}

impl Database {
    /// A fresh server with a binary log, and a user who may read and follow.
    pub(super) async fn start(brand: Brand, test: &str, options: &[&str]) -> Option<Database> {
        Database::start_in(tempfile::tempdir().unwrap(), brand, test, options).await
    }

    /// The same in a folder of which `options` may speak.
    pub(super) async fn start_in(
        folder: TempDir,
        brand: Brand,
        test: &str,
        options: &[&str],
    ) -> Option<Database> {
        brand.program(test)?;
        brand.make(&folder, test)?;
        let port = free_port();
        let options = options.iter().map(|&option| option.to_owned()).collect();
        let process = Database::run(brand, &folder, port, &options);
        let database = Database { brand, process, port, folder, options };
        let mut root = database.root().await;
        let right = match brand {
            Brand::Maria => "BINLOG MONITOR",
            Brand::Mysql => "REPLICATION CLIENT",
        };
        for statement in [
            format!("CREATE USER copy@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'"),
            "GRANT SELECT ON shop.* TO copy@'127.0.0.1'".to_owned(),
            format!("GRANT REPLICATION SLAVE, {right} ON *.* TO copy@'127.0.0.1'"),
        ] {
            root.query_drop(statement).await.unwrap();
        }
        Some(database)
    }

    fn run(brand: Brand, folder: &TempDir, port: u16, options: &Vec<String>) -> Process {
        let mut command = Command::new(brand.program("").unwrap());
        let path = |name: &str| folder.path().join(name).display().to_string();
        let process = Process::start(
            command
                .arg("--no-defaults")
                .arg(format!("--datadir={}", path("data")))
                .arg(format!("--socket={}", path("socket")))
                .arg(format!("--pid-file={}", path("pid")))
                .arg(format!("--tmpdir={}", folder.path().display()))
                .arg(format!("--port={port}"))
                .args(["--bind-address=127.0.0.1", "--user=root", "--server-id=1"])
                .args(["--log-bin=log", "--binlog-format=ROW"])
                .args(brand.options())
                .args(options),
        );
        wait_for(port);
        process
    }

    /// kill -9, and a new start.
    pub(super) fn restart(&mut self) {
        self.process.kill();
        self.process = Database::run(self.brand, &self.folder, self.port, &self.options);
    }

    /// A connection that may do everything, in the database that is copied.
    pub(super) async fn root(&self) -> Conn {
        let options = || {
            OptsBuilder::default()
                .ip_or_hostname("127.0.0.1")
                .tcp_port(self.port)
                .user(Some("root"))
                .prefer_socket(false)
                .setup(vec!["SET NAMES utf8mb4", "SET time_zone = '+00:00'"])
        };
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            match Conn::new(Opts::from(options())).await {
                Ok(mut conn) => {
                    // The first to connect makes it.
                    conn.query_drop("CREATE DATABASE IF NOT EXISTS shop CHARACTER SET utf8mb4")
                        .await
                        .unwrap();
                    conn.query_drop("USE shop").await.unwrap();
                    return conn;
                }
                Err(error) => assert!(Instant::now() < until, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub(super) fn source(&self, password: &str) -> MysqlSource {
        self.source_as("copy", password, false, Trust::of_system().unwrap())
    }

    pub(super) fn source_as(
        &self,
        user: &str,
        password: &str,
        tls: bool,
        trust: Trust,
    ) -> MysqlSource {
        let place = MysqlPlace {
            host: if tls { "localhost" } else { "127.0.0.1" }.into(),
            port: self.port,
            tls,
            database: "shop".into(),
            server_id: 4711,
        };
        let password = Zeroizing::new(password.to_owned());
        MysqlSource::new(place, MysqlLogin { user: user.into(), password }, trust).unwrap()
    }
}

/// Runs statements one after the other.
pub(super) async fn run(conn: &mut Conn, statements: &[&str]) {
    for statement in statements {
        if let Err(error) = conn.query_drop(*statement).await {
            panic!("{statement}: {error}");
        }
    }
}

/// A query that gives `seq` from `first` to `last`; each server has a way of its own, this one both.
pub(super) fn numbers(first: u32, last: u32) -> String {
    let digits = "(SELECT 0 d UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION \
                  SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9)";
    let places = (last - first + 1).to_string().len();
    let tables: Vec<String> = (0..places).map(|place| format!("{digits} t{place}")).collect();
    let sum: Vec<String> = (0..places).map(|place| format!("t{place}.d*1e{place}")).collect();
    format!(
        "(SELECT CAST({first} + {} AS SIGNED) seq FROM {} HAVING seq <= {last}) numbers",
        sum.join("+"),
        tables.join(",")
    )
}
