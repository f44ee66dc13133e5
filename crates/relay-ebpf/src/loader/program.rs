//! The kernel program, as it was built.

/// The kernel program's object file.
///
/// # Errors
/// If this build has none: why.
pub fn program() -> Result<&'static [u8], &'static str> {
    include!(concat!(env!("OUT_DIR"), "/program.rs"))
}
