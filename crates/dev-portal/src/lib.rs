//! A portal for development: it speaks the protocol that relays register by, shows those that are connected on a page, and
//! mints credentials for them, with the same code that a relay checks them by.
//!
//! ```no_run
//! # async fn serve() -> std::io::Result<()> {
//! let portal = dev_portal::DevPortal::bind(([127, 0, 0, 1], 8081).into(), "some token").await?;
//! println!("FIREZONE_API_URL=ws://{}", portal.local_addr()?);
//! portal.run().await;
//! # Ok(())
//! # }
//! ```
//!
//! Its page and its credentials are open to whoever can connect to it, so let it listen on loopback. It forgets everything
//! when it ends.
#![forbid(unsafe_code)]

mod channel;
mod clock;
mod credentials;
mod portal;
mod registry;
mod routes;
mod shared;

pub use portal::DevPortal;

/// A token that nobody can guess.
///
/// # Errors
/// When the operating system has no randomness.
pub fn draw_token() -> Result<String, getrandom::Error> {
    credentials::random_text::<16>()
}
