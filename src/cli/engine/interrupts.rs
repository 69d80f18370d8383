//! Ctrl-C as a wish to stop, where there is something to hand over before the end.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// What a shell makes of a program that Ctrl-C ended: 128 and the number of the signal.
pub const INTERRUPTED: u8 = 130;

/// What a second Ctrl-C does, when the first one has not been answered yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// Nothing more.
    Waits,
    /// It ends the process at once.
    Ends,
}

/// Sets the flag whenever Ctrl-C is pressed, for as long as the process lives.
pub fn watch(again: Again) -> io::Result<Arc<AtomicBool>> {
    let flag = Arc::<AtomicBool>::default();
    let seen = Arc::clone(&flag);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // Returns only when the system knows of it, so that no key is lost in between.
    let (tell, ready) = std::sync::mpsc::channel();
    let watch = move || {
        runtime.block_on(async {
            let mut presses = match presses() {
                Ok(presses) => presses,
                Err(error) => return drop(tell.send(Err(error))),
            };
            let _ = tell.send(Ok(()));
            while presses.recv().await.is_some() {
                if seen.swap(true, Ordering::Relaxed) && again == Again::Ends {
                    std::process::exit(INTERRUPTED.into());
                }
            }
        });
    };
    let thread = std::thread::Builder::new().name("interrupts".to_owned());
    thread.spawn(watch)?;
    ready.recv().map_err(io::Error::other)??;
    Ok(flag)
}

#[cfg(unix)]
fn presses() -> io::Result<tokio::signal::unix::Signal> {
    tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())
}

#[cfg(windows)]
fn presses() -> io::Result<tokio::signal::windows::CtrlC> {
    tokio::signal::windows::ctrl_c()
}
