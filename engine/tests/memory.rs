//! What a context is said to need beside what it takes, counted by the allocator.

#![allow(clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aienv_engine::gguf::File;
use aienv_engine::model::{Batch, Context, ContextOptions, Model, memory_needs};
use aienv_engine::ops::{KvType, Products};
use aienv_engine::threads::Pool;

/// The system's allocator, with the bytes in use and the most there were.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

impl Counting {
    fn add(size: usize) {
        let now = NOW.fetch_add(size, Ordering::Relaxed) + size;
        MOST.fetch_max(now, Ordering::Relaxed);
    }
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Counting::add(layout.size());
        // SAFETY: the caller's promises are those that are asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Counting::add(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What is not counted as needed: lists of cells, threads' scratch, the batch.
const SMALL: usize = 1 << 20;

/// One test, so that nothing else allocates meanwhile.
#[test]
fn a_context_takes_what_it_is_said_to_need() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/architectures");
    // With full attention, with windows, with sinks, with experts, with fused matrices.
    for name in ["llama", "gemma3", "gpt-oss", "qwen2moe", "phi3"] {
        for (kv, products, tokens) in [
            (KvType::F16, Products::Exact, 16_384),
            (KvType::F32, Products::Quantised, 8192),
        ] {
            let file = File::open(folder.join(format!("{name}.gguf"))).unwrap();
            let model = Arc::new(Model::load(file).unwrap());
            let pool = Arc::new(Pool::new(2));
            let needs = memory_needs(model.config(), 0, tokens, kv);
            let options = ContextOptions {
                tokens,
                kv,
                products,
                memory: None,
            };
            let before = NOW.load(Ordering::Relaxed);
            MOST.store(before, Ordering::Relaxed);
            let mut context = Context::new(Arc::clone(&model), pool, &options).unwrap();
            let empty = NOW.load(Ordering::Relaxed) - before;
            let prompt: Vec<u32> = (0..600).map(|i| i % 32).collect();
            context.eval(&Batch::prompt(&prompt, 0, 0)).unwrap();
            let most = MOST.load(Ordering::Relaxed) - before;
            println!("{name}: {needs:?}, {empty} when empty, {most} at most");
            let (cache, total) = (needs.cache as usize, needs.total() as usize);
            assert!(
                empty >= cache && empty <= cache + cache / 50 + SMALL / 4,
                "{name}"
            );
            assert!(most <= total + SMALL, "{name}: {most} of {total}");
        }
    }
}
