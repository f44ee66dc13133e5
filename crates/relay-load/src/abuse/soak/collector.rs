//! Stands in for a collector of metrics that is no good.

use std::{
    net::{SocketAddr, TcpListener},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context as _, Result};
use socket2::{Domain, Protocol, Socket, Type};

use super::super::relay::HOST;

/// What it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behaviour {
    /// Nobody listens.
    Refuses,
    /// The kernel accepts for it, and it never reads, as one that was stopped by a signal.
    Silent,
    /// It accepts, and closes.
    HangsUp,
}

pub(super) struct Collector {
    pub(super) address: SocketAddr,
    listener: Mutex<Option<TcpListener>>,
}

impl Collector {
    /// One that refuses, at a free port.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub(super) fn new() -> Result<Self> {
        let address = TcpListener::bind((HOST, 0)).and_then(|listener| listener.local_addr());
        Ok(Self { address: address.context("no TCP port is free")?, listener: Mutex::default() })
    }

    /// From now on it does that.
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

    /// Does what is to be done now and then for `behaviour`: how many connections were closed, or 1.
    pub(super) fn attend(&self, behaviour: Behaviour) -> u64 {
        if behaviour != Behaviour::HangsUp {
            return 1;
        }
        let listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        listener.iter().flat_map(|listener| std::iter::from_fn(|| listener.accept().ok())).map(|_| 1).sum()
    }
}
