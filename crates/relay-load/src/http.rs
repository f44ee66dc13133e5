//! Sends requests to the relay's HTTP endpoints.

use std::{
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, Result};
use socket2::{Domain, Socket, Type};

/// A long time-out, for a busy machine. The time is measured.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sends `GET path` to `address`. Returns the status code and the body.
///
/// # Errors
///
/// When there is no response.
pub(crate) fn get(address: SocketAddr, path: &str) -> Result<(u16, String)> {
    exchange(TcpStream::connect_timeout(&address, PATIENCE)?, "GET", path)
}

/// The same, from the address `from`.
///
/// # Errors
///
/// When there is no response.
pub(crate) fn get_from(from: IpAddr, address: SocketAddr, path: &str) -> Result<(u16, String)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(from, 0).into())?;
    socket.connect_timeout(&address.into(), PATIENCE)?;
    exchange(socket.into(), "GET", path)
}

/// Sends a request without a body to the Unix socket at `path`.
///
/// # Errors
///
/// When there is no response.
pub(crate) fn request_at(socket: &Path, method: &str, path: &str) -> Result<(u16, String)> {
    let stream = UnixStream::connect(socket).with_context(|| format!("nobody listens at {}", socket.display()))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    answer(stream, method, path)
}

fn exchange(stream: TcpStream, method: &str, path: &str) -> Result<(u16, String)> {
    stream.set_read_timeout(Some(PATIENCE))?;
    answer(stream, method, path)
}

fn answer(mut stream: impl Read + Write, method: &str, path: &str) -> Result<(u16, String)> {
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    let (head, body) = response.split_once("\r\n\r\n").context("the answer has no end of its header")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("the answer has no status")?;
    Ok((status, body.to_owned()))
}

/// The sum of all values in Prometheus's `text` of the metric `name` whose labels contain `label`.
pub(crate) fn sum(text: &str, name: &str, label: &str) -> u64 {
    let samples = text.lines().filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let (found, labels) = series.split_once('{').unwrap_or((series, ""));
        (found == name && labels.contains(label)).then(|| value.parse::<u64>().ok())?
    });
    samples.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_summed_up() {
        let text = "# HELP a Things.\na{kind=\"x\"} 3\na{kind=\"y\",b=\"z\"} 4\na_total 8\nab 16\nc 32\n";
        assert_eq!(["", "kind=\"y\"", "q"].map(|label| sum(text, "a", label)), [7, 4, 0]);
        assert_eq!(["a_total", "c", "d"].map(|name| sum(text, name, "")), [8, 32, 0]);
    }
}
