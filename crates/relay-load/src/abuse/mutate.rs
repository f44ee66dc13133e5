//! Mutates valid messages. The mutations follow from a seed.

use rand::{Rng as _, RngCore as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::original::{LENGTH, Original, attributes, overwrite, sign, tell_length};

/// The longest datagram, in bytes.
const LONGEST: usize = 2_000;

/// A change of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutation {
    FlipBits,
    Cut,
    Grow,
    /// A wrong length in the header.
    LieAboutLength,
    /// A wrong length of an attribute.
    LieAboutAttribute,
    RepeatAttribute,
    RemoveAttribute,
    SwapAttributes,
    /// Another type of an attribute.
    RetypeAttribute,
    /// Another method or class, or another channel number.
    Retype,
    /// The beginning of the message and the end of another.
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

/// Makes mutated messages.
pub(super) struct Mutator {
    random: ChaCha8Rng,
    messages: Vec<Original>,
}

impl Mutator {
    /// Mutates copies of `messages`, of which there must be at least one.
    pub(super) fn new(seed: u64, messages: Vec<Original>) -> Self {
        Self { random: ChaCha8Rng::seed_from_u64(seed), messages }
    }

    /// The number of original messages.
    pub(super) fn messages(&self) -> usize {
        self.messages.len()
    }

    /// The next mutated message.
    pub(super) fn next(&mut self) -> Vec<u8> {
        let original = self.any_message();
        let key = original.key.filter(|_| self.random.random());
        let mut message = if key.is_some() { original.unsigned } else { original.signed };
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
                overwrite(message, LENGTH, lie);
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
                // A method of TURN in any class, or a channel number.
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
                let other = self.any_message().signed;
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

    /// A number that is 0, small, odd, or near the maximum.
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

#[cfg(test)]
mod tests {
    use stun_msg::{IntegrityKey, PasswordAlgorithm};

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
