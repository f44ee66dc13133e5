//! The compiled kernel program.

/// The kernel program's object file.
///
/// # Errors
/// If this build has none; the error says why.
pub fn program() -> Result<&'static [u8], &'static str> {
    include!(concat!(env!("OUT_DIR"), "/program.rs"))
}
