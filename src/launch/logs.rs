//! The logs of services: `run/<instance>.log`, and the one before as `run/<instance>.log.1`.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use super::LaunchError;
use crate::home::Home;

/// Bytes that are looked at in one step when the last lines are searched.
const BLOCK: u64 = 64 * 1024;

/// How often a followed log is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(150);

/// Where the log of a service is.
pub fn path(home: &Home, instance: &str) -> PathBuf {
    home.run().join(format!("{instance}.log"))
}

/// Begins a new log; the one before is kept as `.log.1`.
///
/// # Errors
/// The file cannot be created.
pub(super) fn begin(path: &Path) -> Result<File, LaunchError> {
    if path.exists() {
        let mut before = path.as_os_str().to_owned();
        before.push(".1");
        std::fs::rename(path, &before).map_err(LaunchError::io("rename", path))?;
    }
    // Appending keeps two writers from overwriting each other.
    File::options()
        .create(true)
        .append(true)
        .open(path)
        .map_err(LaunchError::io("create", path))
}

/// Writes a log, or its last `lines` lines, and gives the position up to which it was written.
///
/// # Errors
/// Reading or writing failed.
pub fn print(path: &Path, lines: Option<usize>, out: &mut dyn Write) -> io::Result<u64> {
    let mut file = File::open(path)?;
    let end = file.seek(SeekFrom::End(0))?;
    let start = match lines {
        Some(lines) => start_of_last(&mut file, end, lines)?,
        None => 0,
    };
    file.seek(SeekFrom::Start(start))?;
    let copied = io::copy(&mut file.take(end - start), out)?;
    out.flush()?;
    Ok(start + copied)
}

/// The last lines as text, for messages.
pub fn tail(path: &Path, lines: usize) -> String {
    let mut out = Vec::new();
    let _ = print(path, Some(lines), &mut out);
    String::from_utf8_lossy(&out).trim_end().to_owned()
}

/// Goes on writing what is added to a log from a position on, until `alive` says that nothing
/// more will come. A log that was begun anew is followed from its start.
///
/// # Errors
/// Reading or writing failed.
pub fn follow(
    path: &Path,
    mut position: u64,
    out: &mut dyn Write,
    alive: impl Fn() -> bool,
) -> io::Result<()> {
    loop {
        // Asked before reading, so that what was written last is still read.
        let more = alive();
        match File::open(path) {
            Ok(mut file) => {
                if file.seek(SeekFrom::End(0))? < position {
                    position = 0;
                }
                file.seek(SeekFrom::Start(position))?;
                position += io::copy(&mut file, out)?;
                out.flush()?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        if !more {
            return Ok(());
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// Where the last `lines` lines begin, reading backwards.
fn start_of_last(file: &mut File, end: u64, lines: usize) -> io::Result<u64> {
    if lines == 0 {
        return Ok(end);
    }
    let mut found = 0;
    let mut block_end = end;
    let mut buffer = Vec::new();
    while block_end > 0 {
        let block_start = block_end.saturating_sub(BLOCK);
        file.seek(SeekFrom::Start(block_start))?;
        buffer.clear();
        (&*file)
            .take(block_end - block_start)
            .read_to_end(&mut buffer)?;
        for (offset, _) in buffer
            .iter()
            .enumerate()
            .rev()
            .filter(|(_, b)| **b == b'\n')
        {
            let after = block_start + offset as u64 + 1;
            // The line break at the very end ends the last line and begins none.
            if after < end {
                found += 1;
                if found == lines {
                    return Ok(after);
                }
            }
        }
        block_end = block_start;
    }
    Ok(0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_last_lines_are_the_last_lines(text in "[a\n]{0,40}", lines in 0_usize..8) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("x.log");
            std::fs::write(&path, &text).unwrap();
            let mut out = Vec::new();
            let end = print(&path, Some(lines), &mut out).unwrap();
            let all: Vec<&str> = text.split_inclusive('\n').collect();
            let expected = all[all.len().saturating_sub(lines)..].concat();
            prop_assert_eq!(String::from_utf8(out).unwrap(), expected);
            prop_assert_eq!(end, text.len() as u64);
        }
    }

    #[test]
    fn long_logs_are_read_from_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.log");
        let line = format!("{}\n", "x".repeat(1000));
        std::fs::write(&path, format!("{}last\n", line.repeat(200))).unwrap();
        assert_eq!(tail(&path, 1), "last");
        assert_eq!(tail(&path, 150).lines().count(), 150);
        assert_eq!(tail(&path, 999).lines().count(), 201);
    }

    #[test]
    fn the_log_before_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.log");
        for text in ["first", "second"] {
            begin(&path).unwrap().write_all(text.as_bytes()).unwrap();
        }
        assert_eq!(tail(&path, 1), "second");
        assert_eq!(tail(&folder.path().join("x.log.1"), 1), "first");
    }
}
