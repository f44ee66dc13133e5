use std::{
    collections::VecDeque,
    fmt,
    time::{Duration, Instant},
};

use stun_types::{
    attribute::{ErrorCode, Nonce, Realm, Username},
    message::{
        IntegrityAlgorithm, IntegrityKey, LongTermKeyCredentials, Message, MessageClass, StunWriteError, TransactionId,
    },
    prelude::*,
};

use crate::{Answer, Failure, Request, answer, decode_channel_data};

/// How many challenges a request follows. After that, the error response is its answer.
const MAX_CHALLENGES: u8 = 3;

/// How long to wait after the last transmission, in initial time-outs: Rm of RFC 8489.
const LAST_WAIT: u32 = 16;

/// A username and its password, for the long-term credential mechanism.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    username: String,
    password: String,
}

impl Credentials {
    /// These credentials.
    #[must_use]
    pub fn new(username: impl Into<String>, password: impl AsRef<str>) -> Self {
        Self { username: username.into(), password: password.as_ref().to_owned() }
    }

    /// The username.
    #[must_use]
    pub fn username(&self) -> &str {
        &self.username
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// Identifies a request until it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(u64);

/// What a datagram from the server contained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received<'a> {
    /// Application data from the peer of a channel.
    Data {
        /// The channel number.
        channel: u16,
        /// The application data.
        payload: &'a [u8],
    },
    /// The response to a request of this client.
    Response,
    /// Anything else.
    Ignored,
}

/// A TURN client for one allocation, without I/O. Several requests may be pending at a time.
pub struct TurnClient {
    credentials: Credentials,
    challenge: Option<Challenge>,
    pending: Vec<Pending>,
    transmits: VecDeque<Vec<u8>>,
    answers: VecDeque<(RequestId, Answer)>,
    next_id: u64,
    transactions: u64,
    initial_timeout: Duration,
    transmissions: u32,
}

struct Challenge {
    realm: String,
    nonce: String,
    key: IntegrityKey,
}

struct Pending {
    id: RequestId,
    request: Request,
    transaction: TransactionId,
    message: Vec<u8>,
    /// The nonce that it was signed with.
    nonce: Option<String>,
    challenges: u8,
    sent: u32,
    timeout: Duration,
    due: Instant,
}

impl fmt::Debug for TurnClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TurnClient")
            .field("credentials", &self.credentials)
            .field("pending", &self.pending.len())
            .finish_non_exhaustive()
    }
}

impl TurnClient {
    /// A client with these credentials. Its transaction ids follow from `seed`; different clients on one 5-tuple need
    /// different seeds.
    #[must_use]
    pub fn new(credentials: Credentials, seed: u64) -> Self {
        Self {
            credentials,
            challenge: None,
            pending: Vec::new(),
            transmits: VecDeque::new(),
            answers: VecDeque::new(),
            next_id: 0,
            transactions: seed,
            initial_timeout: Duration::from_millis(500),
            transmissions: 7,
        }
    }

    /// Transmits each request up to `transmissions` times. The first retransmission is after `initial_timeout`, and each following interval
    /// is twice as long. The default is from [RFC 8489, section 6.2.1](https://www.rfc-editor.org/rfc/rfc8489#section-6.2.1): 500 ms and 7.
    #[must_use]
    pub fn with_retransmission(mut self, initial_timeout: Duration, transmissions: u32) -> Self {
        self.initial_timeout = initial_timeout;
        self.transmissions = transmissions.max(1);
        self
    }

    /// Starts a request; its answer comes from [`Self::poll_answer`].
    pub fn request(&mut self, now: Instant, request: Request) -> RequestId {
        let id = RequestId(self.next_id);
        self.next_id += 1;
        self.start(now, id, request, 0);
        id
    }

    /// How many requests are pending.
    #[must_use]
    pub fn requests_pending(&self) -> usize {
        self.pending.len()
    }

