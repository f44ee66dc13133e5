use std::net::IpAddr;

use hashbrown::HashTable;

use crate::{Channel, ChannelNumber, PeerSocket, ToClient, keyed_hash::KeyedHash, permissions::Permissions};

/// Up to this many channels are searched from end to end, which is faster than an index and takes no memory for it.
const UNINDEXED: usize = 8;

/// The channels of one allocation, found by number and by peer, and its permissions.
///
/// A single channel without permissions is stored inline, so that reading it follows no pointer.
#[derive(Debug, Default)]
pub(crate) enum Channels {
    #[default]
    None,
    One(Channel),
    Many(Box<Many>),
}

/// Several channels, or permissions.
#[derive(Debug, Default)]
pub(crate) struct Many {
    permissions: Permissions,
    list: Vec<Channel>,
    index: Option<Box<Index>>,
}

/// The position of each channel in the list.
#[derive(Debug, Default)]
struct Index {
    by_number: HashTable<u16>,
    by_peer: HashTable<u16>,
}

impl Channels {
    pub(crate) fn as_slice(&self) -> &[Channel] {
        match self {
            Self::None => &[],
            Self::One(channel) => std::slice::from_ref(channel),
            Self::Many(many) => &many.list,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.as_slice().len()
    }

    pub(crate) fn by_number(&self, hash: &KeyedHash, number: ChannelNumber) -> Option<&Channel> {
        match self {
            Self::None => None,
            Self::One(channel) => (channel.number == number).then_some(channel),
            Self::Many(many) => many.position_of_number(hash, number).map(|at| &many.list[at]),
        }
    }

    pub(crate) fn by_number_mut(&mut self, hash: &KeyedHash, number: ChannelNumber) -> Option<&mut Channel> {
        match self {
            Self::None => None,
            Self::One(channel) => (channel.number == number).then_some(channel),
            Self::Many(many) => many.position_of_number(hash, number).map(|at| &mut many.list[at]),
        }
    }

    pub(crate) fn by_peer(&self, hash: &KeyedHash, peer: PeerSocket) -> Option<&Channel> {
        match self {
            Self::None => None,
            Self::One(channel) => (channel.peer == peer).then_some(channel),
            Self::Many(many) => many.position_of_peer(hash, peer).map(|at| &many.list[at]),
        }
    }

    /// The peer of channel `number`, if it is bound. Not inlined: [`crate::shortcut`] answers nearly all look-ups.
    #[inline(never)]
    pub(crate) fn bound_peer(&self, hash: &KeyedHash, number: ChannelNumber) -> Option<PeerSocket> {
        self.by_number(hash, number).filter(|channel| channel.bound).map(|channel| channel.peer)
    }

    /// The number of the channel to `peer`, if it is bound.
    #[inline(never)]
    pub(crate) fn bound_number(&self, hash: &KeyedHash, peer: PeerSocket) -> Option<ChannelNumber> {
        self.by_peer(hash, peer).filter(|channel| channel.bound).map(|channel| channel.number)
    }

    /// How data from `peer` is delivered to the client: in a bound channel, else under a permission.
    #[inline(never)]
    pub(crate) fn to_client(&self, hash: &KeyedHash, peer: PeerSocket) -> Option<ToClient> {
        match self {
            Self::None => None,
            Self::One(channel) => channel.relays(peer).then_some(ToClient::Channel(channel.number)),
            Self::Many(many) => many.to_client(hash, peer),
        }
    }

    /// Whether there is a permission for `address`.
    #[inline]
    pub(crate) fn is_permitted(&self, hash: &KeyedHash, address: IpAddr) -> bool {
        self.permissions().is_some_and(|permissions| permissions.contains(hash, address))
    }

    /// Adds a channel whose number and peer are both new.
    pub(crate) fn insert(&mut self, hash: &KeyedHash, channel: Channel) {
        match self {
            Self::None => *self = Self::One(channel),
            Self::One(first) => {
                *self = Self::Many(Box::new(Many { list: vec![*first, channel], ..Many::default() }));
            }
            Self::Many(many) => many.insert(hash, channel),
        }
    }

    /// Removes the channel of that number, if there is one.
    pub(crate) fn remove(&mut self, hash: &KeyedHash, number: ChannelNumber) -> Option<Channel> {
        let removed = match self {
            Self::None => return None,
            Self::One(channel) => {
                let channel = *channel;
                if channel.number != number {
                    return None;
                }
                *self = Self::None;
                return Some(channel);
            }
            Self::Many(many) => many.remove(hash, number)?,
        };
        self.collapse();
        Some(removed)
    }

    /// The permissions, if there are any.
    #[inline]
    pub(crate) fn permissions(&self) -> Option<&Permissions> {
        match self {
            Self::Many(many) => Some(&many.permissions),
            Self::None | Self::One(_) => None,
        }
    }

    /// Changes the permissions. All changes go through here.
    pub(crate) fn change_permissions<T>(&mut self, change: impl FnOnce(&mut Permissions) -> T) -> T {
        if !matches!(self, Self::Many(_)) {
            *self = Self::Many(Box::new(Many { list: self.as_slice().to_vec(), ..Many::default() }));
        }
        let changed = match self {
            Self::Many(many) => change(&mut many.permissions),
            Self::None | Self::One(_) => change(&mut Permissions::default()),
        };
        self.collapse();
        changed
    }

    /// Frees memory that is no longer needed.
    fn collapse(&mut self) {
        if let Self::Many(many) = self
            && many.permissions.is_empty()
        {
            match many.list[..] {
                [] => *self = Self::None,
                [channel] => *self = Self::One(channel),
                _ => {}
            }
        }
    }
}

impl Many {
    #[inline]
    fn to_client(&self, hash: &KeyedHash, peer: PeerSocket) -> Option<ToClient> {
        let channel = match &self.index {
            None => self.list.iter().find(|channel| channel.relays(peer)),
            Some(_) => self.position_of_peer(hash, peer).map(|at| &self.list[at]).filter(|channel| channel.bound),
        };
        match channel {
            Some(channel) => Some(ToClient::Channel(channel.number)),
            None => self.permissions.contains(hash, peer.address().ip()).then_some(ToClient::Indication),
        }
    }

