//! Access to packets: in the kernel, or in a byte slice.

use crate::wire::Wire;

/// An Ethernet frame that can be read and written, and that can grow or shrink at both ends.
pub trait Frame {
    /// The frame's length in bytes.
    fn length(&self) -> u32;

    /// Copies the header at `offset` to `header`. Returns false, with `header` unchanged, if the frame ends before the header does.
    #[must_use]
    fn read<T: Wire>(&self, offset: usize, header: &mut T) -> bool;

    /// Like [`read`](Self::read), for data that may be outside the frame's first buffer. Slower.
    #[must_use]
    fn read_far<T: Wire>(&self, offset: usize, header: &mut T) -> bool {
        self.read(offset, header)
    }

    /// Whether the frame is in several buffers.
    #[must_use]
    fn is_multi_buffer(&self) -> bool {
        false
    }

    /// Moves the front of the frame by `by` bytes; outwards if positive. The content of added bytes is undefined. Returns false, with
    /// the frame unchanged, if there is no room.
    #[must_use]
    fn grow_front(&mut self, by: i32) -> bool;

    /// Moves the end of the frame by `by` bytes; outwards if positive. Added bytes are zero. Returns false, with the frame unchanged,
    /// if there is no room.
    #[must_use]
    fn grow_back(&mut self, by: i32) -> bool;

    /// Overwrites the header at `offset`. Returns false, with the frame unchanged, if the frame ends before the header does.
    #[must_use]
    fn write<T: Wire>(&mut self, offset: usize, header: &T) -> bool;
}

/// A frame in a byte slice, with room in front of it and behind it, like the buffers of network drivers.
///
/// ```
/// use relay_ebpf::{Frame, SliceFrame};
///
/// let mut memory = [0, 0, 0, 0, 1, 2, 3];
/// let mut frame = SliceFrame::new(&mut memory, 4).expect("the frame starts inside");
/// assert!(frame.grow_front(2) && !frame.grow_front(3));
/// assert_eq!(frame.bytes(), [0, 0, 1, 2, 3]);
/// ```
#[derive(Debug)]
pub struct SliceFrame<'a> {
    memory: &'a mut [u8],
    start: usize,
    end: usize,
}

impl<'a> SliceFrame<'a> {
    /// A frame from byte `headroom` of `memory` to its end; `None` if `memory` is shorter than that.
    #[must_use]
    pub fn new(memory: &'a mut [u8], headroom: usize) -> Option<Self> {
        Self::with_tailroom(memory, headroom, 0)
    }

    /// Like [`new`](Self::new), with `tailroom` bytes of `memory` behind the frame.
    #[must_use]
    pub fn with_tailroom(memory: &'a mut [u8], headroom: usize, tailroom: usize) -> Option<Self> {
        let end = memory.len().checked_sub(tailroom)?;
        (headroom <= end).then_some(Self { memory, start: headroom, end })
    }

    /// The frame's bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.end]
    }
}

impl Frame for SliceFrame<'_> {
    fn length(&self) -> u32 {
        u32::try_from(self.bytes().len()).unwrap_or(u32::MAX)
    }

    fn read<T: Wire>(&self, offset: usize, header: &mut T) -> bool {
        let Some(bytes) = self.bytes().get(offset..).and_then(|rest| rest.get(..size_of::<T>())) else {
            return false;
        };
        // SAFETY: `bytes` has the size of `T`, and any bit pattern is a valid `Wire` value.
        *header = unsafe { bytes.as_ptr().cast::<T>().read_unaligned() };
        true
    }

    fn grow_front(&mut self, by: i32) -> bool {
        let start = isize::try_from(by).ok().and_then(|by| self.start.checked_add_signed(by.checked_neg()?));
        match start {
            Some(start) if start <= self.end => {
                self.start = start;
                true
            }
            _ => false,
        }
    }

    fn grow_back(&mut self, by: i32) -> bool {
        let end = isize::try_from(by).ok().and_then(|by| self.end.checked_add_signed(by));
        match end {
            Some(end) if end >= self.start && end <= self.memory.len() => {
                if let Some(new) = self.memory.get_mut(self.end..end) {
                    new.fill(0);
                }
                self.end = end;
                true
            }
            _ => false,
        }
    }

    fn write<T: Wire>(&mut self, offset: usize, header: &T) -> bool {
        let frame = &mut self.memory[self.start..self.end];
        let Some(bytes) = frame.get_mut(offset..).and_then(|rest| rest.get_mut(..size_of::<T>())) else {
            return false;
        };
        // SAFETY: `bytes` has the size of `T`, whose bytes are all initialised, since a `Wire` type has no padding.
        unsafe { bytes.as_mut_ptr().cast::<T>().write_unaligned(*header) };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Udp;

    #[test]
    fn reads_and_writes_end_with_the_frame() {
        let mut memory = [7; 12];
        let mut frame = SliceFrame::new(&mut memory, 2).unwrap();
        let mut udp = Udp::default();
        assert!(frame.read(2, &mut udp) && !frame.read(3, &mut udp) && !frame.read(usize::MAX, &mut udp));
        assert_eq!(udp.length.get(), 0x0707);
        assert!(frame.write(0, &Udp::default()) && !frame.write(3, &Udp::default()));
        assert_eq!(frame.bytes(), [0, 0, 0, 0, 0, 0, 0, 0, 7, 7]);
    }

    #[test]
    fn the_front_moves_within_the_memory() {
        let mut memory = [0; 12];
        let mut frame = SliceFrame::new(&mut memory, 4).unwrap();
        assert!(!frame.grow_front(5) && !frame.grow_front(-9) && !frame.grow_front(i32::MIN));
        assert!(frame.grow_front(4));
        assert_eq!(frame.length(), 12);
        assert!(frame.grow_front(-12));
        assert_eq!(frame.length(), 0);
        assert!(SliceFrame::new(&mut memory, 13).is_none());
    }

    #[test]
    fn the_end_moves_within_the_memory_and_uncovers_zeros() {
        let mut memory = [7; 12];
        let mut frame = SliceFrame::with_tailroom(&mut memory, 4, 3).unwrap();
        assert!(!frame.grow_back(4) && !frame.grow_back(-6) && !frame.grow_back(i32::MAX));
        assert!(frame.grow_back(-2) && frame.grow_back(5));
        assert_eq!(frame.bytes(), [7, 7, 7, 0, 0, 0, 0, 0]);
        assert!(frame.grow_back(-8) && !frame.grow_front(-1));
        assert!(SliceFrame::with_tailroom(&mut memory, 10, 3).is_none());
        assert!(SliceFrame::with_tailroom(&mut memory, 0, 13).is_none());
    }
}