    /// Handles a datagram from the server.
    pub fn handle_datagram<'a>(&mut self, now: Instant, datagram: &'a [u8]) -> Received<'a> {
        if let Some((channel, payload)) = decode_channel_data(datagram) {
            return Received::Data { channel, payload };
        }
        let Ok(response) = Message::from_bytes(datagram) else { return Received::Ignored };
        if !response.is_response() {
            return Received::Ignored;
        }
        let is_ours = |pending: &Pending| pending.transaction == response.transaction_id();
        let Some(index) = self.pending.iter().position(is_ours) else { return Received::Ignored };
        let pending = self.pending.swap_remove(index);
        self.handle_response(now, pending, &response);
        Received::Response
    }

    /// Retransmits the requests that are due, and gives up those without transmissions left.
    pub fn handle_timeout(&mut self, now: Instant) {
        let mut index = 0;
        while let Some(pending) = self.pending.get_mut(index) {
            if pending.due > now {
                index += 1;
            } else if pending.sent < self.transmissions {
                pending.sent += 1;
                pending.timeout = if pending.sent < self.transmissions {
                    pending.timeout.saturating_mul(2)
                } else {
                    self.initial_timeout.saturating_mul(LAST_WAIT)
                };
                pending.due = now + pending.timeout;
                self.transmits.push_back(pending.message.clone());
                index += 1;
            } else {
                let given_up = self.pending.swap_remove(index);
                self.answers.push_back((given_up.id, Err(Failure::TimedOut)));
            }
        }
    }

    /// When to call [`Self::handle_timeout`] next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.pending.iter().map(|pending| pending.due).min()
    }

    /// The next datagram to send to the server.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.transmits.pop_front()
    }

    /// The next answer.
    pub fn poll_answer(&mut self) -> Option<(RequestId, Answer)> {
        self.answers.pop_front()
    }

    fn start(&mut self, now: Instant, id: RequestId, request: Request, challenges: u8) {
        let transaction = self.next_transaction();
        match self.sign(&request, transaction) {
            Ok((message, nonce)) => {
                self.transmits.push_back(message.clone());
                let timeout = self.initial_timeout;
                let due = now + timeout;
                self.pending.push(Pending {
                    id,
                    request,
                    transaction,
                    message,
                    nonce,
                    challenges,
                    sent: 1,
                    timeout,
                    due,
                });
            }
            Err(error) => self.answers.push_back((id, Err(Failure::Unwritable(error.to_string())))),
        }
    }

    /// Encodes and signs a request. Returns the message, and the nonce in it if there is one.
    fn sign(&self, request: &Request, transaction: TransactionId) -> Result<(Vec<u8>, Option<String>), StunWriteError> {
        let mut message = request.write(transaction)?;
        let mut signed_with = None;
        if let Some(challenge) = &self.challenge
            && *request != Request::Binding
        {
            message.add_attribute(&Username::new(&self.credentials.username)?)?;
            message.add_attribute(&Realm::new(&challenge.realm)?)?;
            message.add_attribute(&Nonce::new(&challenge.nonce)?)?;
            message.add_message_integrity_with_key(&challenge.key, IntegrityAlgorithm::Sha1)?;
            signed_with = Some(challenge.nonce.clone());
        }
        Ok((message.finish(), signed_with))
    }

    fn handle_response(&mut self, now: Instant, pending: Pending, response: &Message<'_>) {
        if self.follow_challenge(&pending, response) {
            self.start(now, pending.id, pending.request, pending.challenges + 1);
            return;
        }
        let answer = if self.integrity_is_right(&pending, response) {
            answer::read(&pending.request, response)
        } else {
            Err(Failure::BadIntegrity)
        };
        self.answers.push_back((pending.id, answer));
    }

    /// Takes realm and nonce from a 438, or from a 401 to a request that was not signed. Returns whether to send the request again.
    fn follow_challenge(&mut self, pending: &Pending, response: &Message<'_>) -> bool {
        let Ok(error) = response.attribute::<ErrorCode>() else { return false };
        let is_challenge = match error.code() {
            401 => pending.nonce.is_none(),
            438 => true,
            _ => false,
        };
        if !response.has_class(MessageClass::Error) || !is_challenge || pending.challenges >= MAX_CHALLENGES {
            return false;
        }
        let (Ok(realm), Ok(nonce)) = (response.attribute::<Realm>(), response.attribute::<Nonce>()) else {
            return false;
        };
        let Credentials { username, password } = self.credentials.clone();
        let key = LongTermKeyCredentials::new(username, password, realm.realm().to_owned())
            .make_key(IntegrityAlgorithm::Sha1);
        self.challenge = Some(Challenge { realm: realm.realm().to_owned(), nonce: nonce.nonce().to_owned(), key });
        true
    }

    /// Checks the signature of a response to a signed request. An error response may lack one; a success response must not.
    fn integrity_is_right(&self, pending: &Pending, response: &Message<'_>) -> bool {
        let (Some(_), Some(challenge)) = (&pending.nonce, &self.challenge) else { return true };
        let is_signed = response.has_attribute(stun_types::attribute::MessageIntegrity::TYPE);
        if response.has_class(MessageClass::Error) && !is_signed {
            return true;
        }
        response.validate_integrity_with_key(&challenge.key).is_ok()
    }

    fn next_transaction(&mut self) -> TransactionId {
        let high = split_mix(&mut self.transactions);
        let low = split_mix(&mut self.transactions);
        (((u128::from(high) << 64) | u128::from(low)) & ((1 << 96) - 1)).into()
    }
}

/// SplitMix64: the next number of a sequence with a period of 2^64.
const fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
