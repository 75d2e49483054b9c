//! Puts the functions of everyday work side by side in the program, so that few of its pages are ever loaded.
//!
//! `everyday.ld` (written by `packaging/everyday`) names those that looking at an approved state runs; names that a build does
//! not have are passed over, so an old list costs memory and breaks nothing. LLVM's linker is the compiler's own choice on this
//! target, and is known to read it.

fn main() {
    println!("cargo:rerun-if-changed=everyday.ld");
    let is = |name: &str, wanted: &str| std::env::var(name).is_ok_and(|value| value == wanted);
    if is("TARGET", "x86_64-unknown-linux-gnu") && is("PROFILE", "release") {
        let script = format!("{}/everyday.ld", std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default());
        println!("cargo:rustc-link-arg-bin=assent-agent=-Wl,-T,{script}");
        // Functions with the same code are one: generic code has many of them.
        println!("cargo:rustc-link-arg-bin=assent-agent=-Wl,--icf=all");
    }
}
