use hashbrown::HashTable;

use crate::{Channel, ChannelNumber, PeerSocket, keyed_hash::KeyedHash};

/// Up to this many channels are searched from end to end, which is faster than an index and takes no memory for it.
const UNINDEXED: usize = 8;

/// The channels of one allocation, found by number and by peer.
#[derive(Debug, Default)]
pub(crate) struct Channels {
    list: Vec<Channel>,
    index: Option<Box<Index>>,
}

/// Where each channel is in the list.
#[derive(Debug, Default)]
struct Index {
    by_number: HashTable<u16>,
    by_peer: HashTable<u16>,
}

impl Channels {
    pub(crate) fn as_slice(&self) -> &[Channel] {
        &self.list
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    pub(crate) fn by_number(&self, hash: &KeyedHash, number: ChannelNumber) -> Option<&Channel> {
        match &self.index {
            None => self.list.iter().find(|channel| channel.number == number),
            Some(index) => index.find_number(hash, &self.list, number).map(|at| &self.list[usize::from(at)]),
        }
    }

    pub(crate) fn by_number_mut(&mut self, hash: &KeyedHash, number: ChannelNumber) -> Option<&mut Channel> {
        match &self.index {
            None => self.list.iter_mut().find(|channel| channel.number == number),
            Some(index) => index.find_number(hash, &self.list, number).map(|at| &mut self.list[usize::from(at)]),
        }
    }

    pub(crate) fn by_peer(&self, hash: &KeyedHash, peer: PeerSocket) -> Option<&Channel> {
        match &self.index {
            None => self.list.iter().find(|channel| channel.peer == peer),
            Some(index) => index.find_peer(hash, &self.list, peer).map(|at| &self.list[usize::from(at)]),
        }
    }

    /// Adds a channel whose number and peer are both new.
    pub(crate) fn insert(&mut self, hash: &KeyedHash, channel: Channel) {
        if self.list.len() == self.list.capacity() {
            // Most allocations have one or two channels: `push` alone would make room for four.
            self.list.reserve_exact(self.list.len().max(1));
        }
        self.list.push(channel);
        match &mut self.index {
            Some(index) => index.insert(hash, &self.list, position(self.list.len() - 1)),
            None if self.list.len() > UNINDEXED => {
                let mut index = Box::<Index>::default();
                for at in 0..self.list.len() {
                    index.insert(hash, &self.list, position(at));
                }
                self.index = Some(index);
            }
            None => {}
        }
    }

    /// Removes the channel of that number, if there is one.
    pub(crate) fn remove(&mut self, hash: &KeyedHash, number: ChannelNumber) -> Option<Channel> {
        let at = match &self.index {
            None => self.list.iter().position(|channel| channel.number == number)?,
            Some(index) => usize::from(index.find_number(hash, &self.list, number)?),
        };
        let last = self.list.len() - 1;
        if let Some(index) = &mut self.index {
            index.remove(hash, &self.list, position(at));
            if at != last {
                index.renumber(hash, &self.list, position(last), position(at));
            }
        }
        let removed = self.list.swap_remove(at);
        // Half of the threshold, so that one channel more or less does not build and drop the index again and again.
        if self.list.len() <= UNINDEXED / 2 {
            self.index = None;
        }
        if self.list.len() <= self.list.capacity() / 4 {
            self.list.shrink_to(self.list.len() * 2);
            if let Some(index) = &mut self.index {
                index.shrink(hash, &self.list);
            }
        }
        Some(removed)
    }
}

impl Index {
    fn find_number(&self, hash: &KeyedHash, list: &[Channel], number: ChannelNumber) -> Option<u16> {
        self.by_number.find(hash.hash(&number), |at| list[usize::from(*at)].number == number).copied()
    }

    fn find_peer(&self, hash: &KeyedHash, list: &[Channel], peer: PeerSocket) -> Option<u16> {
        self.by_peer.find(hash.hash(&peer), |at| list[usize::from(*at)].peer == peer).copied()
    }

    fn insert(&mut self, hash: &KeyedHash, list: &[Channel], at: u16) {
        let channel = &list[usize::from(at)];
        self.by_number.insert_unique(hash.hash(&channel.number), at, |at| hash.hash(&list[usize::from(*at)].number));
        self.by_peer.insert_unique(hash.hash(&channel.peer), at, |at| hash.hash(&list[usize::from(*at)].peer));
    }

