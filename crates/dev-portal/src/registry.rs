use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr},
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::Serialize;
use turn_auth::{AuthSecret, UnixTime};

/// What a relay says of itself in the query of its WebSocket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Announcement {
    pub(crate) name: Option<String>,
    pub(crate) ipv4: Option<Ipv4Addr>,
    pub(crate) ipv6: Option<Ipv6Addr>,
    pub(crate) port: u16,
    pub(crate) user_agent: String,
}

/// A relay that has joined. Serialized for the page, hence without its secret.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Relay {
    #[serde(flatten)]
    pub(crate) announcement: Announcement,
    /// When it joined, in Unix seconds.
    pub(crate) since: u64,
    pub(crate) heartbeats: u64,
    #[serde(skip)]
    pub(crate) secret: AuthSecret,
}

/// The relays that are connected, by connection.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    relays: Mutex<BTreeMap<u64, Relay>>,
}

impl Registry {
    pub(crate) fn join(&self, connection: u64, announcement: Announcement, secret: AuthSecret, now: UnixTime) {
        let mut relays = self.lock();
        // The same relay on a new connection, while nobody has noticed yet that the old one is dead.
        let place = |of: &Announcement| (of.ipv4, of.ipv6, of.port);
        relays.retain(|_, relay| place(&relay.announcement) != place(&announcement));
        relays.insert(connection, Relay { announcement, since: now.0, heartbeats: 0, secret });
    }

    pub(crate) fn heartbeat(&self, connection: u64) {
        if let Some(relay) = self.lock().get_mut(&connection) {
            relay.heartbeats += 1;
        }
    }

    pub(crate) fn leave(&self, connection: u64) {
        self.lock().remove(&connection);
    }

    /// In the order in which they joined.
    pub(crate) fn relays(&self) -> Vec<Relay> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Relay>> {
        // Each change is complete in itself, so a panic elsewhere spoils nothing.
        self.relays.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use turn_auth::{AuthSecret, UnixTime};

    use super::{Announcement, Registry};

    fn announcement(port: u16) -> Announcement {
        Announcement { name: None, ipv4: Some([127, 0, 0, 1].into()), ipv6: None, port, user_agent: String::new() }
    }

    #[test]
    fn a_rejoin_takes_the_place_of_the_dead_connection_and_survives_its_end() {
        let registry = Registry::default();
        let secret = AuthSecret::from_random([7; 32]);
        registry.join(1, announcement(3478), secret.clone(), UnixTime(10));
        registry.join(2, announcement(3479), secret.clone(), UnixTime(11));
        registry.join(3, announcement(3478), secret.clone(), UnixTime(12));
        registry.leave(1);
        registry.heartbeat(3);
        registry.heartbeat(1);
        let seen: Vec<_> = registry.relays().iter().map(|r| (r.announcement.port, r.since, r.heartbeats)).collect();
        assert_eq!(seen, [(3479, 11, 0), (3478, 12, 1)]);
        registry.leave(2);
        registry.leave(3);
        assert!(registry.relays().is_empty());
    }

    #[test]
    fn the_secret_is_not_serialized() {
        let registry = Registry::default();
        let secret = AuthSecret::from_random([0xab; 32]);
        registry.join(1, announcement(3478), secret.clone(), UnixTime(10));
        let json = serde_json::to_string(&registry.relays()).unwrap();
        assert!(json.contains("\"port\":3478") && !json.contains(secret.expose()), "{json}");
    }
}