    fn position_of_number(&self, hash: &KeyedHash, number: ChannelNumber) -> Option<usize> {
        match &self.index {
            None => self.list.iter().position(|channel| channel.number == number),
            Some(index) => index.find_number(hash, &self.list, number).map(usize::from),
        }
    }

    #[inline(never)]
    fn position_of_peer(&self, hash: &KeyedHash, peer: PeerSocket) -> Option<usize> {
        match &self.index {
            None => self.list.iter().position(|channel| channel.peer == peer),
            Some(index) => index.find_peer(hash, &self.list, peer).map(usize::from),
        }
    }

    fn insert(&mut self, hash: &KeyedHash, channel: Channel) {
        if self.list.is_empty() {
            // Most allocations have one channel, and a `Vec` would begin with room for four.
            self.list.reserve_exact(1);
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

    fn remove(&mut self, hash: &KeyedHash, number: ChannelNumber) -> Option<Channel> {
        let at = self.position_of_number(hash, number)?;
        let last = self.list.len() - 1;
        if let Some(index) = &mut self.index {
            index.remove(hash, &self.list, position(at));
            if at != last {
                index.renumber(hash, &self.list, position(last), position(at));
            }
        }
        let removed = self.list.swap_remove(at);
        // Half of the threshold, so that one channel more or less does not build and drop the index repeatedly.
        if self.list.len() <= UNINDEXED / 2 {
            self.index = None;
        }
        if self.list.len() < self.list.capacity() / 4 {
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
        self.by_number.find(hash.channel(number), |at| list[usize::from(*at)].number == number).copied()
    }

    fn find_peer(&self, hash: &KeyedHash, list: &[Channel], peer: PeerSocket) -> Option<u16> {
        self.by_peer.find(hash.peer(peer), |at| list[usize::from(*at)].peer == peer).copied()
    }

    fn insert(&mut self, hash: &KeyedHash, list: &[Channel], at: u16) {
        let channel = &list[usize::from(at)];
        self.by_number
            .insert_unique(hash.channel(channel.number), at, |at| hash.channel(list[usize::from(*at)].number));
        self.by_peer.insert_unique(hash.peer(channel.peer), at, |at| hash.peer(list[usize::from(*at)].peer));
    }

    fn remove(&mut self, hash: &KeyedHash, list: &[Channel], at: u16) {
        let channel = &list[usize::from(at)];
        if let Ok(entry) = self.by_number.find_entry(hash.channel(channel.number), |other| *other == at) {
            entry.remove();
        }
        if let Ok(entry) = self.by_peer.find_entry(hash.peer(channel.peer), |other| *other == at) {
            entry.remove();
        }
    }

    /// Updates the index for the channel at `from`, which is about to move to `to`.
    fn renumber(&mut self, hash: &KeyedHash, list: &[Channel], from: u16, to: u16) {
        let channel = &list[usize::from(from)];
        if let Some(at) = self.by_number.find_mut(hash.channel(channel.number), |other| *other == from) {
            *at = to;
        }
        if let Some(at) = self.by_peer.find_mut(hash.peer(channel.peer), |other| *other == from) {
            *at = to;
        }
    }

    fn shrink(&mut self, hash: &KeyedHash, list: &[Channel]) {
        self.by_number.shrink_to(list.len() * 2, |at| hash.channel(list[usize::from(*at)].number));
        self.by_peer.shrink_to(list.len() * 2, |at| hash.peer(list[usize::from(*at)].peer));
    }
}

/// Channel numbers are 14 bits, so positions always fit.
fn position(at: usize) -> u16 {
    u16::try_from(at).unwrap_or(u16::MAX)
}

#[cfg(any(test, feature = "invariants"))]
impl Channels {
    /// Checks that every channel is found by its number and by its peer, and that the index holds nothing else.
    pub(crate) fn assert_consistent(&self, hash: &KeyedHash) {
        for channel in self.as_slice() {
            assert_eq!(self.by_number(hash, channel.number), Some(channel));
            assert_eq!(self.by_peer(hash, channel.peer), Some(channel));
        }
        if let Self::Many(many) = self {
            assert!(many.list.len() > 1 || !many.permissions.is_empty(), "one has a place of its own");
            many.permissions.assert_consistent(hash);
            if let Some(index) = &many.index {
                assert_eq!((index.by_number.len(), index.by_peer.len()), (self.len(), self.len()));
            }
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

    fn is_indexed(channels: &Channels) -> bool {
        matches!(channels, Channels::Many(many) if many.index.is_some())
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
            assert_eq!((channels.len(), is_indexed(&channels)), (so_far + 1, so_far + 1 > UNINDEXED));
            channels.assert_consistent(&hash);
        }
        numbers.shuffle(&mut rng);
        for &number in &numbers {
            assert_eq!(channels.remove(&hash, channel(number).number), Some(channel(number)));
            assert_eq!(channels.remove(&hash, channel(number).number), None);
            assert_eq!(channels.by_peer(&hash, channel(number).peer), None);
            channels.assert_consistent(&hash);
        }
        assert!(matches!(channels, Channels::None));
    }

    #[test]
    fn one_channel_takes_no_memory_of_its_own() {
        assert_eq!(size_of::<Channels>(), size_of::<Channel>());
        let hash = KeyedHash::new(&mut ChaCha20Rng::from_seed([3; 32]));
        let mut channels = Channels::default();
        channels.insert(&hash, channel(0x4000));
        channels.insert(&hash, channel(0x4001));
        channels.remove(&hash, channel(0x4000).number);
        assert!(matches!(channels, Channels::One(one) if one == channel(0x4001)));
    }
}
