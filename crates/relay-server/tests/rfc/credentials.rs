//! Allocations whose credentials expire, are renewed or withdrawn; and the users that they are counted for.

use std::sync::Arc;

use relay_server::{AcceptedCredentials, AuthSecret, Event, QuotaHolder, Scheme, Schemes, UnixTime, UsernameLimit};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::support::{
    Client, Credentials, Relay, Request, SECRET, Shards, UNIX_TIME, allocate, bind, delete, permit, refresh,
};

const OTHER_SECRET: &str = "1cab293a-4032-46f4-862a-40e5d174b0d2";

fn accepted(secrets: &[&str]) -> Arc<AcceptedCredentials> {
    let secrets = secrets.iter().map(|secret| AuthSecret::new(secret).unwrap()).collect();
    Arc::new(AcceptedCredentials {
        schemes: Schemes::Only(Scheme::Firezone),
        secrets,
        users: [].into(),
        nonce_key: None,
    })
}

fn with(socket: &str, credentials: Credentials) -> Client {
    Client { credentials, ..Client::new(socket) }
}

/// Every kind of request for an existing allocation.
fn requests() -> [Request; 4] {
    let peer = "203.0.113.1:9".parse().unwrap();
    [refresh(), bind(0x4000, peer), permit(&[peer]), delete()]
}

/// A client whose credentials are valid for five minutes.
fn brief() -> Client {
    with("198.51.100.7:50000", Credentials::mint(UNIX_TIME + 300, "alice"))
}

#[test]
fn a_call_outlives_its_credential_and_a_new_one_does_not_begin() {
    let mut relay = Relay::new();
    let mut client = brief();
    relay.allocate(&mut client);
    // Up to an hour after the expiry, with new nonces.
    for _ in 0..8 {
        relay.advance_secs(500);
        for request in &requests()[..3] {
            assert_eq!(relay.outcome(&mut client, request), Ok(()));
        }
    }
    assert_eq!(relay.outcome(&mut client, &allocate()), Err(401));
    let mut elsewhere = with("198.51.100.7:50001", client.credentials.clone());
    for request in [allocate(), refresh()] {
        assert_eq!(relay.outcome(&mut elsewhere, &request), Err(401), "an allocation is known by its 5-tuple");
    }
    client.credentials.key[0] ^= 1;
    assert_eq!(relay.outcome(&mut client, &refresh()), Err(401), "the password is asked for as ever");
    client.credentials.key[0] ^= 1;
    assert_eq!(relay.outcome(&mut client, &delete()), Ok(()));
    assert_eq!(relay.outcome(&mut client, &refresh()), Err(401), "it holds nothing any more");
}

#[test]
fn a_call_outlives_a_jump_of_the_wall_clock_which_is_told_once() {
    for jump in [-7_200, -60, 60, 7_200] {
        let mut relay = Relay::new();
        let mut client = brief();
        relay.allocate(&mut client);
        relay.advance_secs(10);
        let mut read = |difference| {
            let unix_time = UnixTime((UNIX_TIME + 10).saturating_add_signed(difference));
            relay.server.handle_wall_clock(relay.now, unix_time);
            relay.drain();
            let jumps = relay.take_events().into_iter().filter(|event| matches!(event, Event::WallClockJumped { .. }));
            jumps.collect::<Vec<_>>()
        };
        for late_or_corrected in [59, 0, -59, 0] {
            assert_eq!(read(late_or_corrected), Vec::new());
        }
        let (from, to) = (UnixTime(UNIX_TIME + 10), UnixTime((UNIX_TIME + 10).saturating_add_signed(jump)));
        assert_eq!(read(jump), [Event::WallClockJumped { from, to }]);
        assert_eq!(read(jump), Vec::new());
        for request in requests() {
            assert_eq!(relay.outcome(&mut client, &request), Ok(()), "{jump}");
        }
    }
}

