//! Messages that are wrong in one way or several, drawn from a seed.

use hmac::{Hmac, Mac as _, digest::KeyInit};
use rand::{Rng as _, RngCore as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use sha1::Sha1;
use stun_msg::{IntegrityKey, PasswordAlgorithm};

/// The length of a STUN header, and where its length field is.
const HEADER: usize = 20;
const LENGTH: std::ops::Range<usize> = 2..4;

/// The types of attributes that matter here.
const MESSAGE_INTEGRITY: u16 = 0x0008;
const REALM: u16 = 0x0014;
/// How long MESSAGE-INTEGRITY is, with its header.
const INTEGRITY_LENGTH: usize = 24;

/// The longest datagram that is made.
const LONGEST: usize = 2_000;

/// What is done to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutation {
    FlipBits,
    Cut,
    Grow,
    /// The length in the header is another.
    LieAboutLength,
    /// The length of an attribute is another.
    LieAboutAttribute,
    RepeatAttribute,
    RemoveAttribute,
    SwapAttributes,
    /// The type of an attribute is another.
    RetypeAttribute,
    /// Another method or class, or another channel.
    Retype,
    /// Its beginning, and the end of another.
    Splice,
    Noise,
}

const ALL: [Mutation; 12] = [
    Mutation::FlipBits,
    Mutation::Cut,
    Mutation::Grow,
    Mutation::LieAboutLength,
    Mutation::LieAboutAttribute,
    Mutation::RepeatAttribute,
    Mutation::RemoveAttribute,
    Mutation::SwapAttributes,
    Mutation::RetypeAttribute,
    Mutation::Retype,
    Mutation::Splice,
    Mutation::Noise,
];

/// A message to mutate.
#[derive(Clone)]
pub(super) struct Original {
    bytes: Vec<u8>,
    /// What it is signed with. It gets that far into a server only if it is signed after it was mutated.
    key: Option<IntegrityKey>,
}

impl Original {
    /// A message that is not signed anew.
    pub(super) const fn plain(bytes: Vec<u8>) -> Self {
        Self { bytes, key: None }
    }

    /// A request, signed anew after it was mutated, half of the time, if it is signed at all.
    pub(super) fn request(bytes: Vec<u8>, username: &str, password: &str) -> Self {
        let is_signed = attributes(&bytes).into_iter().any(|place| type_of(&bytes, place) == MESSAGE_INTEGRITY);
        let realm = attributes(&bytes).into_iter().find(|place| type_of(&bytes, *place) == REALM);
        let key = realm.filter(|_| is_signed).and_then(|(start, _)| {
            let length = u16::from_be_bytes([*bytes.get(start + 2)?, *bytes.get(start + 3)?]);
            let realm = std::str::from_utf8(bytes.get(start + 4..start + 4 + usize::from(length))?).ok()?;
            Some(IntegrityKey::long_term(PasswordAlgorithm::Md5, username, realm, password))
        });
        Self { bytes, key }
    }
}

/// Makes them.
pub(super) struct Mutator {
    random: ChaCha8Rng,
    messages: Vec<Original>,
}

impl Mutator {
    /// Makes them of `messages`, of which there is at least one.
    pub(super) fn new(seed: u64, messages: Vec<Original>) -> Self {
        Self { random: ChaCha8Rng::seed_from_u64(seed), messages }
    }

    /// The next one.
    pub(super) fn next(&mut self) -> Vec<u8> {
        let Original { bytes: mut message, key } = self.any_message();
        let key = key.filter(|_| self.random.random());
        if key.is_some() {
            let unsigned = message.len().saturating_sub(INTEGRITY_LENGTH);
            message.truncate(unsigned);
        }
        for _ in 0..self.random.random_range(1..=3) {
            let mutation = ALL[self.random.random_range(0..ALL.len())];
            self.mutate(mutation, &mut message);
        }
        if let Some(key) = key {
            sign(&mut message, &key);
        }
        message
    }

    fn any_message(&mut self) -> Original {
        let index = self.random.random_range(0..self.messages.len().max(1));
        self.messages.get(index).cloned().unwrap_or(Original::plain(Vec::new()))
    }

