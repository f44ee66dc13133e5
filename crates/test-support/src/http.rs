//! Asks HTTP listeners, such as the relay's.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
};

use crate::PATIENCE;

/// Sends `GET path`: the status code, and the body.
pub fn get(address: SocketAddr, path: &str) -> (u16, String) {
    request(address, "GET", path, "")
}

/// Sends a request without a body; `headers` end in CRLF each.
pub fn request(address: SocketAddr, method: &str, path: &str, headers: &str) -> (u16, String) {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    exchange(stream, &address.to_string(), method, path, headers)
}

/// The same at a Unix socket.
pub fn request_at(socket: &Path, method: &str, path: &str, headers: &str) -> (u16, String) {
    let stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    exchange(stream, "relay", method, path, headers)
}

/// The same to `host` of `address`, as whoever has looked that up sees it.
pub fn request_by_name(address: SocketAddr, host: &str, method: &str, path: &str) -> (u16, String) {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    exchange(stream, host, method, path, "")
}

fn exchange(mut stream: impl Read + Write, host: &str, method: &str, path: &str, headers: &str) -> (u16, String) {
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}
