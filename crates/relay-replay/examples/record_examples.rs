//! Writes the playground's example traces and the list of examples and recordings: `cargo run -p relay-replay --example
//! record_examples -- FOLDER`.
#![allow(clippy::print_stdout, reason = "a command-line tool")]

use std::{env, error::Error, fs, path::PathBuf};

use relay_replay::{EXAMPLES, RECORDINGS};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(env::args_os().nth(1).ok_or("say where to write the traces: a folder")?);
    fs::create_dir_all(&folder)?;
    let mut index = Vec::new();
    for example in EXAMPLES {
        let trace = example.record()?;
        let path = folder.join(format!("{}.pcapng", example.name));
        fs::write(&path, &trace)?;
        println!("{}: {} bytes", path.display(), trace.len());
        index.push(serde_json::json!({ "name": example.name, "title": example.title, "story": example.story }));
    }
    for recording in RECORDINGS {
        index.push(serde_json::json!({ "name": recording.name, "title": recording.title, "story": recording.story }));
    }
    fs::write(folder.join("index.json"), serde_json::to_string_pretty(&index)? + "\n")?;
    Ok(())
}
