//! Prints the C header of `tramline-c`: its files in the order in which a reader wants them, through cbindgen.

use std::{path::PathBuf, process::ExitCode};

/// The order of the sections in the header.
const FILES: [&str; 21] = [
    "version",
    "status",
    "error",
    "text",
    "log",
    "keys",
    "room",
    "participant",
    "list",
    "schema",
    "local_track",
    "remote_track",
    "frame",
    "stream",
    "packet",
    "rpc",
    "content",
    "content_send",
    "event",
    "event_thread",
    "stats",
];

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: tramline-headers <folder of tramline-c>");
        return ExitCode::FAILURE;
    };
    let config = match cbindgen::Config::from_file(folder.join("cbindgen.toml")) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("cbindgen.toml: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut builder = cbindgen::Builder::new().with_config(config);
    for name in FILES {
        builder = builder.with_src(folder.join("src").join(name).with_extension("rs"));
    }
    match builder.generate() {
        Ok(bindings) => {
            bindings.write(std::io::stdout());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("cbindgen: {error}");
            ExitCode::FAILURE
        }
    }
}
