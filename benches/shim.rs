//! What a shim costs: starts of a program through a shim beside starts of the program itself.
//!
//! `cargo bench --bench shim` prints the median of both, their ratio and their difference. The
//! starts alternate, so that a busy machine slows both alike. Budget: 2 ms.

fn main() {
    #[cfg(unix)]
    unix::main();
    #[cfg(not(unix))]
    println!("skipped: needs a program that does nothing, such as /bin/true");
}

#[cfg(unix)]
mod unix {
    use std::{
        path::Path,
        process::{Command, Stdio},
        time::{Duration, Instant},
    };

    use aienv::{
        home::Home,
        launch::{LaunchRecord, rules, shims},
        types::Os,
    };

    const STARTS: usize = 200;

    pub fn main() {
        let Some(program) = ["/bin/true", "/usr/bin/true"]
            .map(Path::new)
            .into_iter()
            .find(|path| path.exists())
        else {
            println!("skipped: there is no `true`");
            return;
        };
        let root = tempfile::tempdir().expect("a temporary folder");
        let home = Home::at(root.path());
        let record = LaunchRecord {
            tool: "nothing".into(),
            command: "nothing".into(),
            program: program.into(),
            environment: rules::base(&[], "/prefix/bin".as_ref(), Os::Linux),
            ..LaunchRecord::default()
        };
        let aienv = Path::new(env!("CARGO_BIN_EXE_aienv"));
        shims::install(&home, aienv, "nothing", &[record]).expect("a shim");
        let shim = shims::shim_path(&home, "nothing");
        // Once each to have the files in memory.
        start(program);
        start(&shim);
        let mut direct = Vec::new();
        let mut through = Vec::new();
        for _ in 0..STARTS {
            direct.push(start(program));
            through.push(start(&shim));
        }
        let (direct, through) = (median(direct), median(through));
        println!(
            "{STARTS} starts, median: direct {:.3} ms, through the shim {:.3} ms, \
             difference {:.3} ms, ratio {:.2}",
            direct * 1e3,
            through * 1e3,
            (through - direct) * 1e3,
            through / direct
        );
    }

    fn start(program: &Path) -> Duration {
        let since = Instant::now();
        let status = Command::new(program).stdin(Stdio::null()).status();
        let elapsed = since.elapsed();
        assert!(status.expect("a start").success());
        elapsed
    }

    fn median(mut times: Vec<Duration>) -> f64 {
        times.sort();
        times[times.len() / 2].as_secs_f64()
    }
}
