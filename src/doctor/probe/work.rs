//! What a GPU is made to do, the same for every interface.
//!
//! The kernel writes a number into each word of a buffer: its index times a constant, plus a seed.
//! The seed is another one in every run, so that memory left from an earlier run cannot pass for
//! a result. Then 64 MiB are copied, some times over, from the machine to the GPU and within it.

use std::time::{Duration, Instant, SystemTime};

use super::{Measured, Trouble};

/// Words that the kernel writes.
pub(super) const COUNT: u32 = 1 << 20;
/// Threads of a block.
pub(super) const BLOCK: u32 = 256;
/// The factor in the kernels (2³² divided by the golden ratio: every bit depends on the index).
const FACTOR: u32 = 0x9E37_79B1;
/// Bytes copied at once, where memory allows.
const BUFFER: usize = 64 << 20;
/// Copies that are timed.
const COPIES: u32 = 8;

/// A GPU that is ready to work. Sizes are in bytes; an address is one of the GPU's memory.
pub(super) trait Device {
    /// Free memory.
    fn free_memory(&self) -> Result<u64, Trouble>;
    /// Memory on the GPU.
    fn allocate(&self, bytes: usize) -> Result<u64, Trouble>;
    /// Gives it back.
    fn release(&self, address: u64) -> Result<(), Trouble>;
    /// Page-locked memory of the machine, of which a GPU can read without help.
    fn allocate_pinned(&self, bytes: usize) -> Result<*mut u8, Trouble>;
    /// Gives it back.
    fn release_pinned(&self, pointer: *mut u8) -> Result<(), Trouble>;
    /// Lets the kernel write [`COUNT`] words; whether there is a kernel. Without one, nothing is
    /// written.
    fn run_kernel(&self, out: u64, seed: u32) -> Result<bool, Trouble>;
    /// Fills memory by the driver's own kernel.
    fn fill(&self, out: u64, byte: u8, bytes: usize) -> Result<(), Trouble>;
    /// From the machine to the GPU.
    fn upload(&self, to: u64, from: *const u8, bytes: usize) -> Result<(), Trouble>;
    /// From the GPU to the machine.
    fn download(&self, to: *mut u8, from: u64, bytes: usize) -> Result<(), Trouble>;
    /// Within the GPU.
    fn copy(&self, to: u64, from: u64, bytes: usize) -> Result<(), Trouble>;
    /// Waits until everything is done.
    fn finish(&self) -> Result<(), Trouble>;
}

/// Makes a GPU work and checks what it did.
pub(super) fn exercise(device: &impl Device) -> Result<Measured, Trouble> {
    let kernel = compute(device, seed())?;
    let (upload, copy) = measure(device)?;
    Ok(Measured {
        upload,
        copy,
        kernel,
    })
}

/// Runs the kernel and checks every word; whether there was a kernel.
fn compute(device: &impl Device, seed: u32) -> Result<bool, Trouble> {
    let bytes = COUNT as usize * size_of::<u32>();
    let out = device.allocate(bytes)?;
    let filler = 0x5a;
    device.fill(out, filler, bytes)?;
    let kernel = device.run_kernel(out, seed)?;
    device.finish()?;
    let mut words = vec![0_u32; COUNT as usize];
    device.download(words.as_mut_ptr().cast(), out, bytes)?;
    device.release(out)?;
    let expected = |index: u32| match kernel {
        true => index.wrapping_mul(FACTOR).wrapping_add(seed),
        false => u32::from_ne_bytes([filler; 4]),
    };
    match (0..COUNT)
        .zip(words)
        .find(|&(index, found)| found != expected(index))
    {
        Some((index, found)) => Err(Trouble::WrongResult {
            index,
            expected: expected(index),
            found,
        }),
        None => Ok(kernel),
    }
}

/// Bytes per second to the GPU and within it.
fn measure(device: &impl Device) -> Result<(f64, f64), Trouble> {
    let bytes = buffer_size(device.free_memory()?);
    let (one, other) = (device.allocate(bytes)?, device.allocate(bytes)?);
    let host = device.allocate_pinned(bytes)?;
    // SAFETY: the memory was just allocated with this size and belongs to nobody else.
    unsafe { host.write_bytes(0xa5, bytes) };
    let upload = time(device, bytes, || device.upload(one, host, bytes))?;
    let copy = time(device, bytes, || device.copy(other, one, bytes))?;
    device.release_pinned(host)?;
    device.release(one)?;
    device.release(other)?;
    Ok((upload, copy))
}

/// 64 MiB, or an eighth of what is free, in whole MiB.
fn buffer_size(free: u64) -> usize {
    let eighth = usize::try_from(free / 8).unwrap_or(BUFFER);
    (eighth.min(BUFFER) >> 20).max(1) << 20
}

fn time(
    device: &impl Device,
    bytes: usize,
    mut once: impl FnMut() -> Result<(), Trouble>,
) -> Result<f64, Trouble> {
    // The first copy wakes clocks and maps pages.
    once()?;
    device.finish()?;
    let start = Instant::now();
    for _ in 0..COPIES {
        once()?;
    }
    device.finish()?;
    let elapsed = start.elapsed().max(Duration::from_nanos(1));
    Ok(bytes as f64 * f64::from(COPIES) / elapsed.as_secs_f64())
}

/// A number that differs between runs.
fn seed() -> u32 {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    now.subsec_nanos() ^ std::process::id().rotate_left(16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_leave_room() {
        assert_eq!(buffer_size(80 << 30), 64 << 20);
        assert_eq!(buffer_size(100 << 20), 12 << 20);
        assert_eq!(buffer_size(0), 1 << 20);
    }
}
