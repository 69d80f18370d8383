//! A pool of threads that hands out numbered chunks of work.
//!
//! A layer of a model is a row of short dependent steps, some tens of microseconds each. So a worker
//! looks for the next step for a moment before it falls asleep, and takes chunks one at a time, so
//! that a slow or stolen core does not hold the others up. Which thread does a chunk is left open;
//! a chunk's result must not depend on it, and then no result depends on the number of threads.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// How often a worker looks for work before it sleeps: some tens of microseconds.
const LOOKS: u32 = 4096;

/// Threads that wait for work. Dropping the pool ends them.
#[derive(Debug)]
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// One job at a time.
    turn: Mutex<()>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Counts jobs, so that a spinning worker sees a new one without the lock.
    epoch: AtomicU64,
    board: Mutex<Board>,
    /// Tells workers of a job or of the end.
    wake: Condvar,
    /// Tells the caller that the last worker has left the job.
    left: Condvar,
    next: AtomicUsize,
    stop: AtomicBool,
}

#[derive(Debug, Default)]
struct Board {
    job: Option<Job>,
    /// Workers inside the job.
    inside: usize,
    panic: Option<Panic>,
}

struct Panic(Box<dyn Any + Send>);

impl std::fmt::Debug for Panic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Panic")
    }
}

#[derive(Debug, Clone, Copy)]
struct Job {
    work: *const (dyn Fn(usize) + Sync),
    chunks: usize,
}

// SAFETY: `work` points to a closure that is `Sync`, and `Pool::run` does not return, so does not
// let go of the closure, before no worker is inside the job and none can enter it.
unsafe impl Send for Job {}

impl Pool {
    /// A pool of `threads` threads, the caller of [`Pool::run`] being one of them; at least one.
    /// Where the system gives fewer, the pool has fewer.
    pub fn new(threads: usize) -> Pool {
        let shared = Arc::new(Shared::default());
        let workers = (1..threads)
            .map_while(|i| {
                let shared = Arc::clone(&shared);
                std::thread::Builder::new()
                    .name(format!("engine-{i}"))
                    .spawn(move || shared.work())
                    .ok()
            })
            .collect();
        Pool {
            shared,
            workers,
            turn: Mutex::new(()),
        }
    }

    /// Number of threads, the caller included.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `work` with each number below `chunks`, on all threads, and returns when all are done.
    /// A panic in `work` is passed on. `work` must not call `run` of the same pool.
    pub fn run(&self, chunks: usize, work: &(dyn Fn(usize) + Sync)) {
        if self.workers.is_empty() || chunks < 2 {
            (0..chunks).for_each(work);
            return;
        }
        let _turn = lock(&self.turn);
        // SAFETY: only the lifetime changes. The pointer is taken off the board below, and no
        // worker is inside the job any more, before this function returns or unwinds.
        let work: &'static (dyn Fn(usize) + Sync) = unsafe { std::mem::transmute(work) };
        {
            let mut board = lock(&self.shared.board);
            self.shared.next.store(0, Ordering::Relaxed);
            board.job = Some(Job { work, chunks });
            self.shared.epoch.fetch_add(1, Ordering::Release);
        }
        self.shared.wake.notify_all();
        let own = catch_unwind(AssertUnwindSafe(|| self.shared.take(work, chunks)));
        let mut board = lock(&self.shared.board);
        board.job = None;
        while board.inside > 0 {
            board = self
                .shared
                .left
                .wait(board)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let panic = board.panic.take();
        drop(board);
        match (own, panic) {
            (Err(panic), _) | (Ok(()), Some(Panic(panic))) => resume_unwind(panic),
            (Ok(()), None) => {}
        }
    }
}

impl Shared {
    fn take(&self, work: &(dyn Fn(usize) + Sync), chunks: usize) {
        loop {
            let chunk = self.next.fetch_add(1, Ordering::Relaxed);
            if chunk >= chunks {
                return;
            }
            work(chunk);
        }
    }

    fn work(&self) {
        let mut seen = 0;
        while let Some(job) = self.enter(&mut seen) {
            // SAFETY: this worker is counted as inside, so `run` still holds the closure.
            let work = unsafe { &*job.work };
            let result = catch_unwind(AssertUnwindSafe(|| self.take(work, job.chunks)));
            let mut board = lock(&self.board);
            if let Err(panic) = result {
                board.panic = Some(Panic(panic));
                // Nobody needs the remaining chunks.
                self.next.store(job.chunks, Ordering::Relaxed);
            }
            board.inside -= 1;
            if board.inside == 0 {
                self.left.notify_all();
            }
        }
    }

    /// Waits for a job this worker has not seen; `None` at the pool's end.
    fn enter(&self, seen: &mut u64) -> Option<Job> {
        loop {
            for _ in 0..LOOKS {
                if self.epoch.load(Ordering::Acquire) != *seen {
                    break;
                }
                std::hint::spin_loop();
            }
            let mut board = lock(&self.board);
            while self.epoch.load(Ordering::Acquire) == *seen {
                board = self
                    .wake
                    .wait(board)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            *seen = self.epoch.load(Ordering::Acquire);
            if self.stop.load(Ordering::Acquire) {
                return None;
            }
            // The others may have finished the job before this worker woke.
            if let Some(job) = board.job {
                board.inside += 1;
                return Some(job);
            }
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        {
            let _board = lock(&self.shared.board);
            self.shared.stop.store(true, Ordering::Release);
            self.shared.epoch.fetch_add(1, Ordering::Release);
        }
        self.shared.wake.notify_all();
        for worker in self.workers.drain(..) {
            // A worker catches the panics of its work and has none of its own.
            let _ = worker.join();
        }
    }
}

/// A panic while the lock was held leaves counters that are still right: they change in one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chunk_is_done_once() {
        for threads in 1..=4 {
            let pool = Pool::new(threads);
            for chunks in [0, 1, 2, 3, 64, 1000] {
                let done: Vec<AtomicUsize> = (0..chunks).map(|_| AtomicUsize::new(0)).collect();
                pool.run(chunks, &|i| {
                    done[i].fetch_add(1, Ordering::Relaxed);
                });
                assert!(done.iter().all(|n| n.load(Ordering::Relaxed) == 1));
            }
        }
    }

    #[test]
    fn a_sleeping_worker_wakes() {
        let pool = Pool::new(2);
        for _ in 0..3 {
            std::thread::sleep(std::time::Duration::from_millis(5));
            let names = Mutex::new(std::collections::HashSet::new());
            // Each chunk waits for the other, so two threads must take part.
            let meet = std::sync::Barrier::new(2);
            pool.run(2, &|_| {
                meet.wait();
                names.lock().unwrap().insert(std::thread::current().id());
            });
            assert_eq!(names.lock().unwrap().len(), 2);
        }
    }

    #[test]
    fn a_panic_is_passed_on_and_the_pool_goes_on() {
        let pool = Pool::new(3);
        let result = catch_unwind(AssertUnwindSafe(|| {
            pool.run(100, &|i| assert_ne!(i, 57, "chunk 57"));
        }));
        assert!(result.is_err());
        let sum = AtomicUsize::new(0);
        pool.run(10, &|i| {
            sum.fetch_add(i, Ordering::Relaxed);
        });
        assert_eq!(sum.into_inner(), 45);
    }
}
