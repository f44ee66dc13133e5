//! The messages by which an old process hands its allocations to a new process on the same machine. The two may be different builds.
//!
//! The old process starts the new one, which sends [`Hello`] and receives [`Offer`] with the listening sockets. The new process sets up
//! everything else and sends [`Ready`]. Then the workers of the old process stand still, and it sends the state and the sockets of each
//! worker, followed by [`Shared`]. The new process makes its workers from them and sends [`Restored`]. It serves when it receives [`Yours`]. Until
//! then the old process can go on: whatever becomes of the new process, no client notices. When the old process ends, its end of the channel
//! closes, and the new process attaches its XDP program.

mod channel;
mod figures;
mod message;

pub(crate) use self::{
    channel::Channel,
    figures::Figures,
    message::{ControlSocket, Hello, Offer, Ready, Restored, Shared, VERSION, Yours},
};
