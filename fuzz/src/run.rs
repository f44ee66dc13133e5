use std::{env, fs, process::ExitCode};

/// Runs a target on every file that the command line names.
pub fn run_files(body: fn(&[u8])) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    let mut files = env::args_os().skip(1).peekable();
    if files.peek().is_none() {
        eprintln!("name the files to run this target on");
        return ExitCode::FAILURE;
    }
    for file in files {
        match fs::read(&file) {
            Ok(input) => {
                body(&input);
                println!("{}: {} bytes, nothing wrong", file.display(), input.len());
            }
            Err(error) => {
                eprintln!("cannot read {}: {error}", file.display());
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}
