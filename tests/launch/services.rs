//! Services: started, waited for, shown, stopped.
//!
//! The `aienv run` command installs tools as well, so the starts here go through the library.

use std::{
    io,
    net::TcpListener,
    process::ExitCode,
    sync::{Arc, Mutex},
};

use aienv::{
    error::UserError as _,
    launch::{self, LaunchError, LaunchRecord, Mode, StartOptions, services},
    progress::{Progress, Silent, Task},
};

use crate::support::{World, facts, free_port, record, service, stderr, stdout, world};

/// Keeps what people would be told.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    fn text(&self) -> String {
        self.0.lock().unwrap().join("\n")
    }
}

impl Progress for Told {
    fn task(&self, label: &str, total: Option<u64>) -> Arc<dyn Task> {
        Silent.task(label, total)
    }
    fn expect(&self, _count: usize, _bytes: u64) {}
    fn step(&self, _text: &str) {}
    fn note(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}

const DETACHED: StartOptions = StartOptions {
    mode: Mode::Detached,
    another: false,
};

fn start(
    world: &World,
    record: &LaunchRecord,
    options: StartOptions,
) -> (Result<ExitCode, LaunchError>, String) {
    let told = Told::default();
    let result = launch::start(&world.home, record, &[], options, &told);
    (result, told.text())
}

/// Stops what a test started, whatever became of the test.
struct Cleanup<'w>(&'w World);

impl Drop for Cleanup<'_> {
    fn drop(&mut self) {
        for service in services::running(&self.0.home).unwrap_or_default() {
            let _ = services::stop(&self.0.home, &service);
        }
    }
}

