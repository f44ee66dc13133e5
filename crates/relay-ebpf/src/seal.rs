//! Check words, by which a reader knows that its copy of an entry is complete and from one writer.
//!
//! Entries are written while programs on other CPUs read them, word by word and in no guaranteed order. So a writer adds a
//! word that is a function of all others, and a reader computes it again. It does not match a mixture of two writers' words.
//!
//! The function is a sum of products with odd constants. It is fast, since the products are independent of each other. A
//! difference in one word always changes it. Differences in several words would have to cancel out, which is as likely as
//! guessing the high half of a word. It protects against chance and not against attackers: user space and this program are the
//! only writers.

/// Odd numbers below 2^31 without a pattern. As such, they are immediate operands of BPF's multiplication.
const FACTORS: [u64; 13] = [
    0x5f35_6495,
    0x71c9_bbd3,
    0x2c1b_3c6d,
    0x4f6c_dd1d,
    0x6d2b_79f5,
    0x3ade_68b1,
    0x1b87_3593,
    0x45d9_f3b3,
    0x64ff_9f3d,
    0x297a_2d39,
    0x7feb_352d,
    0x46ca_6b6b,
    0x58f3_8ded,
];

/// The check word of `words`, of which there are at most 13.
#[must_use]
#[inline(always)]
pub(crate) const fn seal<const WORDS: usize>(words: &[u64; WORDS]) -> u64 {
    const { assert!(WORDS <= FACTORS.len()) };
    let mut sum = 0_u64;
    let mut word = 0;
    while word < WORDS {
        sum = sum.wrapping_add(words[word].wrapping_mul(FACTORS[word]));
        word += 1;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_of_every_word_counts() {
        let words = [7, u64::MAX, 0, 0x0102_0304_0506_0708, 1 << 63];
        for word in 0..words.len() {
            for bit in 0..64 {
                let mut other = words;
                other[word] ^= 1 << bit;
                assert_ne!(seal(&words), seal(&other), "bit {bit} of word {word}");
            }
        }
    }

    #[test]
    fn words_that_change_places_are_noticed() {
        assert_ne!(seal(&[1, 2, 3]), seal(&[2, 1, 3]));
        assert_ne!(seal(&[1, 2, 3]), seal(&[1, 3, 2]));
    }

    #[test]
    fn factors_are_odd_and_fit_an_immediate_operand() {
        for factor in FACTORS {
            assert!(factor % 2 == 1 && factor < 1 << 31, "{factor:#x}");
        }
    }
}
