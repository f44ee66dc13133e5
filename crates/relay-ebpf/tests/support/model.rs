//! Runs the host build of the rewrite, with a model of the host.

use std::collections::HashMap;

use relay_ebpf::{Flow, FlowKey, Forwarded, Host, Leaving, Link, Reason, Route, Settings, SliceFrame, rewrite};

use super::{Outcome, Runner};

/// The room in front of a frame, as in network drivers.
const HEADROOM: usize = 256;
/// The room behind a frame.
const TAILROOM: usize = 64;

/// How a model finds next hops.
pub type NextHop = Box<dyn Fn(&Route, &Leaving, &mut Link) -> Reason>;

pub struct Model {
    pub settings: Settings,
    pub flows: HashMap<FlowKey, Route>,
    pub mtu: u32,
    pub identification: u16,
    /// The next random number.
    pub random: u32,
    pub headroom: usize,
    pub tailroom: usize,
    /// The routing table.
    pub next_hop: NextHop,
}

impl Model {
    pub fn new(settings: Settings, mtu: u32) -> Self {
        let next_hop: NextHop = Box::new(|_, _, _| Reason::NoNextHop);
        Self {
            settings,
            flows: HashMap::new(),
            mtu,
            identification: 0,
            random: 0,
            headroom: HEADROOM,
            tailroom: TAILROOM,
            next_hop,
        }
    }

    pub fn install(&mut self, flow: &Flow, flow_label: u32) {
        self.flows.insert(flow.key(), flow.route(flow_label).unwrap());
    }
}

impl Host for Model {
    fn settings(&self) -> Settings {
        self.settings
    }

    fn route(&mut self, key: &FlowKey, route: &mut Route) -> bool {
        self.flows.get(key).is_some_and(|found| {
            *route = *found;
            true
        })
    }

    fn next_hop(&mut self, route: &Route, leaving: &Leaving, link: &mut Link) -> Reason {
        (self.next_hop)(route, leaving, link)
    }

    fn fits(&mut self, length: u32) -> bool {
        length <= self.mtu
    }

    fn identification(&mut self) -> u16 {
        self.identification
    }

    fn random(&mut self) -> u32 {
        self.random
    }
}

impl Runner for Model {
    fn run(&mut self, frame: &[u8]) -> Outcome {
        let mut memory = vec![0xee; self.headroom];
        memory.extend(frame);
        memory.resize(memory.len() + self.tailroom, 0xee);
        let mut slice = SliceFrame::with_tailroom(&mut memory, self.headroom, self.tailroom).unwrap();
        let reason = rewrite(&mut slice, self, &mut Forwarded::default());
        Outcome { reason, frame: slice.bytes().to_vec() }
    }
}
