//! A faulty collector of metrics.

use std::{
    net::{SocketAddr, TcpListener},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context as _, Result};
use socket2::{Domain, Protocol, Socket, Type};

use super::super::relay::HOST;

/// The collector's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behaviour {
    /// Nothing listens.
    Refuses,
    /// The kernel accepts connections, and nothing reads, as with a stopped process.
    Silent,
    /// It accepts and closes connections.
    HangsUp,
}

pub(super) struct Collector {
    pub(super) address: SocketAddr,
    listener: Mutex<Option<TcpListener>>,
}

impl Collector {
    /// A collector that refuses, at a free port.
    ///
    /// # Errors
    ///
    /// When no port is free.
    pub(super) fn new() -> Result<Self> {
        let address = TcpListener::bind((HOST, 0)).and_then(|listener| listener.local_addr());
        Ok(Self { address: address.context("no TCP port is free")?, listener: Mutex::default() })
    }

    /// Changes the fault.
    ///
    /// # Errors
    ///
    /// When it cannot listen.
    pub(super) fn behave(&self, behaviour: Behaviour) -> Result<()> {
        let mut listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        *listener = None;
        if behaviour != Behaviour::Refuses {
            let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
            socket.set_reuse_address(true)?;
            socket.bind(&self.address.into()).context("the collector's port is taken")?;
            socket.listen(16)?;
            *listener = Some(socket.into());
        }
        Ok(())
    }

    /// Accepts and closes waiting connections if that is the fault, and returns how many; otherwise 1.
    pub(super) fn attend(&self, behaviour: Behaviour) -> u64 {
        if behaviour != Behaviour::HangsUp {
            return 1;
        }
        let listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        listener.iter().flat_map(|listener| std::iter::from_fn(|| listener.accept().ok())).map(|_| 1).sum()
    }
}
