//! The flow map: installs, reads and removes flows.

use std::{
    hash::{BuildHasher, RandomState},
    io,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use aya::maps::{HashMap, Map, MapData, MapError};

use super::OffloadError;
use crate::{Counters, Encapsulation, Entry, Flow, FlowKey, InstallError, RemoveError};

/// The map `FLOWS`.
#[derive(Debug)]
pub(super) struct Flows {
    map: Mutex<HashMap<MapData, FlowKey, Entry>>,
    /// A file descriptor of the same map.
    file: OwnedFd,
    length: AtomicUsize,
    max_flows: u32,
    /// Draws flow labels. The system seeds it, so that nobody can predict them.
    labels: RandomState,
}

impl Flows {
    pub(super) fn new(map: Map, max_flows: u32) -> Result<Self, OffloadError> {
        let Map::HashMap(data) = &map else {
            return Err(OffloadError::Damaged("FLOWS"));
        };
        let file = data.fd().as_fd().try_clone_to_owned().map_err(|error| OffloadError::from_map(error.into()))?;
        Ok(Self {
            file,
            map: Mutex::new(HashMap::try_from(map).map_err(OffloadError::from_map)?),
            length: AtomicUsize::new(0),
            max_flows,
            labels: RandomState::new(),
        })
    }

    pub(super) fn len(&self) -> usize {
        self.length.load(Ordering::Relaxed)
    }

    pub(super) const fn max_flows(&self) -> u32 {
        self.max_flows
    }

    pub(super) fn install(&self, flow: &Flow) -> Result<(), InstallError> {
        // A flow label is the same for all packets of a flow, and hard to guess: <https://www.rfc-editor.org/rfc/rfc6437#section-3>.
        let label = (self.labels.hash_one((flow.source, flow.destination)) >> 44) as u32;
        let route = Entry { route: flow.route(label)?, ..Entry::default() };
        let key = flow.key();
        let mut map = self.lock();
        // With BPF_NOEXIST, the kernel tells new keys from present ones. A full map refuses new keys only.
        match map.insert(key, route, BPF_NOEXIST) {
            Ok(()) => {
                self.length.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Err(error) if errno(&error) == Some(libc::EEXIST) => {
                let is_other = |there: Entry| !there.route.is_to(&flow.destination);
                if flow.arrives_in == Encapsulation::Indication && map.get(&key, 0).is_ok_and(is_other) {
                    return Err(InstallError::OtherPeer);
                }
                map.insert(key, route, BPF_EXIST).map_err(|error| self.refused(error))
            }
            Err(error) => Err(self.refused(error)),
        }
    }

    /// Removes a flow and returns its final counters, if there was one. Reading and removing is one operation.
    pub(super) fn remove(&self, key: &FlowKey) -> Result<Option<Counters>, RemoveError> {
        let mut map = self.lock();
        let removed = match self.take_out(key) {
            // Before Linux 5.14, two calls are needed. Packets between them are not counted.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | ENOTSUPP)) => {
                let forwarded = map.get(key, 0).map(|entry| entry.forwarded).unwrap_or_default();
                match map.remove(key) {
                    Ok(()) => Ok(forwarded),
                    Err(MapError::KeyNotFound) => return Ok(None),
                    Err(error) => Err(io_error(error)),
                }
            }
            removed => removed.map(|entry| entry.forwarded),
        };
        match removed {
            Ok(forwarded) => {
                self.length.fetch_sub(1, Ordering::Relaxed);
                Ok(Some(forwarded))
            }
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            Err(error) => Err(RemoveError(error)),
        }
    }

    /// The counters of a flow so far, if there is one.
    pub(super) fn forwarded(&self, key: &FlowKey) -> Option<Counters> {
        self.lock().get(key, 0).ok().map(|entry| entry.forwarded)
    }

    /// Reads and removes an entry at once (`BPF_MAP_LOOKUP_AND_DELETE_ELEM`). aya has no call for this.
    fn take_out(&self, key: &FlowKey) -> io::Result<Entry> {
        let mut entry = Entry::default();
        let attributes = EntryAttributes {
            map: self.file.as_raw_fd().cast_unsigned(),
            padding: 0,
            key: (&raw const *key).expose_provenance() as u64,
            value: (&raw mut entry).expose_provenance() as u64,
            flags: 0,
        };
        // SAFETY: the size is that of `attributes`, and its pointers are to a key and a value of this map's sizes, which
        // outlive the call. The kernel writes the value; any bytes are a valid one.
        let result = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                BPF_MAP_LOOKUP_AND_DELETE_ELEM,
                &raw const attributes,
                size_of::<EntryAttributes>(),
            )
        };
        if result == 0 { Ok(entry) } else { Err(io::Error::last_os_error()) }
    }

    fn refused(&self, error: MapError) -> InstallError {
        match errno(&error) {
            Some(libc::E2BIG) => InstallError::Full { max_flows: self.max_flows },
            _ => InstallError::Kernel(io_error(error)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<MapData, FlowKey, Entry>> {
        // A panicking holder leaves no inconsistent state in user space: each operation is one system call.
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The part of `union bpf_attr` for operations on map entries.
#[repr(C)]
struct EntryAttributes {
    map: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// The kernel's internal `ENOTSUPP`, which POSIX does not have.
const ENOTSUPP: i32 = 524;

/// A command of `bpf(2)`.
const BPF_MAP_LOOKUP_AND_DELETE_ELEM: libc::c_int = 21;

/// Flags of `bpf_map_update_elem`.
const BPF_NOEXIST: u64 = 1;
const BPF_EXIST: u64 = 2;

fn errno(error: &MapError) -> Option<i32> {
    match error {
        MapError::SyscallError(error) => error.io_error.raw_os_error(),
        MapError::IoError(error) => error.raw_os_error(),
        _ => None,
    }
}

pub(super) fn io_error(error: MapError) -> io::Error {
    match error {
        MapError::SyscallError(error) => error.io_error,
        MapError::IoError(error) => error,
        other => io::Error::other(other),
    }
}
