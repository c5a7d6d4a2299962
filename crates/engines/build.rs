//! Lets this crate's own binaries (tests, examples) find libtorch where torch-sys found it.
//!
//! Cargo hands link arguments to a package's own targets only, so each package with a binary that predicts has this
//! build script. `LD_LIBRARY_PATH` wins over the path given here.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if let Some(libraries) = std::env::var_os("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo:rustc-link-arg=-Wl,--enable-new-dtags,-rpath,{}", libraries.display());
    }
}
