//! What the rooms tell of their work (`tracing`), for `--verbose`.
//!
//! Lines go through the progress display, so that they never mix with its bars. Only aienv's own
//! are shown: those of the HTTP libraries would show headers, and with them logins.

use std::{io, sync::Arc};

use tracing_subscriber::{
    Layer as _,
    filter::{LevelFilter, Targets},
    fmt,
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use crate::progress::Progress;

/// Starts showing what is told: warnings, with `verbose` 1 also details, with 2 everything.
pub fn start(verbose: u8, progress: &Arc<dyn Progress>) {
    let level = match verbose {
        0 => LevelFilter::WARN,
        1 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let progress = Arc::clone(progress);
    let lines = fmt::layer()
        .without_time()
        .with_target(false)
        .with_ansi(false)
        .with_writer(move || Lines(Arc::clone(&progress)))
        .with_filter(Targets::new().with_target("aienv", level));
    // Fails only if there is a subscriber already; then that one has the lines.
    let _ = tracing_subscriber::registry().with(lines).try_init();
}

/// Hands lines to the display.
struct Lines(Arc<dyn Progress>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.note(String::from_utf8_lossy(bytes).trim_end());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
