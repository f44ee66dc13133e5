//! Receiving: system calls and buffers.

mod buffers;
mod receiver;

pub(crate) use self::buffers::Filled;
pub use self::{
    buffers::{Cursor, Datagram, HEAD_ROOM, ReceiveBuffers, Remaining, TAIL_ROOM},
    receiver::BATCH,
};
