//! Work that must not hold up a detection: a driver library that hangs, most of all.
//!
//! A thread cannot be stopped, so one that is late is left behind and its result is not waited
//! for. One thing remains: a thread stuck inside the dynamic loader holds the loader's lock, and a
//! normal exit of the process would wait for it for ever. Where that can happen (glibc), a late
//! thread makes the process leave without the loader's farewell.

use std::{
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use super::Unread;

/// Runs `work` on its own thread and waits at most `limit` for it.
pub(super) fn within<T: Send + 'static>(
    limit: Duration,
    what: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Unread> {
    let (sender, receiver) = mpsc::channel();
    let spawned = thread::Builder::new().name(what.to_owned()).spawn(move || {
        // Nobody listens any more when the limit has passed.
        let _ = sender.send(work());
    });
    if let Err(error) = spawned {
        return Err(Unread::new(what, error));
    }
    receiver.recv_timeout(limit).map_err(|error| {
        Unread::new(
            what,
            match error {
                RecvTimeoutError::Timeout => {
                    leave_without_farewell();
                    format!("no answer within {} ms", limit.as_millis())
                }
                RecvTimeoutError::Disconnected => "the query broke off".to_owned(),
            },
        )
    })
}

#[cfg(all(target_os = "linux", target_env = "gnu", not(test)))]
fn leave_without_farewell() {
    use std::{
        ffi::{c_int, c_void},
        ptr,
    };

    // SAFETY: the signature is glibc's (`on_exit(3)`); the handler touches nothing but `_exit`,
    // which may be called from an exit handler.
    unsafe extern "C" {
        fn on_exit(handler: extern "C" fn(c_int, *mut c_void), argument: *mut c_void) -> c_int;
    }
    extern "C" fn leave(status: c_int, _argument: *mut c_void) {
        // SAFETY: `_exit` takes any status and does not return.
        unsafe { libc::_exit(status) }
    }
    // SAFETY: `leave` lives as long as the program and ignores its argument.
    unsafe {
        on_exit(leave, ptr::null_mut());
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu", not(test))))]
fn leave_without_farewell() {}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_answer_comes_through() {
        assert_eq!(within(Duration::from_secs(60), "sum", || 2 + 2).unwrap(), 4);
    }

    #[test]
    fn a_hanging_query_is_told_as_such() {
        let (_hold, blocked) = mpsc::channel::<()>();
        let unread = within(Duration::from_millis(20), "libslow", move || {
            let _ = blocked.recv();
        })
        .unwrap_err();
        assert_eq!(unread.what, "libslow");
        assert!(unread.why.contains("no answer"), "{}", unread.why);
    }

    #[test]
    fn a_query_that_breaks_off_is_told_as_such() {
        let unread = within(Duration::from_secs(60), "libbroken", || {
            std::panic::resume_unwind(Box::new(()))
        })
        .map(|(): ()| ())
        .unwrap_err();
        assert!(unread.why.contains("broke off"), "{}", unread.why);
    }
}
