//! Starting a program that has no business on the network.

use std::process::Command;

/// Keeps a child from the network as well as the system lets an ordinary user do it.
///
/// On Linux the child gets a network namespace of its own, with nothing in it; where namespaces
/// are not allowed, and on other systems, it only gets proxy settings that lead nowhere. It is a
/// guard against accidents (a build that quietly downloads what nobody verified), not against
/// malice.
pub fn without_network(command: &mut Command) {
    // Port 9 is the discard port: refused at once, everywhere.
    for name in [
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
    ] {
        command.env(name, "http://127.0.0.1:9");
    }
    command.env_remove("no_proxy").env_remove("NO_PROXY");
    command.env("PIP_NO_INDEX", "1");
    #[cfg(target_os = "linux")]
    linux::isolate(command);
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{ffi::CStr, os::unix::process::CommandExt as _, process::Command};

    pub fn isolate(command: &mut Command) {
        // SAFETY: both calls only read the process's ids.
        let (user, group) = unsafe { (libc::getuid(), libc::getgid()) };
        // Formatted before the fork: afterwards nothing may allocate.
        let user_map = format!("{user} {user} 1\n");
        let group_map = format!("{group} {group} 1\n");
        let enter = move || {
            // SAFETY: system calls on the calling thread alone, with valid flags.
            let alone = unsafe { libc::unshare(libc::CLONE_NEWNET) } == 0;
            // SAFETY: as above.
            if !alone && unsafe { libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNET) } == 0 {
                write(c"/proc/self/setgroups", b"deny");
                write(c"/proc/self/uid_map", user_map.as_bytes());
                write(c"/proc/self/gid_map", group_map.as_bytes());
            }
            // Without permission for either the build still runs; see above.
            Ok(())
        };
        // SAFETY: between fork and exec the closure makes system calls only: no allocation, no
        // locks, no other thread's state.
        unsafe {
            command.pre_exec(enter);
        }
    }

    fn write(path: &CStr, bytes: &[u8]) {
        // SAFETY: the path ends in NUL, the buffer is valid for its length, and the descriptor
        // is closed again.
        unsafe {
            let file = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
            if file >= 0 {
                libc::write(file, bytes.as_ptr().cast(), bytes.len());
                libc::close(file);
            }
        }
    }
}
