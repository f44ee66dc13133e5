//! Warns when the limit on replies withholds many of them.

use std::{net::IpAddr, time::Duration};

use relay_server::{Server, Timestamp};

/// How often to warn.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// How many withheld replies a warning needs, to tell a flood from a crowd.
const ENOUGH: u64 = 100;

/// Warns that replies are withheld, and tells a flood from a limit that is too low for many clients behind one address.
#[derive(Debug, Default)]
pub(super) struct WithheldReplies {
    /// The number of withheld replies since the last warning.
    times: u64,
    /// When to warn again.
    next: Timestamp,
    /// The destination of most withheld replies, if one has a majority (Boyer-Moore vote).
    majority: Option<IpAddr>,
    votes: u64,
}

impl WithheldReplies {
    /// Notes that a reply to `to` was withheld, and warns if it is time.
    pub(super) fn observe(&mut self, now: Timestamp, to: IpAddr, server: &Server) {
        self.count(to);
        if self.times < ENOUGH || now < self.next {
            return;
        }
        let clients = server.allocations().map(|allocation| allocation.five_tuple().client.address().ip());
        let clients: Vec<_> = clients.collect();
        tracing::warn!(
            times = self.times,
            "requests without credentials are not answered: {}; the limit is --reply-limit (docs/operations.md, \"Strangers\")",
            self.explanation(&clients)
        );
        *self = Self { next: now + WARN_EVERY, ..Self::default() };
    }

    fn count(&mut self, to: IpAddr) {
        self.times += 1;
        match self.majority {
            Some(majority) if majority == to => self.votes += 1,
            _ if self.votes == 0 => (self.majority, self.votes) = (Some(to), 1),
            _ => self.votes -= 1,
        }
    }

    /// The likely cause, given the IP addresses of the clients with allocations.
    fn explanation(&self, clients: &[IpAddr]) -> &'static str {
        match self.majority.filter(|_| self.votes > 0) {
            // With two allocations or fewer, all may belong to one client.
            Some(address) if clients.len() > 2 && clients.iter().all(|client| *client == address) => {
                "all clients have the same address, so a container bridge, a proxy or a balancer seems to replace their addresses with \
                 its own: keep the source address if it can, or raise the limit"
            }
            Some(address) if clients.contains(&address) => {
                "most of them come from one address that has allocations: if many clients share it behind a NAT, raise the limit"
            }
            Some(_) => {
                "most of them come from one address that has no allocation: somebody asks too often, or floods that address"
            }
            None => "they come from many addresses: a flood, most likely, with forged addresses",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    fn after(withheld: &[u8]) -> WithheldReplies {
        let mut replies = WithheldReplies::default();
        withheld.iter().for_each(|last| replies.count(ip(*last)));
        replies
    }

    #[test]
    fn tells_one_address_from_many() {
        let one = after(&[1, 2, 1, 3, 1, 1]);
        assert!(one.explanation(&[]).contains("no allocation"));
        assert!(one.explanation(&[ip(1), ip(2), ip(1)]).contains("NAT"));
        assert!(one.explanation(&[ip(1); 3]).contains("all clients have the same address"));
        assert!(after(&[1, 2, 3, 4]).explanation(&[ip(1); 3]).contains("many addresses"));
    }
}
