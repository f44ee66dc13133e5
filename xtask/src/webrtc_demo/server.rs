//! Serves the page, the relay's entry for `iceServers`, and the relay's metrics.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};

/// How long a browser or the relay may be silent.
const PATIENCE: Duration = Duration::from_secs(10);

/// The page's files: path, type, content.
const FILES: [(&str, &str, &str); 6] = [
    ("/", "text/html", include_str!("page/index.html")),
    ("/style.css", "text/css", include_str!("page/style.css")),
    ("/demo.js", "text/javascript", include_str!("page/demo.js")),
    ("/explain.js", "text/javascript", include_str!("page/explain.js")),
    ("/metrics.js", "text/javascript", include_str!("page/metrics.js")),
    ("/picture.js", "text/javascript", include_str!("page/picture.js")),
];

/// What the page is told.
pub(super) struct Site {
    /// The entry for `iceServers`, as JSON.
    pub(super) ice_server: String,
    /// Where the relay tells its metrics.
    pub(super) health: SocketAddr,
}

/// Serves `site` on threads, for as long as this process lives.
pub(super) fn start(listener: TcpListener, site: Site) {
    let site = Arc::new(site);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let site = Arc::clone(&site);
            // A browser that goes away is no trouble.
            thread::spawn(move || answer(stream, &site));
        }
    });
}

fn answer(stream: TcpStream, site: &Site) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    // The rest of the head says nothing of interest.
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let path = request.split(' ').nth(1).unwrap_or_default();
    let (status, kind, body) = match path {
        "/ice-server.json" => ("200 OK", "application/json", site.ice_server.clone()),
        "/metrics" => match metrics(site.health) {
            Ok(text) => ("200 OK", "text/plain", text),
            Err(error) => ("502 Bad Gateway", "text/plain", format!("{error:#}")),
        },
        _ => match FILES.iter().find(|(name, ..)| *name == path) {
            Some((_, kind, content)) => ("200 OK", *kind, (*content).to_owned()),
            None => ("404 Not Found", "text/plain", "there is no such file\n".to_owned()),
        },
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}; charset=utf-8\r\nContent-Length: {length}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
    );
    reader.get_mut().write_all((head + &body).as_bytes())?;
    Ok(())
}

/// The relay's metrics: the page itself may not ask another server for them.
fn metrics(health: SocketAddr) -> Result<String> {
    let mut stream = TcpStream::connect_timeout(&health, PATIENCE).context("the relay does not tell its metrics")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("GET /metrics HTTP/1.1\r\nHost: {health}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut response = String::new();
    stream.read_to_string(&mut response).context("reading the relay's metrics")?;
    let (head, body) = response.split_once("\r\n\r\n").context("the relay's metrics are no HTTP")?;
    anyhow::ensure!(head.contains(" 200 "), "the relay answered: {}", head.lines().next().unwrap_or_default());
    Ok(body.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n").unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        response
    }

    #[test]
    fn serves_the_page_and_passes_metrics_on() {
        let relay = TcpListener::bind("127.0.0.1:0").unwrap();
        let health = relay.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = relay.accept().unwrap();
            // All of it: a socket that is closed with something unread resets the connection.
            let lines = BufReader::new(&stream).lines().map_while(Result::ok);
            lines.take_while(|line| !line.is_empty()).for_each(drop);
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nactive_allocations 7\n").unwrap();
        });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        start(listener, Site { ice_server: "{\"urls\":[]}".to_owned(), health });
        for (path, kind, content) in FILES {
            let response = get(address, path);
            assert!(response.starts_with("HTTP/1.1 200 OK\r\n") && response.contains(kind), "{response}");
            assert!(response.ends_with(content), "{path}");
        }
        assert!(get(address, "/ice-server.json").ends_with("\r\n\r\n{\"urls\":[]}"));
        assert!(get(address, "/metrics").ends_with("\r\n\r\nactive_allocations 7\n"));
        // The relay has gone.
        assert!(get(address, "/metrics").starts_with("HTTP/1.1 502 "));
        assert!(get(address, "/../Cargo.toml").starts_with("HTTP/1.1 404 "));
    }

    #[test]
    fn the_page_asks_for_files_that_are_served() {
        let (_, _, page) = FILES[0];
        for asked in page.split('"').filter(|text| text.ends_with(".js") || text.ends_with(".css")) {
            assert!(FILES.iter().any(|(path, ..)| path[1..] == *asked), "{asked}");
        }
        for (_, _, script) in &FILES[2..] {
            for asked in script.lines().filter_map(|line| line.strip_prefix("import ")?.split('\'').nth(1)) {
                assert!(FILES.iter().any(|(path, ..)| format!(".{path}") == asked), "{asked}");
            }
        }
    }
}
