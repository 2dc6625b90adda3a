//! A client and a server on loopback, for tests of what is said to services outside.

use super::{NoReply, Outside, Reply, Request};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use zeroize::Zeroizing;

/// Plain HTTP/1.1, one request a connection.
#[derive(Debug)]
pub(crate) struct PlainClient;

impl Outside for PlainClient {
    fn send(&self, request: &Request) -> Result<Reply, NoReply> {
        let rest = request.url.strip_prefix("http://").expect("tests speak plain HTTP");
        let (authority, path) = match rest.split_once('/') {
            Some((authority, path)) => (authority, format!("/{path}")),
            None => (rest, "/".to_owned()),
        };
        let failed =
            |error: std::io::Error| NoReply(format!("no answer from {authority}: {error}"));
        let mut stream = TcpStream::connect(authority).map_err(failed)?;
        stream.set_read_timeout(Some(Duration::from_secs(30))).map_err(failed)?;
        let mut head = format!("{} {path} HTTP/1.1\r\nhost: {authority}\r\n", request.method);
        for (name, value) in request.headers.iter().filter(|(name, _)| *name != "host") {
            head.push_str(&format!("{name}: {}\r\n", value.as_str()));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", request.body.len()));
        stream.write_all(head.as_bytes()).map_err(failed)?;
        stream.write_all(&request.body).map_err(failed)?;
        let heard = read_message(&mut stream).map_err(failed)?;
        let status = heard.first.split(' ').nth(1).and_then(|status| status.parse().ok());
        Ok(Reply { status: status.unwrap_or(0), body: Zeroizing::new(heard.body) })
    }
}

/// A request as a server heard it.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    /// `POST /path HTTP/1.1`.
    pub(crate) first: String,
    /// Names in lower case, in the order they came.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Heard {
    pub(crate) fn path(&self) -> &str {
        self.first.split(' ').nth(1).unwrap_or("")
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

fn read_message(stream: &mut TcpStream) -> std::io::Result<Heard> {
    let mut reader = BufReader::new(stream);
    let mut line = || -> std::io::Result<String> {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    };
    let first = line()?;
    let mut headers = Vec::new();
    loop {
        let line = line()?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Heard { first, headers, body })
}

/// A server that answers with what a function says, until it is dropped.
pub(crate) struct Loopback {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Loopback {
    /// `answer` gives status and body.
    pub(crate) fn serve(answer: impl Fn(&Heard) -> (u16, String) + Send + 'static) -> Loopback {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopping.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(mut stream) = stream else { continue };
                let Ok(heard) = read_message(&mut stream) else { continue };
                let (status, body) = answer(&heard);
                let length = body.len();
                let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n\r\n");
                let _ = stream.write_all(head.as_bytes());
                let _ = stream.write_all(body.as_bytes());
            }
        });
        Loopback { address, stop, thread: Some(thread) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