#[test]
fn with_strict_expiry_a_call_ends_with_its_credential() {
    let mut relay = Relay::with(|config| config.strict_expiry = true);
    let mut client = brief();
    relay.allocate(&mut client);
    relay.advance_secs(299);
    for request in &requests()[..3] {
        assert_eq!(relay.outcome(&mut client, request), Ok(()));
    }
    relay.advance_secs(1);
    for request in requests() {
        assert_eq!(relay.outcome(&mut client, &request), Err(401));
    }
}

/// RFC 8656, section 5, requires it, and coturn does the same: a client must keep using the credentials of its Allocate.
#[test]
fn a_renewed_credential_is_another_username_to_an_allocation() {
    let mut relay = Relay::new();
    let mut client = brief();
    relay.allocate(&mut client);
    let old = std::mem::replace(&mut client.credentials, Credentials::mint(UNIX_TIME + 3600, "alice"));
    for request in requests() {
        assert_eq!(relay.outcome(&mut client, &request), Err(441));
    }
    client.credentials = old;
    assert_eq!(relay.outcome(&mut client, &refresh()), Ok(()));
}

#[test]
fn the_quota_is_a_user_s_whatever_the_usernames() {
    let mut relay = Relay::with(|config| config.username_limit = UsernameLimit::RefuseBeyond(2));
    let of = |user: &str, index: u64| {
        with(&format!("198.51.100.7:{}", 50_000 + index), Credentials::mint(UNIX_TIME + 1000 + index, user))
    };
    let mut clients: Vec<_> = (0..12).map(|index| of("alice", index)).collect();
    let outcomes: Vec<_> = clients.iter_mut().map(|client| relay.outcome(client, &allocate())).collect();
    assert_eq!(outcomes[..2], [Ok(()); 2]);
    assert_eq!(outcomes[2..], [Err(486); 10]);
    assert_eq!(relay.outcome(&mut of("bob", 12), &allocate()), Ok(()), "others have their own");

    let mut created = Vec::new();
    for event in std::mem::take(&mut relay.events) {
        if let Event::AllocationCreated { username, user_id, .. } = event {
            created.push((username.to_string(), user_id.to_string()));
        }
    }
    let expected = [(UNIX_TIME + 1000, "alice"), (UNIX_TIME + 1001, "alice"), (UNIX_TIME + 1012, "bob")];
    assert_eq!(created, expected.map(|(expiry, user)| (format!("{expiry}:{user}"), user.to_owned())));

    relay.granted(&mut clients[0], &delete());
    assert_eq!(relay.outcome(&mut clients[11], &allocate()), Ok(()));
}

#[test]
fn the_quota_is_a_user_s_on_all_shards_together() {
    let mut shards = Shards::new(2, 30, |config| config.username_limit = UsernameLimit::RefuseBeyond(2));
    let outcomes: Vec<_> = (0..4_u64)
        .map(|index| {
            let credentials = Credentials::mint(UNIX_TIME + 1000 + index, "alice");
            let mut client = with(&format!("198.51.100.7:{}", 50_000 + index), credentials);
            let shard = usize::try_from(index % 2).unwrap();
            let outcome = shards.relays[shard].outcome(&mut client, &allocate());
            shards.deliver_all();
            outcome
        })
        .collect();
    assert_eq!(outcomes, [Ok(()), Ok(()), Err(486), Err(486)]);
}

