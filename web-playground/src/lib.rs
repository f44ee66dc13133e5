//! What the playground's page calls: captures and a live relay, as JavaScript objects.
//!
//! Everything that decides is in `relay-replay`; here are only conversions. What is small crosses as JSON text, what is large
//! as typed arrays. A [`Trace`] holds no packets, only where they are in the file, which stays with the browser.
#![forbid(unsafe_code)]

mod columns;
mod live;
mod state;
mod trace;

pub use columns::Columns;
pub use live::Live;
pub use trace::Trace;
