//! Limits the number of connections: when there are too many, some must make room.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap, VecDeque},
    net::IpAddr,
};

use tokio::task::{AbortHandle, Id, JoinSet};

/// A limited number of connections, each of which is a task.
#[derive(Debug)]
pub(super) struct Crowd {
    most: usize,
    tasks: JoinSet<()>,
    /// The source of each task.
    sources: HashMap<Id, Source>,
    /// The connections of each source that may go on, oldest first, with their numbers.
    members: BTreeMap<Source, VecDeque<(u64, AbortHandle)>>,
    /// The number of connections so far.
    admitted: u64,
    /// How many connections were aborted and have not ended yet.
    leaving: usize,
}

/// The source of a connection: an IPv4 address, or an IPv6 /64, which one host may have to itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    V4(u32),
    V6(u64),
}

impl Source {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, g, h, ..] = address.octets();
                Self::V6(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
            }
        }
    }
}

impl Crowd {
    pub(super) fn new(most: usize) -> Self {
        Self { most, tasks: JoinSet::new(), sources: HashMap::new(), members: BTreeMap::new(), admitted: 0, leaving: 0 }
    }

    /// Adds a connection. There must be room.
    pub(super) fn admit(&mut self, from: IpAddr, connection: impl Future<Output = ()> + Send + 'static) {
        let source = Source::of(from);
        let task = self.tasks.spawn(connection);
        self.sources.insert(task.id(), source);
        self.members.entry(source).or_default().push_back((self.admitted, task));
        self.admitted += 1;
    }

    /// Waits until there is room for one more. Aborts a connection if necessary.
    pub(super) async fn make_room(&mut self) {
        while self.tasks.len() >= self.most {
            self.make_one_leave().await;
        }
    }

    /// Aborts a connection, unless one is ending already, and waits until one has ended. Returns false if there is none.
    pub(super) async fn make_one_leave(&mut self) -> bool {
        if self.leaving == 0 {
            self.ask_one_to_leave();
        }
        match self.tasks.join_next_with_id().await {
            Some(result) => {
                self.note_left(result.map_or_else(|error| error.id(), |(id, ())| id));
                true
            }
            None => false,
        }
    }

    /// Waits until the next connection ends. Never returns if there is none.
    pub(super) async fn next_leaves(&mut self) {
        match self.tasks.join_next_with_id().await {
            Some(result) => self.note_left(result.map_or_else(|error| error.id(), |(id, ())| id)),
            None => std::future::pending().await,
        }
    }

    /// Aborts the oldest connection of the source that has the most.
    ///
    /// If many sources have the same number, as in a crowd of strangers with an address each, the oldest of all is aborted: no
    /// address is worse than another, and a new connection needs time for its request.
    fn ask_one_to_leave(&mut self) {
        let rank = |members: &VecDeque<(u64, _)>| (members.len(), Reverse(members.front().map(|(number, _)| *number)));
        let most = self.members.values_mut().max_by_key(|members| rank(members));
        if let Some((_, oldest)) = most.and_then(VecDeque::pop_front) {
            oldest.abort();
            self.leaving += 1;
        }
    }

    fn note_left(&mut self, id: Id) {
        let Some(source) = self.sources.remove(&id) else { return };
        let Some(members) = self.members.get_mut(&source) else { return };
        match members.iter().position(|(_, member)| member.id() == id) {
            Some(place) => {
                members.remove(place);
            }
            None => self.leaving = self.leaving.saturating_sub(1),
        }
        if members.is_empty() {
            self.members.remove(&source);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::pending,
        sync::{Arc, Mutex},
    };

    use super::*;

    /// Records its number when it is dropped.
    struct Member(u32, Arc<Mutex<Vec<u32>>>);

    impl Drop for Member {
        fn drop(&mut self) {
            self.1.lock().unwrap().push(self.0);
        }
    }

    /// Admits `member`, which stays until it is aborted.
    async fn come(crowd: &mut Crowd, source: &str, member: Member) {
        crowd.make_room().await;
        crowd.admit(source.parse().unwrap(), async move {
            let _member = member;
            pending::<()>().await;
        });
        tokio::task::yield_now().await;
    }

    #[tokio::test]
    async fn the_oldest_of_the_busiest_source_makes_room() {
        let mut crowd = Crowd::new(4);
        let left = Arc::<Mutex<Vec<u32>>>::default();
        let sources = ["10.0.0.1", "2001:db8::1", "::ffff:10.0.0.2", "2001:db8::2", "10.0.0.2", "10.0.0.2", "10.0.0.3"];
        for (number, source) in (1..).zip(sources) {
            come(&mut crowd, source, Member(number, Arc::clone(&left))).await;
        }
        // 2 and 4 have the same source; then 3, 5 and 6.
        assert_eq!(*left.lock().unwrap(), [2, 3, 5]);
        assert_eq!((crowd.tasks.len(), crowd.sources.len(), crowd.leaving), (4, 4, 0));
    }

    #[tokio::test]
    async fn of_many_sources_with_one_each_the_oldest_makes_room_whatever_its_address() {
        let mut crowd = Crowd::new(3);
        let left = Arc::<Mutex<Vec<u32>>>::default();
        for (number, source) in (1..).zip(["10.0.0.5", "10.0.0.9", "10.0.0.1", "10.0.0.8", "10.0.0.4", "10.0.0.3"]) {
            come(&mut crowd, source, Member(number, Arc::clone(&left))).await;
        }
        assert_eq!(*left.lock().unwrap(), [1, 2, 3]);
    }

    #[tokio::test]
    async fn whoever_leaves_by_himself_is_forgotten() {
        let mut crowd = Crowd::new(2);
        for _ in 0..10 {
            crowd.admit("10.0.0.1".parse().unwrap(), async {});
            crowd.next_leaves().await;
        }
        assert!(crowd.sources.is_empty() && crowd.members.is_empty() && crowd.tasks.is_empty());
        assert!(!crowd.make_one_leave().await);
    }
}