#[test]
fn the_quota_holds_when_shards_are_asked_at_the_same_moment() {
    let mut shards = Shards::new(3, 30, |config| config.username_limit = UsernameLimit::RefuseBeyond(2));
    let mut clients: Vec<_> =
        (0..6).map(|index| Client::named(&format!("198.51.100.7:{}", 50_000 + index), "alice")).collect();
    let mut ask = |shards: &mut Shards, index: usize, request: &Request| {
        shards.relays[index % 3].outcome(&mut clients[index], request)
    };
    // No messages are delivered: no shard knows which allocations the others have granted.
    let outcomes: Vec<_> = (0..6).map(|index| ask(&mut shards, index, &allocate())).collect();
    assert_eq!(outcomes, [Ok(()), Ok(()), Err(486), Err(486), Err(486), Err(486)]);
    assert_eq!(shards.relays.iter().map(|relay| relay.sockets.len()).sum::<usize>(), 2);
    ask(&mut shards, 0, &delete()).unwrap();
    assert_eq!(ask(&mut shards, 2, &allocate()), Ok(()));
    assert_eq!(ask(&mut shards, 5, &allocate()), Err(486));
    for index in [1, 2] {
        ask(&mut shards, index, &delete()).unwrap();
    }
    assert!(shards.relays[0].claims.borrow().values().all(|count| *count == 0));
}

#[test]
fn who_is_over_the_quota_reserves_no_port() {
    let mut shards = Shards::new(2, 2, |config| config.username_limit = UsernameLimit::RefuseBeyond(1));
    let client = |number: u16, user| Client::named(&format!("198.51.100.7:{}", 50_000 + number), user);
    let [mut first, mut second, mut other] = [client(1, "alice"), client(2, "alice"), client(3, "bob")];
    let pair = allocate().with_even_port(true);
    assert_eq!(shards.relays[0].outcome(&mut first, &pair), Ok(()));
    assert_eq!(shards.relays[1].outcome(&mut second, &pair), Err(486));
    assert_eq!(shards.relays[1].outcome(&mut other, &pair), Ok(()));
}

#[test]
fn what_is_claimed_and_does_not_come_to_be_is_released() {
    let mut shards = Shards::new(2, 30, |config| config.username_limit = UsernameLimit::RefuseBeyond(1));
    let relay = &mut shards.relays[0];
    let mut client = Client::named("198.51.100.7:50000", "alice");
    relay.answers = [Err(relay_server::RelayOpenError::Failed)].into();
    assert_eq!(relay.outcome(&mut client, &allocate()), Err(508));
    let claimed = |relay: &Relay| relay.claims.borrow().values().sum::<u32>();
    assert_eq!(claimed(relay), 0);
    assert_eq!(relay.outcome(&mut client, &allocate()), Ok(()));
    assert_eq!(claimed(relay), 1);
    relay.advance_secs(600);
    assert_eq!((relay.server.allocation_count(), claimed(relay)), (0, 0));

    // The allocation ends before its client has a response.
    relay.hold = true;
    relay.challenge(&mut client);
    let bytes = client.sign(&allocate());
    assert_eq!(relay.answer(&client, &bytes), None);
    assert_eq!(claimed(relay), 1);
    relay.advance_secs(600);
    assert_eq!((relay.server.allocation_count(), claimed(relay)), (0, 0));

    // A claim that is granted too late is released.
    let user = QuotaHolder::User("alice".into());
    let id = {
        relay.hold = false;
        relay.allocate(&mut client);
        relay.server.allocations().next().unwrap().id()
    };
    relay.granted(&mut client, &delete());
    relay.claims.borrow_mut().insert(user.clone(), 1);
    relay.server.handle_quota_claimed(relay.now, id, user, true);
    relay.drain();
    assert_eq!(claimed(relay), 0);
}

