//! The maps, and the small things done with them.

use core::arch::asm;

use aya_ebpf::{
    Global,
    macros::map,
    maps::{HashMap, PerCpuArray, PerfEventArray},
    programs::XdpContext,
};
use relay_ebpf::{Counters, Device, Entry, FlowKey, Link, Reason, Route, Settings};

/// Replaced by the loader before the program is loaded; the values here keep the program off everything.
#[unsafe(no_mangle)]
pub static SETTINGS: Global<Settings> = Global::new(Settings::NOTHING);

/// The flows. User space alone writes it, but for the counters, and sets its size when it is loaded. It never evicts.
#[map]
static FLOWS: HashMap<FlowKey, Entry> = HashMap::with_max_entries(1, 0);

/// Interfaces that a frame may leave by, other than the one that it arrived on.
#[map]
static DEVICES: HashMap<u32, Device> = HashMap::with_max_entries(1024, 0);

/// What this CPU has forwarded.
#[map]
static COUNTERS: PerCpuArray<Counters> = PerCpuArray::with_max_entries(1, 0);

/// How often this CPU has passed a packet, per [`Reason`].
#[map]
static REASONS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Reason::COUNT as u32, 0);

/// Now and then, a copy of this CPU's `COUNTERS`.
#[map]
static STATS: PerfEventArray<Counters> = PerfEventArray::new(0);

/// Copies the route of `key`, and returns where what is forwarded by it is counted; null if there is none.
#[inline(always)]
pub fn copy_route(key: &FlowKey, route: &mut Route) -> *mut Counters {
    let Some(found) = FLOWS.get_ptr_mut(key) else {
        return core::ptr::null_mut();
    };
    // SAFETY: within the entry.
    let (from, forwarded) = unsafe { ((&raw const (*found).route).cast::<u64>(), &raw mut (*found).forwarded) };
    let to = core::ptr::from_mut(route).cast::<u64>();
    for word in 0..Route::WORDS {
        // SAFETY: both are `Route`s, aligned for and made of whole 64-bit words. The kernel may write to the entry at the
        // same time, hence volatile and front to back, as `Route` asks.
        unsafe { to.add(word).write(from.add(word).read_volatile()) };
    }
    forwarded
}

/// Fills in `link` for a frame that arrived on `arrived_on` and whose next hop is behind `interface`.
#[inline(always)]
pub fn leave_by(interface: u32, arrived_on: u32, link: &mut Link) -> Reason {
    let Some(device) = DEVICES.get_ptr(interface) else {
        return Reason::OtherInterface;
    };
    // SAFETY: written once, before the program is attached.
    let device = unsafe { &*device };
    device.apply(arrived_on, link);
    Reason::Forwarded
}

#[inline(always)]
pub fn count_reason(reason: u32) {
    if let Some(count) = REASONS.get_ptr_mut(reason) {
        // SAFETY: an element of this CPU's own, which nothing else writes: XDP programs do not interrupt each other.
        unsafe { *count += 1 };
    }
}

#[inline(always)]
pub fn count_forwarded(context: &XdpContext, payload: u32, flow: *mut Counters) {
    let settings = SETTINGS.load();
    if settings.statistics == 0 {
        return;
    }
    if !flow.is_null() {
        count_flow(flow, payload);
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
