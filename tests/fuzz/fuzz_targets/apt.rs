#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| agent::fuzzing::apt(&String::from_utf8_lossy(bytes)));
