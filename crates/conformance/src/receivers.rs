//! Whom a server under test may tell things: a receiver of webhooks and a mail server, on loopback.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const WAIT: Duration = Duration::from_secs(60);

/// A request as a receiver took it.
#[derive(Clone, Debug)]
pub struct Hook {
    /// The path.
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body as it came.
    pub body: Vec<u8>,
}

impl Hook {
    /// The body as JSON.
    ///
    /// # Panics
    /// If it is none.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("a webhook carries JSON")
    }

    /// The value of a header; empty if it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str())
    }
}

/// Takes webhooks. Its thread ends with the process of the test.
#[derive(Debug)]
pub struct Receiver {
    address: String,
    status: Arc<AtomicU16>,
    taken: Arc<Mutex<Vec<Hook>>>,
}

impl Receiver {
    /// One that answers 200.
    ///
    /// # Panics
    /// If loopback cannot be listened on.
    pub fn start() -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port on loopback");
        let address = listener.local_addr().expect("it is bound").to_string();
        let (status, taken) = (Arc::new(AtomicU16::new(200)), Arc::new(Mutex::default()));
        let receiver = Receiver { address, status: Arc::clone(&status), taken: Arc::clone(&taken) };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Whoever goes away in the middle sent nothing.
                let _ = take_hook(&stream, &status, &taken);
            }
        });
        receiver
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers with this status from now on.
    pub fn answer_with(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    /// Everything that was taken or refused, oldest first.
    pub fn taken(&self) -> Vec<Hook> {
        self.taken.lock().expect("no thread panicked").clone()
    }

    /// Waits for a request whose body has these words.
    ///
    /// # Panics
    /// If none comes within a minute.
    #[track_caller]
    pub fn wait_for(&self, words: &str) -> Hook {
        let start = Instant::now();
        loop {
            let has = |hook: &Hook| String::from_utf8_lossy(&hook.body).contains(words);
            if let Some(hook) = self.taken().into_iter().find(has) {
                return hook;
            }
            let so_far: Vec<String> = self
                .taken()
                .iter()
                .map(|hook| String::from_utf8_lossy(&hook.body).into_owned())
                .collect();
            assert!(start.elapsed() < WAIT, "nobody said `{words}`: {so_far:#?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn take_hook(
    stream: &TcpStream,
    status: &AtomicU16,
    taken: &Mutex<Vec<Hook>>,
) -> std::io::Result<()> {
    stream.set_read_timeout(Some(WAIT))?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or("").to_owned();
    let (mut headers, mut length) = (Vec::new(), 0);
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        let name = name.to_ascii_lowercase();
        if name == "content-length" {
            length = value.parse().unwrap_or(0);
        }
        headers.push((name, value.to_owned()));
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    taken.lock().expect("no thread panicked").push(Hook { path, headers, body });
    let status = status.load(Ordering::SeqCst);
    let mut stream = stream;
    write!(stream, "HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
}

/// A letter as a mail server took it.
#[derive(Clone, Debug, Default)]
pub struct TakenLetter {
    /// Who logged in, as `user password`; empty: nobody.
    pub login: String,
    /// Of the envelope.
    pub from: String,
    /// Of the envelope.
    pub to: Vec<String>,
    /// Headers and text.
    pub data: String,
}

/// Takes letters by SMTP (RFC 5321): insists on the order of the commands. In the clear.
#[derive(Debug)]
pub struct MailPeer {
    address: String,
    taken: Arc<Mutex<Vec<TakenLetter>>>,
}

impl MailPeer {
    /// One that lets `login` (`user password`) in and takes nothing without.
    ///
    /// # Panics
    /// If loopback cannot be listened on.
    pub fn start(login: &str) -> MailPeer {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port on loopback");
        let address = listener.local_addr().expect("it is bound").to_string();
        let taken: Arc<Mutex<Vec<TakenLetter>>> = Arc::default();
        let (login, of_thread) = (login.to_owned(), Arc::clone(&taken));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = converse(&stream, &login, &of_thread);
            }
        });
        MailPeer { address, taken }
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Waits for a letter with these words.
    ///
    /// # Panics
    /// If none comes within a minute.
    #[track_caller]
    pub fn wait_for(&self, words: &str) -> TakenLetter {
        let start = Instant::now();
        loop {
            let taken = self.taken.lock().expect("no thread panicked").clone();
            if let Some(letter) = taken.iter().find(|letter| letter.data.contains(words)) {
                return letter.clone();
            }
            assert!(start.elapsed() < WAIT, "no letter says `{words}`: {taken:#?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn converse(
    stream: &TcpStream,
    login: &str,
    taken: &Mutex<Vec<TakenLetter>>,
) -> std::io::Result<()> {
    stream.set_read_timeout(Some(WAIT))?;
    let mut reader = BufReader::new(stream);
    let mut out = stream;
    let mut letter = TakenLetter::default();
    write!(out, "220 mail.test ESMTP\r\n")?;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let line = line.trim_end();
        let word = line.split([' ', ':']).next().unwrap_or("").to_ascii_uppercase();
        let address = || line.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
        let answer = match word.as_str() {
            "EHLO" => "250-mail.test\r\n250 AUTH PLAIN".to_owned(),
            "AUTH" => {
                let plain = line.rsplit(' ').next().map(unbase64).unwrap_or_default();
                letter.login = plain.trim_start_matches('\0').replace('\0', " ");
                let is_known = letter.login == login;
                if is_known { "235 welcome" } else { "535 who are you" }.to_owned()
            }
            _ if letter.login != login && word != "QUIT" => "530 log in first".to_owned(),
            "MAIL" => match address() {
                Some((from, _)) => {
                    letter.from = from.to_owned();
                    "250 ok".to_owned()
                }
                None => "501 from whom".to_owned(),
            },
            "RCPT" if !letter.from.is_empty() => match address() {
                Some((to, _)) => {
                    letter.to.push(to.to_owned());
                    "250 ok".to_owned()
                }
                None => "501 to whom".to_owned(),
            },
            "DATA" if !letter.to.is_empty() => {
                write!(out, "354 go on\r\n")?;
                letter.data = read_data(&mut reader)?;
                let login = letter.login.clone();
                let whole =
                    std::mem::replace(&mut letter, TakenLetter { login, ..Default::default() });
                taken.lock().expect("no thread panicked").push(whole);
                "250 taken".to_owned()
            }
            "QUIT" => {
                write!(out, "221 bye\r\n")?;
                return Ok(());
            }
            _ => "503 not now".to_owned(),
        };
        write!(out, "{answer}\r\n")?;
    }
}

/// Up to the line with a dot alone; other dots at the start of a line stand there twice.
fn read_data(reader: &mut impl BufRead) -> std::io::Result<String> {
    let mut data = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line == ".\r\n" {
            return Ok(data);
        }
        data.push_str(line.strip_prefix('.').unwrap_or(&line));
    }
}

fn unbase64(text: &str) -> String {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
    for value in text.bytes().filter_map(digit) {
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
