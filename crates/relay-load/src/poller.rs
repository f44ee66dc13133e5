//! Waiting for many sockets.

use std::{io, os::fd::OwnedFd, time::Duration};

use rustix::{
    event::{Timespec, epoll},
    fd::AsFd,
};

/// How many ready sockets are looked at in one go.
const EVENTS: usize = 256;

/// The kernel's event queue; each socket in it has a number.
pub(crate) struct Poller {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        // Otherwise the kernel lets every wait be 50 us too long.
        rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1))?;
        Ok(Self { epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?, events: Vec::with_capacity(EVENTS) })
    }

    /// Watches `socket` under this number for as long as it is open; it is told of for as long as something is left to read.
    pub(crate) fn add(&self, socket: impl AsFd, number: usize) -> io::Result<()> {
        self.add_for(socket, number, epoll::EventFlags::IN)
    }

    /// The same, but it is told of once for what arrives, which costs the kernel less.
    pub(crate) fn add_edge_triggered(&self, socket: impl AsFd, number: usize) -> io::Result<()> {
        self.add_for(socket, number, epoll::EventFlags::IN | epoll::EventFlags::ET)
    }

    fn add_for(&self, socket: impl AsFd, number: usize, flags: epoll::EventFlags) -> io::Result<()> {
        epoll::add(&self.epoll, socket, epoll::EventData::new_u64(number as u64), flags)?;
        Ok(())
    }

    /// The numbers of sockets that can be read, after waiting for at most `timeout`, if there is one.
    pub(crate) fn wait(&mut self, timeout: Option<Duration>) -> io::Result<impl Iterator<Item = usize>> {
        let timeout = timeout.map(Timespec::try_from).transpose().map_err(io::Error::other)?;
        self.events.clear();
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.events), timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(self.events.iter().map(|event| usize::try_from(event.data.u64()).unwrap_or(usize::MAX)))
    }
}
