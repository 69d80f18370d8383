//! Panics of the template engine: errors here, and nothing to be printed.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Does the work; nothing if it panics. Nothing is printed then, but for panics of other threads.
pub(super) fn catch<T>(work: impl FnOnce() -> T) -> Option<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |panic| {
            if !QUIET.try_with(Cell::get).unwrap_or(false) {
                before(panic);
            }
        }));
    });
    let outer = QUIET.replace(true);
    let done = catch_unwind(AssertUnwindSafe(work));
    QUIET.set(outer);
    done.ok()
}

#[cfg(test)]
mod tests {
    use super::catch;

    #[test]
    fn a_panic_is_nothing() {
        assert_eq!(catch(|| 1), Some(1));
        let none: [u8; 0] = [];
        assert_eq!(catch(|| none[std::hint::black_box(0)]), None);
        assert_eq!(catch(|| catch(|| 2)), Some(Some(2)));
    }
}
