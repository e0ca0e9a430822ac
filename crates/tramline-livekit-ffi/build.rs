//! Turns the descriptions in `proto/` into Rust types, without a `protoc`.

use std::{env, error::Error, fs, path::PathBuf};

use prost_build::Config;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).open_file("ffi.proto")?;
    let folder = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    // For the comparison with the descriptions in LiveKit's packages.
    fs::write(folder.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;
    Config::new()
        .bytes(["."])
        .skip_debug(["."])
        .out_dir(folder)
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
