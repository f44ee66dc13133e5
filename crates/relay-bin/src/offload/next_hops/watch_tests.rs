//! Tests of the neighbour watch on a fake neighbour table.

use std::collections::BTreeMap;

use super::*;

/// A neighbour: its entry in the kernel, and the address at which it really is.
#[derive(Clone, Copy)]
struct Fake {
    entry: Entry,
    is_at: Option<u8>,
    /// How many ticks it takes to answer.
    slowness: u64,
    answers_in: Option<u64>,
    probes: usize,
    resolutions: usize,
}

#[derive(Default)]
struct Table(BTreeMap<Neighbour, Fake>);

fn mac(last: u8) -> [u8; 6] {
    [2, 0, 0, 0, 0, last]
}

fn neighbour(number: u32) -> Neighbour {
    Neighbour::from_v4_word((0x0a00_0000 + number).to_be(), 3)
}

impl Table {
    fn add(&mut self, number: u32, state: State) {
        let entry = Entry { state, address: Some(mac(1)) };
        let fake = Fake { entry, is_at: Some(1), slowness: 0, answers_in: None, probes: 0, resolutions: 0 };
        self.0.insert(neighbour(number), fake);
    }

    fn get(&mut self, number: u32) -> &mut Fake {
        self.0.get_mut(&neighbour(number)).unwrap()
    }

    /// Lets a tick pass, in which neighbours answer probes.
    fn pass(&mut self) {
        for fake in self.0.values_mut() {
            fake.answers_in = match fake.answers_in {
                Some(0) => {
                    let address = fake.is_at.map(mac);
                    fake.entry = Entry { state: State::Confirmed, address };
                    None
                }
                waiting => waiting.map(|ticks| ticks - 1),
            };
        }
    }
}

impl NeighbourTable for Table {
    fn look_up(&mut self, neighbour: &Neighbour) -> io::Result<Option<Entry>> {
        Ok(self.0.get(neighbour).map(|fake| fake.entry))
    }

    fn probe(&mut self, neighbour: &Neighbour) -> io::Result<()> {
        let fake = self.0.get_mut(neighbour).unwrap();
        fake.probes += 1;
        fake.entry.state = State::Probed;
        if fake.is_at.map(mac) == fake.entry.address {
            fake.answers_in = Some(fake.slowness);
        }
        Ok(())
    }

    fn resolve(&mut self, neighbour: &Neighbour) -> io::Result<()> {
        let fake = self.0.get_mut(neighbour).unwrap();
        fake.resolutions += 1;
        fake.entry = Entry { state: State::Unknown, address: None };
        fake.answers_in = fake.is_at.map(|_| fake.slowness);
        Ok(())
    }
}

struct Scene {
    watch: Watch,
    table: Table,
    used: u64,
    forgotten: Vec<Neighbour>,
}

impl Scene {
    fn new(states: &[State]) -> Self {
        let mut table = Table::default();
        for (number, state) in states.iter().enumerate() {
            table.add(u32::try_from(number).unwrap(), *state);
        }
        Self { watch: Watch::default(), table, used: 0, forgotten: Vec::new() }
    }

    /// Lets `ticks` pass while flows use all neighbours. Returns in how many of them an address changed.
    fn pass(&mut self, ticks: usize) -> usize {
        (0..ticks).filter(|_| self.tick(true)).count()
    }

    fn tick(&mut self, is_used: bool) -> bool {
        self.used += u64::from(is_used);
        let noted: Vec<_> = self.table.0.keys().map(|neighbour| (*neighbour, self.used)).collect();
        let noted: Vec<_> = noted.into_iter().filter(|(neighbour, _)| !self.forgotten.contains(neighbour)).collect();
        let forgotten = &mut self.forgotten;
        let changed = self.watch.tick(&noted, &mut self.table, |neighbour| forgotten.push(*neighbour)).unwrap();
        self.table.pass();
        changed
    }
}