#[test]
fn a_service_is_started_shown_and_stopped() {
    let world = world();
    let _cleanup = Cleanup(&world);
    let port = free_port();
    let web = service("web", "serve", port);
    world.install(&web);

    let (result, told) = start(&world, &web, DETACHED);
    assert_eq!(result.unwrap(), ExitCode::SUCCESS);
    assert!(
        told.contains(&format!("WEB is ready: http://127.0.0.1:{port}/page")),
        "{told}"
    );

    let output = world.aienv(&["ps"]).output().unwrap();
    let shown = stdout(&output);
    assert!(
        shown.contains(&port.to_string()) && shown.contains("ready"),
        "{shown}"
    );
    let output = world.aienv(&["ps", "--json"]).output().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json[0]["tool"], "web");
    assert_eq!(json[0]["state"], "ready");

    let output = world.aienv(&["logs", "web"]).output().unwrap();
    let log = stdout(&output);
    assert!(log.contains(&format!("serving on {port}")), "{log}");
    assert!(log.contains("GET /health HTTP/1.1 -> 503"), "{log}");
    let output = world.aienv(&["logs", "web", "-n", "1"]).output().unwrap();
    assert_eq!(stdout(&output).lines().count(), 1);

    let (result, told) = start(&world, &web, DETACHED);
    assert_eq!(result.unwrap(), ExitCode::SUCCESS);
    assert!(
        told.contains("runs already") && told.contains(&port.to_string()),
        "{told}"
    );
    assert_eq!(services::running(&world.home).unwrap().len(), 1);

    let output = world.aienv(&["stop", "web"]).output().unwrap();
    assert!(
        stderr(&output).contains("stopped web"),
        "{}",
        stderr(&output)
    );
    assert!(services::running(&world.home).unwrap().is_empty());
    assert!(TcpListener::bind(("127.0.0.1", port)).is_ok());

    let output = world.aienv(&["stop", "web"]).output().unwrap();
    assert!(output.status.success());
    assert!(stderr(&output).contains("not running"));
    let output = world.aienv(&["stop", "wbe"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_busy_port_gets_the_next_free_one_and_another_gets_its_own() {
    let world = world();
    let _cleanup = Cleanup(&world);
    let port = free_port();
    let _taken = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let web = service("web", "serve", port);
    world.install(&web);
    let (result, told) = start(&world, &web, DETACHED);
    result.unwrap();
    assert!(told.contains(&format!("port {port} is in use")), "{told}");
    let another = StartOptions {
        another: true,
        ..DETACHED
    };
    start(&world, &web, another).0.unwrap();
    let running = services::running(&world.home).unwrap();
    let names: Vec<&str> = running
        .iter()
        .map(|service| service.instance.as_str())
        .collect();
    assert_eq!(names, ["web", "web@2"]);
    assert!(running[0].port > port && running[1].port > running[0].port);
    let states = services::states(&running).unwrap();
    assert_eq!(states, [services::State::Ready; 2]);

    let output = world.aienv(&["stop", "--all"]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(services::running(&world.home).unwrap().is_empty());
}

#[test]
fn a_service_that_ends_early_shows_what_it_wrote() {
    let world = world();
    let broken = service("broken", "fail", free_port());
    world.install(&broken);
    let (result, _) = start(&world, &broken, DETACHED);
    let error = result.unwrap_err();
    assert!(error.to_string().contains("exit code 3"), "{error}");
    assert!(error.hint().unwrap().contains("no such model"), "{error:?}");
    assert!(services::running(&world.home).unwrap().is_empty());

    // In the foreground the exit code is the tool's own.
    let (result, told) = start(&world, &broken, StartOptions::default());
    assert_eq!(result.unwrap(), ExitCode::from(3));
    assert!(
        told.contains("BROKEN ended before it was ready (exit code 3)"),
        "{told}"
    );
    let log = std::fs::read_to_string(world.home.run().join("broken.log")).unwrap();
    assert!(
        log.contains("loading") && log.contains("no such model"),
        "{log}"
    );
    assert!(world.home.run().join("broken.log.1").exists());
}

#[test]
fn in_the_foreground_it_ends_when_it_is_stopped() {
    let world = world();
    let web = service("web", "serve", free_port());
    world.install(&web);
    let told = Told::default();
    std::thread::scope(|scope| {
        let foreground =
            scope.spawn(|| launch::start(&world.home, &web, &[], StartOptions::default(), &told));
        let service = loop {
            assert!(!foreground.is_finished(), "{}", told.text());
            let ready = services::running(&world.home).unwrap();
            match ready.into_iter().find(|service| service.ready) {
                Some(service) => break service,
                None => std::thread::sleep(std::time::Duration::from_millis(20)),
            }
        };
        let by_itself = services::stop(&world.home, &service).unwrap();
        assert!(by_itself || cfg!(windows));
        let code = foreground.join().unwrap().unwrap();
        if cfg!(unix) {
            assert_eq!(code, ExitCode::from(143));
        }
    });
    assert!(told.text().contains("WEB is ready"), "{}", told.text());
    let log = std::fs::read_to_string(world.home.run().join("web.log")).unwrap();
    assert!(log.contains("serving on"), "{log}");
}

#[cfg(unix)]
#[test]
fn one_that_does_not_want_to_end_is_ended() {
    let world = world();
    let _cleanup = Cleanup(&world);
    let stubborn = service("stubborn", "stubborn", free_port());
    world.install(&stubborn);
    start(&world, &stubborn, DETACHED).0.unwrap();
    let running = services::running(&world.home).unwrap();
    assert!(!services::stop(&world.home, &running[0]).unwrap());
    assert!(!running[0].is_alive());
}

#[test]
fn the_shim_of_a_service_takes_a_free_port_too() {
    let world = world();
    let port = free_port();
    let _taken = TcpListener::bind(("127.0.0.1", port)).unwrap();
    world.install(&service("web", "print", port));
    let output = world.shim("web").output().unwrap();
    assert!(
        stderr(&output).contains(&format!("port {port} is in use")),
        "{}",
        stderr(&output)
    );
    let chosen: u16 = facts(&output, "TOOL_PORT")[0].parse().unwrap();
    assert!(chosen > port);
}

#[test]
fn only_services_can_be_detached() {
    let world = world();
    let plain = record("plain", "print");
    world.install(&plain);
    let (result, _) = start(&world, &plain, DETACHED);
    assert!(result.unwrap_err().is_usage());
}

#[test]
fn following_a_log_ends_with_the_service() {
    let world = world();
    let _cleanup = Cleanup(&world);
    let port = free_port();
    let web = service("web", "serve", port);
    world.install(&web);
    start(&world, &web, DETACHED).0.unwrap();
    let follower = world
        .aienv(&["logs", "-f", "web"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    use io::Write as _;
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"GET /later HTTP/1.1\r\n\r\n").unwrap();
    io::copy(&mut stream, &mut io::sink()).unwrap();
    let running = services::running(&world.home).unwrap();
    services::stop(&world.home, &running[0]).unwrap();
    let output = follower.wait_with_output().unwrap();
    assert!(
        stdout(&output).contains("GET /later"),
        "{}",
        stdout(&output)
    );
}
