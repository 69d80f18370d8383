//! Time and peak memory of one process and its children.

use std::{
    process::{Command, Stdio},
    time::Instant,
};

use super::Result;

/// One run.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Wall-clock time.
    pub seconds: f64,
    /// Processor time, in programs and in the kernel; where it is known.
    pub processor: Option<f64>,
    /// Largest resident set, the process and the children it waited for; where it is known.
    pub peak_bytes: Option<u64>,
}

/// Runs a command to its end. Beside the sample, what it said if it failed.
pub fn run(mut command: Command) -> Result<(Sample, Option<String>)> {
    let log = tempfile::NamedTempFile::new()?;
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log.reopen()?);
    let start = Instant::now();
    let child = command.spawn()?;
    let Ended {
        success,
        processor,
        peak_bytes,
    } = wait(child)?;
    let seconds = start.elapsed().as_secs_f64();
    let said = match success {
        true => None,
        false => Some(std::fs::read_to_string(log.path())?),
    };
    let sample = Sample {
        seconds,
        processor,
        peak_bytes,
    };
    Ok((sample, said))
}

struct Ended {
    success: bool,
    processor: Option<f64>,
    peak_bytes: Option<u64>,
}

#[cfg(unix)]
fn wait(child: std::process::Child) -> Result<Ended> {
    let mut status = 0;
    // SAFETY: an all-zero rusage is a valid one.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    let id = child.id().cast_signed();
    // SAFETY: both pointers are to live locals; the child has not been waited for.
    if unsafe { libc::wait4(id, &raw mut status, 0, &raw mut usage) } != id {
        return Err(std::io::Error::last_os_error().into());
    }
    // Linux counts kilobytes, macOS bytes.
    let unit = if cfg!(target_os = "macos") { 1 } else { 1024 };
    let peak = u64::try_from(usage.ru_maxrss)? * unit;
    let success = libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0;
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    Ok(Ended {
        success,
        processor: Some(seconds(usage.ru_utime) + seconds(usage.ru_stime)),
        peak_bytes: Some(peak),
    })
}

#[cfg(not(unix))]
fn wait(mut child: std::process::Child) -> Result<Ended> {
    Ok(Ended {
        success: child.wait()?.success(),
        processor: None,
        peak_bytes: None,
    })
}

/// The middle value, or the mean of the two in the middle.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}