#[test]
fn a_neighbour_in_use_is_asked_at_every_second_tick_and_stays_confirmed() {
    let mut scene = Scene::new(&[State::Unconfirmed]);
    assert_eq!(scene.pass(40), 0);
    let fake = *scene.table.get(0);
    assert!((18..=21).contains(&fake.probes), "{} probes in 40 ticks", fake.probes);
    assert_eq!((fake.entry.state, fake.resolutions), (State::Confirmed, 0));
}

#[test]
fn one_that_is_not_in_use_any_more_is_left_alone() {
    let mut scene = Scene::new(&[State::Confirmed]);
    scene.pass(4);
    for _ in 0..TICKS_UNTIL_IDLE {
        scene.tick(false);
    }
    assert_eq!(scene.forgotten, [neighbour(0)]);
    let probes = scene.table.get(0).probes;
    for _ in 0..20 {
        scene.tick(false);
    }
    assert_eq!(scene.table.get(0).probes, probes);
    assert!(scene.watch.neighbours.is_empty() && scene.watch.turns.is_empty());
}

#[test]
fn a_silent_change_of_address_is_found_out_within_three_ticks() {
    for phase in 0..4 {
        let mut scene = Scene::new(&[State::Confirmed]);
        scene.pass(20 + phase);
        scene.table.get(0).is_at = Some(2);
        let before = scene.table.get(0).resolutions;
        // Probed within two ticks, resolved after one more, and answered.
        let mut ticks = 0;
        while scene.table.get(0).entry.address != Some(mac(2)) {
            scene.tick(true);
            ticks += 1;
            assert!(ticks <= 3, "phase {phase}");
        }
        scene.pass(20);
        assert_eq!(scene.table.get(0).resolutions, before + 1, "phase {phase}");
        assert_eq!(scene.watch.neighbours[&neighbour(0)].patience, 1);
    }
}

#[test]
fn a_slow_neighbour_is_given_time_and_a_prompt_one_less_again() {
    let mut scene = Scene::new(&[State::Confirmed]);
    scene.table.get(0).slowness = 3;
    scene.pass(200);
    let resolutions = scene.table.get(0).resolutions;
    assert!((1..=3).contains(&resolutions), "{resolutions}");
    scene.pass(200);
    assert_eq!(scene.table.get(0).resolutions, resolutions, "it has time now");
    scene.table.get(0).slowness = 0;
    scene.pass(2_000);
    assert_eq!(scene.watch.neighbours[&neighbour(0)].patience, 1);
}

#[test]
fn what_somebody_has_entered_is_left_alone_and_so_is_what_does_not_answer() {
    let mut scene = Scene::new(&[State::Given, State::Unknown]);
    scene.pass(100);
    for number in 0..2 {
        let fake = scene.table.get(number);
        assert_eq!((fake.probes, fake.resolutions), (0, 0), "{number}");
    }
    let mut scene = Scene::new(&[State::Confirmed]);
    scene.pass(8);
    scene.table.get(0).is_at = None;
    scene.pass(40);
    assert_eq!(scene.table.get(0).resolutions, 1, "the kernel goes on by itself");
}

#[test]
fn many_neighbours_take_turns() {
    let mut scene = Scene::new(&vec![State::Confirmed; 3 * PER_TICK]);
    scene.pass(60);
    for number in 0..3 * PER_TICK {
        let probes = scene.table.get(u32::try_from(number).unwrap()).probes;
        assert!((8..=12).contains(&probes), "{number}: {probes} in 60 ticks");
    }
}

#[test]
fn a_change_that_the_kernel_tells_of_matters_if_the_address_is_another() {
    let mut scene = Scene::new(&[State::Confirmed]);
    let entry = |address| Some(Entry { state: State::Confirmed, address });
    assert_eq!(scene.watch.note(&neighbour(0), entry(Some(mac(1)))), None, "not in use");
    scene.pass(4);
    assert_eq!(scene.watch.note(&neighbour(0), entry(Some(mac(1)))), Some(false));
    assert_eq!(scene.watch.note(&neighbour(0), entry(Some(mac(2)))), Some(true));
    assert_eq!(scene.watch.note(&neighbour(0), entry(Some(mac(2)))), Some(false));
    assert_eq!(scene.watch.note(&neighbour(0), None), Some(true));
}
