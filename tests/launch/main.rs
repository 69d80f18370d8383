//! Starting tools, with the real binary, real processes and a real HTTP server.
//!
//! The "tool" is this test program started again: the ignored test `tool` prints, serves or exits
//! as the environment variable `TOOL` says, and does nothing without it.
#![allow(clippy::unwrap_used)]

mod services;
mod shells;
mod shims;
mod support;

use std::{
    io::{Read, Write},
    net::TcpListener,
    process::exit,
    time::Duration,
};

#[test]
#[ignore = "the tool that other tests start"]
fn tool() {
    match std::env::var("TOOL").as_deref() {
        Ok("print") => print(),
        Ok("serve") => serve(),
        Ok("fail") => {
            println!("loading");
            eprintln!("no such model");
            exit(3);
        }
        Ok("stubborn") => {
            ignore_requests_to_end();
            serve();
        }
        _ => {}
    }
}

/// Prints arguments and environment, one fact per line, and exits with 42.
fn print() {
    let arguments = std::env::args().skip_while(|argument| argument != "--");
    for argument in arguments.skip(1) {
        println!("\nargument={argument:?}");
    }
    for (name, value) in std::env::vars() {
        println!("\n{name}={value:?}");
    }
    let here = std::env::current_dir().unwrap();
    println!("\nfolder={:?}", here.to_str().unwrap());
    exit(42);
}

/// Answers 503 a few times, then 200, on the port in `TOOL_PORT`.
fn serve() {
    let port: u16 = std::env::var("TOOL_PORT").unwrap().parse().unwrap();
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    println!("serving on {port}");
    let mut answers = 0;
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
        let mut request = [0; 1024];
        let length = stream.read(&mut request).unwrap_or(0);
        let line = String::from_utf8_lossy(&request[..length]);
        let line = line.lines().next().unwrap_or_default();
        answers += 1;
        let status = if answers > 2 { "200 OK" } else { "503 Not Yet" };
        eprintln!("{line} -> {status}");
        let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
    }
}

#[cfg(unix)]
fn ignore_requests_to_end() {
    // SAFETY: ignoring a signal runs no code of ours.
    unsafe { libc::signal(libc::SIGTERM, libc::SIG_IGN) };
}

#[cfg(not(unix))]
fn ignore_requests_to_end() {}
