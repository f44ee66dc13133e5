use std::{collections::BTreeMap, sync::Arc};

use super::Meters;

/// The users that have allocations on this shard. Each has a place, which is its index.
#[derive(Debug, Default)]
pub(super) struct Users {
    places: Vec<Option<User>>,
    free: Vec<usize>,
    by_id: BTreeMap<Arc<str>, usize>,
}

#[derive(Debug)]
pub(super) struct User {
    id: Arc<str>,
    pub(super) meters: Meters,
    /// How many allocations the user has on this shard.
    pub(super) here: u64,
    /// How many it has on other shards.
    pub(super) elsewhere: u64,
}

impl Users {
    pub(super) fn get(&self, place: usize) -> Option<&User> {
        self.places.get(place)?.as_ref()
    }

    /// All users and their buckets.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Meters)> {
        self.by_id.values().filter_map(|place| self.get(*place)).map(|user| (&user.id, &user.meters))
    }

    /// Sets the buckets of the user with this id.
    pub(super) fn set_meters(&mut self, id: &str, meters: Meters) {
        if let Some(place) = self.by_id.get(id)
            && let Some(user) = &mut self.places[*place]
        {
            user.meters = meters;
        }
    }

    /// Adds an allocation of the user. Returns the user's place.
    pub(super) fn add(&mut self, id: &Arc<str>, elsewhere: u64) -> usize {
        let place = match self.by_id.get(id) {
            Some(place) => *place,
            None => {
                let place = self.free.pop().unwrap_or_else(|| {
                    self.places.push(None);
                    self.places.len() - 1
                });
                self.by_id.insert(Arc::clone(id), place);
                self.places[place] = Some(User { id: Arc::clone(id), meters: Meters::default(), here: 0, elsewhere });
                place
            }
        };
        if let Some(user) = &mut self.places[place] {
            user.here += 1;
            user.elsewhere = elsewhere;
        }
        place
    }

    /// Removes an allocation of the user at `place`.
    pub(super) fn remove(&mut self, place: usize) {
        let Some(user) = self.places.get_mut(place).and_then(Option::as_mut) else { return };
        user.here -= 1;
        if user.here == 0 {
            self.by_id.remove(&user.id);
            self.places[place] = None;
            self.free.push(place);
        }
    }

    /// Sets how many allocations the user has on other shards.
    pub(super) fn set_elsewhere(&mut self, id: &str, elsewhere: u64) {
        if let Some(place) = self.by_id.get(id)
            && let Some(user) = &mut self.places[*place]
        {
            user.elsewhere = elsewhere;
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty() && self.places.iter().all(Option::is_none)
    }
}