    fn remove(&mut self, hash: &KeyedHash, list: &[Channel], at: u16) {
        let channel = &list[usize::from(at)];
        if let Ok(entry) = self.by_number.find_entry(hash.hash(&channel.number), |other| *other == at) {
            entry.remove();
        }
        if let Ok(entry) = self.by_peer.find_entry(hash.hash(&channel.peer), |other| *other == at) {
            entry.remove();
        }
    }

    /// The channel at `from` is about to move to `to`.
    fn renumber(&mut self, hash: &KeyedHash, list: &[Channel], from: u16, to: u16) {
        let channel = &list[usize::from(from)];
        if let Some(at) = self.by_number.find_mut(hash.hash(&channel.number), |other| *other == from) {
            *at = to;
        }
        if let Some(at) = self.by_peer.find_mut(hash.hash(&channel.peer), |other| *other == from) {
            *at = to;
        }
    }

    fn shrink(&mut self, hash: &KeyedHash, list: &[Channel]) {
        self.by_number.shrink_to(list.len() * 2, |at| hash.hash(&list[usize::from(*at)].number));
        self.by_peer.shrink_to(list.len() * 2, |at| hash.hash(&list[usize::from(*at)].peer));
    }
}

/// Channel numbers are 14 bits, so positions always fit.
fn position(at: usize) -> u16 {
    u16::try_from(at).unwrap_or(u16::MAX)
}

#[cfg(test)]
impl Channels {
    /// Every channel is found by its number and by its peer, and the index holds nothing else.
    pub(crate) fn assert_consistent(&self, hash: &KeyedHash) {
        for channel in &self.list {
            assert_eq!(self.by_number(hash, channel.number), Some(channel));
            assert_eq!(self.by_peer(hash, channel.peer), Some(channel));
        }
        if let Some(index) = &self.index {
            assert_eq!((index.by_number.len(), index.by_peer.len()), (self.list.len(), self.list.len()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use rand::{SeedableRng, seq::SliceRandom};
    use rand_chacha::ChaCha20Rng;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;
    use crate::Timestamp;

    fn channel(number: u16) -> Channel {
        Channel {
            peer: SocketAddr::from(([198, 51, 100, 1], number)).into(),
            number: ChannelNumber::new(number).unwrap(),
            bound: true,
            expires_at: Timestamp::ZERO,
        }
    }

    #[test]
    fn any_number_of_channels_is_found_by_number_and_by_peer_until_removed() {
        let mut rng = ChaCha20Rng::from_seed([3; 32]);
        let hash = KeyedHash::new(&mut rng);
        let mut channels = Channels::default();
        let mut numbers: Vec<_> = (0x4000..0x4000 + 3 * u16::try_from(UNINDEXED).unwrap()).collect();
        numbers.shuffle(&mut rng);
        for (so_far, &number) in numbers.iter().enumerate() {
            assert_eq!(channels.by_number(&hash, channel(number).number), None);
            assert_eq!(channels.by_peer(&hash, channel(number).peer), None);
            channels.insert(&hash, channel(number));
            assert_eq!((channels.len(), channels.index.is_some()), (so_far + 1, so_far + 1 > UNINDEXED));
            channels.assert_consistent(&hash);
        }
        numbers.shuffle(&mut rng);
        for &number in &numbers {
            assert_eq!(channels.remove(&hash, channel(number).number), Some(channel(number)));
            assert_eq!(channels.remove(&hash, channel(number).number), None);
            assert_eq!(channels.by_peer(&hash, channel(number).peer), None);
            channels.assert_consistent(&hash);
        }
        assert_eq!((channels.list.capacity(), channels.index.is_some()), (0, false));
    }

    #[test]
    fn one_channel_takes_the_memory_of_one() {
        let hash = KeyedHash::new(&mut ChaCha20Rng::from_seed([3; 32]));
        let mut channels = Channels::default();
        channels.insert(&hash, channel(0x4000));
        assert_eq!(channels.list.capacity(), 1);
    }
}
