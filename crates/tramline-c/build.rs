//! Gives the shared library its name. The number in it is that of the ABI: it changes when a program that was linked before would break.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libtramline.so.0");
    }
}
