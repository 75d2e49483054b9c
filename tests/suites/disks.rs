//! Real file systems that are full, have no inodes left, turn read-only, or are full together with everything else of
//! the host: in the middle of a change, by what the change itself does.

use std::path::{Path, PathBuf};
use std::process::Command;
use tests::programs::skip;
use tests::world::{Host, NewChange};
use tests::{Database, Said, World};

/// A file system of its own at a place of a host, until it is dropped.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        Said::of(Command::new("umount").arg("-l").arg(&self.0));
    }
}

/// What goes wrong: where, on what, by which command of the change, and how it is set right.
struct Trouble {
    host: &'static str,
    /// Below the host's root.
    place: &'static str,
    /// Size of a disk of ext4, which has an image, or options of a tmpfs.
    disk: Result<u64, &'static str>,
    /// A shell command in the host's root.
    breaks: &'static str,
    mends: &'static str,
    says: &'static str,
}

const TROUBLES: [Trouble; 5] = [
    Trouble {
        host: "full",
        place: "var/lib/assent",
        disk: Err("size=4m"),
        breaks: "cat /dev/zero >var/lib/assent/ballast",
        mends: "rm var/lib/assent/ballast",
        says: "No space left on device",
    },
    Trouble {
        host: "inodes",
        place: "var/lib/assent",
        disk: Err("size=16m,nr_inodes=400"),
        breaks: "mkdir var/lib/assent/many; i=0; while touch var/lib/assent/many/$i; do i=$((i+1)); done",
        mends: "rm -r var/lib/assent/many",
        says: "No space left on device",
    },
    Trouble {
        host: "readonly",
        place: "var/lib/assent",
        disk: Ok(24 << 20),
        // What the kernel does when it finds an error in the file system.
        breaks: "echo x >/sys/fs/ext4/$(basename $(findmnt -no SOURCE -T var/lib/assent))/trigger_fs_error",
        mends: "image=$(losetup -nO BACK-FILE $(findmnt -no SOURCE -T var/lib/assent)); umount var/lib/assent
            e2fsck -fy $image; [ $? -lt 4 ] && mount -o loop,errors=remount-ro $image var/lib/assent",
        says: "Read-only file system",
    },
    Trouble {
        host: "diskfull",
        place: "",
        disk: Ok(24 << 20),
        // Beside one large file that fills it there is room on ext4 for a hundred small ones.
        breaks: "cat /dev/zero >ballast; sync ballast
            mkdir many; i=0; while echo x >many/$i && sync many/$i; do i=$((i+1)); done",
        mends: "rm -r ballast many",
        says: "No space left on device",
    },
    Trouble {
        host: "diskinodes",
        place: "",
        disk: Ok(24 << 20),
        breaks: "mkdir many; i=0; while touch many/$i; do i=$((i+1)); done",
        mends: "rm -r many",
        says: "No space left on device",
    },
];

