//! Sends many datagrams with one system call: several messages (`sendmmsg`), each of which the kernel may split into several datagrams
//! (GSO).
//!
//! `plan` decides which datagrams become one message. `encode` writes the structures that the kernel reads, and makes the call.
//! This file handles the result.

mod encode;
mod message;
mod plan;

use std::{cell::Cell, fmt, io, os::fd::BorrowedFd};

pub use self::message::Message;

use self::{
    encode::{Encoder, MESSAGES},
    plan::{Group, plan},
};
use crate::options;

/// For how many calls a socket does without GSO after the kernel has refused it. The refusal may concern a single route, so it is
/// tried again later.
const PAUSE: u32 = 10_000;

/// Reusable memory for sending, and whether the kernel can do GSO. All sockets of a thread can share one.
pub struct Sender {
    can_segment: bool,
    /// The first refusal of GSO, until it is taken.
    refusal: Option<io::Error>,
    has_refused: bool,
    groups: Vec<Group>,
    encoder: Encoder,
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("can_segment", &self.can_segment).finish_non_exhaustive()
    }
}

impl Default for Sender {
    fn default() -> Self {
        Self {
            can_segment: options::can_segment(),
            refusal: None,
            has_refused: false,
            groups: Vec::new(),
            encoder: Encoder::default(),
        }
    }
}

impl Sender {
    /// The first error with which the kernel has refused GSO although it supports it, to be logged; returned once. After a refusal,
    /// datagrams of the socket are sent one by one for some time.
    #[inline]
    pub const fn take_segmentation_refusal(&mut self) -> Option<io::Error> {
        self.refusal.take()
    }

    /// Sends `datagrams` in this order without blocking, and calls `done` with the index and result of each. While `pause` is not 0,
    /// `socket` does without GSO; each call decrements it. A system call that failed is repeated once if `retry` says so.
    pub(crate) fn send<'a>(
        &mut self,
        socket: BorrowedFd<'_>,
        pause: &Cell<u32>,
        retry: fn(&io::Error) -> bool,
        datagrams: impl ExactSizeIterator<Item = Message<'a>> + Clone,
        mut done: impl FnMut(usize, Result<(), &io::Error>),
    ) {
        plan(datagrams.clone(), self.can_segment && pause.get() == 0, &mut self.groups);
        pause.set(pause.get().saturating_sub(1));
        let mut start = 0;
        while let Some(&first) = self.groups.get(start) {
            let groups = &self.groups[start..self.groups.len().min(start + MESSAGES)];
            match self.encoder.encode(groups, since(first.first, &datagrams)).send(socket, retry) {
                Ok(sent) => {
                    let end = self.groups.len().min(start + sent);
                    self.groups[start..end].iter().flat_map(Group::datagrams).for_each(|index| done(index, Ok(())));
                    start += sent;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // There is no room for the rest, either.
                    (first.first..datagrams.len()).for_each(|index| done(index, Err(&error)));
                    return;
                }
                Err(error) => {
                    if self.may_go_one_by_one(pause, first, &error) {
                        self.send_one_by_one(socket, retry, first, &datagrams, &mut done);
                    } else {
                        first.datagrams().for_each(|index| done(index, Err(&error)));
                    }
                    start += 1;
                }
            }
        }
    }

    /// Whether datagrams of `group`, which failed with `error` as one message, may succeed one by one.
    fn may_go_one_by_one(&mut self, pause: &Cell<u32>, group: Group, error: &io::Error) -> bool {
        match error.raw_os_error() {
            _ if group.count == 1 => false,
            // One of them may be too long for the path, or the kernel rejects segments of this size.
            Some(libc::EINVAL | libc::EMSGSIZE) => true,
            // A device, a tunnel or the kernel itself does not support GSO.
            Some(errno @ (libc::EIO | libc::EOPNOTSUPP | libc::ENOPROTOOPT)) => {
                pause.set(PAUSE);
                if !std::mem::replace(&mut self.has_refused, true) {
                    self.refusal = Some(io::Error::from_raw_os_error(errno));
                }
                true
            }
            // For example no route, or forbidden: each datagram would fail as well.
            _ => false,
        }
    }

    /// Sends the datagrams of `group` without segmentation.
    fn send_one_by_one<'a>(
        &mut self,
        socket: BorrowedFd<'_>,
        retry: fn(&io::Error) -> bool,
        group: Group,
        datagrams: &(impl Iterator<Item = Message<'a>> + Clone),
        done: &mut impl FnMut(usize, Result<(), &io::Error>),
    ) {
        for (index, datagram) in group.datagrams().zip(since(group.first, datagrams)) {
            let single = Group::of_one(index, datagram.length());
            let result = self.encoder.encode(&[single], std::iter::once(datagram)).send(socket, retry);
            done(index, result.as_ref().map(drop));
        }
    }
}

/// `datagrams` from this index on.
#[inline]
fn since<I: Iterator + Clone>(index: usize, datagrams: &I) -> I {
    let mut rest = datagrams.clone();
    if let Some(last) = index.checked_sub(1) {
        rest.nth(last);
    }
    rest
}

#[cfg(test)]
mod tests;
