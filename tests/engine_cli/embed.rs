//! Texts to vectors.

use serde_json::Value;

use super::files::results;
use super::model::{CONTEXT, error, mute, speaking};
use super::support::World;

fn vectors(json: &Value) -> Vec<Vec<f32>> {
    let each = json["embeddings"].as_array().unwrap().iter();
    let numbers = |one: &Value| serde_json::from_value(one["embedding"].clone()).unwrap();
    each.map(numbers).collect()
}

fn length(vector: &[f32]) -> f64 {
    let squares = vector.iter().map(|&x| f64::from(x).powi(2));
    squares.sum::<f64>().sqrt()
}

#[test]
fn vectors_are_pooled_from_what_other_implementations_give() {
    let world = World::new();
    for name in ["bert", "nomic-bert"] {
        let model = mute(name);
        let (ids, rows) = results(&model);
        let count = ids.split(',').count();
        let width = rows.len() / count;
        let row = |i: usize| rows[i * width..][..width].to_vec();
        let mean: Vec<f32> = (0..width)
            .map(|column| (0..count).map(|i| rows[i * width + column]).sum::<f32>() / count as f32)
            .collect();
        let given = ["embed", &model, "--json", "--tokens", &ids, "--tokens", "1"];
        let embed = |more: &[&str]| world.aienv(&[&given[..], more].concat()).ok().json();
        for (pooling, wanted) in [("mean", &mean), ("cls", &row(0)), ("last", &row(count - 1))] {
            let json = embed(&["--no-normalise", "--pooling", pooling]);
            assert_eq!(json["dimensions"], width);
            assert_eq!(json["embeddings"][0]["tokens"], count);
            let got = vectors(&json);
            assert_eq!(got.len(), 2);
            let off = error(&got[0], wanted);
            assert!(off < 1e-10, "{name} {pooling}: {off}");
        }
        // The files say that it is the mean.
        let off = error(&vectors(&embed(&["--no-normalise"]))[0], &mean);
        assert!(off < 1e-10, "{name}: {off}");
        for vector in vectors(&embed(&[])) {
            assert!((length(&vector) - 1.0).abs() < 1e-6);
        }
    }
}

#[test]
fn texts_are_embedded_alone_as_together() {
    let world = World::new();
    let model = speaking(&world);
    let embed = |texts: &[&str]| {
        let args = [&["embed", &model, "--json"], texts].concat();
        vectors(&world.aienv(&args).ok().json())
    };
    let texts = ["the local models", "hello", "the quick brown fox"];
    let together = embed(&texts);
    assert_eq!(together.len(), 3);
    assert_ne!(together[0], together[1]);
    for (text, vector) in texts.iter().zip(&together) {
        assert_eq!(&embed(&[text])[0], vector, "{text}");
    }
    // Lines of a file are texts; without --json, vectors are lines.
    world.write("texts.txt", texts.join("\n"));
    let run = world.aienv(&["embed", &model, "--file", "texts.txt"]).ok();
    let lines: Vec<Vec<f32>> = run
        .stdout()
        .lines()
        .map(|line| line.split(' ').map(|x| x.parse().unwrap()).collect())
        .collect();
    assert_eq!(lines, together);
}

#[test]
fn texts_without_a_vector_are_refused() {
    let world = World::new();
    let model = speaking(&world);
    let long = "hello ".repeat(CONTEXT + 1);
    world
        .aienv(&["embed", &model, "short", &long])
        .fails(1)
        .names("text 2 has")
        .hints();
    world
        .aienv(&["embed", &mute("bert"), "text"])
        .fails(1)
        .names("no tokenizer");
    world
        .aienv(&["embed", &model, "--tokens", "1,4000000"])
        .fails(2)
        .names("no token 4000000");
}
