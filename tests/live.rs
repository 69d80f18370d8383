//! Real packages from the package index that this machine is configured for:
//! `cargo test --test live -- --ignored`.
//!
//! A small part of what people do, every time: a tool of some eighty packages, a source build, a
//! service, and a source tree whose requirements come from the real index.

#![allow(clippy::unwrap_used)]

mod support;

use std::io::{Read as _, Write as _};

use support::{Tree, World, index_tool, tree_tool};

/// Status line of what a service answers.
fn status_of(address: &str, path: &str) -> String {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let text = String::from_utf8_lossy(&answer);
    text.lines().next().unwrap_or_default().to_owned()
}

#[test]
#[ignore = "needs a package index"]
fn rembg_is_installed_and_tells_its_usage() {
    let world = World::live();
    let run = world.aienv(&["run", "--yes", "rembg", "--help"]).ok();
    run.prints("Usage: rembg");
    // The second time nothing is fetched: it works without any index.
    world
        .aienv(&["run", "--offline", "rembg", "--help"])
        .ok()
        .prints("Usage: rembg");
    world.shim("rembg", &["--help"]).ok().prints("Usage: rembg");
}

#[test]
#[ignore = "needs a package index"]
fn a_source_distribution_is_built_with_its_real_build_requirements() {
    let world = World::live();
    // It publishes no wheel, and its backend is setuptools.
    let text = index_tool(
        "docopt",
        "version = \"==0.6.2\"",
        "[packages]\nbuild = [\"docopt\"]\n",
    )
    .replace(
        "{bin}/docopt\"]",
        "{python}\", \"-c\", \"import docopt; print(docopt.__version__)\"]",
    );
    let manifest = world.manifest("docopt", &text);
    world.aienv(&["install", &manifest]).ok();
    world.aienv(&["run", "docopt"]).ok().prints("0.6.2");
}

#[test]
#[ignore = "needs a package index"]
fn jupyterlab_answers_on_its_port() {
    let world = World::live();
    world.aienv(&["install", "jupyterlab"]).ok();
    // Jupyter refuses to run as root, as containers do, unless told.
    let mut running = world.start(&["run", "jupyterlab", "--allow-root"]);
    let url = running.wait_for(r"http://(127\.0\.0\.1:\d+|localhost:\d+)");
    let status = status_of(&url.replace("localhost", "127.0.0.1"), "/api");
    assert!(status.contains("200"), "{status}");
    world.aienv(&["stop", "jupyterlab"]).ok();
    running.wait();
}

#[test]
#[ignore = "needs a package index"]
fn a_source_tree_gets_its_requirements_from_the_real_index() {
    let world = World::live();
    let tree = Tree::new("acme/studio", "1.0")
        .requirement("pyyaml")
        .requirement("tqdm>=4; python_version >= '3'");
    world.index().add_tree(&tree);
    let manifest = world.manifest("studio", &tree_tool("studio", &tree, 18_231, ""));
    world.aienv(&["install", &manifest]).ok();
    let mut running = world.start(&["run", "studio"]);
    let address = running.wait_for(r"http://(127\.0\.0\.1:\d+)");
    assert!(status_of(&address, "/system_stats").contains("200"));
    world.aienv(&["stop", "studio"]).ok();
    running.wait();
}

#[test]
#[ignore = "needs a package index"]
fn the_facts_of_a_release_agree_with_the_real_index() {
    let world = World::live();
    // A release that is done: the newest one may have got a companion since.
    world.aienv(&["catalog", "facts", "2.9"]).ok();
}
