use super::{Mark, read, rotations};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// A record in a directory of its own, and who follows it.
struct Bench {
    dir: tempfile::TempDir,
    marks: Vec<Mark>,
}

impl Bench {
    /// One line was there before, and two were read.
    fn new() -> Self {
        let mut bench = Self { dir: tempfile::tempdir().unwrap(), marks: Vec::new() };
        append(&bench.log(), "2026-10-31 12:00:00 begins\n");
        let mut told = 0;
        bench.marks = read(&bench.log(), None, &mut |_| told += 1).unwrap();
        assert_eq!(told, 0, "what was before is nobody's matter");
        append(&bench.log(), "2026-11-20 17:00:00 one\n2026-11-20 17:00:00 two\n");
        assert_eq!(bench.told(), ["one", "two"]);
        bench
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    fn older(&self, end: &str) -> PathBuf {
        self.dir.path().join(format!("log{end}"))
    }

    /// Last words of the lines that are new.
    fn told(&mut self) -> Vec<String> {
        let mut told = Vec::new();
        let word = |line: &str| line.rsplit(' ').next().unwrap_or_default().to_owned();
        self.marks = read(&self.log(), Some(&self.marks), &mut |line| told.push(word(line))).unwrap();
        // As it is kept between two starts of the agent.
        self.marks = serde_json::from_slice(&serde_json::to_vec(&self.marks).unwrap()).unwrap();
        told
    }
}

fn append(path: &Path, text: &str) {
    let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

fn pack(path: &Path, end: &str) {
    let bytes = fs::read(path).unwrap();
    let packed = match end {
        ".gz" => gzip(&bytes),
        ".zst" => ruzstd::encoding::compress_to_vec(&bytes[..], ruzstd::encoding::CompressionLevel::Fastest),
        _ => std::process::Command::new("xz").arg("-c").arg(path).output().unwrap().stdout,
    };
    fs::write(format!("{}{end}", path.display()), packed).unwrap();
    fs::remove_file(path).unwrap();
}

const NEXT: &str = "2026-11-20 17:00:00 three\n2026-11-21 08:00:00 four\n";

#[test]
fn each_line_is_told_once_however_the_record_is_rotated() {
    type Rotate = fn(&Bench);
    let ways: [(&str, Rotate); 10] = [
        ("not at all", |_| {}),
        ("renamed", |b| fs::rename(b.log(), b.older(".1")).unwrap()),
        ("renamed and begun anew", |b| {
            fs::rename(b.log(), b.older(".1")).unwrap();
            append(&b.log(), "");
        }),
        ("renamed and packed", |b| {
            fs::rename(b.log(), b.older(".1")).unwrap();
            pack(&b.older(".1"), ".gz");
        }),
        ("twice, packed once", |b| {
            fs::rename(b.log(), b.older(".2")).unwrap();
            pack(&b.older(".2"), ".gz");
            append(&b.older(".1"), "");
        }),
        ("called by the date", |b| fs::rename(b.log(), b.older("-20261122")).unwrap()),
        ("called by the date and packed otherwise", |b| {
            fs::rename(b.log(), b.older("-20261122")).unwrap();
            pack(&b.older("-20261122"), ".xz");
        }),
        ("packed with zstd", |b| {
            fs::rename(b.log(), b.older(".1")).unwrap();
            pack(&b.older(".1"), ".zst");
        }),
        ("copied and cut", |b| {
            fs::copy(b.log(), b.older(".1")).unwrap();
            fs::write(b.log(), "").unwrap();
        }),
        ("replaced by a copy of itself", |b| {
            fs::copy(b.log(), b.older(".new")).unwrap();
            fs::rename(b.older(".new"), b.log()).unwrap();
        }),
    ];
    for (way, rotate) in ways {
        let mut bench = Bench::new();
        append(&bench.log(), NEXT);
        rotate(&bench);
        assert_eq!(bench.told(), ["three", "four"], "{way}");
        assert_eq!(bench.told(), [""; 0], "{way}");
        append(&bench.log(), "2026-11-22 08:00:00 five\n");
        assert_eq!(bench.told(), ["five"], "{way}");
        assert_eq!(bench.told(), [""; 0], "{way}");
    }
}

#[test]
fn another_file_under_a_known_number_is_not_taken_for_the_one_that_was_read() {
    let mut bench = Bench::new();
    append(&bench.log(), NEXT);
    // The same inode with other lines, already longer than what was read: a number that was given away again, or a file
    // that was copied, cut and written on.
    fs::copy(bench.log(), bench.older(".1")).unwrap();
    fs::write(bench.log(), "").unwrap();
    append(&bench.log(), &(5..40).map(|n| format!("2026-11-22 08:00:00 {n}\n")).collect::<String>());
    let numbers = (5..40).map(|n| n.to_string());
    let expected: Vec<String> = ["three", "four"].map(str::to_owned).into_iter().chain(numbers).collect();
    assert_eq!(bench.told(), expected);
    assert_eq!(bench.told(), [""; 0]);
}

#[test]
fn a_clock_that_was_set_back_loses_and_doubles_nothing() {
    for packed in [false, true] {
        let mut bench = Bench::new();
        append(&bench.log(), "2026-11-20 16:00:01 back\n");
        fs::rename(bench.log(), bench.older(".1")).unwrap();
        append(&bench.log(), "2026-11-20 16:30:00 new\n");
        if packed {
            pack(&bench.older(".1"), ".gz");
        }
        assert_eq!(bench.told(), ["back", "new"], "{packed}");
        assert_eq!(bench.told(), [""; 0], "{packed}");
    }
}

#[test]
fn a_file_that_is_gone_takes_nothing_of_the_others_with_it() {
    let mut bench = Bench::new();
    append(&bench.older(".1"), "2026-10-01 12:00:00 older\n");
    assert_eq!(bench.told(), ["older"], "a file that was put there");
    fs::remove_file(bench.log()).unwrap();
    append(&bench.log(), "2026-09-20 16:00:00 anew\n");
    assert_eq!(bench.told(), ["anew"]);
    fs::remove_file(bench.older(".1")).unwrap();
    assert_eq!(bench.told(), [""; 0]);
}

#[test]
fn who_writes_on_into_a_file_that_was_renamed_is_heard() {
    let mut bench = Bench::new();
    let mut writer = fs::OpenOptions::new().append(true).open(bench.log()).unwrap();
    fs::rename(bench.log(), bench.older(".1")).unwrap();
    append(&bench.log(), "2026-11-21 00:00:02 new\n");
    assert_eq!(bench.told(), ["new"]);
    writer.write_all(b"2026-11-21 00:00:03 late\n").unwrap();
    append(&bench.log(), "2026-11-21 00:00:04 newer\n");
    assert_eq!(bench.told(), ["late", "newer"]);
}

#[test]
fn a_copy_that_is_being_made_doubles_nothing() {
    let mut bench = Bench::new();
    append(&bench.log(), NEXT);
    let whole = fs::read(bench.log()).unwrap();
    // Copied, not cut yet.
    fs::write(bench.older(".1"), &whole).unwrap();
    assert_eq!(bench.told(), ["three", "four"]);
    fs::write(bench.log(), "").unwrap();
    assert_eq!(bench.told(), [""; 0]);
    // Being packed: half of it stands beside the whole, for two looks.
    let packed = gzip(&whole);
    for bytes in [packed.len() / 2, packed.len() * 3 / 4] {
        fs::write(bench.older(".1.gz"), &packed[..bytes]).unwrap();
        assert_eq!(bench.told(), [""; 0]);
    }
    // Who packed it was stopped, and the whole is gone for a while.
    fs::remove_file(bench.older(".1")).unwrap();
    assert_eq!(bench.told(), [""; 0]);
    fs::write(bench.older(".1.gz"), &packed).unwrap();
    assert_eq!(bench.told(), [""; 0]);
    // A copy of half of the lines, which were not read yet when it was made.
    append(&bench.log(), "2026-11-22 08:00:00 five\n");
    fs::copy(bench.log(), bench.older("-20261122")).unwrap();
    append(&bench.log(), "2026-11-22 08:00:00 six\n");
    assert_eq!(bench.told(), ["five", "six"]);
}

#[test]
fn a_record_that_was_edited_goes_on_after_what_was_read() {
    let mut bench = Bench::new();
    // Only its end is kept.
    fs::write(bench.log(), "2026-11-20 17:00:00 two\n2026-11-20 17:00:00 three\n").unwrap();
    assert_eq!(bench.told(), ["three"]);
    // Its end is gone, and it was written on: what is not older is told.
    let mut bench = Bench::new();
    let text = "2026-10-31 12:00:00 begins\n2026-11-20 16:59:59 before\n2026-11-20 17:00:00 three\n2026-11-20 16:00:00 four\n";
    fs::write(bench.log(), text).unwrap();
    assert_eq!(bench.told(), ["three", "four"]);
    assert_eq!(bench.told(), [""; 0]);
}

#[test]
fn a_line_is_told_when_it_is_whole_and_a_long_one_hides_no_other() {
    let mut bench = Bench::new();
    append(&bench.log(), "2026-11-21 08:00:00 th");
    assert_eq!(bench.told(), [""; 0]);
    append(&bench.log(), &format!("ree\n\u{0}{}\n2026-11-21 08:00:00 four\nfi", "x".repeat(100_000)));
    let told = bench.told();
    assert_eq!(
        (told.first().map(String::as_str), told.last().map(String::as_str)),
        (Some("three"), Some("four"))
    );
    append(&bench.log(), "ve\n");
    assert_eq!(bench.told(), ["five"]);
}

#[test]
fn what_is_not_of_the_record_is_left_alone_and_what_cannot_be_unpacked_hides_nothing() {
    let mut bench = Bench::new();
    for other in ["rotate", "x.1", ".1.bak", ".old", "-old.gz"] {
        append(&bench.older(other), "2026-11-21 08:00:00 other\n");
    }
    append(&bench.older(".1.zst"), "no archive");
    fs::create_dir(bench.older(".2")).unwrap();
    append(&bench.log(), "2026-11-21 08:00:00 three\n");
    assert_eq!(bench.told(), ["three"]);
    let names = ["log", "log.1", "log.2.gz", "log.10", "log-20261102", "log-20261101-1.xz"];
    let dir = tempfile::tempdir().unwrap();
    names.iter().for_each(|name| append(&dir.path().join(name), ""));
    let found = rotations(&dir.path().join("log")).unwrap();
    let found: Vec<&str> = found.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(found, names);
}