/// [RFC 8656, section 7.2](https://www.rfc-editor.org/rfc/rfc8656#section-7.2), point 10, lets the server define quotas.
#[test]
fn the_clients_of_one_network_have_a_quota_on_all_workers_together() {
    for workers in [1, 2] {
        let limit = std::num::NonZeroU32::new(2);
        let mut shards = Shards::new(workers, 30, |config| config.allocations_per_prefix = limit);
        let last = usize::from(workers) - 1;
        let [mut first, mut second, mut third] = [1, 2, 3].map(|host| Client::new(&format!("198.51.100.{host}:50000")));
        assert_eq!(shards.relays[0].outcome(&mut first, &allocate()), Ok(()));
        assert_eq!(shards.relays[last].outcome(&mut second, &allocate()), Ok(()));
        assert_eq!(shards.relays[0].outcome(&mut third, &allocate()), Err(486));
        assert_eq!(shards.relays[last].outcome(&mut third, &allocate()), Err(486));
        let mut elsewhere = Client::new("198.51.101.1:50000");
        assert_eq!(shards.relays[0].outcome(&mut elsewhere, &allocate()), Ok(()));
        // A deleted allocation makes room for another.
        assert_eq!(shards.relays[0].outcome(&mut first, &delete()), Ok(()));
        assert_eq!(shards.relays[last].outcome(&mut third, &allocate()), Ok(()));
        for (shard, client) in [(last, &mut second), (last, &mut third), (0, &mut elsewhere)] {
            assert_eq!(shards.relays[shard].outcome(client, &delete()), Ok(()));
        }
        assert!(shards.relays[0].claims.borrow().values().all(|count| *count == 0));
    }
}

#[test]
fn one_user_may_be_without_quota() {
    let mut relay = Relay::with(|config| {
        config.username_limit = UsernameLimit::RefuseBeyond(1);
        config.unlimited_user = Some("alice".into());
    });
    for index in 0..20 {
        let socket = format!("198.51.100.7:{}", 50_000 + index);
        assert_eq!(relay.outcome(&mut Client::named(&socket, "alice"), &allocate()), Ok(()));
    }
    assert_eq!(relay.outcome(&mut Client::named("198.51.100.8:1", "bob"), &allocate()), Ok(()));
    assert_eq!(relay.outcome(&mut Client::named("198.51.100.8:2", "bob"), &allocate()), Err(486));
}

#[test]
fn a_secret_that_is_taken_away_leaves_the_allocations_of_its_users() {
    let mut relay = Relay::new();
    relay.accept(accepted(&[SECRET, OTHER_SECRET]));
    let expiry = UNIX_TIME + 86_400;
    let mut old = with("198.51.100.7:1", Credentials::mint_with(SECRET, expiry, "alice"));
    let mut new = with("198.51.100.7:2", Credentials::mint_with(OTHER_SECRET, expiry, "bob"));
    relay.allocate(&mut old);
    relay.allocate(&mut new);

    relay.accept(accepted(&[OTHER_SECRET]));
    for client in [&mut old, &mut new] {
        for request in &requests()[..3] {
            assert_eq!(relay.outcome(client, request), Ok(()));
        }
    }
    let late = |socket, of: &Client| with(socket, of.credentials.clone());
    assert_eq!(relay.outcome(&mut late("198.51.100.7:3", &old), &allocate()), Err(401));
    assert_eq!(relay.outcome(&mut late("198.51.100.7:4", &new), &allocate()), Ok(()));
    relay.granted(&mut old, &delete());
    assert_eq!(relay.outcome(&mut old, &allocate()), Err(401));
}

#[test]
fn a_static_user_s_new_password_is_good_for_the_allocation_of_the_old() {
    let user = |password: &str| {
        let Credentials { key, .. } = Credentials::new("alice", password);
        let users = [("alice".into(), relay_server::UserKeys::from_bytes(key, None))].into();
        Arc::new(AcceptedCredentials { schemes: Schemes::Both, secrets: Vec::new(), users, nonce_key: None })
    };
    let mut relay = Relay::new();
    relay.accept(user("old"));
    let mut client = with("198.51.100.7:1", Credentials::new("alice", "old"));
    relay.allocate(&mut client);
    relay.accept(user("new"));
    assert_eq!(relay.outcome(&mut client, &refresh()), Ok(()), "what it was made with");
    client.credentials = Credentials::new("alice", "new");
    assert_eq!(relay.outcome(&mut client, &refresh()), Ok(()), "and what is right now");
    client.credentials = Credentials::new("alice", "other");
    assert_eq!(relay.outcome(&mut client, &refresh()), Err(401));
}