impl Trouble {
    /// Puts what is at the place onto a file system of its own.
    fn mount(&self, world: &World) -> Result<Mounted, String> {
        let place = world.hosts[self.host].root.join(self.place);
        let old = world.path(&format!("old-{}", self.host));
        std::fs::rename(&place, &old).unwrap();
        std::fs::create_dir(&place).unwrap();
        let mut mount = Command::new("mount");
        match self.disk {
            Err(options) => mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&place),
            Ok(bytes) => {
                let image = world.path(&format!("image-{}", self.host));
                std::fs::File::create(&image).unwrap().set_len(bytes).unwrap();
                Said::of(Command::new("mkfs.ext4").args(["-q", "-F", "-N", "1024"]).arg(&image)).ok();
                mount.args(["-o", "loop,errors=remount-ro"]).arg(image).arg(&place)
            }
        };
        let said = Said::of(&mut mount);
        if said.code != 0 {
            return Err(format!("no rights to mount: {}", said.err.trim()));
        }
        let mounted = Mounted(place.clone());
        if self.disk.is_ok() {
            std::fs::remove_dir(place.join("lost+found")).unwrap();
        }
        Said::of(Command::new("cp").arg("-a").arg(old.join(".")).arg(&place)).ok();
        // What the host did before its disk broke is on the disk.
        Said::of(Command::new("sync").arg("-f").arg(&place)).ok();
        Ok(mounted)
    }

    /// Leaves a line durably, then breaks the disk; what comes after it is not reached or fails.
    fn manifest(&self) -> String {
        let breaks = format!("echo run >>var/lib/lab/runs; sync var/lib/lab/runs; {}; true", self.breaks);
        format!(
            "resources:
  - file: {{path: /etc/first, content: \"first\\n\"}}
  - command: {{name: breaks, run: [/bin/sh, -c, {breaks:?}], needed: always, requires: [\"file:/etc/first\"]}}
  - file: {{path: /etc/last, content: \"last\\n\", requires: [\"command:breaks\"]}}
"
        )
    }

    fn shell(&self, host: &Host, what: &str) -> Said {
        Said::of(Command::new("sh").args(["-c", what]).current_dir(&host.root))
    }
}

fn last_seen(world: &World, host: &str) -> i64 {
    let hosts: Vec<shared::wire::HostLine> = serde_json::from_slice(&world.get("/v1/hosts").body).unwrap();
    hosts.iter().find(|line| line.hostname == host).and_then(|line| line.last_seen).map_or(0, |at| at.0)
}

/// The host is heard, says what is wrong, and begins nothing.
fn heard_and_held(world: &World, trouble: &Trouble) {
    let host = &world.hosts[trouble.host];
    let before = last_seen(world, trouble.host);
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    let said = Said::of(&mut world.agent(host, &["once"]));
    assert_eq!(said.code, 3, "{}: {said}", trouble.host);
    assert!(said.all().contains(trouble.says) && !said.err.contains("panicked"), "{}: {said}", trouble.host);
    assert!(said.out.contains("checked in"), "{}: {said}", trouble.host);
    assert!(last_seen(world, trouble.host) > before, "{}: its heartbeat went on: {said}", trouble.host);
    assert!(!host.path("/etc/later").exists(), "{}: {said}", trouble.host);
}

fn broken(world: &mut World, trouble: &Trouble) {
    let name = trouble.host;
    world.publish(name, "1.0.0", &trouble.manifest()).ok();
    world
        .publish(&format!("later-{name}"), "1.0.0", "resources:\n  - file: {path: /etc/later, content: x}\n")
        .ok();
    let targets = &[name][..];
    // Both are planned before the first of them may begin.
    let new = |manifest: &str, world: &mut World| {
        world.request(&NewChange { manifests: &[manifest], targets, ..NewChange::default() })
    };
    let (first, later) = (new(&format!("{name}@1.0.0"), world), new(&format!("later-{name}@1.0.0"), world));
    for id in [&first, &later] {
        world.approve(id).ok();
    }
    world.settle();
    let said = world.tick_unchecked(name);
    assert!(said.code == 3 && !said.err.contains("panicked"), "{name}: {said}");
    let host = world.hosts[name].clone();
    assert_eq!(host.lines("/var/lib/lab/runs"), 1, "{name}: {said}");
    // The last inode may have gone to the receipt itself; nobody has heard of it.
    assert!(world.change_file(&first).receipts.is_empty(), "{name}: {said}");
    for _ in 0..2 {
        heard_and_held(world, trouble);
    }
    let why = world.assent(&["why", name, &first]).ok().out;
    assert!(!why.contains("applied"), "{name}: {why}");

    trouble.shell(&host, trouble.mends).ok();
    let mut said = Vec::new();
    for _ in 0..3 {
        said.push(world.tick_unchecked(name));
        world.check();
    }
    let receipt = host.receipt(&first).unwrap_or_else(|| panic!("{name}: {said:#?}"));
    assert_eq!(world.change_file(&first).receipts.len(), 1, "{name}");
    assert_eq!(host.lines("/var/lib/lab/runs"), 1, "{name}: it ran again: {said:#?}");
    // The command cannot be taken back, and the receipt names it.
    let outcome = receipt.body.outcome.as_str();
    let there = |path: &str| host.path(path).exists();
    match outcome {
        "failed" => {
            assert!(receipt.body.note.contains("command:breaks"), "{name}: {:#?}", receipt.body);
            assert!(!there("/etc/first") && !there("/etc/last"), "{name}: {:#?}", receipt.body);
        }
        "applied" => assert!(there("/etc/first") && there("/etc/last"), "{name}: {:#?}", receipt.body),
        other => panic!("{name}: {other}: {:#?}", receipt.body),
    }
    assert!(there("/etc/later"), "{name}: what was approved besides goes on: {said:#?}");
    assert_eq!((host.spooled(), world.change_file(&later).receipts.len()), (0, 1), "{name}");
    tests::check::chain(&host, name);
    tests::check::no_leftovers(&host, name);
    tests::check::accept(world, name);
}

#[test]
fn full_and_read_only_disks_hold_the_host_which_is_heard_and_tells_the_truth_later() {
    let Some(mut world) = World::new(module_path!(), Database::Sqlite) else { return };
    for trouble in &TROUBLES {
        world.join(trouble.host, "production");
    }
    let mut mounted = Vec::new();
    for trouble in &TROUBLES {
        match trouble.mount(&world) {
            Ok(place) => mounted.push(place),
            Err(why) => return skip(module_path!(), &why),
        }
    }
    for trouble in &TROUBLES {
        broken(&mut world, trouble);
    }
}

/// Nothing of a change is begun on a disk that is full before it.
#[test]
fn a_disk_that_is_full_from_the_start_bars_plans_and_starts() {
    let Some(mut world) = World::new(module_path!(), Database::Sqlite) else { return };
    let trouble = &TROUBLES[0];
    world.join(trouble.host, "production");
    let _mounted = match trouble.mount(&world) {
        Ok(mounted) => mounted,
        Err(why) => return skip(module_path!(), &why),
    };
    let host = world.hosts[trouble.host].clone();
    let fill = |host: &Host| trouble.shell(host, &format!("{}; sync var/lib/assent", trouble.breaks));
    world.publish("later", "1.0.0", "resources:\n  - file: {path: /etc/later, content: x}\n").ok();
    let new = NewChange { manifests: &["later@1.0.0"], ..NewChange::default() };
    fill(&host);
    let unplanned = world.draft(&new);
    world.submit(&unplanned);
    heard_and_held(&world, trouble);
    assert_eq!(world.change_file(&unplanned).plans.len(), 0);
    trouble.shell(&host, trouble.mends).ok();
    world.tick(trouble.host);
    assert_eq!(world.change_file(&unplanned).plans.len(), 1);

    world.approve(&unplanned).ok();
    world.settle();
    fill(&host);
    heard_and_held(&world, trouble);
    assert!(Path::new(&host.state()).join("ballast").exists() && host.receipt(&unplanned).is_none());
    trouble.shell(&host, trouble.mends).ok();
    assert_eq!(world.tick_until_receipt(trouble.host, &unplanned).body.outcome.as_str(), "applied");
}
