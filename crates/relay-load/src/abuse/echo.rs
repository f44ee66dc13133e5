//! A peer that returns what it receives.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::Result;

use super::people::socket_at;

/// How often it checks whether it should end.
const LOOK: Duration = Duration::from_millis(100);

/// An echo on a thread. Ends on drop.
pub(super) struct Echo {
    pub(super) address: SocketAddr,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    /// Starts an echo at `host`.
    ///
    /// # Errors
    ///
    /// When no socket can be opened.
    pub(super) fn start(host: IpAddr) -> Result<Self> {
        let socket = socket_at(host)?;
        socket.set_read_timeout(Some(LOOK))?;
        let address = socket.local_addr()?;
        let is_over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&is_over);
        let thread = thread::Builder::new().name("echo".to_owned()).spawn(move || echo(&socket, &ends))?;
        Ok(Self { address, is_over, thread: Some(thread) })
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn echo(socket: &UdpSocket, is_over: &AtomicBool) {
    let mut buffer = [0; 2048];
    while !is_over.load(Ordering::Relaxed) {
        if let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&buffer[..length], from);
        }
    }
}
