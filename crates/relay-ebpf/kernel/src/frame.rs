//! Reads and writes the packet of an XDP context.

use aya_ebpf::{helpers::{bpf_xdp_adjust_head, bpf_xdp_adjust_tail, bpf_xdp_get_buff_len, bpf_xdp_load_bytes}, programs::XdpContext};
use relay_ebpf::{Frame, Wire};

use crate::{maps, words};

/// The frame of an XDP context.
pub struct PacketFrame<'a>(pub &'a XdpContext);

impl PacketFrame<'_> {
    /// The length of the frame's first buffer, which is the whole frame if there is only one.
    #[inline(always)]
    fn first_buffer(&self) -> u32 {
        (self.0.data_end() - self.0.data()) as u32
    }

    /// A pointer to the `T` at `offset`; null if the first buffer ends before it does. The verifier requires exactly this comparison
    /// before an access.
    #[inline(always)]
    fn at<T>(&self, offset: usize) -> *mut T {
        let start = self.0.data() + offset;
        if start + size_of::<T>() > self.0.data_end() { core::ptr::null_mut() } else { start as *mut T }
    }
}

impl Frame for PacketFrame<'_> {
    #[inline(always)]
    fn length(&self) -> u32 {
        if maps::SETTINGS.load().multi_buffer == 0 {
            return self.first_buffer();
        }
        // SAFETY: the kernel called the program with this context.
        unsafe { bpf_xdp_get_buff_len(self.0.ctx) as u32 }
    }

    #[inline(always)]
    fn is_multi_buffer(&self) -> bool {
        self.length() != self.first_buffer()
    }

    #[inline(always)]
    fn read_far<T: Wire>(&self, offset: usize, header: &mut T) -> bool {
        if maps::SETTINGS.load().multi_buffer == 0 {
            return self.read(offset, header);
        }
        let (to, length) = (core::ptr::from_mut(header).cast(), size_of::<T>() as u32);
        // SAFETY: `header` has room for that many bytes, and any bytes are a valid `Wire` value.
        unsafe { bpf_xdp_load_bytes(self.0.ctx, offset as u32, to, length) == 0 }
    }

    #[inline(always)]
    fn read<T: Wire>(&self, offset: usize, header: &mut T) -> bool {
        let at = self.at::<T>(offset);
        if at.is_null() {
            return false;
        }
        // SAFETY: `at` points to a whole `T` within the frame, `T` is made of words, and any bit pattern is a valid `T`.
        unsafe { words::load(at, header) };
        true
    }

    #[inline(always)]
    fn grow_front(&mut self, by: i32) -> bool {
        // SAFETY: the kernel called the program with this context. This invalidates all pointers into the frame. None is kept: `at`
        // makes a new one for each access.
        unsafe { bpf_xdp_adjust_head(self.0.ctx, -by) == 0 }
    }

    #[inline(always)]
    fn grow_back(&mut self, by: i32) -> bool {
        // SAFETY: as above. The kernel clears the added bytes.
        unsafe { bpf_xdp_adjust_tail(self.0.ctx, by) == 0 }
    }

    #[inline(always)]
    fn write<T: Wire>(&mut self, offset: usize, header: &T) -> bool {
        let at = self.at::<T>(offset);
        if at.is_null() {
            return false;
        }
        // SAFETY: `at` points to a whole `T` within the frame, no other code accesses the frame now, and `T` is made of words.
        unsafe { words::store(at, header) };
        true
    }
}
