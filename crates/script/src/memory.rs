//! The engine's allocator: it counts, refuses above the limit of the run, and ends the run when it refuses.
//!
//! The engine turns a refusal into an ordinary exception that scripts can catch. So the refusal also raises the
//! *terminated* flag, and releases a small reserve: the engine aborts the process when it cannot allocate while it
//! settles a promise, and it needs some memory to unwind.

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc, realloc};
use std::ptr;
use std::rc::Rc;

use rquickjs::allocator::Allocator;

use crate::budget::Budget;

/// Every block starts with its size, padded so that what follows is aligned as `malloc` aligns.
const HEADER_BYTES: usize = 16;
const ALIGN: usize = 16;

/// An allocator that charges a [`Budget`].
pub(crate) struct MeteredAllocator {
    budget: Rc<Budget>,
}

impl MeteredAllocator {
    pub(crate) fn new(budget: Rc<Budget>) -> Self {
        Self { budget }
    }
}

fn layout(size: usize) -> Option<Layout> {
    Layout::from_size_align(size.checked_add(HEADER_BYTES)?, ALIGN).ok()
}

#[expect(unsafe_code, reason = "an allocator hands out raw memory")]
// SAFETY: blocks come from the global allocator with `ALIGN`, carry their size in a header that only this file
// writes, and are resized and freed with the layout that the header gives.
unsafe impl Allocator for MeteredAllocator {
    fn alloc(&mut self, size: usize) -> *mut u8 {
        let Some(layout) = layout(size) else { return ptr::null_mut() };
        if !self.budget.charge(layout.size()) {
            return ptr::null_mut();
        }
        // SAFETY: the layout is not empty, it has a header.
        unsafe { self.finish(alloc(layout), size) }
    }

    fn calloc(&mut self, count: usize, size: usize) -> *mut u8 {
        let Some(size) = count.checked_mul(size) else { return ptr::null_mut() };
        let Some(layout) = layout(size) else { return ptr::null_mut() };
        if !self.budget.charge(layout.size()) {
            return ptr::null_mut();
        }
        // SAFETY: as above.
        unsafe { self.finish(alloc_zeroed(layout), size) }
    }

    unsafe fn dealloc(&mut self, ptr: *mut u8) {
        // SAFETY: `ptr` came from this allocator, so a header lies before it.
        unsafe {
            let block = ptr.sub(HEADER_BYTES);
            let size = block.cast::<usize>().read() + HEADER_BYTES;
            self.budget.release(size);
            dealloc(block, Layout::from_size_align_unchecked(size, ALIGN));
        }
    }

    unsafe fn realloc(&mut self, ptr: *mut u8, new_size: usize) -> *mut u8 {
        if ptr.is_null() {
            return self.alloc(new_size);
        }
        let Some(new_layout) = layout(new_size) else { return ptr::null_mut() };
        // SAFETY: `ptr` came from this allocator, so a header lies before it.
        unsafe {
            let block = ptr.sub(HEADER_BYTES);
            let old_bytes = block.cast::<usize>().read() + HEADER_BYTES;
            if new_layout.size() > old_bytes && !self.budget.charge(new_layout.size() - old_bytes) {
                return ptr::null_mut();
            }
            let moved = realloc(
                block,
                Layout::from_size_align_unchecked(old_bytes, ALIGN),
                new_layout.size(),
            );
            if moved.is_null() {
                self.budget.release(new_layout.size().saturating_sub(old_bytes));
                return moved;
            }
            self.budget.release(old_bytes.saturating_sub(new_layout.size()));
            moved.cast::<usize>().write(new_size);
            moved.add(HEADER_BYTES)
        }
    }

    unsafe fn usable_size(ptr: *mut u8) -> usize {
        // SAFETY: `ptr` came from this allocator, so a header lies before it.
        unsafe { ptr.sub(HEADER_BYTES).cast::<usize>().read() }
    }
}

impl MeteredAllocator {
    /// Writes the header of a fresh block.
    #[expect(unsafe_code, reason = "writes the header of a raw block")]
    unsafe fn finish(&self, block: *mut u8, size: usize) -> *mut u8 {
        if block.is_null() {
            self.budget.release(size + HEADER_BYTES);
            return block;
        }
        // SAFETY: the caller allocated `size + HEADER_BYTES` bytes at `block`.
        unsafe {
            block.cast::<usize>().write(size);
            block.add(HEADER_BYTES)
        }
    }
}
