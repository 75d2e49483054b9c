//! A signed rpm repository built on the spot, and private roots of dnf and zypper that trust it.
//!
//! Tools: rpmbuild and rpmsign (rpm), createrepo_c, gpg.

use super::aptrepo::Root;
use super::tools::run;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Who manages the packages of a root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Dnf,
    Zypper,
}

impl Family {
    /// Whether its tools are here; a missing one is noted as skipped, and a failure in CI.
    pub fn is_here(self, test: &str) -> bool {
        let own = match self {
            Self::Dnf => "dnf",
            Self::Zypper => "zypper",
        };
        let path = std::env::var_os("PATH").unwrap();
        ["rpmbuild", "createrepo_c", "gpg", own].into_iter().all(|tool| {
            let found = std::env::split_paths(&path).any(|dir| dir.join(tool).exists());
            if !found {
                super::tools::skip(test, &format!("{tool} is not installed"));
            }
            found
        })
    }
}

impl Family {
    /// A private root with an empty package database and no repository.
    pub fn root(self) -> Root {
        let root = Root::empty();
        self.prepare(root.dir());
        root
    }

    /// Makes a directory the root of a host with an empty package database and no repository.
    pub fn prepare(self, root: &Path) {
        let dir = match self {
            Self::Dnf => "etc/yum.repos.d",
            Self::Zypper => "etc/zypp/repos.d",
        };
        for dir in ["usr/share", "etc", "var/lib/assent", "var/log", dir] {
            fs::create_dir_all(root.join(dir)).unwrap();
        }
        if self == Self::Dnf {
            fs::create_dir_all(root.join("etc/dnf")).unwrap();
            fs::write(root.join("etc/dnf/dnf.conf"), "[main]\nbest=True\nskip_if_unavailable=True\n")
                .unwrap();
        }
    }

    /// Somebody uses the package manager of a root.
    pub fn by_hand(self, root: &Path, words: &[&str]) {
        let mut command = match self {
            Self::Dnf => {
                let mut dnf = Command::new("dnf");
                let dirs = ["cachedir", "logdir"].map(|name| (name, root.join("var/tmp").join(name)));
                for (name, dir) in dirs {
                    fs::create_dir_all(&dir).unwrap();
                    dnf.arg(format!("--setopt={name}={}", dir.display()));
                }
                dnf.args(["-y", "--releasever=1", "--setopt=plugins=0"]);
                dnf.arg(format!("--installroot={}", root.display()));
                dnf
            }
            Self::Zypper => {
                let mut zypper = Command::new("zypper");
                zypper.arg("--root").arg(root).args(["--non-interactive", "--gpg-auto-import-keys"]);
                zypper
            }
        };
        run(command.args(words));
    }
}

/// A repository called `lab`.
pub struct Repo {
    dir: tempfile::TempDir,
}

/// One package to be built.
#[derive(Clone, Default)]
pub struct Rpm<'a> {
    pub name: &'a str,
    /// `[epoch:]version-release`.
    pub version: &'a str,
    pub requires: &'a str,
    pub provides: &'a str,
    /// A configuration file with these contents, `/etc/<name>.conf`.
    pub conffile: &'a str,
    /// People's configuration files stay by the package's own wish.
    pub noreplace: bool,
    /// In rpm's own language, since a private root has no shell.
    pub post: &'a str,
    pub pre: &'a str,
    pub vendor: &'a str,
    pub unsigned: bool,
}

/// `[epoch:]version-release` as its parts.
fn parts(version: &str) -> (&str, &str, &str) {
    let (epoch, rest) = version.split_once(':').unwrap_or(("", version));
    let (version, release) = rest.rsplit_once('-').unwrap();
    (epoch, version, release)
}

