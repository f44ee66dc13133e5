//! Implements [`Host`] with the kernel's helper functions and maps.

use aya_ebpf::{
    helpers::{bpf_check_mtu, bpf_fib_lookup, bpf_get_prandom_u32, bpf_jiffies64},
    programs::XdpContext,
};
use relay_ebpf::{
    DSCP, Device, Entry, FlowKey, Host, KeptHop, Leaving, Link, MacAddresses, Neighbour, Question, Reason, Route, Settings,
};

use crate::maps;

/// The kernel, for one packet.
pub struct KernelHost<'a> {
    pub context: &'a XdpContext,
    /// The entry of the packet's flow; null until it is found.
    pub entry: *mut Entry,
}

/// `struct bpf_fib_lookup`, with plain fields where the kernel's has unions.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct FibLookup {
    family: u8,
    protocol: u8,
    source_port: u16,
    destination_port: u16,
    length: u16,
    interface: u32,
    class: u32,
    source: [u32; 4],
    destination: [u32; 4],
    vlan: u32,
    /// The Ethernet addresses of the interface and of the next hop, in this order.
    addresses: [u32; 3],
}

const _: () = assert!(size_of::<FibLookup>() == 64, "the kernel's ABI");

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const UDP: u8 = 17;
/// The traffic class and flow label in an IPv6 header's first word.
const FLOW_INFORMATION: u32 = 0x0fff_ffff_u32.to_be();
/// The index of the loopback interface. A look-up from there gives the routes of packets that this host sends itself.
const LOOPBACK: u32 = 1;

const FIB_SUCCESS: i64 = 0;
const FIB_FORWARDING_OFF: i64 = 5;
const FIB_NO_NEIGHBOUR: i64 = 7;
const FIB_FRAGMENTATION_NEEDED: i64 = 8;

impl Host for KernelHost<'_> {
    #[inline(always)]
    fn settings(&self) -> Settings {
        maps::SETTINGS.load()
    }

    #[inline(always)]
    fn route(&mut self, key: &FlowKey, route: &mut Route) -> bool {
        self.entry = maps::copy_route(key, route);
        !self.entry.is_null()
    }

    #[inline(always)]
    fn next_hop(&mut self, route: &Route, leaving: &Leaving, link: &mut Link) -> Reason {
        // Read before the look-up: an answer from before a change must not be kept under the generation after it.
        let generation = maps::generation();
        // This is a load rather than a call: the kernel replaces the call with a load of its tick count.
        // SAFETY: a helper without arguments.
        let now = unsafe { bpf_jiffies64() };
        let question = Question::new(route, leaving, now, maps::SETTINGS.load().period as u32, generation);
        let mut hop = KeptHop::default();
        maps::copy_hop(self.entry, &mut hop);
        let arrived_on = self.context.ingress_ifindex() as u32;
        if !hop.answers(&question, leaving) {
            let reason = self.look_up(route, leaving, &question, now, arrived_on, &mut hop);
            if reason as u32 != Reason::Forwarded as u32 {
                return reason;
            }
        }
        hop.apply(arrived_on, link);
        Reason::Forwarded
    }

    #[inline(always)]
    fn fits(&mut self, length: u32) -> bool {
        let mut length = length;
        // SAFETY: `length` outlives the call. Interface 0 means the one that the frame arrived on.
        unsafe { bpf_check_mtu(self.context.ctx.cast(), 0, &raw mut length, 0, 0) == 0 }
    }

    #[inline(always)]
    fn random(&mut self) -> u32 {
        // SAFETY: a helper without arguments.
        unsafe { bpf_get_prandom_u32() }
    }

    #[inline(always)]
    fn identification(&mut self) -> u16 {
        // SAFETY: a helper without arguments.
        unsafe { bpf_get_prandom_u32() as u16 }
    }
}

impl KernelHost<'_> {
    /// Looks the next hop up in the routing table and keeps it.
    #[inline(always)]
    fn look_up(
        &self,
        route: &Route,
        leaving: &Leaving,
        question: &Question,
        now: u64,
        arrived_on: u32,
        hop: &mut KeptHop,
    ) -> Reason {
        if leaving.length > 0xffff {
            return Reason::TooLarge;
        }
        let v4 = route.leaves_as_v4();
        let (source, destination) = (route.source().words(), route.destination().words());
        // Of an IPv4 address, only the first word counts. The other words, and those that the answer overwrites, get values that are
        // at hand: LLVM would turn zeros into a loop that clears single bytes.
        let Some(fib) = maps::fib_lookup() else {
            return Reason::NoNextHop;
        };
        *fib = FibLookup {
            family: if v4 { AF_INET } else { AF_INET6 },
            protocol: UDP,
            source_port: route.source_port().raw(),
            destination_port: route.destination_port().raw(),
            length: leaving.length as u16,
            interface: LOOPBACK,
            class: if v4 {
                (leaving.traffic_class & DSCP) as u32
            } else {
                route.first_word(leaving.traffic_class & DSCP) & FLOW_INFORMATION
            },
            source: [if v4 { source[3] } else { source[0] }, source[1], source[2], source[3]],
            destination: [
                if v4 { destination[3] } else { destination[0] },
                destination[1],
                destination[2],
                destination[3],
            ],
            vlan: 0,
            addresses: [source[3], destination[0], destination[1]],
        };
        // SAFETY: `fib` is a whole, initialised `struct bpf_fib_lookup`.
        let answer =
            unsafe { bpf_fib_lookup(self.context.ctx.cast(), (&raw mut *fib).cast(), size_of::<FibLookup>() as i32, 0) };
        if answer != FIB_SUCCESS {
            return match answer {
                FIB_NO_NEIGHBOUR => Reason::NoNeighbour,
                FIB_FRAGMENTATION_NEEDED => Reason::TooLarge,
                FIB_FORWARDING_OFF => Reason::ForwardingOff,
                _ => Reason::NoNextHop,
            };
        }
        let mut device = Device { interface: arrived_on, ..Device::default() };
        if fib.interface != arrived_on && !maps::device(fib.interface, &mut device) {
            return Reason::OtherInterface;
        }
        // The kernel has replaced `length` with the MTU (since Linux 5.12).
        *hop = KeptHop::new(question, MacAddresses::from_words(fib.addresses).swapped(), device, fib.length);
        maps::keep_hop(self.entry, hop);
        // The destination is now the gateway, if there is one. The gateway of an IPv4 route may be IPv6 (RFC 8950).
        let neighbour = if fib.family == AF_INET {
            Neighbour::from_v4_word(fib.destination[0], fib.interface)
        } else {
            Neighbour::from_v6_words(fib.destination, fib.interface)
        };
        maps::note_neighbour(&neighbour, now);
        Reason::Forwarded
    }
}
