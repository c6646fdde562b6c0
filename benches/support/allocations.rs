//! Counts what a thread allocates.
//!
//! A global allocator can only be written with `unsafe`, and beside the allocator itself only one binary of this crate has any: each method does
//! nothing but count and hand on to the allocator that `bearer-proxy` itself has, under the very contract that it was
//! called under.

#![allow(unsafe_code, reason = "a global allocator is an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::ops::Sub;

use bearer_proxy::allocator::Allocator;

/// What a thread has allocated since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allocated {
    /// How often; growing a block counts as another.
    pub count: u64,
    /// How much was asked for.
    pub bytes: u64,
}

impl Allocated {
    /// By this thread. The access log's writer, which only swaps buffers, is another.
    pub fn so_far() -> Self {
        SO_FAR.get()
    }
}

impl Sub for Allocated {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self { count: self.count - earlier.count, bytes: self.bytes - earlier.bytes }
    }
}

/// Bytes that this thread has asked for and not given back.
pub fn held() -> i64 {
    HELD.get()
}

thread_local! {
    static HELD: Cell<i64> = const { Cell::new(0) };
    // Const and without a destructor: looking at it allocates nothing, also while a thread begins or ends.
    static SO_FAR: Cell<Allocated> = const { Cell::new(Allocated { count: 0, bytes: 0 }) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count(bytes: usize) {
    let so_far = SO_FAR.get();
    SO_FAR.set(Allocated { count: so_far.count + 1, bytes: so_far.bytes + bytes as u64 });
    HELD.set(HELD.get() + bytes as i64);
}

// SAFETY: all four hand their arguments on to that allocator as they are, and its result back.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: as the caller promised.
        unsafe { Allocator.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: as the caller promised.
        unsafe { Allocator.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        HELD.set(HELD.get() - layout.size() as i64);
        // SAFETY: as the caller promised.
        unsafe { Allocator.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        HELD.set(HELD.get() - layout.size() as i64);
        // SAFETY: as the caller promised.
        unsafe { Allocator.dealloc(block, layout) }
    }
}
