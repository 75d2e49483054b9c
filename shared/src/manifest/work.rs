//! Work that reading a manifest does, counted in tests: a busy machine takes longer for it, and does not do more of it.

use std::cell::Cell;

thread_local! {
    static DONE: Cell<usize> = const { Cell::new(0) };
}

/// One name was made or compared.
pub(super) fn one() {
    DONE.set(DONE.get() + 1);
}

/// What `of` gives, and how much was done for it.
pub(super) fn counted<T>(of: impl FnOnce() -> T) -> (usize, T) {
    DONE.set(0);
    let made = of();
    (DONE.get(), made)
}
