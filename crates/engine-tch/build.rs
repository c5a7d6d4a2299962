//! Lets the binaries that link libtorch find it where torch-sys found it, unless `LD_LIBRARY_PATH` says otherwise.
//!
//! Cargo hands link arguments to a package's own targets only. So each package with such binaries (tests, examples)
//! runs this one script: it has `build = "../engine-tch/build.rs"`, and depends on torch-sys, which tells dependents'
//! build scripts alone where libtorch is.

fn main() {
    println!("cargo:rerun-if-changed=../engine-tch/build.rs");
    if let Some(libraries) = std::env::var_os("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo:rustc-link-arg=-Wl,--enable-new-dtags,-rpath,{}", libraries.display());
    }
}
