//! What it takes to authenticate a client, to refuse a stranger and to sign an answer.
#![forbid(unsafe_code)]
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use std::{hint::black_box, net::SocketAddr, sync::Arc, time::Duration};

use criterion::{Criterion, criterion_group, criterion_main};
use stun_msg::{ErrorCode, IntegrityKey, Message, PasswordAlgorithm, Response};
use turn_auth::{
    AcceptedCredentials, AuthError, AuthSecret, Authenticator, Credentials, Holder, NonceIssuer, Scheme, Schemes,
    UnixTime,
};
use turn_client::{Request, TurnClient};

const NOW: UnixTime = UnixTime(1_800_000_000);
/// When a nonce of now is in the bucket before, and still accepted.
const LATER: UnixTime = UnixTime(NOW.0 + NonceIssuer::PERIOD_SECONDS);
/// When a nonce of now is not accepted any more.
const TOO_LATE: UnixTime = UnixTime(NOW.0 + 2 * NonceIssuer::PERIOD_SECONDS);
const EXPIRY: UnixTime = UnixTime(NOW.0 + 86_400);
const SALT: &str = "n23JJ2wKKtt30oXi";
const LIFETIME: Duration = Duration::from_secs(600);

fn client() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 32_853))
}

fn secret() -> AuthSecret {
    AuthSecret::from_random([1; 32])
}

fn authenticator() -> Authenticator {
    Authenticator::new(secret(), NonceIssuer::new([7; 32]), "firezone").unwrap()
}

/// A Refresh request before and after the challenge, from a client with this password.
#[expect(clippy::disallowed_methods, reason = "the client wants some time; nothing depends on which")]
fn requests(username: &str, password: &str) -> [Vec<u8>; 2] {
    let now = std::time::Instant::now();
    let mut client_core = TurnClient::new(turn_client::Credentials::new(username, password), 7);
    client_core.request(now, Request::Refresh { lifetime: Some(LIFETIME) });
    let first = client_core.poll_transmit().unwrap();
    let (authenticator, transaction) = (authenticator(), Message::parse(&first).unwrap().transaction());
    let nonce = authenticator.nonce(NOW, client(), false);
    let challenge = Response::error(transaction, ErrorCode::UNAUTHENTICATED)
        .challenge(authenticator.realm(), nonce.as_bytes())
        .finish(None);
    client_core.handle_datagram(now, &challenge);
    [first, client_core.poll_transmit().unwrap()]
}

fn authenticate(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("authenticate");
    let Credentials { username, password, .. } = Credentials::mint(&secret(), EXPIRY, SALT);
    let [unsigned, signed] = requests(&username, &password);
    let [_, forged] = requests(&username, "a guess");
    let cases = [
        ("right", &signed, NOW, None),
        ("right, previous nonce", &signed, LATER, None),
        ("unauthenticated", &unsigned, NOW, Some(AuthError::Unauthenticated)),
        ("wrong password", &forged, NOW, Some(AuthError::WrongPassword)),
        ("stale nonce", &signed, TOO_LATE, Some(AuthError::StaleNonce)),
    ];
    let authenticator = authenticator();
    for (name, datagram, now, refused) in cases {
        let message = Message::parse(datagram).unwrap();
        assert_eq!(authenticator.authenticate(&message, now, client()).err(), refused);
        group.bench_function(name, |bencher| {
            bencher.iter(|| authenticator.authenticate(black_box(&message), now, client()).is_ok());
        });
    }
}

/// What several schemes and secrets cost, and what the credentials of an allocation save.
fn accepted(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("authenticate with");
    let secrets = |count: u8| (1..=count).rev().map(|number| AuthSecret::from_random([number; 32])).collect();
    let Credentials { username, password, .. } = Scheme::TurnRest.mint(&secret(), EXPIRY, SALT);
    let [_, signed] = requests(&username, &password);
    let [_, forged] = requests(&username, "a guess");
    let (right, wrong) = (Message::parse(&signed).unwrap(), Message::parse(&forged).unwrap());
    for (name, count) in [("both schemes", 1), ("both schemes and 4 secrets", 4)] {
        let accepted =
            AcceptedCredentials { schemes: Schemes::Both, secrets: secrets(count), users: [].into(), nonce_key: None };
        // The nonces of `requests` are of this key.
        let authenticator = Authenticator::new(Arc::new(accepted), NonceIssuer::new([7; 32]), "firezone").unwrap();
        for (password, message) in [("right", &right), ("wrong", &wrong)] {
            assert_eq!(authenticator.authenticate(message, NOW, client()).is_ok(), password == "right");
            group.bench_function(format!("{name}, {password} password"), |bencher| {
                bencher.iter(|| authenticator.authenticate(black_box(message), NOW, client()).is_ok());
            });
        }
    }
    let key = IntegrityKey::long_term(PasswordAlgorithm::Md5, &username, "firezone", &password);
    let holder = Holder { username: &username, key: &key, expiry: None };
    let authenticator = authenticator();
    group.bench_function("an allocation", |bencher| {
        bencher.iter(|| authenticator.authenticate_holder(black_box(&right), NOW, client(), holder).is_ok());
    });
}

fn sign(criterion: &mut Criterion) {
    let Credentials { username, password, .. } = Credentials::mint(&secret(), EXPIRY, SALT);
    let [_, signed] = requests(&username, &password);
    let message = Message::parse(&signed).unwrap();
    let authenticator = authenticator();
    let authenticated = authenticator.authenticate(&message, NOW, client()).unwrap();
    criterion.bench_function("sign a response", |bencher| {
        bencher.iter(|| {
            Response::refresh_success(black_box(message.transaction()), LIFETIME).finish(Some(&authenticated.key))
        });
    });
}

fn credentials(criterion: &mut Criterion) {
    let secret = secret();
    criterion.bench_function("mint credentials", |bencher| {
        bencher.iter(|| Credentials::mint(black_box(&secret), EXPIRY, SALT));
    });
}

fn nonces(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("nonce");
    let issuer = NonceIssuer::new([7; 32]);
    group.bench_function("issue", |bencher| bencher.iter(|| issuer.issue(NOW, black_box(client()), false)));
    let nonce = issuer.issue(NOW, client(), false);
    for (name, now, is_fresh) in
        [("this period", NOW, true), ("previous period", LATER, true), ("stale", TOO_LATE, false)]
    {
        assert_eq!(issuer.verify(nonce.as_bytes(), now, client().ip()).is_ok(), is_fresh);
        group.bench_function(name, |bencher| {
            bencher.iter(|| issuer.verify(black_box(nonce.as_bytes()), now, client().ip()).is_ok());
        });
    }
}

criterion_group!(benches, authenticate, accepted, sign, credentials, nonces);
criterion_main!(benches);
