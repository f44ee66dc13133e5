//! The user-space side of kept next hops: invalidates them, and lists their neighbours.

use std::{
    io,
    sync::{Mutex, MutexGuard, PoisonError},
};

use aya::maps::{Array, HashMap, MapData};

use super::flows::io_error;
use crate::Neighbour;

/// The maps, behind a lock.
pub(super) struct NextHops(Mutex<Maps>);

struct Maps {
    /// The program's global variable `GENERATION`.
    generation: Array<MapData, u64>,
    neighbours: HashMap<MapData, Neighbour, u64>,
}

impl NextHops {
    pub(super) fn new(generation: Array<MapData, u64>, neighbours: HashMap<MapData, Neighbour, u64>) -> Self {
        Self(Mutex::new(Maps { generation, neighbours }))
    }

    pub(super) fn forget_all(&self) -> io::Result<()> {
        let mut maps = self.lock();
        let generation = maps.generation.get(&0, 0).map_err(io_error)?;
        maps.generation.set(0, generation.wrapping_add(1), 0).map_err(io_error)
    }

    pub(super) fn neighbours(&self) -> io::Result<Vec<(Neighbour, u64)>> {
        self.lock().neighbours.iter().collect::<Result<_, _>>().map_err(io_error)
    }

    pub(super) fn has_neighbour(&self, neighbour: &Neighbour) -> bool {
        self.lock().neighbours.get(neighbour, 0).is_ok()
    }

    pub(super) fn forget_neighbour(&self, neighbour: &Neighbour) -> io::Result<()> {
        match self.lock().neighbours.remove(neighbour).map_err(io_error) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Maps> {
        // A panicking holder leaves no inconsistent state in user space.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
