//! Serves the page with two peers and receives its report.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Duration,
};

use serde_json::Value;

/// How long to wait for a call on a slow machine, beyond its planned duration.
const PATIENCE: Duration = Duration::from_secs(180);

/// A web server for one visit.
pub(crate) struct PageServer {
    pub(crate) address: SocketAddr,
    results: Receiver<Value>,
}

impl PageServer {
    /// Serves the page until the process ends. `settings` are computed when the page requests them.
    pub(crate) fn start(listener: TcpListener, settings: impl Fn() -> Value + Send + Sync + 'static) -> Self {
        let address = listener.local_addr().unwrap();
        let (sender, results) = channel();
        let settings = Arc::new(settings);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (settings, sender) = (Arc::clone(&settings), sender.clone());
                // A browser may open a connection and send nothing.
                thread::spawn(move || serve(stream, &*settings, &sender));
            }
        });
        Self { address, results }
    }

    /// The page's report about its call; `None` if none comes.
    pub(crate) fn result(&self) -> Option<Value> {
        self.results.recv_timeout(PATIENCE).ok()
    }
}

/// Answers one request. It is no error if the browser closes the connection.
fn serve(stream: TcpStream, settings: &impl Fn() -> Value, sender: &Sender<Value>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut length = 0;
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let header = line.trim().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let told;
    let (kind, body) = match path.as_str() {
        "/" => ("text/html", include_str!("../webrtc/page/index.html")),
        "/pair.js" => ("text/javascript", include_str!("../webrtc/page/pair.js")),
        "/messages.mjs" => ("text/javascript", include_str!("../webrtc/messages.mjs")),
        "/settings.json" => {
            told = settings().to_string();
            ("application/json", told.as_str())
        }
        "/result" => {
            let mut body = vec![0; length];
            reader.read_exact(&mut body).ok()?;
            sender.send(serde_json::from_slice(&body).ok()?).ok()?;
            ("text/plain", "")
        }
        _ => ("text/plain", "there is nothing here"),
    };
    let length = body.len();
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    reader.get_mut().write_all((head + body).as_bytes()).ok()
}
