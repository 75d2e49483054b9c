#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| agent::fuzzing::system(&String::from_utf8_lossy(bytes)));
