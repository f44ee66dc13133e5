//! The flow map, from user space.

use std::{
    hash::{BuildHasher, RandomState},
    io,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use aya::maps::{HashMap, Map, MapData, MapError};

use super::OffloadError;
use crate::{Flow, FlowKey, InstallError, RemoveError, Route};

/// The map `FLOWS`, which user space alone writes.
#[derive(Debug)]
pub(super) struct Flows {
    map: Mutex<HashMap<MapData, FlowKey, Route>>,
    length: AtomicUsize,
    max_flows: u32,
    /// Draws flow labels; seeded by the system, so that nobody can tell them beforehand.
    labels: RandomState,
}

impl Flows {
    pub(super) fn new(map: Map, max_flows: u32) -> Result<Self, OffloadError> {
        Ok(Self {
            map: Mutex::new(HashMap::try_from(map).map_err(OffloadError::from_map)?),
            length: AtomicUsize::new(0),
            max_flows,
            labels: RandomState::new(),
        })
    }

    pub(super) fn len(&self) -> usize {
        self.length.load(Ordering::Relaxed)
    }

    pub(super) fn install(&self, flow: &Flow) -> Result<(), InstallError> {
        // <https://www.rfc-editor.org/rfc/rfc6437#section-3>: the same for all packets of a flow, and hard to guess.
        let label = (self.labels.hash_one((flow.source, flow.destination)) >> 44) as u32;
        let route = flow.route(label)?;
        let key = flow.key();
        let mut map = self.lock();
        // A map that is full refuses new keys; the kernel says which these are.
        match map.insert(key, route, BPF_NOEXIST) {
            Ok(()) => {
                self.length.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Err(error) if errno(&error) == Some(libc::EEXIST) => {
                map.insert(key, route, BPF_EXIST).map_err(|error| self.refused(error))
            }
            Err(error) => Err(self.refused(error)),
        }
    }

    pub(super) fn remove(&self, key: &FlowKey) -> Result<(), RemoveError> {
        match self.lock().remove(key) {
            Ok(()) => {
                self.length.fetch_sub(1, Ordering::Relaxed);
                Ok(())
            }
            Err(error) if errno(&error) == Some(libc::ENOENT) || matches!(error, MapError::KeyNotFound) => Ok(()),
            Err(error) => Err(RemoveError(io_error(error))),
        }
    }

    fn refused(&self, error: MapError) -> InstallError {
        match errno(&error) {
            Some(libc::E2BIG) => InstallError::Full { max_flows: self.max_flows },
            _ => InstallError::Kernel(io_error(error)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<MapData, FlowKey, Route>> {
        // Nothing in user space is half done if a holder panics: each operation is one system call.
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

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

fn io_error(error: MapError) -> io::Error {
    match error {
        MapError::SyscallError(error) => error.io_error,
        MapError::IoError(error) => error,
        other => io::Error::other(other),
    }
}
