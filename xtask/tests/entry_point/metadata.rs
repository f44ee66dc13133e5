//! A stand-in for the metadata servers of Google Compute Engine and EC2: their paths, their headers, their refusals.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

/// A request, as far as metadata servers look at it.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    headers: Vec<(String, String)>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.as_str())
    }
}

/// What a server does with a request.
pub(crate) enum Answer {
    Http {
        status: u16,
        headers: &'static str,
        body: String,
    },
    /// Keeps the connection open and says nothing, as a server does that is too busy.
    Silence,
}

impl Answer {
    pub(crate) fn status(status: u16) -> Self {
        Self::Http { status, headers: "", body: "<html>no</html>".to_owned() }
    }

    pub(crate) fn ok(body: &str) -> Self {
        Self::Http { status: 200, headers: "", body: body.to_owned() }
    }
}

/// A server on a port of its own, until it is dropped.
pub(crate) struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Answers by `answer`, which is told how many requests came before this one.
    pub(crate) fn start(answer: impl Fn(usize, &Request) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = {
            let (requests, stop) = (Arc::clone(&requests), Arc::clone(&stop));
            thread::spawn(move || serve(&listener, &requests, &stop, answer))
        };
        Self { address, requests, stop, thread: Some(thread) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it; every request that was sent to it.
    pub(crate) fn finish(mut self) -> Vec<Request> {
        self.end();
        self.requests.lock().unwrap().clone()
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            // Comes after all that is still to be read.
            drop(TcpStream::connect(self.address));
            let ended = thread.join();
            assert!(ended.is_ok() || thread::panicking(), "the metadata server panicked");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

fn serve(
    listener: &TcpListener,
    requests: &Mutex<Vec<Request>>,
    stop: &AtomicBool,
    answer: impl Fn(usize, &Request) -> Answer,
) {
    let mut silent = Vec::new();
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let Some(request) = read(&stream) else {
            // A client that gave up, or the end.
            if stop.load(Ordering::SeqCst) {
                return;
            }
            continue;
        };
        let before = {
            let mut requests = requests.lock().unwrap();
            requests.push(request.clone());
            requests.len() - 1
        };
        match answer(before, &request) {
            Answer::Silence => silent.push(stream),
            Answer::Http { status, headers, body } => {
                let length = body.len();
                let head =
                    format!("HTTP/1.1 {status} Status\r\nContent-Length: {length}\r\n{headers}Connection: close\r\n");
                let _ = write!(stream, "{head}\r\n{body}");
            }
        }
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let first = lines.next()?;
    let mut words = first.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let headers = lines.take_while(|line| !line.is_empty()).filter_map(|line| {
        let (name, value) = line.split_once(": ")?;
        Some((name.to_owned(), value.to_owned()))
    });
    Some(Request { method, path, headers: headers.collect() })
}

/// An instance of Google Compute Engine: refuses who does not say that he knows whom he asks, and says who it is.
pub(crate) fn gce(
    values: &[(&'static str, &'static str)],
) -> impl Fn(usize, &Request) -> Answer + Send + 'static + use<> {
    let values = values.to_vec();
    move |_, request| {
        let headers = "Metadata-Flavor: Google\r\nServer: Metadata Server for VM\r\n";
        let path = request.path.strip_prefix("/computeMetadata/v1/instance/");
        let value = values.iter().find(|(name, _)| path == Some(*name));
        let (status, body) = match (request.method.as_str(), request.header("Metadata-Flavor"), value) {
            (_, None, _) => (403, "Missing Metadata-Flavor:Google header."),
            ("GET", Some("Google"), Some((_, value))) => (200, *value),
            ("GET", Some("Google"), None) => (404, "<html>not found</html>"),
            _ => (400, "<html>bad request</html>"),
        };
        Answer::Http { status, headers, body: body.to_owned() }
    }
}

/// An EC2 instance that insists on IMDSv2: a token first, which a PUT with a time to live gets.
pub(crate) fn ec2(
    values: &[(&'static str, &'static str)],
) -> impl Fn(usize, &Request) -> Answer + Send + 'static + use<> {
    const TOKEN: &str = "AQAEALKJ0_token==";
    let values = values.to_vec();
    move |_, request| {
        if request.path == "/latest/api/token" {
            let seconds =
                request.header("X-aws-ec2-metadata-token-ttl-seconds").and_then(|text| text.parse::<u32>().ok());
            return match (request.method.as_str(), seconds) {
                ("PUT", Some(1..=21600)) => Answer::ok(TOKEN),
                ("PUT", _) => Answer::status(400),
                _ => Answer::status(405),
            };
        }
        if request.header("X-aws-ec2-metadata-token") != Some(TOKEN) {
            return Answer::status(401);
        }
        let path = request.path.strip_prefix("/latest/meta-data/");
        match values.iter().find(|(name, _)| path == Some(*name)) {
            Some((_, value)) if request.method == "GET" => Answer::ok(value),
            _ => Answer::status(404),
        }
    }
}