    fn mutate(&mut self, mutation: Mutation, message: &mut Vec<u8>) {
        match mutation {
            Mutation::FlipBits => {
                for _ in 0..self.random.random_range(1..8) {
                    let bit = 1 << self.random.random_range(0..8);
                    if let Some(byte) = self.any_byte(message) {
                        *byte ^= bit;
                    }
                }
            }
            Mutation::Cut => message.truncate(self.random.random_range(0..=message.len())),
            Mutation::Grow => {
                let length = (message.len() + self.random.random_range(1..400)).min(LONGEST);
                message.resize(length, self.random.random());
            }
            Mutation::LieAboutLength => {
                let lie: u16 = self.lie();
                overwrite(message, LENGTH.start, lie);
            }
            Mutation::LieAboutAttribute => {
                let lie: u16 = self.lie();
                if let Some((start, _)) = self.any_attribute(message) {
                    overwrite(message, start + 2, lie);
                }
            }
            Mutation::RetypeAttribute => {
                let kind = self.random.random_range(0..0x30) | if self.random.random() { 0x8000 } else { 0 };
                if let Some((start, _)) = self.any_attribute(message) {
                    overwrite(message, start, kind);
                }
            }
            Mutation::RepeatAttribute => {
                if let Some((start, end)) = self.any_attribute(message) {
                    let copy = message[start..end].to_vec();
                    for _ in 0..self.random.random_range(1..40) {
                        if message.len() + copy.len() <= LONGEST {
                            message.splice(end..end, copy.iter().copied());
                        }
                    }
                    tell_length(message);
                }
            }
            Mutation::RemoveAttribute => {
                if let Some((start, end)) = self.any_attribute(message) {
                    message.drain(start..end);
                    tell_length(message);
                }
            }
            Mutation::SwapAttributes => {
                if let Some((start, end)) = self.any_attribute(message) {
                    let moved: Vec<u8> = message.drain(start..end).collect();
                    let places = attributes(message);
                    let place = places.get(self.random.random_range(0..=places.len()));
                    let place = place.map_or(message.len(), |(start, _)| *start);
                    message.splice(place..place, moved);
                }
            }
            Mutation::Retype => {
                // STUN methods of TURN in each class, or a channel.
                let kind = if self.random.random() {
                    self.random.random_range(0..0x0C) | [0x000, 0x010, 0x100, 0x110][self.random.random_range(0..4)]
                } else {
                    0x3FFE + self.random.random_range(0..0x2000)
                };
                overwrite(message, 0, kind);
            }
            Mutation::Splice => {
                message.truncate(self.random.random_range(0..=message.len()));
                let start: u32 = self.random.random();
                let other = self.any_message().bytes;
                let start = start as usize % (other.len() + 1);
                message.extend(&other[start..]);
                message.truncate(LONGEST);
            }
            Mutation::Noise => {
                message.resize(self.random.random_range(0..300), 0);
                self.random.fill_bytes(message);
            }
        }
    }

    /// A number that is 0, small, odd, or as large as can be.
    fn lie(&mut self) -> u16 {
        match self.random.random_range(0..4) {
            0 => 0,
            1 => u16::MAX - self.random.random_range(0..4),
            2 => self.random.random_range(0..64),
            _ => self.random.random(),
        }
    }

    fn any_byte<'a>(&mut self, message: &'a mut [u8]) -> Option<&'a mut u8> {
        let length = message.len();
        if length == 0 { None } else { message.get_mut(self.random.random_range(0..length)) }
    }

    fn any_attribute(&mut self, message: &[u8]) -> Option<(usize, usize)> {
        let attributes = attributes(message);
        if attributes.is_empty() { None } else { Some(attributes[self.random.random_range(0..attributes.len())]) }
    }
}

/// Where the attributes of a STUN message begin and end, padding included.
fn attributes(message: &[u8]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    if message.first().is_none_or(|first| *first >= 0x40) {
        return found;
    }
    let mut start = HEADER;
    while let Some([_, _, high, low]) = message.get(start..start + 4) {
        let end = start + 4 + usize::from(u16::from_be_bytes([*high, *low])).next_multiple_of(4);
        if end > message.len() {
            break;
        }
        found.push((start, end));
        start = end;
    }
    found
}

