//! Messages with files between two processes of this machine.

use std::{
    io::{self, IoSlice, IoSliceMut, Read as _, Write as _},
    mem::MaybeUninit,
    os::{
        fd::{BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    time::Duration,
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::{Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

/// The kernel passes so many files at a time (`SCM_MAX_FD`).
const FILES_AT_A_TIME: usize = 253;

/// No message of a relay with 65,535 allocations is longer, by far.
const MAX_LEN: u32 = 1 << 30;

/// More files than a relay can have sockets.
const MAX_FILES: u32 = 1 << 18;

/// One end. Messages arrive in order, and each as it was sent.
#[derive(Debug)]
pub(crate) struct Channel(UnixStream);

impl Channel {
    /// Both ends.
    ///
    /// # Errors
    ///
    /// When the system has no file left.
    pub(crate) fn pair() -> io::Result<(Self, OwnedFd)> {
        let (one, other) = UnixStream::pair()?;
        Ok((Self(one), other.into()))
    }

    /// This end of a channel whose other end another process has.
    pub(crate) fn new(end: OwnedFd) -> Self {
        Self(end.into())
    }

    /// How long to wait for the other process, each time: longer is an error ([`io::ErrorKind::WouldBlock`]).
    ///
    /// # Errors
    ///
    /// Those of `setsockopt`.
    pub(crate) fn wait_at_most(&self, limit: Duration) -> io::Result<()> {
        self.0.set_read_timeout(Some(limit))?;
        self.0.set_write_timeout(Some(limit))
    }

    /// Sends `message`, and with it `files`, which stay open here.
    ///
    /// # Errors
    ///
    /// When the other process has gone, or does not take it.
    pub(crate) fn send(&self, message: &impl Serialize, files: &[BorrowedFd<'_>]) -> io::Result<()> {
        let bytes = Zeroizing::new(postcard::to_allocvec(message).map_err(io::Error::other)?);
        let len = u32::try_from(bytes.len()).ok().filter(|len| *len <= MAX_LEN).ok_or(io::ErrorKind::FileTooLarge)?;
        let count = u32::try_from(files.len()).ok().filter(|count| *count <= MAX_FILES);
        let count = count.ok_or(io::ErrorKind::FileTooLarge)?;
        (&self.0).write_all(&len.to_be_bytes())?;
        (&self.0).write_all(&count.to_be_bytes())?;
        (&self.0).write_all(&bytes)?;
        for files in files.chunks(FILES_AT_A_TIME) {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES_AT_A_TIME))];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            ancillary.push(SendAncillaryMessage::ScmRights(files));
            // Files travel with a byte at least.
            sendmsg(&self.0, &[IoSlice::new(&[0])], &mut ancillary, SendFlags::NOSIGNAL)?;
        }
        Ok(())
    }

    /// The next message, and the files that came with it.
    ///
    /// # Errors
    ///
    /// When the other process has gone ([`io::ErrorKind::UnexpectedEof`]), does not send, or sends something else; and when this process may
    /// not have so many files ([`io::ErrorKind::OutOfMemory`]).
    pub(crate) fn receive<M: DeserializeOwned>(&self) -> io::Result<(M, Vec<OwnedFd>)> {
        let mut header = [0; 8];
        (&self.0).read_exact(&mut header)?;
        let [a, b, c, d, e, f, g, h] = header;
        let (len, count) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
        if len > MAX_LEN || count > MAX_FILES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut bytes = Zeroizing::new(vec![0; usize::try_from(len).unwrap_or_default()]);
        (&self.0).read_exact(&mut bytes)?;
        let count = usize::try_from(count).unwrap_or_default();
        let mut files = Vec::new();
        while files.len() < count {
            self.receive_files(&mut files)?;
        }
        let message =
            postcard::from_bytes(&bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok((message, files))
    }

    fn receive_files(&self, files: &mut Vec<OwnedFd>) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES_AT_A_TIME))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0];
        let received = recvmsg(&self.0, &mut [IoSliceMut::new(&mut byte)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
        if received.bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let before = files.len();
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(more) = message {
                files.extend(more);
            }
        }
        if received.flags.contains(ReturnFlags::CTRUNC) || files.len() == before {
            return Err(io::Error::new(
                io::ErrorKind::OutOfMemory,
                "this process may not have so many open files: raise the limit (`ulimit -Hn`, LimitNOFILE= in systemd)",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{os::fd::AsFd as _, thread};

    use super::*;

    fn pair() -> (Channel, Channel) {
        let (one, other) = Channel::pair().unwrap();
        let other = Channel::new(other);
        for end in [&one, &other] {
            end.wait_at_most(Duration::from_secs(30)).unwrap();
        }
        (one, other)
    }

    #[test]
    fn messages_and_files_arrive_in_order() {
        // More than the kernel passes at a time, and pipes that tell which is which.
        let pipes: Vec<_> = (0_u16..600).map(|number| (number, io::pipe().unwrap())).collect();
        let (one, other) = pair();
        thread::scope(|scope| {
            scope.spawn(|| {
                let files: Vec<_> = pipes.iter().map(|(_, (reader, _))| reader.as_fd()).collect();
                one.send(&"no files", &[]).unwrap();
                one.send(&vec![7_u8; 1_000_000], &files).unwrap();
                one.send(&"the end", &files[..1]).unwrap();
            });
            assert_eq!(
                other.receive::<String>().map(|(text, files)| (text, files.len())).unwrap(),
                ("no files".into(), 0)
            );
            let (bytes, files) = other.receive::<Vec<u8>>().unwrap();
            assert_eq!((bytes.len(), files.len()), (1_000_000, 600));
            for ((number, (_, writer)), file) in pipes.iter().zip(files) {
                writer.try_clone().unwrap().write_all(&number.to_be_bytes()).unwrap();
                let mut bytes = [0; 2];
                io::PipeReader::from(file).read_exact(&mut bytes).unwrap();
                assert_eq!(u16::from_be_bytes(bytes), *number);
            }
            assert_eq!(
                other.receive::<String>().map(|(text, files)| (text, files.len())).unwrap(),
                ("the end".into(), 1)
            );
        });
    }

    #[test]
    fn an_end_that_has_gone_is_an_error_and_so_is_one_that_says_something_else() {
        let (one, other) = pair();
        one.send(&1_u8, &[]).unwrap();
        drop(one);
        assert!(other.receive::<u8>().is_ok());
        assert_eq!(other.receive::<u8>().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(other.send(&1_u8, &[]).unwrap_err().kind(), io::ErrorKind::BrokenPipe);

        let (one, other) = pair();
        (&one.0).write_all(&[0xFF; 8]).unwrap();
        assert_eq!(other.receive::<u8>().unwrap_err().kind(), io::ErrorKind::InvalidData);
        let (one, other) = pair();
        one.send(&u8::MAX, &[]).unwrap();
        assert_eq!(other.receive::<bool>().unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn nobody_waits_for_ever() {
        let (_one, other) = pair();
        other.wait_at_most(Duration::from_millis(1)).unwrap();
        assert_eq!(other.receive::<u8>().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}
