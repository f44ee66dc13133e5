//! Talks to the relay's HTTP listeners.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};

pub(crate) use test_support::port::free_tcp_address;

use super::PATIENCE;

/// Sends `GET path`: the status code, and the body.
pub(crate) fn get(address: SocketAddr, path: &str) -> (u16, String) {
    request(address, "GET", path, "")
}

/// Sends a request without a body; `headers` end in CRLF each.
pub(crate) fn request(address: SocketAddr, method: &str, path: &str, headers: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}
