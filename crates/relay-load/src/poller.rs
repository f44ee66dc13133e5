//! Waits for many sockets.

use std::{io, os::fd::AsFd, time::Duration};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, ppoll},
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
        prctl::set_timerslack,
    },
};

/// The most ready sockets that one call returns.
const EVENTS: usize = 256;

/// An epoll instance. Each socket in it has a number.
pub(crate) struct Poller {
    epoll: Epoll,
    events: Box<[EpollEvent; EVENTS]>,
}

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        // Otherwise the kernel extends every wait by up to 50 us.
        set_timerslack(1)?;
        Ok(Self {
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            events: Box::new([EpollEvent::empty(); EVENTS]),
        })
    }

    /// Watches `socket` under this number while it is open, level-triggered.
    pub(crate) fn add(&self, socket: impl AsFd, number: usize) -> io::Result<()> {
        self.add_for(socket, number, EpollFlags::EPOLLIN)
    }

    /// The same, edge-triggered, which costs the kernel less.
    pub(crate) fn add_edge_triggered(&self, socket: impl AsFd, number: usize) -> io::Result<()> {
        self.add_for(socket, number, EpollFlags::EPOLLIN | EpollFlags::EPOLLET)
    }

    fn add_for(&self, socket: impl AsFd, number: usize, flags: EpollFlags) -> io::Result<()> {
        Ok(self.epoll.add(socket, EpollEvent::new(flags, number as u64))?)
    }

    /// The numbers of readable sockets, after waiting for at most `timeout` if there is one.
    pub(crate) fn wait(&mut self, timeout: Option<Duration>) -> io::Result<impl Iterator<Item = usize>> {
        let count = match timeout {
            None => self.look(EpollTimeout::NONE)?,
            Some(timeout) => match self.look(EpollTimeout::ZERO)? {
                0 if !timeout.is_zero() => {
                    self.sleep(timeout)?;
                    self.look(EpollTimeout::ZERO)?
                }
                count => count,
            },
        };
        Ok(self.events[..count].iter().map(|event| usize::try_from(event.data()).unwrap_or(usize::MAX)))
    }

    fn look(&mut self, timeout: EpollTimeout) -> io::Result<usize> {
        uninterrupted(self.epoll.wait(&mut *self.events, timeout))
    }

    /// Waits until a socket is ready. `epoll_wait` has a resolution of milliseconds, too coarse for a steady rate. `ppoll` on the
    /// epoll descriptor has nanoseconds.
    fn sleep(&self, timeout: Duration) -> io::Result<()> {
        let mut queue = [PollFd::new(self.epoll.0.as_fd(), PollFlags::POLLIN)];
        uninterrupted(ppoll(&mut queue, Some(timeout.into()), None)).map(drop)
    }
}

/// The result of a call. A signal that ended it early is no error.
fn uninterrupted<T: Default>(result: nix::Result<T>) -> io::Result<T> {
    match result {
        Err(Errno::EINTR) => Ok(T::default()),
        result => Ok(result?),
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn a_socket_is_told_of_and_a_wait_without_one_ends() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut poller = Poller::new().unwrap();
        poller.add(&socket, 7).unwrap();
        let mut ready = |timeout| poller.wait(timeout).unwrap().collect::<Vec<_>>();
        assert!(ready(Some(Duration::from_micros(10))).is_empty());
        assert!(ready(Some(Duration::ZERO)).is_empty());
        socket.send_to(b"data", socket.local_addr().unwrap()).unwrap();
        for timeout in [None, Some(Duration::from_secs(60)), Some(Duration::ZERO)] {
            assert_eq!(ready(timeout), [7]);
        }
    }
}
