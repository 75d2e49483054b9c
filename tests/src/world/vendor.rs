//! A vendor of agents: its keys in the policy, and releases made with the command line.

use super::World;
use shared::release::Vendor;
use std::path::{Path, PathBuf};

impl World {
    /// Makes so many vendor keys and lets the policy demand two of them; gives the key files.
    pub fn add_vendor(&self, keys: usize) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut public = Vec::new();
        for n in 1..=keys {
            let file = self.path(&format!("vendor-{n}.pem"));
            let said = self.assent(&["key", "new", "--out", file.to_str().unwrap()]).ok();
            let word = said.out.split("public key").nth(1).and_then(|rest| rest.split_whitespace().next());
            public.push(word.unwrap_or_else(|| panic!("{said}")).parse().unwrap());
            files.push(file);
        }
        let mut policy = self.policy();
        policy.version += 1;
        policy.vendor = Some(Vendor { threshold: 2, keys: public });
        self.publish_policy(&policy);
        files
    }

    /// The release statement of a program, signed by these keys.
    pub fn release(&self, program: &Path, keys: &[PathBuf]) -> PathBuf {
        let file = self.path(&format!("{}.release.json", program.file_name().unwrap().display()));
        let [program, out] = [program, &file].map(|path| path.to_str().unwrap());
        let first = keys[0].to_str().unwrap();
        self.assent(&["release", "sign", program, "--min-from", "0.1.0", "--key", first, "-o", out]).ok();
        for key in &keys[1..] {
            self.assent(&["release", "cosign", out, program, "--key", key.to_str().unwrap()]).ok();
        }
        file
    }

    /// Uploads the program and publishes the manifest that brings it; `bend` changes its text before.
    pub fn publish_program(&self, program: &Path, release: &Path, bend: impl Fn(String) -> String) -> String {
        let text = self.assent(&["release", "manifest", release.to_str().unwrap()]).ok().out;
        let name = text.lines().find_map(|line| line.strip_prefix("manifest: ")).unwrap().to_owned();
        let file = self.file(&format!("{name}.yaml"), &bend(text));
        self.assent(&["artifact", "put", program.to_str().unwrap()]).ok();
        self.assent(&["publish", file.to_str().unwrap()]).ok();
        name
    }
}
