//! Peers that send everything back.

use std::{
    net::{SocketAddr, UdpSocket},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use crate::wait_until;

/// A peer that sends everything back, on a thread, until it is dropped.
#[derive(Debug)]
pub struct Echo {
    socket: UdpSocket,
    /// Where it receives.
    pub address: SocketAddr,
}

impl Echo {
    /// One at `127.0.0.1` or `[::1]`, like `family_of`.
    pub fn start(family_of: SocketAddr) -> Self {
        let socket = UdpSocket::bind((family_of.ip(), 0)).unwrap();
        let address = socket.local_addr().unwrap();
        let echo = socket.try_clone().unwrap();
        thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while let Ok((length, from)) = echo.recv_from(&mut buffer) {
                if length == QUIT.len() && buffer[..length] == *QUIT {
                    return;
                }
                let _ = echo.send_to(&buffer[..length], from);
            }
        });
        Self { socket, address }
    }
}

const QUIT: &[u8] = b"\0quit\0";

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.socket.send_to(QUIT, self.address);
    }
}

/// coturn's echo server, ended when dropped; needs [`has_coturn`](crate::capability::has_coturn).
#[derive(Debug)]
pub struct CoturnEcho(Child);

impl CoturnEcho {
    /// Starts it at `port` of these addresses, and waits until it answers at each.
    #[must_use]
    pub fn start(port: u16, addresses: &[&str]) -> Self {
        let mut command = Command::new("turnutils_peer");
        command.args(["-p", &port.to_string()]).args(addresses.iter().flat_map(|address| ["-L", address]));
        let this = Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        for address in addresses {
            let probe = UdpSocket::bind((*address, 0)).unwrap();
            probe.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
            // As long as nobody listens, ICMP makes either call fail.
            wait_until(|| {
                probe.send_to(b"are you there?", (*address, port)).is_ok() && probe.recv(&mut [0; 64]).is_ok()
            });
        }
        this
    }
}

impl Drop for CoturnEcho {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
