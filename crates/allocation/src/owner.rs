use std::{fmt, sync::Arc};

use zeroize::Zeroizing;

/// The owner of an allocation: the credentials that it was made with. `Debug` does not show the key, and dropping overwrites it.
#[derive(PartialEq, Eq)]
pub struct Owner {
    username: Arc<str>,
    user_id: Arc<str>,
    key: Zeroizing<[u8; Credential::MAX_KEY_LEN]>,
    key_len: usize,
    expires_at: Option<u64>,
}

/// The credentials that an Allocate request is authenticated with.
#[derive(Clone, Copy)]
pub struct Credential<'a> {
    /// The username.
    pub username: &'a str,
    /// The user behind the username. Several usernames may belong to one user, whose allocations are counted together.
    pub user_id: &'a str,
    /// The key that requests are signed with: at most [`Credential::MAX_KEY_LEN`] bytes; more are cut off. This crate only stores it.
    pub key: &'a [u8],
    /// When the credential expires, in seconds of Unix time, if ever. An allocation may outlive it.
    pub expires_at: Option<u64>,
}

impl Owner {
    /// Copies `credential`.
    #[must_use]
    pub fn of(credential: &Credential<'_>) -> Self {
        Self::new(credential, None)
    }

    /// Shares the memory of `user`, the user's id, if it is stored already.
    pub(crate) fn new(credential: &Credential<'_>, user: Option<&Arc<str>>) -> Self {
        let user_id = user.map_or_else(|| Arc::from(credential.user_id), Arc::clone);
        let username =
            if credential.username == &*user_id { Arc::clone(&user_id) } else { Arc::from(credential.username) };
        let key_len = credential.key.len().min(Credential::MAX_KEY_LEN);
        let mut key = Zeroizing::new([0; Credential::MAX_KEY_LEN]);
        key[..key_len].copy_from_slice(&credential.key[..key_len]);
        Self { username, user_id, key, key_len, expires_at: credential.expires_at }
    }

    /// Whether it was made from `credential`.
    pub(crate) fn has(&self, credential: &Credential<'_>) -> bool {
        *self.username == *credential.username
            && *self.user_id == *credential.user_id
            && self.key() == credential.key
            && self.expires_at == credential.expires_at
    }

    /// The credential that it was made from.
    #[must_use]
    pub fn credential(&self) -> Credential<'_> {
        Credential { username: &self.username, user_id: &self.user_id, key: self.key(), expires_at: self.expires_at }
    }

    /// The username that the allocation was made with.
    #[must_use]
    pub const fn username(&self) -> &Arc<str> {
        &self.username
    }

    /// The user behind the username. All allocations of one user are counted together.
    #[must_use]
    pub const fn user_id(&self) -> &Arc<str> {
        &self.user_id
    }

    /// The key that the allocation's requests are signed with. Whoever has it needs no password.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.key[..self.key_len]
    }

    /// When the credential expires, in seconds of Unix time, if ever.
    #[must_use]
    pub const fn expires_at(&self) -> Option<u64> {
        self.expires_at
    }
}

impl<'a> Credential<'a> {
    /// The greatest length of a key, in bytes: that of a SHA-256 hash.
    pub const MAX_KEY_LEN: usize = 32;

    /// A credential whose username is also the user id and whose key is zeros: for tests, and where requests are not signed.
    #[must_use]
    pub const fn unsigned(username: &'a str) -> Self {
        Self { username, user_id: username, key: &[0; 16], expires_at: None }
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Owner")
            .field("username", &self.username)
            .field("user_id", &self.user_id)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Credential<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("username", &self.username)
            .field("user_id", &self.user_id)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;
    use crate::{
        Allocation, Allocations, NewAllocation, PortRange, PortRequest,
        testing::{T0, request},
    };

    const ALICE: Credential<'_> =
        Credential { username: "1892160000:alice", user_id: "alice", key: &[1; 16], expires_at: Some(1_892_160_000) };

    #[test]
    fn allocations_of_one_user_are_counted_together_whatever_their_usernames() {
        let mut allocations = Allocations::new(PortRange::DYNAMIC, [1; 32]);
        let later = Credential { username: "1892160001:alice", key: &[2; 32], ..ALICE };
        let ids: Vec<_> = (1..)
            .zip([ALICE, later, ALICE, later])
            .map(|(client, credential)| {
                let new = NewAllocation { credential, ..request(client, PortRequest::Any) };
                let allocation = allocations.allocate(T0, new).unwrap();
                assert!(allocation.owner().has(&credential));
                allocation.id()
            })
            .collect();
        assert_eq!(allocations.count_of_user("alice"), 4);
        assert_eq!(allocations.count_of_user(ALICE.username), 0);
        assert!(allocations.of_user("alice").map(Allocation::id).eq(ids.iter().copied()));
        let shared = |a: usize, b: usize| {
            let owner = |index: usize| allocations.get(ids[index]).unwrap().owner();
            Arc::ptr_eq(owner(a).user_id(), owner(b).user_id())
        };
        assert!(shared(0, 1) && shared(0, 3));
        for id in ids {
            allocations.remove(id);
        }
        allocations.assert_empty();
    }

    #[test]
    fn debug_does_not_show_the_key() {
        let shown = format!("{ALICE:?} {:?}", Owner::new(&ALICE, None));
        assert!(shown.contains("alice") && !shown.contains("key") && !shown.contains("1, 1"), "{shown}");
    }
}
