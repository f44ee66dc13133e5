//! The kernel's answers to what the rewrite asks.

use aya_ebpf::{
    helpers::{bpf_check_mtu, bpf_fib_lookup, bpf_get_prandom_u32, bpf_jiffies64},
    programs::XdpContext,
};
use relay_ebpf::{
    DSCP, Device, Entry, FlowKey, Host, KeptHop, Leaving, Link, MacAddresses, Neighbour, Question, Reason, Route, Settings,
};

use crate::maps;

/// The kernel, as seen from a packet.
pub struct KernelHost<'a> {
    pub context: &'a XdpContext,
    /// The packet's flow; null until its route is found.
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
    /// Of the interface, then of the next hop.
    addresses: [u32; 3],
}

const _: () = assert!(size_of::<FibLookup>() == 64, "the kernel's ABI");

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const UDP: u8 = 17;
/// Traffic class and flow label of an IPv6 header's first word.
const FLOW_INFORMATION: u32 = 0x0fff_ffff_u32.to_be();
/// The loopback interface: asked from there, the routing table answers as for packets that this host makes itself.
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
        // Before the look-up: an answer that was found before a change must not be kept as one from after it.
        let generation = maps::generation();
        // Not a call: the kernel puts a load of its tick count in the place of this one.
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
        // SAFETY: `length` outlives the call. Interface 0 is the one that the frame arrived on.
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
    /// Asks the routing table, and keeps the answer.
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
        // An IPv4 address is the first word and the others do not matter, nor do those that the answer overwrites: they get
        // whatever is at hand, since LLVM would turn zeros into a loop that clears byte by byte.
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
        // SAFETY: `fib` is a whole `struct bpf_fib_lookup`, all of it initialised.
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
        // Where there was the length, there is the MTU now (Linux 5.12).
        *hop = KeptHop::new(question, MacAddresses::from_words(fib.addresses).swapped(), device, fib.length);
        maps::keep_hop(self.entry, hop);
        // The gateway's address, if there is one. That of an IPv4 route may be IPv6 (RFC 8950).
        let neighbour = if fib.family == AF_INET {
            Neighbour::from_v4_word(fib.destination[0], fib.interface)
        } else {
            Neighbour::from_v6_words(fib.destination, fib.interface)
        };
        maps::note_neighbour(&neighbour, now);
        Reason::Forwarded
    }
}
