//! The hash that makes a long-term key from a password.

/// A hash that makes a long-term key from a password, with its number in the
/// [registry](https://www.rfc-editor.org/rfc/rfc8489#section-18.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum PasswordAlgorithm {
    /// MD5: keys of 16 bytes. The only one in RFC 5389, and the default of RFC 8489.
    Md5 = 1,
    /// SHA-256: keys of 32 bytes.
    Sha256 = 2,
}

/// What a request says about its password algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestedAlgorithm {
    /// Nothing, which [means MD5](https://www.rfc-editor.org/rfc/rfc8489#section-9.2.4).
    Unnamed,
    /// One of the algorithms in [`PasswordAlgorithm::OFFER`], with the list unchanged.
    Named(PasswordAlgorithm),
    /// Anything else: only one of the two attributes, another list, or an algorithm that is not in it. An attacker may have changed the
    /// list in transit.
    Invalid,
}

impl PasswordAlgorithm {
    /// The value of [PASSWORD-ALGORITHMS](https://www.rfc-editor.org/rfc/rfc8489#section-14.11) that offers both, SHA-256 first. Neither has
    /// parameters.
    pub const OFFER: [u8; 8] = [0, Self::Sha256 as u8, 0, 0, 0, Self::Md5 as u8, 0, 0];

    /// The length of its keys in bytes.
    #[must_use]
    pub const fn key_len(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha256 => 32,
        }
    }
}

impl RequestedAlgorithm {
    /// Reads the values of the two attributes, if they are there.
    pub(crate) fn of(password_algorithms: Option<&[u8]>, password_algorithm: Option<&[u8]>) -> Self {
        match (password_algorithms, password_algorithm) {
            (None, None) => Self::Unnamed,
            (Some(list), Some(named)) if list == PasswordAlgorithm::OFFER => match named {
                [0, 1, 0, 0] => Self::Named(PasswordAlgorithm::Md5),
                [0, 2, 0, 0] => Self::Named(PasswordAlgorithm::Sha256),
                _ => Self::Invalid,
            },
            _ => Self::Invalid,
        }
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn a_request_names_one_of_the_algorithms_that_were_offered() {
        let offer = Some(PasswordAlgorithm::OFFER.as_slice());
        assert_eq!(RequestedAlgorithm::of(None, None), RequestedAlgorithm::Unnamed);
        for (number, algorithm) in [(1, PasswordAlgorithm::Md5), (2, PasswordAlgorithm::Sha256)] {
            let named = RequestedAlgorithm::of(offer, Some(&[0, number, 0, 0]));
            assert_eq!(named, RequestedAlgorithm::Named(algorithm));
        }
        for (list, named) in [
            (offer, None),
            (None, Some([0_u8, 2, 0, 0].as_slice())),
            (offer, Some(&[0, 3, 0, 0])),
            (offer, Some(&[0, 2])),
            (offer, Some(&[0, 2, 0, 1])),
            // An attacker on the path has removed all but MD5.
            (Some(&[0, 1, 0, 0]), Some(&[0, 1, 0, 0])),
            (Some(&[0, 1, 0, 0, 0, 2, 0, 0]), Some(&[0, 1, 0, 0])),
        ] {
            assert_eq!(RequestedAlgorithm::of(list, named), RequestedAlgorithm::Invalid, "{list:?} {named:?}");
        }
    }
}
