//! The maps, and the small things done with them.

use core::arch::asm;

use aya_ebpf::{
    Global,
    macros::map,
    maps::{HashMap, PerCpuArray, PerfEventArray},
    programs::XdpContext,
};
use crate::host::FibLookup;
use relay_ebpf::{Counters, Device, Entry, FlowKey, KeptHop, Neighbour, Reason, Route, Settings};

/// Replaced by the loader before the program is loaded; the values here keep the program off everything.
#[unsafe(no_mangle)]
pub static SETTINGS: Global<Settings> = Global::new(Settings::NOTHING);

/// The flows. User space alone writes it, but for the counters, and sets its size when it is loaded. It never evicts.
#[map]
static FLOWS: HashMap<FlowKey, Entry> = HashMap::with_max_entries(1, 0);

/// Interfaces that a frame may leave by, other than the one that it arrived on.
#[map]
static DEVICES: HashMap<u32, Device> = HashMap::with_max_entries(1024, 0);

/// When the Ethernet address of each neighbour was last looked up. User space keeps these fresh in the host's own table, and
/// takes out those that are not used any more. One that finds no room is used all the same.
#[map]
static NEIGHBOURS: HashMap<Neighbour, u64> = HashMap::with_max_entries(4096, 0);

/// What this CPU has forwarded.
#[map]
static COUNTERS: PerCpuArray<Counters> = PerCpuArray::with_max_entries(1, 0);

/// How often this CPU has passed a packet, per [`Reason`].
#[map]
static REASONS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Reason::COUNT as u32, 0);

/// What is asked of the routing table: the stack has no room for it.
#[map]
static FIB_LOOKUP: PerCpuArray<FibLookup> = PerCpuArray::with_max_entries(1, 0);

/// Now and then, a copy of this CPU's `COUNTERS`.
#[map]
static STATS: PerfEventArray<Counters> = PerfEventArray::new(0);

/// How often user space has heard that routes or neighbours changed.
#[unsafe(no_mangle)]
static mut GENERATION: u64 = 0;

#[inline(always)]
pub fn generation() -> u64 {
    // SAFETY: a word that user space writes whole.
    unsafe { (&raw const GENERATION).read_volatile() }
}

/// Copies the route of `key`, and returns its entry; null if there is none.
#[inline(always)]
pub fn copy_route(key: &FlowKey, route: &mut Route) -> *mut Entry {
    let Some(entry) = FLOWS.get_ptr_mut(key) else {
        return core::ptr::null_mut();
    };
    // SAFETY: within the entry.
    let from = unsafe { (&raw const (*entry).route).cast::<u64>() };
    let to = core::ptr::from_mut(route).cast::<u64>();
    for word in 0..Route::WORDS {
        // SAFETY: both are `Route`s, aligned for and made of whole 64-bit words. The kernel may write to the entry at the
        // same time, hence volatile.
        unsafe { to.add(word).write(from.add(word).read_volatile()) };
    }
    entry
}

/// Copies the next hop that `entry` keeps.
#[inline(always)]
pub fn copy_hop(entry: *const Entry, hop: &mut KeptHop) {
    // SAFETY: within the entry.
    let from = unsafe { (&raw const (*entry).hop).cast::<u64>() };
    let to = core::ptr::from_mut(hop).cast::<u64>();
    for word in 0..KeptHop::WORDS {
        // SAFETY: as for the route; other CPUs may write.
        unsafe { to.add(word).write(from.add(word).read_volatile()) };
    }
}

/// Keeps `hop` in `entry`.
#[inline(always)]
pub fn keep_hop(entry: *mut Entry, hop: &KeptHop) {
    // SAFETY: within the entry, which is memory of such entries for as long as the program runs.
    let to = unsafe { (&raw mut (*entry).hop).cast::<u64>() };
    let from = core::ptr::from_ref(hop).cast::<u64>();
    for word in 0..KeptHop::WORDS {
        // SAFETY: as above. Each word is written whole, and `KeptHop` says why that is enough.
        unsafe { to.add(word).write_volatile(from.add(word).read()) };
    }
}

/// How frames leave by `interface`, if the program is on it.
#[inline(always)]
pub fn device(interface: u32, device: &mut Device) -> bool {
    let Some(found) = DEVICES.get_ptr(interface) else {
        return false;
    };
    // SAFETY: an entry of the map, which user space replaces as a whole.
    *device = unsafe { *found };
    true
}

/// Notes that `neighbour` is in use.
#[inline(always)]
pub fn note_neighbour(neighbour: &Neighbour, now: u64) {
    match NEIGHBOURS.get_ptr_mut(neighbour) {
        // SAFETY: within the entry, a word that is read and written whole. Many flows may have one neighbour, hence only when
        // it says something new.
        Some(last) => unsafe {
            if last.read_volatile() != now {
                last.write_volatile(now);
            }
        },
        None => _ = NEIGHBOURS.insert(neighbour, &now, 0),
    }
}

/// Memory of this CPU's own for a question.
#[inline(always)]
pub fn fib_lookup<'a>() -> Option<&'a mut FibLookup> {
    let fib = FIB_LOOKUP.get_ptr_mut(0)?;
    // SAFETY: an element of this CPU's own, which nothing else has: XDP programs do not interrupt each other, and this one asks once.
    Some(unsafe { &mut *fib })
}

#[inline(always)]
pub fn count_reason(reason: u32) {
    if let Some(count) = REASONS.get_ptr_mut(reason) {
        // SAFETY: an element of this CPU's own, which nothing else writes: XDP programs do not interrupt each other.
        unsafe { *count += 1 };
    }
}

#[inline(always)]
pub fn count_forwarded(context: &XdpContext, payload: u32, entry: *mut Entry) {
    let settings = SETTINGS.load();
    if settings.statistics == 0 {
        return;
    }
    if !entry.is_null() {
        // SAFETY: within the entry.
        count_flow(unsafe { &raw mut (*entry).forwarded }, payload);
    }
    let Some(counters) = COUNTERS.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: as above.
    let counters = unsafe { &mut *counters };
    counters.packets += 1;
    counters.bytes += u64::from(payload);
    if counters.packets & u64::from(settings.event_mask) == 0 {
        STATS.output(context, &*counters, 0);
    }
}

/// Counts a packet of a flow. Two CPUs may have one at a time, where a network card spreads a flow's packets over several queues: so
/// each addition is one that nothing comes between.
#[inline(always)]
fn count_flow(flow: *mut Counters, payload: u32) {
    // SAFETY: in an entry of the flow map, which is memory of such entries for as long as the program runs.
    let (packets, bytes) = unsafe { (&raw mut (*flow).packets, &raw mut (*flow).bytes) };
    // SAFETY: both are aligned to 8 bytes, as all of the entry is. Core has no such operation for this target.
    unsafe {
        asm!(
            "lock *(u64 *)({packets} + 0) += {one}",
            "lock *(u64 *)({bytes} + 0) += {payload}",
            packets = in(reg) packets,
            bytes = in(reg) bytes,
            one = in(reg) 1_u64,
            payload = in(reg) u64::from(payload),
            options(nostack, preserves_flags)
        );
    }
}