impl Repo {
    /// An empty repository with a throw-away key.
    pub fn new() -> Self {
        let repo = Self { dir: tempfile::tempdir().unwrap() };
        for dir in ["gpg", "repo", "build"] {
            fs::create_dir_all(repo.path(dir)).unwrap();
        }
        run(Command::new("chmod").arg("700").arg(repo.path("gpg")));
        let batch =
            "%no-protection\nKey-Type: RSA\nKey-Length: 2048\nName-Real: Lab\nExpire-Date: 0\n%commit\n";
        fs::write(repo.path("batch"), batch).unwrap();
        run(repo.gpg().arg("--gen-key").arg(repo.path("batch")));
        let key = run(repo.gpg().args(["--armor", "--export"]));
        fs::write(repo.path("key.asc"), key.stdout).unwrap();
        fs::write(repo.path("updateinfo.xml"), "<updates></updates>").unwrap();
        repo
    }

    /// A repository of its own with the same contents.
    pub fn copy(&self) -> Self {
        let dir = tempfile::tempdir().unwrap();
        run(Command::new("cp").arg("-a").arg(self.dir.path().join(".")).arg(dir.path()));
        Self { dir }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn gpg(&self) -> Command {
        let mut gpg = Command::new("gpg");
        gpg.args(["--batch", "--quiet", "--homedir"]).arg(self.path("gpg"));
        gpg
    }

    /// Path of a package file.
    pub fn file(&self, name: &str, version: &str) -> PathBuf {
        let (_, version, release) = parts(version);
        self.path("repo").join(format!("{name}-{version}-{release}.noarch.rpm"))
    }

    /// Builds a package. `publish` makes it visible.
    pub fn add(&self, rpm: &Rpm<'_>) -> &Self {
        let spec = self.path("build").join(format!("{}.spec", rpm.name));
        fs::write(&spec, text(rpm)).unwrap();
        let define = |name: &str, path: PathBuf| format!("{name} {}", path.display());
        run(Command::new("rpmbuild")
            .args(["-bb", "--quiet", "--nodeps"])
            .args(["--define", &define("_topdir", self.path("build"))])
            .args(["--define", &define("_rpmdir", self.path("repo"))])
            .args(["--define", "_build_name_fmt %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm"])
            .arg(&spec));
        if !rpm.unsigned {
            run(Command::new("rpmsign")
                .env("GNUPGHOME", self.path("gpg"))
                .args(["--define", "_gpg_name Lab", "--define", "__gpg /usr/bin/gpg", "--addsign"])
                .arg(self.file(rpm.name, rpm.version)));
        }
        self
    }

    /// A notice that this version of a package fixes something (`security`, `bugfix`).
    pub fn advise(&self, id: &str, kind: &str, name: &str, version: &str) -> &Self {
        let (epoch, version, release) = parts(version);
        let epoch = if epoch.is_empty() { "0" } else { epoch };
        let update = format!(
            "<update from=\"lab\" status=\"final\" type=\"{kind}\" version=\"1\"><id>{id}</id><title>t</title>\
             <issued date=\"2026-01-01 00:00:00\"/><description>d</description><severity>Important</severity>\
             <pkglist><collection short=\"lab\"><name>lab</name><package name=\"{name}\" version=\"{version}\" \
             release=\"{release}\" epoch=\"{epoch}\" arch=\"noarch\" src=\"x.src.rpm\"><filename>x</filename>\
             </package></collection></pkglist></update></updates>"
        );
        let path = self.path("updateinfo.xml");
        let text = fs::read_to_string(&path).unwrap().replace("</updates>", &update);
        fs::write(path, text).unwrap();
        self
    }

    /// Writes and signs the lists.
    pub fn publish(&self) -> &Self {
        self.publish_with(|primary| primary)
    }

    /// The same with a list of packages that was changed before it is signed.
    pub fn publish_with(&self, change: impl Fn(String) -> String) -> &Self {
        let repo = self.path("repo");
        run(Command::new("createrepo_c").args(["-q", "--no-database", "--simple-md-filenames"]).arg(&repo));
        let packed = repo.join("repodata/primary.xml.gz");
        let text = String::from_utf8(run(Command::new("gzip").arg("-dc").arg(packed)).stdout).unwrap();
        let changed = change(text.clone());
        let modify = |name: &str| {
            let mut modify = Command::new("modifyrepo_c");
            modify.args([&format!("--mdtype={name}"), "--simple-md-filenames"]);
            run(modify.arg(self.path(&format!("{name}.xml"))).arg(repo.join("repodata")));
        };
        if changed != text {
            fs::write(self.path("primary.xml"), changed).unwrap();
            modify("primary");
        }
        modify("updateinfo");
        let signature = repo.join("repodata/repomd.xml.asc");
        run(self.gpg().args(["--yes", "--armor", "--detach-sign", "-o"]).arg(signature).arg(self.index()));
        fs::copy(self.path("key.asc"), repo.join("repodata/repomd.xml.key")).unwrap();
        self
    }

    pub fn index(&self) -> PathBuf {
        self.path("repo/repodata/repomd.xml")
    }

    pub fn primary(&self) -> PathBuf {
        self.path("repo/repodata/primary.xml.gz")
    }

    /// The key that signs it, in ASCII armor.
    pub fn armored_key(&self) -> String {
        fs::read_to_string(self.path("key.asc")).unwrap()
    }

    pub fn url(&self) -> String {
        format!("file://{}", self.path("repo").display())
    }

    /// A private root with an empty package database that uses this repository and has its key.
    pub fn root(&self, family: Family) -> Root {
        let root = family.root();
        self.name_in(root.dir(), family);
        root
    }

    /// Names this repository, with its key, in the settings of a root.
    pub fn name_in(&self, root: &Path, family: Family) {
        let (repo, key) = (self.path("repo"), self.path("key.asc"));
        let (dir, more) = match family {
            Family::Dnf => {
                ("etc/yum.repos.d", format!("baseurl=file://{}\nrepo_gpgcheck=1\n", repo.display()))
            }
            Family::Zypper => ("etc/zypp/repos.d", format!("baseurl=dir:{}\ntype=rpm-md\n", repo.display())),
        };
        let text = format!("[lab]\nname=Lab\nenabled=1\ngpgcheck=1\ngpgkey=file://{}\n{more}", key.display());
        fs::write(root.join(dir).join("lab.repo"), text).unwrap();
        if family == Family::Zypper {
            run(rpm_in(root).arg("--import").arg(key));
        }
    }
}

/// The host's rpm on a root.
pub fn rpm(root: &Root) -> Command {
    rpm_in(root.dir())
}

fn rpm_in(root: &Path) -> Command {
    let mut rpm = Command::new("rpm");
    rpm.env("HOME", "/root").env("LC_ALL", "C").arg("--root").arg(root);
    rpm
}

fn text(rpm: &Rpm<'_>) -> String {
    let (epoch, version, release) = parts(rpm.version);
    let name = rpm.name;
    let mut head = format!(
        "Name: {name}\nVersion: {version}\nRelease: {release}\nSummary: test\nLicense: none\nBuildArch: noarch\n"
    );
    let fields =
        [("Epoch", epoch), ("Requires", rpm.requires), ("Provides", rpm.provides), ("Vendor", rpm.vendor)];
    for (field, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
        head.push_str(&format!("{field}: {value}\n"));
    }
    // Kernels of several versions share no file.
    let beside = if rpm.provides.is_empty() { String::new() } else { format!("-{version}-{release}") };
    let dir = format!("/usr/share/{name}{beside}");
    let mut install =
        format!("mkdir -p %{{buildroot}}{dir}\necho {version}-{release} >%{{buildroot}}{dir}/version\n");
    let mut files = format!("{dir}\n");
    if !rpm.conffile.is_empty() {
        install.push_str(&format!(
            "mkdir -p %{{buildroot}}/etc\necho '{}' >%{{buildroot}}/etc/{name}.conf\n",
            rpm.conffile
        ));
        let kind = if rpm.noreplace { "%config(noreplace)" } else { "%config" };
        files.push_str(&format!("{kind} /etc/{name}.conf\n"));
    }
    let mut scripts = String::new();
    for (kind, script) in [("%post", rpm.post), ("%pre", rpm.pre)] {
        if !script.is_empty() {
            scripts.push_str(&format!("{kind} -p <lua>\n{script}\n"));
        }
    }
    format!("{head}%description\ntest\n%install\n{install}{scripts}%files\n{files}")
}
