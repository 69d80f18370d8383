//! Progress on standard error: one display for everything that goes on; plain lines elsewhere.
//!
//! On a terminal there is a line for the step, one for each of a few transfers and one for all of
//! them together. Elsewhere a line is written when a phase begins, every few seconds, and when it
//! is done. A phase begins with [`Progress::expect`] and ends when that many tasks have ended.
//!
//! All writing happens under one lock, so lines of two threads never mix. Counting does not take
//! the lock: transfers report every few kilobytes from many threads.

use std::{
    io::{self, IsTerminal as _, Write},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{
    progress::{Progress, Task},
    types::human_bytes,
};

/// Transfers that have a line of their own at the same time.
const LINES: usize = 6;

/// Time between two plain lines.
const PLAIN_INTERVAL: Duration = Duration::from_secs(5);

/// Letters of a label that are shown.
const LABEL_WIDTH: usize = 36;

/// Draws progress on standard error.
pub struct TerminalProgress {
    shared: Arc<Shared>,
}

struct Shared {
    began: Instant,
    /// Bytes done in this phase.
    done: AtomicU64,
    /// Milliseconds since `began` before which no plain line is due.
    next_line: AtomicU64,
    display: Mutex<Display>,
}

struct Display {
    out: Out,
    phase: Option<Phase>,
}

enum Out {
    /// Notes only.
    Quiet(Box<dyn Write + Send>),
    /// Lines.
    Plain(Box<dyn Write + Send>),
    /// Bars.
    Bars(Bars),
}

struct Bars {
    multi: MultiProgress,
    step: Option<ProgressBar>,
    total: Option<ProgressBar>,
    shown: usize,
    waiting: Vec<Arc<Counter>>,
}

/// Tasks that belong together.
struct Phase {
    began: Instant,
    expected: u64,
    left: usize,
    /// What was there before the first byte came: parts of an earlier, interrupted run.
    found: u64,
}

/// The state of one task.
struct Counter {
    label: String,
    total: Option<u64>,
    done: AtomicU64,
    ended: AtomicBool,
    bar: Mutex<Option<ProgressBar>>,
}

impl TerminalProgress {
    /// `quiet` leaves only notes. Bars are drawn if standard error is a terminal that can.
    pub fn new(quiet: bool) -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let stderr = io::stderr();
        Self::on(if quiet {
            Out::Quiet(Box::new(stderr))
        } else if stderr.is_terminal() && !dumb {
            Out::Bars(Bars::new(ProgressDrawTarget::stderr()))
        } else {
            Out::Plain(Box::new(stderr))
        })
    }

    fn on(out: Out) -> Self {
        Self {
            shared: Arc::new(Shared {
                began: Instant::now(),
                done: AtomicU64::new(0),
                next_line: AtomicU64::new(u64::MAX),
                display: Mutex::new(Display { out, phase: None }),
            }),
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A thread that panicked while it wrote a line leaves nothing that is worse than a line.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Progress for TerminalProgress {
    fn task(&self, label: &str, total: Option<u64>) -> Arc<dyn Task> {
        let counter = Arc::new(Counter {
            label: label.to_owned(),
            total,
            done: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            bar: Mutex::new(None),
        });
        let mut display = locked(&self.shared.display);
        if let Out::Bars(bars) = &mut display.out {
            bars.waiting.push(counter.clone());
            bars.show_waiting();
        }
        Arc::new(Running {
            counter,
            shared: self.shared.clone(),
        })
    }

    fn expect(&self, count: usize, bytes: u64) {
        if count == 0 {
            return;
        }
        let mut display = locked(&self.shared.display);
        match &mut display.phase {
            Some(phase) => {
                phase.expected += bytes;
                phase.left += count;
            }
            None => {
                self.shared.done.store(0, Relaxed);
                self.shared.schedule_line();
                display.phase = Some(Phase {
                    began: Instant::now(),
                    expected: bytes,
                    left: count,
                    found: 0,
                });
            }
        }
        let expected = display.phase.as_ref().map_or(0, |phase| phase.expected);
        let files = if count == 1 { "file" } else { "files" };
        let size = match bytes {
            0 => String::new(),
            bytes => format!(", {}", human_bytes(bytes)),
        };
        let line = format!("fetching {count} {files}{size}");
        match &mut display.out {
            Out::Plain(out) => drop(writeln!(out, "{line}")),
            Out::Bars(bars) => {
                bars.step(&line);
                bars.total(expected);
            }
            Out::Quiet(_) => {}
        }
    }

    fn step(&self, text: &str) {
        match &mut locked(&self.shared.display).out {
            Out::Plain(out) => drop(writeln!(out, "{text}")),
            Out::Bars(bars) => bars.step(text),
            Out::Quiet(_) => {}
        }
    }

    fn done(&self, text: &str) {
        match &mut locked(&self.shared.display).out {
            Out::Plain(out) => drop(writeln!(out, "{text}")),
            Out::Bars(bars) => bars.line(text),
            Out::Quiet(_) => {}
        }
    }

    fn note(&self, text: &str) {
        match &mut locked(&self.shared.display).out {
            Out::Plain(out) | Out::Quiet(out) => drop(writeln!(out, "{text}")),
            Out::Bars(bars) => bars.line(text),
        }
    }

    fn clear(&self) {
        if let Out::Bars(bars) = &mut locked(&self.shared.display).out {
            bars.clear();
        }
    }
}

impl Drop for TerminalProgress {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Shared {
    fn schedule_line(&self) {
        let due = self.began.elapsed() + PLAIN_INTERVAL;
        self.next_line.store(milliseconds(due), Relaxed);
    }

    /// Writes a plain line if one is due.
    fn line_if_due(&self) {
        if milliseconds(self.began.elapsed()) < self.next_line.load(Relaxed) {
            return;
        }
        let mut display = locked(&self.display);
        // Another thread may have written it while this one waited.
        if milliseconds(self.began.elapsed()) < self.next_line.load(Relaxed) {
            return;
        }
        self.schedule_line();
        let Display { out, phase } = &mut *display;
        if let (Out::Plain(out), Some(phase)) = (out, phase) {
            let line = phase.under_way(self.done.load(Relaxed), phase.began.elapsed());
            let _ = writeln!(out, "{line}");
        }
    }

    fn end_task(&self, counter: &Counter) {
        let mut display = locked(&self.display);
        counter.ended.store(true, Relaxed);
        let Display { out, phase } = &mut *display;
        if let Out::Bars(bars) = out {
            bars.end(counter);
        }
        let Some(current) = phase else { return };
        current.left = current.left.saturating_sub(1);
        if current.left > 0 {
            return;
        }
        let line = current.finished(self.done.load(Relaxed), current.began.elapsed());
        *phase = None;
        self.next_line.store(u64::MAX, Relaxed);
        match out {
            Out::Plain(out) => drop(writeln!(out, "{line}")),
            Out::Bars(bars) => {
                if let Some(total) = bars.total.take() {
                    total.finish_and_clear();
                }
                bars.line(&line);
            }
            Out::Quiet(_) => {}
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Phase {
    /// `fetched 1.2 GB of 5.6 GB (82.0 MB/s, 55 s left)`
    fn under_way(&self, done: u64, elapsed: Duration) -> String {
        let rate = self.rate(done, elapsed);
        // An index may tell no sizes, and a server may send more than was announced.
        let Some(missing) = self.expected.checked_sub(done) else {
            return format!(
                "fetched {} ({}/s)",
                human_bytes(done),
                human_bytes(rate as u64)
            );
        };
        let total = human_bytes(self.expected);
        let mut line = format!("fetched {} of {total}", human_bytes(done));
        if rate >= 1.0 {
            let left = missing as f64 / rate;
            let left = Duration::try_from_secs_f64(left.ceil()).unwrap_or(Duration::MAX);
            line += &format!(
                " ({}/s, {} left)",
                human_bytes(rate as u64),
                human_duration(left)
            );
        }
        line
    }

    /// `fetched 5.6 GB in 1 min 12 s (78.0 MB/s)`
    fn finished(&self, done: u64, elapsed: Duration) -> String {
        let size = human_bytes(done);
        if done > 0 && done <= self.found {
            return format!("an earlier run had fetched all {size}");
        }
        let rate = human_bytes(self.rate(done, elapsed) as u64);
        format!("fetched {size} in {} ({rate}/s)", human_duration(elapsed))
    }

    /// Bytes per second, without what was found.
    fn rate(&self, done: u64, elapsed: Duration) -> f64 {
        done.saturating_sub(self.found) as f64 / elapsed.as_secs_f64().max(0.001)
    }
}

/// `0.4 s`, `55 s`, `1 min 12 s`, `2 h 5 min`.
fn human_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 if duration.subsec_millis() >= 50 => format!("{:.1} s", duration.as_secs_f64()),
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// What a caller holds.
struct Running {
    counter: Arc<Counter>,
    shared: Arc<Shared>,
}

impl Task for Running {
    fn advance(&self, bytes: u64) {
        self.counter.done.fetch_add(bytes, Relaxed);
        let done = self.shared.done.fetch_add(bytes, Relaxed) + bytes;
        if let Some(bar) = &*locked(&self.counter.bar) {
            bar.inc(bytes);
        }
        self.shared.show_total(done);
        self.shared.line_if_due();
    }

    fn reset_to(&self, done: u64) {
        let before = self.counter.done.swap(done, Relaxed);
        // Wrapping subtraction and addition are each other's inverse.
        let change = done.wrapping_sub(before);
        self.shared.done.fetch_add(change, Relaxed);
        if let Some(bar) = &*locked(&self.counter.bar) {
            bar.set_position(done);
        }
        if done > before
            && let Some(phase) = &mut locked(&self.shared.display).phase
        {
            phase.found += done - before;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.end_task(&self.counter);
    }
}

impl Shared {
    fn show_total(&self, done: u64) {
        // The display may be busy writing; the next report will do.
        if let Ok(display) = self.display.try_lock()
            && let Out::Bars(Bars {
                total: Some(total), ..
            }) = &display.out
        {
            total.set_position(done);
        }
    }
}

impl Bars {
    fn new(target: ProgressDrawTarget) -> Self {
        Self {
            multi: MultiProgress::with_draw_target(target),
            step: None,
            total: None,
            shown: 0,
            waiting: Vec::new(),
        }
    }

    fn step(&mut self, text: &str) {
        let bar = self.step.get_or_insert_with(|| {
            let bar = ProgressBar::new_spinner().with_style(style("{spinner} {msg}"));
            let bar = self.multi.insert(0, bar);
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        bar.set_message(text.to_owned());
    }

    /// A line that stays, above what moves.
    fn line(&mut self, text: &str) {
        self.multi.suspend(|| eprintln!("{text}"));
    }

    fn total(&mut self, expected: u64) {
        if expected == 0 {
            return;
        }
        let bar = self.total.get_or_insert_with(|| {
            let text = match is_narrow() {
                true => {
                    "  {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} {eta} left"
                }
                false => {
                    "  total {bar:30} {decimal_bytes}/{decimal_total_bytes} \
                     {decimal_bytes_per_sec} {eta} left"
                }
            };
            self.multi
                .add(ProgressBar::new(expected).with_style(style(text)))
        });
        bar.set_length(expected);
    }

    /// Gives lines to tasks that have none yet, as long as there is room.
    fn show_waiting(&mut self) {
        while self.shown < LINES && !self.waiting.is_empty() {
            let counter = self.waiting.remove(0);
            let bar = match counter.total {
                Some(total) => ProgressBar::new(total).with_style(style(match is_narrow() {
                    true => "  {msg:36} {decimal_bytes}/{decimal_total_bytes}",
                    false => "  {msg:36} {bar:20} {decimal_bytes}/{decimal_total_bytes}",
                })),
                None => ProgressBar::no_length().with_style(style("  {msg:36} {decimal_bytes}")),
            };
            let bar = match &self.total {
                Some(total) => self.multi.insert_before(total, bar),
                None => self.multi.add(bar),
            };
            bar.set_message(shortened(&counter.label));
            bar.set_position(counter.done.load(Relaxed));
            *locked(&counter.bar) = Some(bar);
            self.shown += 1;
        }
    }

    fn end(&mut self, counter: &Counter) {
        self.waiting
            .retain(|other| !std::ptr::eq(Arc::as_ptr(other), counter));
        if let Some(bar) = locked(&counter.bar).take() {
            bar.finish_and_clear();
            self.multi.remove(&bar);
            self.shown -= 1;
        }
        self.show_waiting();
    }

    fn clear(&mut self) {
        for bar in [self.step.take(), self.total.take()].into_iter().flatten() {
            bar.finish_and_clear();
            self.multi.remove(&bar);
        }
    }
}

/// Whether lines with bars would break.
fn is_narrow() -> bool {
    console::Term::stderr().size().1 < 88
}

fn style(template: &str) -> ProgressStyle {
    // The templates are constants; a mistake in one would show as a plain bar.
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸ ")
}

/// Long names lose their middle: beginning and end tell wheels apart.
fn shortened(label: &str) -> String {
    let letters: Vec<char> = label.chars().collect();
    if letters.len() <= LABEL_WIDTH {
        return label.to_owned();
    }
    let tail = LABEL_WIDTH / 3;
    let head = LABEL_WIDTH - tail - 1;
    let (start, end) = (&letters[..head], &letters[letters.len() - tail..]);
    start.iter().chain(&['…']).chain(end).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Captured {
        fn lines(&self) -> Vec<String> {
            let bytes = self.0.lock().unwrap().clone();
            let text = String::from_utf8(bytes).unwrap();
            text.lines().map(str::to_owned).collect()
        }
    }

    #[test]
    fn a_phase_begins_and_ends_with_a_line() {
        let out = Captured::default();
        let progress = TerminalProgress::on(Out::Plain(Box::new(out.clone())));
        progress.step("Resolving");
        progress.expect(2, 3_000_000);
        let first = progress.task("a", Some(2_000_000));
        let second = progress.task("b", Some(1_000_000));
        first.advance(2_000_000);
        drop(first);
        second.advance(700_000);
        second.reset_to(0);
        second.advance(1_000_000);
        drop(second);
        progress.note("done");
        let lines = out.lines();
        assert_eq!(lines[..2], ["Resolving", "fetching 2 files, 3.0 MB"]);
        assert!(lines[2].starts_with("fetched 3.0 MB in "), "{lines:?}");
        assert_eq!(lines[3..], ["done"]);
    }

    #[test]
    fn quiet_leaves_notes() {
        let out = Captured::default();
        let progress = TerminalProgress::on(Out::Quiet(Box::new(out.clone())));
        progress.step("Resolving");
        progress.expect(1, 5);
        progress.task("a", Some(5)).advance(5);
        progress.note("driver is old");
        assert_eq!(out.lines(), ["driver is old"]);
    }

    #[test]
    fn lines_tell_rate_and_time_left() {
        let phase = Phase {
            began: Instant::now(),
            expected: 5_600_000_000,
            left: 1,
            found: 0,
        };
        let ten = Duration::from_secs(10);
        assert_eq!(
            phase.under_way(820_000_000, ten),
            "fetched 820.0 MB of 5.6 GB (82.0 MB/s, 59 s left)"
        );
        assert_eq!(phase.under_way(0, ten), "fetched 0 B of 5.6 GB");
        assert_eq!(
            phase.under_way(6_000_000_000, ten),
            "fetched 6.0 GB (600.0 MB/s)"
        );
        let resumed = Phase {
            found: 800_000_000,
            ..phase
        };
        assert!(resumed.under_way(820_000_000, ten).contains("2.0 MB/s"));
        for (milliseconds, text) in [
            (400, "0.4 s"),
            (55_000, "55 s"),
            (72_000, "1 min 12 s"),
            (7_500_000, "2 h 5 min"),
        ] {
            assert_eq!(human_duration(Duration::from_millis(milliseconds)), text);
        }
    }

    #[test]
    fn bars_take_turns_and_threads_do_not_get_stuck() {
        let bars = Bars::new(ProgressDrawTarget::hidden());
        let progress = Arc::new(TerminalProgress::on(Out::Bars(bars)));
        progress.step("Fetching");
        progress.expect(40, 4000);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for number in 0..5 {
                        let task = progress.task(&format!("file {number}"), Some(100));
                        task.reset_to(50);
                        task.advance(50);
                        progress.step("Fetching on");
                    }
                });
            }
        });
        assert_eq!(progress.shared.done.load(Relaxed), 4000);
        let display = locked(&progress.shared.display);
        assert!(display.phase.is_none());
        let Out::Bars(bars) = &display.out else {
            panic!("bars")
        };
        assert_eq!((bars.shown, bars.waiting.len()), (0, 0));
        assert!(bars.total.is_none());
    }

    #[test]
    fn long_names_lose_their_middle() {
        let name = "nvidia_cudnn_cu12-9.10.2.21-py3-none-manylinux_2_27_x86_64.whl";
        let short = shortened(name);
        assert_eq!(short.chars().count(), LABEL_WIDTH);
        assert!(short.starts_with("nvidia_cudnn") && short.ends_with("x86_64.whl"));
    }
}