fn type_of(message: &[u8], (start, _): (usize, usize)) -> u16 {
    message.get(start..start + 2).map_or(0, |bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
}

/// Appends a MESSAGE-INTEGRITY
/// ([RFC 8489, section 14.5](https://www.rfc-editor.org/rfc/rfc8489#section-14.5)), which is right whatever else is wrong.
fn sign(message: &mut Vec<u8>, key: &IntegrityKey) {
    let length = (message.len() + INTEGRITY_LENGTH).saturating_sub(HEADER);
    overwrite(message, LENGTH.start, u16::try_from(length).unwrap_or(u16::MAX));
    let Ok(mac) = <Hmac<Sha1> as KeyInit>::new_from_slice(key.as_bytes()) else { return };
    let mac = mac.chain_update(&*message).finalize().into_bytes();
    message.extend(MESSAGE_INTEGRITY.to_be_bytes().into_iter().chain([0, 20]).chain(mac));
}

/// Has the header say how long the message is.
fn tell_length(message: &mut [u8]) {
    let length = u16::try_from(message.len().saturating_sub(HEADER)).unwrap_or(u16::MAX);
    overwrite(message, LENGTH.start, length);
}

fn overwrite(message: &mut [u8], at: usize, value: u16) {
    if let Some(bytes) = message.get_mut(at..at + 2) {
        bytes.copy_from_slice(&value.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Vec<u8> {
        let attributes = [0x00, 0x06, 0, 3, 1, 2, 3, 0, 0x00, 0x0D, 0, 4, 0, 0, 2, 0x58];
        [&[0x00, 0x04, 0, 16, 0x21, 0x12, 0xA4, 0x42], &[7; 12][..], &attributes].concat()
    }

    fn originals() -> Vec<Original> {
        [message(), vec![0x40, 0, 0, 4, 1, 2, 3, 4], Vec::new()].map(Original::plain).to_vec()
    }

    #[test]
    fn what_is_signed_anew_is_signed_rightly() {
        let attribute = [0x00, 0x14, 0, 5, b'r', b'e', b'a', b'l', b'm', 0, 0, 0];
        let key = IntegrityKey::long_term(PasswordAlgorithm::Md5, "user", "realm", "password");
        let mut request = [&[0x00, 0x04, 0, 0, 0x21, 0x12, 0xA4, 0x42], &[7; 12][..], &attribute].concat();
        sign(&mut request, &key);
        let is_right =
            |bytes: &[u8]| stun_msg::Message::parse(bytes).is_ok_and(|message| message.verify_integrity(&key).is_ok());
        assert!(is_right(&request));
        let mut mutator = Mutator::new(5, vec![Original::request(request.clone(), "user", "password")]);
        let right =
            (0..1_000).map(|_| mutator.next()).filter(|mutated| *mutated != request && is_right(mutated)).count();
        assert!((50..500).contains(&right), "{right}");
    }

    #[test]
    fn the_same_seed_makes_the_same() {
        let some = |seed| {
            let mut mutator = Mutator::new(seed, vec![Original::plain(message())]);
            (0..100).map(|_| mutator.next()).collect::<Vec<_>>()
        };
        assert_eq!(some(1), some(1));
        assert_ne!(some(1), some(2));
    }

    #[test]
    fn each_mutation_changes_a_message_and_none_makes_it_too_long() {
        for mutation in ALL {
            let mut mutator = Mutator::new(3, originals());
            let mut changed = 0;
            for _ in 0..100 {
                let mut mutated = message();
                mutator.mutate(mutation, &mut mutated);
                changed += u32::from(mutated != message());
                for again in ALL {
                    mutator.mutate(again, &mut mutated);
                    assert!(mutated.len() <= LONGEST, "{mutation:?}");
                }
            }
            assert!(changed > 20, "{mutation:?}: {changed}");
        }
    }

    #[test]
    fn attributes_are_found() {
        assert_eq!(attributes(&message()), [(20, 28), (28, 36)]);
        assert_eq!(attributes(&message()[..35]), [(20, 28)]);
        assert!(attributes(&[0x40; 40]).is_empty() && attributes(&[]).is_empty());
    }
}
