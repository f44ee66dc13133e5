//! The operating system's random generator.

/// A source of random bytes that no seed reproduces.
pub(crate) trait Entropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), String>;
}

/// The operating system's generator.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OsEntropy;

impl Entropy for OsEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), String> {
        getrandom::fill(bytes).map_err(|error| format!("the operating system gives no random numbers: {error}"))
    }
}
