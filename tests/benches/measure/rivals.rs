//! Other programs that keep files as they are to be, and what they are told for the same tree.

use crate::bytes;
use crate::tree::{HOSTNAME, Tree, text};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Rival {
    Cfengine,
    Puppet,
    Ansible,
}

impl Rival {
    pub const ALL: [Self; 3] = [Self::Cfengine, Self::Puppet, Self::Ansible];

    pub fn name(self) -> &'static str {
        match self {
            Self::Cfengine => "cf-agent",
            Self::Puppet => "puppet apply",
            Self::Ansible => "ansible-playbook",
        }
    }

    /// Files above which one run takes minutes.
    pub fn most(self) -> usize {
        match self {
            Self::Cfengine | Self::Puppet => 10_000,
            Self::Ansible => 100,
        }
    }

    pub fn rounds(self) -> usize {
        match self {
            Self::Cfengine => 5,
            Self::Puppet => 3,
            Self::Ansible => 1,
        }
    }

    fn program(self) -> &'static str {
        match self {
            Self::Cfengine => "cf-agent",
            Self::Puppet => "puppet",
            Self::Ansible => "ansible-playbook",
        }
    }

    /// What it says of itself; `None` when it is not installed.
    pub fn version(self) -> Option<String> {
        let said = Command::new(self.program()).arg("--version").output().ok()?;
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        Some(text.lines().next().unwrap_or_default().trim().to_owned())
    }

    /// Writes what it is to do beside the tree; gives the command that does it.
    pub fn prepare(self, tree: &Tree) -> Vec<PathBuf> {
        let at = |name: &str| tree.manifest().with_file_name(name);
        let sources = at("sources");
        fs::create_dir_all(&sources).unwrap();
        for number in (1..tree.files).step_by(2) {
            fs::write(sources.join(format!("{number:04}")), bytes(number)).unwrap();
        }
        let source = |number: usize| sources.join(format!("{number:04}")).display().to_string();
        match self {
            Self::Cfengine => {
                let policy = at("policy.cf");
                fs::write(&policy, cfengine(tree, source)).unwrap();
                fs::set_permissions(&policy, fs::Permissions::from_mode(0o600)).unwrap();
                vec!["cf-agent".into(), "-KI".into(), "-f".into(), policy]
            }
            Self::Puppet => {
                let manifest = at("site.pp");
                fs::write(&manifest, puppet(tree, source)).unwrap();
                let own = ["--vardir".into(), at("puppet-var"), "--confdir".into(), at("puppet-conf")];
                [vec!["puppet".into(), "apply".into()], own.into(), vec![manifest]].concat()
            }
            Self::Ansible => {
                let playbook = at("site.yml");
                fs::write(&playbook, ansible(tree, source)).unwrap();
                let local = ["-i", "localhost,", "-c", "local"].map(PathBuf::from);
                [vec!["ansible-playbook".into()], local.into(), vec![playbook]].concat()
            }
        }
    }
}

fn cfengine(tree: &Tree, source: impl Fn(usize) -> String) -> String {
    let data = serde_json::json!({ "t": text(), "host": HOSTNAME }).to_string();
    let mut policy = format!(
        "body common control {{ bundlesequence => {{ \"main\" }}; }}\n\
         bundle agent main\n{{\n  vars: \"d\" data => parsejson('{data}');\n  files:\n"
    );
    for number in 0..tree.files {
        let path = tree.path(number);
        let how = if number.is_multiple_of(2) {
            format!(
                "create => \"true\", edit_defaults => plain, template_method => \"inline_mustache\", template_data => @(d), \
                 edit_template_string => \"{{{{{{t}}}}}}{{{{{{host}}}}}}{number:04}$(const.n)\""
            )
        } else {
            format!("copy_from => same_as(\"{}\")", source(number))
        };
        writeln!(policy, "    \"{}\" {how};", path.display()).unwrap();
    }
    policy
        + "}\nbody edit_defaults plain { edit_backup => \"false\"; }\n\
           body copy_from same_as(f) { source => \"$(f)\"; compare => \"digest\"; copy_backup => \"false\"; }\n"
}

fn puppet(tree: &Tree, source: impl Fn(usize) -> String) -> String {
    let mut manifest = format!("$t = '{}'\n$host = '{HOSTNAME}'\nFile {{ backup => false }}\n", text());
    for number in 0..tree.files {
        let path = tree.path(number);
        let how = if number.is_multiple_of(2) {
            format!("content => \"${{t}}${{host}}{number:04}\\n\"")
        } else {
            format!("source => '{}'", source(number))
        };
        writeln!(manifest, "file {{ '{}': ensure => file, {how} }}", path.display()).unwrap();
    }
    manifest
}

fn ansible(tree: &Tree, source: impl Fn(usize) -> String) -> String {
    let vars = serde_json::json!({ "t": text(), "host": HOSTNAME });
    let mut tasks = Vec::new();
    for number in 0..tree.files {
        let dest = tree.path(number).display().to_string();
        let copy = if number.is_multiple_of(2) {
            serde_json::json!({ "dest": dest, "content": format!("{{{{ t }}}}{{{{ host }}}}{number:04}\n") })
        } else {
            serde_json::json!({ "dest": dest, "src": source(number) })
        };
        tasks.push(serde_json::json!({ "ansible.builtin.copy": copy }));
    }
    serde_json::json!([{ "hosts": "localhost", "gather_facts": false, "vars": vars, "tasks": tasks }])
        .to_string()
}
