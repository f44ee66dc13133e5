//! A Unix socket to which only the relay's own user and root can connect.

use std::{
    fs,
    io::{self, ErrorKind},
    os::fd::OwnedFd,
    os::unix::{
        fs::{FileTypeExt as _, PermissionsExt as _},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
};

/// Read and write for the owner only.
const MODE: u32 = 0o600;

/// A listening socket. Dropping it removes the path.
#[derive(Debug)]
pub(crate) struct UnixSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl UnixSocket {
    /// Binds `path`. A socket of a former relay, on which nobody listens any more, is replaced.
    ///
    /// # Errors
    ///
    /// When another program listens there, the path is not a socket, or the directory is not writable.
    pub(crate) fn bind(path: &Path) -> io::Result<Self> {
        if let Ok(found) = fs::symlink_metadata(path) {
            if !found.file_type().is_socket() {
                return Err(io::Error::new(
                    ErrorKind::AlreadyExists,
                    "there is a file of that name, which is no socket",
                ));
            }
            match UnixStream::connect(path) {
                Ok(_) => return Err(io::Error::new(ErrorKind::AddrInUse, "another program listens there")),
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
                // Another user may be listening there.
                Err(error) => return Err(error),
            }
        }
        // Bind another name first: nobody may connect before the permissions are set.
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(format!(".{}", std::process::id()));
        let unfinished = PathBuf::from(unfinished);
        let listener = UnixListener::bind(&unfinished)?;
        let finished = listener
            .set_nonblocking(true)
            .and_then(|()| fs::set_permissions(&unfinished, fs::Permissions::from_mode(MODE)))
            .and_then(|()| fs::rename(&unfinished, path));
        if let Err(error) = finished {
            let _ = fs::remove_file(&unfinished);
            return Err(error);
        }
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Takes over a socket that another process has bound to `path`, and will not remove.
    ///
    /// # Errors
    ///
    /// When it is not usable here.
    pub(super) fn adopt(listener: OwnedFd, path: PathBuf) -> io::Result<Self> {
        let listener = UnixListener::from(listener);
        listener.set_nonblocking(true)?;
        Ok(Self { listener, path })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A clone of the listener.
    ///
    /// # Errors
    ///
    /// When the process has no file descriptor left.
    pub(super) fn listener(&self) -> io::Result<UnixListener> {
        self.listener.try_clone()
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        // If this fails, the next relay replaces the socket.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_owner_may_connect_and_a_socket_left_behind_makes_room() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control");
        drop(UnixListener::bind(&path).unwrap());
        let socket = UnixSocket::bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        UnixStream::connect(&path).unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing unfinished is left");
        assert_eq!(UnixSocket::bind(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn a_file_is_not_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notes");
        fs::write(&path, "mine").unwrap();
        assert_eq!(UnixSocket::bind(&path).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }
}
