use std::{net::SocketAddr, time::Duration};

use stun_msg::{
    AddressError, AllocateSuccess, AttributeType, Class, ErrorCode, FamilyCode, IntegrityKey, Message, Method,
    PasswordAlgorithm, Response, Transaction, TransactionId,
};

use crate::input::Input;

/// Responses with any content are messages that this crate reads, signed and sealed as asked.
pub fn response(input: &[u8]) {
    let mut input = Input(input);
    let transaction =
        Transaction { method: Method::new(input.u16()), id: TransactionId(input.array()), fingerprint: input.flag() };
    let algorithm = [None, Some(PasswordAlgorithm::Md5), Some(PasswordAlgorithm::Sha256)][usize::from(input.byte() % 3)];
    let key = algorithm.map(|algorithm| IntegrityKey::long_term(algorithm, "user", "realm", "pass"));
    let kind = input.byte();
    let realm = String::from_utf8_lossy(input.short_bytes()).into_owned();
    let nonce = input.short_bytes();
    let unknown: Vec<_> = input.short_bytes().iter().map(|byte| AttributeType::new((*byte).into())).collect();

    let response = match kind % 6 {
        0 => Response::binding_success(transaction, input.address()),
        1 => Response::allocate_success(transaction, allocate_success(&mut input)),
        2 => Response::refresh_success(transaction, Duration::from_millis(input.u64())),
        3 => Response::create_permission_success(transaction),
        4 => Response::channel_bind_success(transaction),
        _ => {
            let code = ErrorCode::new(input.u16()).unwrap_or(ErrorCode::SERVER_ERROR);
            Response::error(transaction, code)
                .challenge(&realm, nonce)
                .reason(&realm)
                .unknown_attributes(&unknown)
                .max_len(input.u16().into())
        }
    };
    let bytes = response.finish(key.as_ref());

    let message = Message::parse(&bytes).expect("our own response");
    assert_eq!(message.transaction(), transaction);
    assert_eq!(message.class() == Class::Error, kind % 6 == 5);
    assert_eq!(message.has_integrity(), key.is_some());
    if let Some(key) = key {
        assert_eq!(message.verify_integrity(&key), Ok(()));
    }
    if message.class() == Class::Error {
        let cut = &realm[..realm.floor_char_boundary(763)];
        assert_eq!((message.realm(), message.nonce()), (Some(cut.as_bytes()), Some(nonce)));
    }
}

fn allocate_success(input: &mut Input<'_>) -> AllocateSuccess {
    let (mut relayed_v4, mut relayed_v6) = (None, None);
    for _ in 0..2 {
        match input.address() {
            SocketAddr::V4(v4) => relayed_v4 = Some(v4),
            SocketAddr::V6(v6) => relayed_v6 = Some(v6),
        }
    }
    AllocateSuccess {
        relayed_v4,
        relayed_v6,
        mapped: input.address(),
        lifetime: Duration::from_secs(input.u64()),
        reservation_token: input.flag().then(|| input.array()),
        address_error: ErrorCode::new(input.u16()).map(|code| AddressError { family: FamilyCode(input.byte()), code }),
    }
}
